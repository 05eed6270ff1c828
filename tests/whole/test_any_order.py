"""Whatever happens to a kiosk, and in whatever order, it ends with the list of a kiosk to which nothing happened.

A provider puts, withdraws, confirms and publishes. One kiosk misses revisions, is started again, ends in the middle of
a write, and has a clock that cannot be relied on. Another checks after each publication, and a third one is new.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.storage.database import writing
from agent.watchlist.list_format import ListTemplate
from agent.watchlist.receipt import verify_receipt
from models import exported
from simulators.provider.errors import ProviderError
from simulators.provider.provider import ListProvider
from tests.conftest import FakeClock, template_of
from tests.rigs.decrypted_pages import pages_of
from tests.rigs.list_keeper import GRACE_S, INDEX, KIOSK_KEY, KeeperRig, entry_of, make_provider, terms_of
from tests.rigs.store_key import TEST_KEY

HOUR = timedelta(hours=1)
BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
PERSONS = (101, 102, 103, 104)
CLOCKS: dict[str, Callable[[datetime], datetime]] = {
    "right": lambda wall: wall,
    "ten years ahead": lambda wall: wall + timedelta(days=3650),
    "a year behind": lambda wall: wall - timedelta(days=365),
    "1970": lambda _: datetime(1970, 1, 1, tzinfo=UTC),
}

Step = tuple[Any, ...]
Content = dict[str, Any]


class PowerCut(BaseException):
    """The kiosk ends here."""


class FaultyClock(FakeClock):
    """The clock of a kiosk: the monotonic one is that of the world, the wall clock may be wrong."""

    def __init__(self, world: FakeClock) -> None:
        super().__init__()
        self._world = world
        self.shows = CLOCKS["right"]

    def now(self) -> datetime:
        """What the wall clock shows."""
        return self.shows(self._world.wall)

    def monotonic(self) -> float:
        """That of the world."""
        return self._world.seconds


@dataclass
class World:
    """The provider and the kiosks."""

    lists: ListProvider
    time: FakeClock
    faulty: KeeperRig
    orderly: KeeperRig
    clock: FaultyClock
    patch: pytest.MonkeyPatch
    seen: set[str] = field(default_factory=set)  # the ids that the faulty kiosk has ever had on its disk
    deletions: Counter[str] = field(default_factory=Counter)
    here: set[str] = field(default_factory=set)

    def put(self, seed: int, impression: int, expiry: int, review: int) -> None:
        """The provider lists a person, or lists them anew with another impression."""
        now = self.time.now()
        template = exported(template_of(seed, impression, INDEX))
        taken = (ListTemplate(position=INDEX, format=template.format, data=template.data),)
        times = {"expires_at": now + expiry * HOUR, "review_by": now + review * HOUR}
        self.lists.put([entry_of(seed, now, templates=taken, **times)])

    def withdraw(self, seed: int) -> None:
        """The provider withdraws a person."""
        with suppress(ProviderError):
            self.lists.withdraw([f"p{seed}"])

    def confirm(self, seed: int, review: int, expiry: int | None) -> None:
        """The provider has reviewed a person."""
        now = self.time.now()
        with suppress(ProviderError):
            self.lists.confirm([f"p{seed}"], now + review * HOUR, None if expiry is None else now + expiry * HOUR)

    def agree(self, keep_days: int, review: int) -> None:
        """The provider's agreement gets other limits."""
        review_by = self.time.now() + review * HOUR
        self.lists.agree(terms_of("police", self.time.now(), keep_days=keep_days, review_by=review_by))

    def publish(self) -> None:
        """The provider publishes; the orderly kiosk takes it at once."""
        self.lists.publish(now=self.time.now())
        self.orderly.keeper.tick()
        self.orderly.keeper.check()
        assert self.orderly.keeper.problems == {}

    def check(self) -> None:
        """The faulty kiosk looks for something new."""
        self.lists.sign_timestamp(now=self.time.now())
        self.faulty.keeper.check()
        self.observe()

    def tick(self) -> None:
        """The faulty kiosk hides and deletes what has expired."""
        self.faulty.keeper.tick()
        self.observe()

    def wait(self, hours: int) -> None:
        """Time goes by."""
        self.time.advance(3600.0 * hours)

    def set_clock(self, shows: str, synchronised: bool) -> None:  # noqa: FBT001 - a step of a strategy
        """The faulty kiosk's wall clock is moved. A wrong one that says that it is synchronised is behind, not ahead.

        Forged time that is ahead moves trusted time to the end of what is signed, and it does not go back from there.
        """
        self.clock.shows = CLOCKS[shows]
        self.clock.is_synchronised = synchronised and shows != "ten years ahead"

    def restart(self, hours: int) -> None:
        """The faulty kiosk loses its power, and gets it again later."""
        self.faulty.close()
        self.wait(hours)
        self.faulty.restart()
        self.observe()

    def cut(self, writes: int, committed: bool, step: str) -> None:  # noqa: FBT001 - a step of a strategy
        """The faulty kiosk ends at one of the next writes, before or after it is committed."""
        self.lists.sign_timestamp(now=self.time.now())
        with ExitStack() as faults:
            left = iter(range(writes, -1, -1))
            patch = faults.enter_context(pytest.MonkeyPatch.context())
            for module in ("agent.watchlist.store", "agent.hub.outbox"):
                patch.setattr(f"{module}.writing", _failing(left, committed=committed))
            with suppress(PowerCut):
                getattr(self.faulty.keeper, step)()
        self.restart(0)

    def observe(self) -> None:
        """Note what is on the faulty kiosk's list now, and what is not there any more."""
        here = set(_content(self.faulty, templates=False))
        self.deletions.update(self.here - here)
        self.seen |= here
        self.here = here


