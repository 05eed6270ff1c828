"""The publisher against a scripted hub and a clock that the test turns: nothing is lost, kept back or out of order."""

import queue
import tempfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from agent.config import OutboxConfig
from agent.errors import HubError
from agent.events.event import Acknowledgement, EventClass, Held, HoldReason, StoredEvent, Tombstone
from agent.hub.link import Connected, Disconnected, HubSignal
from agent.hub.outbox import HELD, Outbox, held_events
from agent.hub.publisher import EXPIRE_S, HELD_FACTOR, POLL_S, RETRY_S, Publisher
from agent.storage.database import StoreFull
from tests.conftest import FakeClock
from tests.rigs.events import NOON, raw
from tests.rigs.store_key import TEST_KEY

LEAD, HEALTH, ENCOUNTER = EventClass.LEAD, EventClass.HEALTH, EventClass.ENCOUNTER
CONFIG = OutboxConfig(window=4, resend_after_s=10)


class ScriptedLink:
    """Takes what it is given, or refuses; a test says what arrives and what is acknowledged."""

    def __init__(self) -> None:
        self.sent: list[StoredEvent] = []
        self.acknowledged: list[int] = []
        self.room = 10**6

    def send(self, stored: StoredEvent, acknowledged: int) -> None:
        if self.room <= 0:
            raise HubError("no room")
        self.room -= 1
        self.sent.append(stored)
        self.acknowledged.append(acknowledged)

    def take(self) -> list[tuple[EventClass, int]]:
        """What was sent since the last look."""
        sent, self.sent = self.sent, []
        return [(stored.key.event_class, stored.key.sequence) for stored in sent]


class Rig:
    """A publisher with its loop off, and the encounter thread's handle on the same outbox."""

    def __init__(self, path: Path, config: OutboxConfig = CONFIG) -> None:
        self.clock = FakeClock()
        self.inbox: queue.Queue[HubSignal] = queue.Queue()
        self.link = ScriptedLink()
        self.outbox = Outbox(path, "k1", config, key=TEST_KEY)
        self.crashes: list[BaseException] = []
        self.publisher = Publisher(
            lambda: Outbox(path, "k1", config, key=TEST_KEY),
            self.link,
            self.inbox,
            lambda _, error: self.crashes.append(error),
            config=config,
            clock=self.clock,
        )

    def close(self) -> None:
        self.publisher.close()
        self.outbox.close()

    def put(self, event_class: EventClass, count: int) -> None:
        for _ in range(count):
            self.outbox.put(raw(event_class))

    def connect(self) -> list[tuple[EventClass, int]]:
        self.inbox.put(Connected())
        return self.step()

    def acknowledge(self, event_class: EventClass, upto: int) -> list[tuple[EventClass, int]]:
        self.inbox.put(Acknowledgement(self.outbox.epoch, event_class, upto))
        return self.step()

    def step(self) -> list[tuple[EventClass, int]]:
        self.publisher.step()
        return self.link.take()


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "outbox.db")
    yield rig
    rig.close()


def leads(*numbers: int) -> list[tuple[EventClass, int]]:
    return [(LEAD, number) for number in numbers]


def test_nothing_is_sent_before_the_link_is_up(rig: Rig) -> None:
    rig.put(LEAD, 2)
    assert rig.step() == []
    assert rig.connect() == leads(1, 2)


def test_what_is_acknowledged_is_forgotten_and_the_window_moves_on(rig: Rig) -> None:
    rig.put(LEAD, 6)
    assert rig.connect() == leads(1, 2, 3, 4)
    assert rig.acknowledge(LEAD, 3) == leads(5, 6)
    assert rig.outbox.acknowledged()[LEAD] == 3
    assert rig.acknowledge(LEAD, 6) == []
    assert rig.outbox.counts()[LEAD] == 0


def test_the_window_bounds_what_is_in_flight(rig: Rig) -> None:
    rig.put(LEAD, 100)
    rig.connect()
    for _ in range(5):
        assert rig.step() == []


def test_leads_overtake_telemetry_that_waits(rig: Rig) -> None:
    rig.put(HEALTH, 10)
    rig.put(ENCOUNTER, 2)
    rig.put(LEAD, 2)
    assert [c for c, _ in rig.connect()] == [LEAD, LEAD, ENCOUNTER, ENCOUNTER, HEALTH, HEALTH, HEALTH, HEALTH]
    rig.put(LEAD, 1)
    rig.inbox.put(Acknowledgement(rig.outbox.epoch, HEALTH, 4))
    assert rig.step()[0] == (LEAD, 3)


def test_a_full_window_of_telemetry_holds_no_lead_back(rig: Rig) -> None:
    rig.put(HEALTH, 10)
    rig.connect()
    rig.put(LEAD, 1)
    assert rig.step() == leads(1)


