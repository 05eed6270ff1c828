"""Each request of the command line: its arguments are checked, its answer is plain JSON without templates."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent.clock import SystemClock
from agent.control.cancellation import CancellationToken
from agent.errors import ConfigError, ControlError
from agent.events.event import EventClass, Held, HoldReason
from agent.keys import DEVELOPMENT_FILE, load_kiosk_key
from agent.kiosk import Kiosk, open_outbox
from agent.requests import REQUESTS, RequestContext, handle_request
from simulators.pictures.levels import Grey
from simulators.polling import wait_until
from simulators.provider.provider import ListProvider
from simulators.sensors.ef01.device import Ef01Settings
from simulators.sensors.ef01.rig import Ef01Rig
from tests.conftest import impression_of
from tests.rigs.list_keeper import entry_of, make_provider
from tests.rigs.simulated_kiosk import config_of

PERSON, STRANGER = 5, 6


@pytest.fixture(scope="module", name="sensor")
def _sensor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ef01Rig]:
    with Ef01Rig(Ef01Settings(), tmp_path_factory.mktemp("sensor") / "port") as rig:
        yield rig


@pytest.fixture(scope="module", name="kiosk")
def _kiosk(sensor: Ef01Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kiosk]:
    """A kiosk with one enrolled person, whose finger is not on the sensor."""
    config = config_of(tmp_path_factory.mktemp("kiosk"), sensor.url, options='model = "R307", poll_s = 0.01')
    crashes: list[BaseException] = []
    kiosk = Kiosk(config, lambda _: None, lambda *_: None, lambda _, error: crashes.append(error))
    kiosk.lane.attended = False  # no traveller starts an encounter: only requests do
    kiosk.start()
    ask_with_finger(
        kiosk, sensor, impression_of(PERSON, 0), "enrol", samples=1, into_local_list=True, reference_id="r-1"
    )
    yield kiosk
    assert kiosk.stop(10)
    assert crashes == []


def ask(kiosk: Kiosk, name: str, **arguments: object) -> dict[str, Any]:
    """The answer as it arrives at the command line: as JSON."""
    context = RequestContext(kiosk, lambda: {"status": "online"}, CancellationToken())
    answer: dict[str, Any] = json.loads(json.dumps(handle_request(context, name, arguments)))
    return answer


def ask_with_finger(kiosk: Kiosk, sensor: Ef01Rig, finger: Grey, name: str, **arguments: object) -> dict[str, Any]:
    """The answer to a request for which a finger is put on the sensor as soon as the kiosk waits for it."""
    polls = sensor.polls()
    with ThreadPoolExecutor(1) as executor:
        answer = executor.submit(ask, kiosk, name, **arguments)
        assert wait_until(lambda: sensor.polls() > polls + 1, 10)
        sensor.show(finger)
        result = answer.result(30)
    sensor.lift()
    return result


def test_status_and_watch_need_nothing_of_the_lane(kiosk: Kiosk) -> None:
    assert ask(kiosk, "status") == {"status": "online"}
    assert ask(kiosk, "watch") == {}


def test_the_enrolment_is_on_the_list_and_waits_for_the_hub(kiosk: Kiosk) -> None:
    listed = ask(kiosk, "watchlist")
    assert [row["reference_id"] for row in listed["references"]] == ["r-1"]
    assert "template" not in json.dumps(listed).replace("templates", "")
    waiting = ask(kiosk, "outbox", limit=1)
    assert waiting["waiting"]["enrolment"] == 1
    (event,) = waiting["events"]
    assert set(event) == {"key", "subject", "time", "bytes", "tombstone"}


@pytest.mark.parametrize(("person", "outcome"), [(PERSON, "lead"), (STRANGER, "clear")])
def test_identify_answers_with_the_decision(kiosk: Kiosk, sensor: Ef01Rig, person: int, outcome: str) -> None:
    answer = ask_with_finger(kiosk, sensor, impression_of(person, 1), "identify")
    assert answer["outcome"] == outcome
    assert [c["reference_id"] for c in answer["candidates"]] == (["r-1"] if outcome == "lead" else [])
    assert answer["withheld"] == 0


def test_a_reference_is_removed_once(kiosk: Kiosk, sensor: Ef01Rig) -> None:
    wanted = {"samples": 1, "into_local_list": True, "reference_id": "r-2", "positions": ["right_index"] * 2}
    answer = ask_with_finger(kiosk, sensor, impression_of(STRANGER, 2), "enrol", **wanted)
    assert (answer["searchable_here"], answer["sealed"]) == (True, False)
    assert ask(kiosk, "watchlist-remove", reference_id="r-2") == {"removed": ["r-2"]}
    with pytest.raises(ControlError, match="no reference r-2 on the list"):
        ask(kiosk, "watchlist-remove", reference_id="r-2")


def test_the_public_key_is_shown_and_none_is_made(kiosk: Kiosk) -> None:
    folder = kiosk.config.kiosk.state_dir
    with pytest.raises(ConfigError, match="there is no kiosk key here"):
        ask(kiosk, "keys")
    assert not (folder / DEVELOPMENT_FILE).exists()
    made = load_kiosk_key(folder)
    assert ask(kiosk, "keys") == json.loads(json.dumps(made.published()))
    with pytest.raises(ConfigError, match=r"watchlist\.source is not set"):
        ask(kiosk, "keys", for_lists=True)


def test_the_outbox_says_which_event_the_hub_cannot_verify(kiosk: Kiosk) -> None:
    with open_outbox(kiosk.config, kiosk.store_key) as outbox:
        last = outbox.last()[EventClass.ENROLMENT]
        assert outbox.hold(Held(outbox.epoch, EventClass.ENROLMENT, last, HoldReason.UNKNOWN_KIOSK_KEY))
    (held,) = ask(kiosk, "outbox")["held"]
    assert (held["class"], held["sequence"]) == ("enrolment", last)
    assert "kiosk-agent keys" in held["reason"]


REFUSED: dict[str, tuple[str, dict[str, object], str]] = {
    "unknown": ("dance", {}, f"unknown request 'dance'; the requests are: {', '.join(REQUESTS)}"),
    "no position": ("enrol", {"positions": ["unknown"]}, "must name the finger or eye"),
    "too many samples": ("enrol", {"samples": 11}, "enrol: samples: .*less than or equal to 10"),
    "another key": ("outbox", {"limits": 3}, "outbox: limits: "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_request_is_refused_with_the_reason(kiosk: Kiosk, case: str) -> None:
    name, arguments, reason = REFUSED[case]
    with pytest.raises(ControlError, match=reason):
        ask(kiosk, name, **arguments)


def test_requests_whose_clients_disconnect_are_cancelled(kiosk: Kiosk, sensor: Ef01Rig) -> None:
    running, waiting = CancellationToken(), CancellationToken()
    polls = sensor.polls()
    with ThreadPoolExecutor(1) as executor:
        first = executor.submit(handle_request, RequestContext(kiosk, dict, running), "identify", {})
        assert wait_until(lambda: sensor.polls() > polls + 1, 10)
        waiting.cancel()
        with pytest.raises(ControlError, match="the client that made this request has disconnected"):
            handle_request(RequestContext(kiosk, dict, waiting), "identify", {})
        running.cancel()
        assert first.result(5)["outcome"] == "refer"  # well before the timeout of its step


@pytest.fixture(name="lists")
def _lists(tmp_path: Path) -> Iterator[ListProvider]:
    """A provider whose list has one person."""
    with make_provider(tmp_path / "lists", SystemClock()) as lists:
        lists.put([entry_of(7, SystemClock().now())])
        lists.publish()
        yield lists


@pytest.fixture(name="fetching")
def _fetching(lists: ListProvider, sensor: Ef01Rig, tmp_path: Path) -> Iterator[Kiosk]:
    """A kiosk that fetches the list when it is asked to, or after an hour."""
    more = f'[watchlist]\nsource = "{lists.public}"\nroot = "{lists.folder}/root.json"\ncheck_every_s = 3600.0'
    config = config_of(tmp_path, sensor.url, options='model = "R307", poll_s = 0.01', more=more)
    crashes: list[BaseException] = []
    kiosk = Kiosk(config, lambda _: None, lambda *_: None, lambda _, error: crashes.append(error))
    kiosk.lane.attended = False
    kiosk.start()
    yield kiosk
    assert kiosk.stop(10)
    assert crashes == []


def test_the_lists_of_providers_are_updated_verified_shown_and_explained(fetching: Kiosk, lists: ListProvider) -> None:
    assert ask(fetching, "watchlist-update")["problems"] == {}
    state = ask(fetching, "watchlist-status")
    assert [(one["name"], one["revision"], one["references"]) for one in state["lists"]] == [("police", 1, 1)]
    assert (state["list_expired"], state["list_unusable"], state["problems"]) == (False, False, {})
    assert ask(fetching, "watchlist-verify") == {"lists": {"police": "1 references, complete on disk and in memory"}}
    (listed,) = ask(fetching, "watchlist")["references"]
    (explained,) = ask(fetching, "watchlist-explain", reference_id="p7")["references"]
    assert listed == explained
    assert (listed["list"], listed["reference_id"], listed["hidden"]) == ("police", "p7", "")
    assert listed["recipients"] == ["hub", "police"]
    with pytest.raises(ControlError, match="reference p7 is on the list of police: only they can withdraw it"):
        ask(fetching, "watchlist-remove", reference_id="p7")
    lists.withdraw(["p7"])
    lists.publish()
    assert ask(fetching, "watchlist-update")["lists"]["police"].startswith("revision 2, 0 references")
    with pytest.raises(ControlError, match="no reference p7 on the list: see `kiosk-agent watchlist list`"):
        ask(fetching, "watchlist-explain", reference_id="p7")


def test_a_list_that_is_refused_is_a_problem_and_the_last_one_serves(fetching: Kiosk, lists: ListProvider) -> None:
    ask(fetching, "watchlist-update")
    shutil.rmtree(lists.public)
    answer = ask(fetching, "watchlist-update")
    assert answer["problems"] == answer["lists"]
    assert "cannot be reached" in answer["lists"][""]
    state = ask(fetching, "watchlist-status")
    assert (state["references"], state["problems"]) == (1, answer["problems"])


def test_without_lists_of_providers_there_is_the_local_one(kiosk: Kiosk) -> None:
    assert ask(kiosk, "watchlist-update") == {"lists": {}, "problems": {}}
    state = ask(kiosk, "watchlist-status")
    assert [one["name"] for one in state["lists"]] == ["local"]
    assert (state["valid_until"], state["list_unusable"]) == (None, False)
    assert list(ask(kiosk, "watchlist-verify")["lists"]) == ["local"]


def test_of_many_references_only_those_within_the_limit_are_sent(kiosk: Kiosk, sensor: Ef01Rig) -> None:
    ask_with_finger(
        kiosk, sensor, impression_of(STRANGER, 2), "enrol", samples=1, into_local_list=True, reference_id="r-3"
    )
    answer = ask(kiosk, "watchlist", limit=1)
    assert (len(answer["references"]), answer["total"]) == (1, 2)
    ask(kiosk, "watchlist-remove", reference_id="r-3")