def _failing(left: Iterator[int], *, committed: bool) -> Any:  # noqa: ANN401 - in place of a context manager
    @contextmanager
    def failing(db: Any) -> Iterator[Any]:  # noqa: ANN401 - a database
        last = next(left, 0) == 0
        with writing(db) as opened:
            yield opened
            if last and not committed:
                raise PowerCut
        if last:
            raise PowerCut

    return failing


def _content(rig: KeeperRig, *, templates: bool = True) -> Content:
    """What a kiosk has of each reference of the provider: its times and terms, and its packed templates."""
    stored = rig.watchlist.in_memory.view.segments.get("police")
    if stored is None:
        return {}
    segment, table = stored.segment, stored.segment.table
    content: Content = {}
    for row, name in enumerate(table.ids):
        others = frozenset(table.ids) - {name}
        only = {kind: gallery.changed((), others) for kind, gallery in segment.galleries.items()} if templates else {}
        packed = {kind: [block.packed() for block in gallery.blocks] for kind, gallery in only.items() if len(gallery)}
        content[name] = (table.times[:, row].tolist(), table.limits[:, row].tolist(), table.info_at(row, 0), packed)
    return content


def _loaded(rig: KeeperRig) -> Content:
    rig.restart()
    return _content(rig)


persons = st.sampled_from(PERSONS)
hours = st.sampled_from((1, 5, 30, 100, 1000))
steps = st.one_of(
    st.tuples(st.just("put"), persons, st.sampled_from((0, 1)), hours, hours),
    st.tuples(st.just("withdraw"), persons),
    st.tuples(st.just("confirm"), persons, hours, st.none() | hours),
    st.tuples(st.just("agree"), st.sampled_from((1, 3, 365)), hours),
    st.tuples(st.just("publish")),
    st.tuples(st.just("publish")),
    st.tuples(st.just("check")),
    st.tuples(st.just("tick")),
    st.tuples(st.just("wait"), st.sampled_from((1, 3, 30, 200))),
    st.tuples(st.just("set_clock"), st.sampled_from(tuple(CLOCKS)), st.booleans()),
    st.tuples(st.just("restart"), st.sampled_from((0, 2, 50))),
    st.tuples(st.just("cut"), st.integers(0, 12), st.booleans(), st.sampled_from(("check", "tick"))),
)
LISTED: list[Step] = [("put", 101, 0, 30, 30), ("put", 102, 1, 1000, 5), ("publish",), ("check",)]


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=25))
@example([("confirm", 101, 1000, 1000), ("wait", 30), ("set_clock", "right", True), ("tick",)])
@example([("wait", 5), ("confirm", 101, 1000, 1000), ("publish",), ("wait", 100), ("tick",)])
@example([("agree", 1, 1000), ("publish",), ("check",), ("wait", 26), ("tick",), ("agree", 365, 1000)])
@example([("withdraw", 101), ("publish",), *(("cut", n, c, "check") for n in range(8) for c in (True, False))])
@example([("set_clock", "ten years ahead", False), ("tick",), ("restart", 0), ("tick",), ("set_clock", "1970", True)])
@example([("withdraw", 101), ("publish",), ("check",), ("put", 101, 0, 1000, 1000), ("publish",), ("check",)])
def test_any_order_ends_with_the_same_list(happens: list[Step]) -> None:
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        time = FakeClock()
        time.wall = BEGIN
        clock = FaultyClock(time)
        lists = opened.enter_context(make_provider(folder / "lists", time))
        source, root = str(lists.public), lists.root_bytes()
        faulty = opened.enter_context(KeeperRig(folder / "faulty", source, root, clock))
        orderly = opened.enter_context(KeeperRig(folder / "orderly", source, root, time))
        patch = opened.enter_context(pytest.MonkeyPatch.context())
        world = World(lists, time, faulty, orderly, clock, patch)
        for name, *arguments in [*LISTED, *happens]:
            getattr(world, name)(*arguments)

        # Everything is well again.
        world.set_clock("right", synchronised=True)
        world.wait(49)
        world.publish()
        for _ in range(2):
            world.tick()
            world.check()
            orderly.keeper.tick()
            time.advance(GRACE_S + 60)
        assert faulty.keeper.problems == orderly.keeper.problems == {}
        new = opened.enter_context(KeeperRig(folder / "new", source, root, time))
        new.keeper.check()

        expected = _content(orderly)
        assert _content(new) == expected
        assert _content(faulty) == expected
        assert _loaded(faulty) == _loaded(orderly) == expected
        assert sorted(faulty.ids()) == sorted(orderly.ids()) == sorted(new.ids())
        for seed in PERSONS:
            assert faulty.found(seed) == orderly.found(seed)
        _check_deletions(world, set(expected))


def _check_deletions(world: World, left: set[str]) -> None:
    """Nothing of what was deleted is on the disk, and receipts tell each deletion and nothing else."""
    receipts = [report.receipt for report in world.faulty.reports() if report.receipt is not None]
    told: Counter[str] = Counter()
    for receipt in receipts:
        told.update(verify_receipt(receipt, KIOSK_KEY.public()).reference_ids)
    assert told >= world.deletions
    assert told.keys() <= world.seen
    assert world.seen - left <= told.keys()
    pages = pages_of(world.faulty.folder / "watchlist.db", TEST_KEY)
    for name in world.seen - left:
        assert name.encode() not in pages