def test_a_silent_hub_is_asked_again_with_one_event(rig: Rig) -> None:
    rig.put(LEAD, 4)
    rig.connect()
    rig.clock.advance(9.9)
    assert rig.step() == []
    rig.clock.advance(0.2)
    assert rig.step() == leads(1)
    rig.clock.advance(10.1)
    assert rig.step() == leads(1)


def test_after_the_answer_to_a_probe_the_rest_follows_once(rig: Rig) -> None:
    rig.put(LEAD, 4)
    rig.connect()
    rig.clock.advance(10.1)
    rig.step()
    assert rig.acknowledge(LEAD, 1) == leads(2, 3, 4)


def test_a_lost_acknowledgement_costs_one_duplicate(rig: Rig) -> None:
    rig.put(LEAD, 4)
    rig.connect()
    rig.clock.advance(10.1)
    rig.step()
    assert rig.acknowledge(LEAD, 4) == []  # the hub had them all
    assert rig.outbox.counts()[LEAD] == 0


def test_progress_starts_the_waiting_anew(rig: Rig) -> None:
    rig.put(LEAD, 4)
    rig.connect()
    for upto in (1, 2, 3):
        rig.clock.advance(9)
        assert rig.acknowledge(LEAD, upto) == []


def test_a_new_connection_sends_everything_unacknowledged_again(rig: Rig) -> None:
    rig.put(LEAD, 4)
    rig.connect()
    rig.acknowledge(LEAD, 1)
    rig.inbox.put(Disconnected("gone"))
    assert rig.step() == []
    assert rig.connect() == leads(2, 3, 4)


def test_a_connection_lost_and_found_between_two_steps_is_noticed(rig: Rig) -> None:
    rig.put(LEAD, 2)
    rig.connect()
    rig.inbox.put(Disconnected("gone"))
    assert rig.connect() == leads(1, 2)


def test_acknowledgements_that_are_old_doubled_or_of_another_epoch_change_nothing(rig: Rig) -> None:
    rig.put(LEAD, 4)
    rig.connect()
    rig.acknowledge(LEAD, 2)
    rig.inbox.put(Acknowledgement("f" * 16, LEAD, 4))
    assert rig.acknowledge(LEAD, 1) == []
    assert rig.acknowledge(LEAD, 2) == []
    assert rig.outbox.acknowledged()[LEAD] == 2


def test_an_acknowledgement_from_before_a_restart_saves_the_sending(rig: Rig) -> None:
    rig.put(LEAD, 3)
    rig.inbox.put(Connected())
    assert rig.acknowledge(LEAD, 2) == leads(3)


def test_each_event_says_what_was_acknowledged_before_it(rig: Rig) -> None:
    rig.put(LEAD, 5)
    rig.connect()
    rig.acknowledge(LEAD, 2)
    assert rig.link.acknowledged == [0, 0, 0, 0, 2]


def test_a_link_that_takes_no_more_is_tried_again_from_there(rig: Rig) -> None:
    rig.put(LEAD, 3)
    rig.link.room = 2
    rig.inbox.put(Connected())
    assert rig.publisher.step() == RETRY_S
    rig.link.room = 10
    rig.step()
    assert [stored.key.sequence for stored in rig.outbox.pending(LEAD, 10)] == [1, 2, 3]
    assert rig.acknowledge(LEAD, 3) == []


def test_after_a_refusal_nothing_is_left_out_or_doubled(rig: Rig) -> None:
    rig.put(LEAD, 3)
    rig.link.room = 2
    assert rig.connect() == leads(1, 2)
    rig.link.room = 10
    assert rig.step() == leads(3)


def test_telemetry_that_is_too_old_is_sent_as_a_header(rig: Rig) -> None:
    rig.outbox.put(raw(HEALTH, b"body", "h-1", NOON - timedelta(days=30)))
    rig.clock.wall = NOON
    rig.publisher.step()
    rig.inbox.put(Connected())
    rig.publisher.step()
    assert [(s.tombstone, s.event.body) for s in rig.link.sent] == [(Tombstone.EXPIRED, b"")]


def test_waits_until_something_is_due(rig: Rig) -> None:
    assert rig.publisher.step() == POLL_S
    rig.put(LEAD, 1)
    rig.connect()
    rig.clock.advance(7)
    assert rig.publisher.step() == pytest.approx(3)


def test_a_full_disk_delays_and_does_not_end_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig.put(LEAD, 1)
    rig.connect()
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "forget", refuse_to_forget)
        rig.inbox.put(Acknowledgement(rig.outbox.epoch, LEAD, 1))
        assert rig.publisher.step() == RETRY_S
    assert "disk is full" in caplog.text
    rig.clock.advance(10.1)
    assert rig.step() == leads(1)
    rig.acknowledge(LEAD, 1)
    assert rig.outbox.counts()[LEAD] == 0


