"""The watchlist on a disk that was changed, swapped or is full: the kiosk says so, works on, and fetches it again."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import StoreError
from agent.storage.database import StoreDamaged, StoreFull, set_aside
from agent.watchlist.store import WatchlistStore, open_watchlist_store
from simulators.provider.provider import ListProvider
from tests.conftest import FakeClock
from tests.rigs.list_keeper import KeeperRig, entry_of, make_provider
from tests.rigs.store_key import OTHER_KEY, TEST_KEY

ALICE, BOB, CAROL = 101, 102, 103
SECTOR = 512


@pytest.fixture(name="lists")
def _lists(tmp_path: Path, clock: FakeClock) -> Iterator[ListProvider]:
    with make_provider(tmp_path / "lists", clock, "police", "border") as lists:
        lists.put([entry_of(ALICE, clock.now())], "police")
        lists.put([entry_of(BOB, clock.now())], "border")
        lists.publish(now=clock.now())
        yield lists


@pytest.fixture(name="rig")
def _rig(tmp_path: Path, clock: FakeClock, lists: ListProvider) -> Iterator[KeeperRig]:
    with KeeperRig(tmp_path / "kiosk", str(lists.public), lists.root_bytes(), clock) as rig:
        rig.keeper.check()
        yield rig


def is_complete(rig: KeeperRig) -> bool:
    found = rig.watchlist.search({}, 5)
    return (rig.found(ALICE), rig.found(BOB), found.list_incomplete) == (["p101"], ["p102"], False)


@pytest.mark.parametrize("seed", range(12))
def test_a_store_that_was_changed_anywhere_is_noticed_and_its_lists_are_fetched_again(
    rig: KeeperRig, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)
    assert is_complete(rig)
    rig.close()
    path = rig.folder / "watchlist.db"
    content = bytearray(path.read_bytes())
    at = SECTOR * chance.randrange(len(content) // SECTOR)
    content[at : at + SECTOR] = chance.randbytes(SECTOR)
    path.write_bytes(content)
    try:
        rig._open()
    except StoreDamaged:  # as agent/kiosk.py does
        set_aside(path)
        rig._open()
    missing = rig.watchlist.in_memory.view.missing
    for name in missing:  # of these nothing is known: nobody can be cleared
        assert f"the list {name} is damaged" in caplog.text or missing == ("(none fetched yet)",)
    assert rig.watchlist.search({}, 5).list_incomplete == bool(missing)
    assert rig.found(ALICE) == (["p101"] if "police" in rig.watchlist.in_memory.view.segments else [])
    assert rig.found(BOB) == (["p102"] if "border" in rig.watchlist.in_memory.view.segments else [])
    rig.keeper.check()
    assert is_complete(rig)


def test_the_store_of_another_kiosk_is_refused_even_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "watchlist.db"
    open_watchlist_store(path, key=TEST_KEY, identity="here/one").close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="of the kiosk here/one, not of here/two: do not copy stores between kiosks"):
        open_watchlist_store(path, key=TEST_KEY, identity="here/two")
    assert path.read_bytes() == before


def test_a_wrong_key_is_refused_and_nothing_is_overwritten(rig: KeeperRig) -> None:
    rig.close()
    before = (rig.folder / "watchlist.db").read_bytes()
    with pytest.raises(StoreDamaged, match="encrypted with another key, or damaged"):
        open_watchlist_store(rig.folder / "watchlist.db", key=OTHER_KEY)
    assert (rig.folder / "watchlist.db").read_bytes() == before
    rig._open()
    assert is_complete(rig)


@pytest.mark.parametrize("step", ["keep_part", "put_block", "stage_blocks", "stage", "commit"])
def test_a_disk_that_is_full_refuses_the_update_and_the_old_list_is_searched_on(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock, step: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreFull("the disk is full: free some space")

    lists.put([entry_of(CAROL, clock.now())], "police")
    lists.publish(now=clock.now())
    if step in ("put_block", "stage_blocks"):  # of a snapshot
        shutil.rmtree(rig.folder)
        rig.close()
        rig.folder.mkdir()
        rig._open()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WatchlistStore, step, full)
        assert "the disk is full" in str(rig.keeper.check())
    assert rig.found(CAROL) == []
    assert rig.store.unused_segments() == ()
    rig.restart()
    rig.keeper.check()
    assert rig.found(CAROL) == ["p103"]
    assert is_complete(rig)


def test_too_little_memory_refuses_the_update_with_the_figure(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock
) -> None:
    lists.put([entry_of(CAROL, clock.now())], "police")
    lists.publish(now=clock.now())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent.storage.free_space.free_memory", lambda: 0)
        done = rig.keeper.check()
    assert "the list of police needs" in done["police"]
    assert "MB of memory, and 0 MB are free" in done["police"]
    assert is_complete(rig)
    rig.keeper.check()
    assert rig.found(CAROL) == ["p103"]
