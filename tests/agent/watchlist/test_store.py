"""The watchlist on disk: the old list or the new one, whatever is interrupted; nothing of what was removed is left."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.storage.database import open_store
from agent.watchlist.reference import ListedReference
from agent.watchlist.segment import LOCAL, Segment
from agent.watchlist.store import KIND, MIGRATIONS, StoredSegment, WatchlistStore, open_watchlist_store
from agent.watchlist.table import seconds_of
from models.template import Template, TemplateError
from tests.conftest import template_of
from tests.rigs.decrypted_pages import pages_of
from tests.rigs.listed import START, agreement, person
from tests.rigs.store_key import TEST_KEY

NOW = seconds_of(START)
ALICE, BOB, CAROL = 101, 102, 103


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "watchlist.db"


@pytest.fixture(name="store")
def _store(path: Path) -> Iterator[WatchlistStore]:
    with open_watchlist_store(path, key=TEST_KEY) as store:
        yield store


def segment(*references: ListedReference, name: str = "partner", revision: int = 1) -> Segment:
    return Segment.empty(name, NOW).changed(revision, references, agreements={"a-1": agreement()})


def loaded(path: Path) -> dict[str, StoredSegment]:
    """What a start finds."""
    with open_watchlist_store(path, key=TEST_KEY) as store:
        store.delete_unused()
        return {stored.segment.name: stored for stored in store.load(NOW).segments}


def ids(path: Path, name: str = "partner") -> tuple[str, ...]:
    return loaded(path)[name].segment.table.ids


def test_a_segment_is_read_as_it_was_committed(store: WatchlistStore, path: Path) -> None:
    made = segment(person(ALICE), person(BOB))
    assert store.commit([store.stage(made)], confirmed_at=START) == 1
    again = loaded(path)["partner"].segment
    assert list(again.table.infos(NOW)) == list(made.table.infos(NOW))
    probe, position = template_of(ALICE, 1), person(ALICE).templates[0][0]
    name = "finger-minutiae/2"
    assert again.searched[name].search(probe, position, 5) == made.searched[name].search(probe, position, 5)
    assert store.state() == (1, START)
    assert store.verify("partner") == ""
    assert path.stat().st_size + path.with_name("watchlist.db-wal").stat().st_size > made.nbytes


def test_what_is_staged_and_not_committed_is_gone_after_a_power_cut(store: WatchlistStore, path: Path) -> None:
    first = store.stage(segment(person(ALICE)))
    store.commit([first])
    store.stage(segment(person(BOB), person(CAROL), revision=2), first)
    store.close()
    assert ids(path) == ("r101",)
    assert b"r102" not in pages_of(path, TEST_KEY)


def test_a_change_writes_only_the_blocks_that_are_new(store: WatchlistStore) -> None:
    eye = segment(person(ALICE))
    first = store.stage(eye)
    store.commit([first])
    same = store.stage(eye.changed(2), first)
    assert same.blocks == first.blocks
    assert same.table != first.table


def test_a_block_that_is_written_when_it_is_full_becomes_part_of_the_list(store: WatchlistStore, path: Path) -> None:
    made = segment(person(ALICE))
    name = "finger-minutiae/2"
    blob = store.put_block("partner", made.galleries[name].blocks[0])
    store.commit([store.stage_blocks(made, {name: (blob,)})])
    assert ids(path) == ("r101",)


def test_several_segments_change_together_and_one_can_be_dropped(store: WatchlistStore, path: Path) -> None:
    store.commit([store.stage(segment(person(ALICE), name=name)) for name in ("a", "b", LOCAL)])
    assert sorted(loaded(path)) == ["a", "b", LOCAL]
    assert store.commit(dropped=["b"]) == 2
    assert store.delete_unused("b") == 2
    assert sorted(loaded(path)) == ["a", LOCAL]


def test_what_was_removed_is_on_no_page(store: WatchlistStore, path: Path) -> None:
    first = store.stage(segment(person(ALICE), person(BOB)))
    store.commit([first])
    assert b"r101" in pages_of(path, TEST_KEY)
    store.commit([store.stage(first.segment.changed(2, removed=frozenset({"r101"})), first)])
    assert store.delete_unused("partner") == 2
    assert b"r101" not in pages_of(path, TEST_KEY)
    assert b"r102" in pages_of(path, TEST_KEY)


def test_a_change_of_one_segment_deletes_nothing_that_another_is_writing(store: WatchlistStore) -> None:
    store.stage(segment(person(ALICE), name="a"))
    assert store.delete_unused("b") == 0
    assert store.delete_unused("a") == 2


def test_facts_are_kept_and_deleted(store: WatchlistStore) -> None:
    assert store.commit(facts={"time": "1", "other": "2"}) == 0  # the list itself has not changed
    store.commit(facts={"time": "3", "other": None})
    assert store.facts() == {"time": "3"}


def test_parts_are_kept_until_they_are_deleted(store: WatchlistStore, path: Path) -> None:
    store.keep_part("partner", "a", b"first part of a list")
    store.keep_part("partner", "b", b"second")
    assert store.has_part("partner", "a")
    assert store.part("partner", "a") == b"first part of a list"
    store.delete_parts("partner", keep=["b"])
    assert (store.part("partner", "a"), store.has_part("partner", "b")) == (None, True)
    assert b"first part of a list" not in pages_of(path, TEST_KEY)


@pytest.mark.parametrize(
    "damage", ["DELETE FROM blob", "UPDATE blob SET data = x'00'", "UPDATE segment SET reference_table = 99"]
)
def test_a_damaged_segment_is_named_and_the_others_are_read(store: WatchlistStore, damage: str) -> None:
    store.commit([store.stage(segment(person(ALICE)))])
    store._db.execute(damage)
    store.commit([store.stage(segment(person(BOB), name="z"))])
    found = store.load(NOW)
    assert [stored.segment.name for stored in found.segments] == ["z"]
    assert list(found.unusable) == ["partner"]
    assert store.verify("partner") == found.unusable["partner"]


def test_a_table_that_does_not_fit_its_galleries_is_noticed(store: WatchlistStore) -> None:
    both, one = segment(person(ALICE), person(BOB)), segment(person(ALICE))
    name = "finger-minutiae/2"
    store.commit([store.stage_blocks(both, {name: (store.put_block("partner", one.galleries[name].blocks[0]),)})])
    assert store.verify("partner") == "1 templates, but the table says 2"
    assert store.verify("nobody") == "it is not on the disk"


def test_many_blocks_are_read_in_their_order_by_several_handles(
    store: WatchlistStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.gallery.BLOCK", 1)
    store.commit([store.stage(segment(*(person(seed) for seed in range(101, 106))))])
    gallery = loaded(path)["partner"].segment.galleries["finger-minutiae/2"]
    assert [block.keys[0] for block in gallery.blocks] == [f"r{seed}" for seed in range(101, 106)]


def _of_version_1(template: Template) -> bytes:
    return template.data[:3] + b"\1" + template.data[4:10] + template.data[1578:]


def _left_by_an_earlier_release(path: Path, data: bytes) -> None:
    with closing(open_store(path, KIND, MIGRATIONS[:1], key=TEST_KEY)) as db:
        terms = dict.fromkeys(("provider", "purpose", "legal_basis"), "x") | {"recipients": '["hub"]'}
        db.table("agreement").insert({"id": "agreement-1", **terms})
        row = {"agreement": "agreement-1", "category": "wanted", "expires_at": START.isoformat(), "revision": 1}
        db.table("reference").insert({"id": "r101", **row})
        stored = {"position": "right_index", "format": "finger-minutiae/1", "data": data}
        db.table("template").insert({"reference": "r101", **stored})


def test_the_references_of_an_earlier_release_become_the_local_list(path: Path) -> None:
    _left_by_an_earlier_release(path, _of_version_1(template_of(ALICE, 0)))
    (info,) = loaded(path)[LOCAL].segment.table.infos(0)
    assert (info.reference_id, info.agreement, info.recipients) == ("r101", "agreement-1", ("hub",))
    assert info.expires_at == START
    assert len(loaded(path)[LOCAL].segment.galleries["finger-minutiae/2"]) == 1


def test_a_template_of_an_earlier_release_that_cannot_be_read_is_named(path: Path) -> None:
    _left_by_an_earlier_release(path, b"invalid")
    with pytest.raises(TemplateError, match="r101"):
        open_watchlist_store(path, key=TEST_KEY)


def test_a_new_store_has_no_list(store: WatchlistStore, path: Path) -> None:
    assert store.state() == (0, None)
    assert store.folder == path.parent
    assert store.load(int(datetime.now(UTC).timestamp())).segments == ()