def test_when_expiring_fails_for_ever_everything_is_sent_all_the_same_and_it_is_said_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[float] = []

    def refuse(*_: object) -> int:
        tries.append(rig.clock.monotonic())
        raise StoreFull("outbox.db: the disk is full")

    monkeypatch.setattr(Outbox, "expire", refuse)
    rig.put(LEAD, 6)
    assert rig.connect() == leads(1, 2, 3, 4)
    assert rig.acknowledge(LEAD, 4) == leads(5, 6)
    for _ in range(3 * int(EXPIRE_S) // 10):
        rig.clock.advance(10)
        rig.put(LEAD, 1)
        sent = rig.step()
        assert sent
        rig.acknowledge(LEAD, sent[-1][1])
    assert len(tries) == 4
    assert [r.levelname for r in caplog.records if "disk is full" in r.getMessage()] == ["WARNING"]


def refuse_to_forget(*_: object) -> int:
    raise StoreFull("outbox.db: the disk is full")


def test_wake_ends_the_waiting_of_the_thread_and_stop_ends_the_thread(rig: Rig) -> None:
    sent = threading.Event()
    rig.link.send = lambda *_: sent.set()  # type: ignore[method-assign]
    rig.inbox.put(Connected())
    rig.publisher.start()
    rig.put(LEAD, 1)
    rig.publisher.wake()
    assert sent.wait(2)
    assert rig.publisher.stop()
    assert not rig.publisher.alive
    assert rig.crashes == []


def test_many_wakes_are_one_signal(rig: Rig) -> None:
    for _ in range(1000):
        rig.publisher.wake()
    assert rig.inbox.qsize() == 1


def test_a_store_that_cannot_be_opened_is_reported_as_a_crash(tmp_path: Path) -> None:
    crashes: list[tuple[str, BaseException]] = []
    crashed = threading.Event()

    def on_crash(name: str, error: BaseException) -> None:
        crashes.append((name, error))
        crashed.set()

    publisher = Publisher(
        lambda: Outbox(tmp_path, "k1", key=TEST_KEY),
        ScriptedLink(),
        queue.Queue(),
        on_crash,
        config=CONFIG,
        clock=FakeClock(),
    )
    publisher.start()
    assert crashed.wait(2)
    assert publisher.stop()
    assert crashes[0][0] == "publisher"


# -- an event that the hub cannot verify


def hold(
    rig: Rig, sequence: int, upto: int = 0, reason: HoldReason = HoldReason.UNKNOWN_KIOSK_KEY
) -> list[tuple[EventClass, int]]:
    rig.inbox.put(Acknowledgement(rig.outbox.epoch, LEAD, upto))
    rig.inbox.put(Held(rig.outbox.epoch, LEAD, sequence, reason))
    return rig.step()


def test_an_event_that_the_hub_cannot_verify_stays_with_the_reason_and_is_said_once(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.put(LEAD, 3)
    rig.connect()
    for _ in range(5):
        assert hold(rig, 2, 1) == []
    assert rig.outbox.counts()[LEAD] == 2
    assert rig.outbox.held() == {LEAD: Held(rig.outbox.epoch, LEAD, 2, HoldReason.UNKNOWN_KIOSK_KEY)}
    assert held_events(rig.outbox)[0]["reason"] == HELD[HoldReason.UNKNOWN_KIOSK_KEY]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("lead event 2 stays in the outbox: the hub does not know this kiosk's key")


def test_a_flood_of_changing_reasons_is_one_line(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.put(LEAD, 3)
    rig.connect()
    for number in range(300):
        rig.inbox.put(Held(rig.outbox.epoch, LEAD, 1 + number % 3, list(HoldReason)[number % 2]))
        rig.step()
    assert len(caplog.records) == 1


def test_it_is_sent_again_seldom_and_alone_and_after_its_acknowledgement_everything_follows(rig: Rig) -> None:
    rig.put(LEAD, 4)
    rig.connect()
    hold(rig, 1)
    rig.put(LEAD, 1)
    assert rig.step() == []
    rig.clock.advance(HELD_FACTOR * CONFIG.resend_after_s - 0.1)
    assert rig.step() == []
    rig.clock.advance(0.2)
    assert rig.step() == leads(1)
    assert rig.acknowledge(LEAD, 1) == leads(2, 3, 4, 5)
    assert rig.outbox.held() == {}


def test_other_classes_go_on_while_an_event_is_held(rig: Rig) -> None:
    rig.put(LEAD, 1)
    rig.connect()
    hold(rig, 1)
    rig.put(HEALTH, 1)
    assert rig.step() == [(HEALTH, 1)]


@pytest.mark.parametrize("sequence", [1, 5, 2**62])
def test_a_hold_of_an_event_that_does_not_wait_changes_nothing(rig: Rig, sequence: int) -> None:
    rig.put(LEAD, 4)
    rig.connect()
    rig.acknowledge(LEAD, 1)
    hold(rig, sequence, 1)
    rig.inbox.put(Held("f" * 16, LEAD, 2, HoldReason.WRONG_SIGNATURE))
    rig.step()
    assert rig.outbox.held() == {}
    assert rig.acknowledge(LEAD, 4) == []
    assert rig.outbox.counts()[LEAD] == 0


def test_a_flood_of_acknowledgements_of_what_never_was_is_one_line_and_a_number(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    assert rig.publisher.refused == {}
    rig.put(LEAD, 1)
    rig.connect()
    for _ in range(100):
        rig.acknowledge(LEAD, 2**60)
    assert rig.publisher.refused == {"acknowledgements of lead events that never were": 100}
    assert len(caplog.records) == 1
    assert rig.outbox.counts()[LEAD] == 1


class Road(RuleBasedStateMachine):
    """Any weather between publisher and hub: the hub gets every event, each class in order."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="publisher-")
        self.rig = Rig(Path(self.folder.name) / "outbox.db")
        self.put_count = dict.fromkeys(EventClass, 0)
        self.hub = dict.fromkeys(EventClass, 0)
        self.wire: list[StoredEvent] = []
        self.answers: list[Acknowledgement] = []
        self.up = False

    def teardown(self) -> None:
        self.settle()
        assert self.hub == self.put_count
        assert sum(self.rig.outbox.counts().values()) == 0
        assert self.rig.outbox.held() == {}
        self.rig.close()
        self.folder.cleanup()

    @rule(event_class=st.sampled_from([LEAD, HEALTH, ENCOUNTER]), count=st.integers(1, 6))
    def put(self, event_class: EventClass, count: int) -> None:
        self.rig.put(event_class, count)
        self.put_count[event_class] += count

    @rule(room=st.integers(0, 8))
    def step(self, room: int = 10**6) -> None:
        self.rig.link.room = room
        self.rig.publisher.step()
        self.wire += self.rig.link.sent
        self.rig.link.sent = []

    @rule(count=st.integers(1, 10))
    def arrive(self, count: int = 10**6) -> None:
        for stored in self.wire[:count]:
            key = stored.key
            if key.sequence == self.hub[key.event_class] + 1:
                self.hub[key.event_class] += 1
            self.answers.append(Acknowledgement(key.epoch, key.event_class, self.hub[key.event_class]))
        self.wire = self.wire[count:]

    @rule(event_class=st.sampled_from([LEAD, HEALTH]), reason=st.sampled_from(HoldReason))
    def hold(self, event_class: EventClass, reason: HoldReason) -> None:
        """The hub cannot verify the next event, which may be under way, stored meanwhile, or not put yet."""
        self.rig.inbox.put(Held(self.rig.outbox.epoch, event_class, self.hub[event_class] + 1, reason))

    @rule(count=st.integers(1, 10), back=st.booleans())
    def answer(self, count: int = 10**6, back: Any = False) -> None:  # noqa: ANN401, FBT002 - drawn
        """Some acknowledgements get through, perhaps in another order."""
        for acknowledgement in reversed(self.answers[:count]) if back else self.answers[:count]:
            self.rig.inbox.put(acknowledgement)
        self.answers = self.answers[count:]

    @rule()
    def lose_what_is_on_the_wire(self) -> None:
        self.wire.clear()

    @rule()
    def lose_the_answers(self) -> None:
        self.answers.clear()

    @rule()
    def go_down(self) -> None:
        self.rig.inbox.put(Disconnected("gone"))

    @rule()
    def come_up(self) -> None:
        self.rig.inbox.put(Connected())

    @rule(seconds=st.integers(1, 15))
    def wait(self, seconds: int) -> None:
        self.rig.clock.advance(seconds)

    @rule()
    def restart(self) -> None:
        """The process is killed and comes back; what was in its queue is gone."""
        path = Path(self.folder.name) / "outbox.db"
        self.rig.close()
        self.rig = Rig(path)

    def settle(self) -> None:
        """Fair weather for long enough."""
        self.step()
        self.rig.inbox.put(Connected())
        for _ in range(2 * max(self.put_count.values()) + 5):
            self.step()
            self.arrive()
            self.answer()
            self.rig.clock.advance(1)
        self.step()


TestAnyWeather = Road.TestCase
TestAnyWeather.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
