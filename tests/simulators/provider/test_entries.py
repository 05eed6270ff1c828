import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent.watchlist.list_format import Confirm, Put, Withdraw, read_line
from simulators.provider.entries import EntryStore, Reader
from simulators.provider.errors import ProviderError
from tests.rigs.lists import LISTED, agreement_terms, list_entry


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EntryStore]:
    made = EntryStore(tmp_path / "lists.db")
    made.add_provider("police")
    made.set_agreement(agreement_terms())
    yield made
    made.close()


def publish(store: EntryStore, keep: int = 10) -> int:
    revision = store.next_revision("police")
    store.set_published("police", revision, LISTED, keep)
    return revision


def delta(store: EntryStore, since: int) -> list[Put | Withdraw | Confirm]:
    return [read_line(line) for line, _ in store.changes("police", since)]


def test_the_file_is_private_and_keeps_what_is_in_it(tmp_path: Path, store: EntryStore) -> None:
    store.put("police", [list_entry()])
    store.close()
    assert (tmp_path / "lists.db").stat().st_mode & 0o777 == 0o600
    again = EntryStore(tmp_path / "lists.db")
    assert again.ids("police") == ("ref-1",)
    assert again.providers == ("police",)
    assert again.agreements("police") == (agreement_terms(),)
    store._db = again._db  # the fixture closes it


def test_a_provider_that_is_added_again_keeps_its_list(store: EntryStore) -> None:
    publish(store)
    store.add_provider("police")
    assert store.revision("police") == 1


def test_the_lines_of_a_list_are_its_entries_by_id_with_their_templates(store: EntryStore) -> None:
    assert store.put("police", [list_entry("b"), list_entry("a")]) == 2
    lines = list(store.lines("police"))
    assert [read_line(line) for line, _ in lines] == [Put(list_entry("a")), Put(list_entry("b"))]
    assert lines[0][1] == {"finger-minutiae/1": 1, "iris-code/1": 1}
    assert store.count("police") == 2


def test_an_entry_without_an_agreement_is_refused_and_nothing_is_stored(store: EntryStore) -> None:
    with pytest.raises(ProviderError, match="police has no agreement other") as caught, store.changing():
        store.put("police", [list_entry("a"), list_entry("b", agreement="other")])
    assert "there are: border" in str(caught.value)
    assert store.ids("police") == ()


def test_a_delta_has_what_has_changed_since_its_revision(store: EntryStore) -> None:
    store.put("police", [list_entry("a"), list_entry("b"), list_entry("c"), list_entry("d")])
    publish(store)
    store.withdraw("police", "a")
    store.confirm("police", "b", LISTED + timedelta(days=60), None)
    store.put("police", [list_entry("c", instruction="STOP")])
    publish(store)
    store.put("police", [list_entry("e")])
    later = LISTED + timedelta(days=60)
    assert delta(store, 1) == [
        Withdraw("a"), Confirm("b", later, list_entry().expires_at), Put(list_entry("c", instruction="STOP")),
        Put(list_entry("e")),
    ]  # fmt: skip
    assert delta(store, 2) == [Put(list_entry("e"))]
    assert len(delta(store, 0)) == 5


def test_a_confirmation_of_a_new_entry_is_part_of_it(store: EntryStore) -> None:
    publish(store)
    store.put("police", [list_entry("a")])
    times = LISTED + timedelta(days=60), LISTED + timedelta(days=200)
    store.confirm("police", "a", *times)
    assert delta(store, 1) == [Put(list_entry("a", review_by=times[0], expires_at=times[1]))]


def test_an_entry_that_is_withdrawn_and_put_again_is_put(store: EntryStore) -> None:
    store.put("police", [list_entry("a")])
    publish(store)
    store.withdraw("police", "a")
    store.put("police", [list_entry("a")])
    assert delta(store, 1) == [Put(list_entry("a"))]


@pytest.mark.parametrize("name", ["a", "b"])
def test_what_is_not_on_the_list_cannot_be_withdrawn_or_confirmed(store: EntryStore, name: str) -> None:
    store.put("police", [list_entry("a")])
    store.withdraw("police", "a")
    with pytest.raises(ProviderError, match=f"{name}: is not on the list of police"):
        store.withdraw("police", name)
    with pytest.raises(ProviderError, match=f"{name}: is not on the list of police"):
        store.confirm("police", name, LISTED, None)


def test_nothing_of_a_withdrawn_entry_stays_in_the_file(tmp_path: Path, store: EntryStore) -> None:
    store.put("police", [list_entry("a", instruction="SECRET-7"), list_entry("b")])
    publish(store)
    store.withdraw("police", "a")
    store.close()
    assert b"SECRET-7" not in (tmp_path / "lists.db").read_bytes()
    store._db = EntryStore(tmp_path / "lists.db")._db


def test_withdrawals_are_forgotten_once_no_delta_can_have_them(store: EntryStore) -> None:
    store.put("police", [list_entry("a")])
    publish(store, keep=2)
    store.withdraw("police", "a")
    for _ in range(3):
        publish(store, keep=2)
    assert store.published("police") == (4, 3)
    assert delta(store, 0) == []


def test_what_has_expired_is_withdrawn_also_by_the_retention_of_its_agreement(store: EntryStore) -> None:
    store.set_agreement(agreement_terms("short", keep_days=10))
    store.put("police", [list_entry("a", expires_at=LISTED + timedelta(days=5)), list_entry("b", agreement="short")])
    store.put("police", [list_entry("c")])
    assert store.expire("police", LISTED + timedelta(days=4)) == 0
    assert store.expire("police", LISTED + timedelta(days=5)) == 1
    assert store.expire("police", LISTED + timedelta(days=10)) == 1
    assert store.ids("police") == ("c",)


def test_what_is_due_is_listed_with_the_most_urgent_first(store: EntryStore) -> None:
    days = {"a": (30, 90), "b": (80, 20), "c": (31, 90)}
    for name, (review, expiry) in days.items():
        times = {"review_by": LISTED + timedelta(days=review), "expires_at": LISTED + timedelta(days=expiry)}
        store.put("police", [list_entry(name, **times)])
    found = list(store.due("police", LISTED + timedelta(days=31)))
    assert [one.reference_id for one in found] == ["b", "a"]
    assert found[0].expires_at == LISTED + timedelta(days=20)
    assert found[1].review_by == LISTED + timedelta(days=30)


def test_changes_are_those_since_the_last_revision_that_is_visible(store: EntryStore) -> None:
    publish(store)
    assert not store.has_changes("police")
    store.set_agreement(agreement_terms(purpose="another"))
    assert store.has_changes("police")
    publish(store)
    store.put("police", [list_entry("a")])
    store.next_revision("police")  # its publication failed
    assert store.has_changes("police")
    publish(store)
    assert not store.has_changes("police")


def test_raw_lines_are_kept_as_they_are(store: EntryStore) -> None:
    store.put_raw("police", "x", b"no json\n")
    assert list(store.lines("police")) == [(b"no json\n", {})]


def test_a_change_that_fails_changes_nothing(store: EntryStore) -> None:
    with pytest.raises(ProviderError), store.changing():
        store.put("police", [list_entry("a"), list_entry("b", agreement="none")])
    assert store.count("police") == 0


def test_superseded_files_are_named_once_when_their_time_is_over(store: EntryStore) -> None:
    store.supersede(["a", "b"], LISTED)
    store.supersede(["b", "c"], LISTED + timedelta(hours=1))
    assert sorted(store.take_superseded(LISTED)) == ["a", "b"]
    assert store.take_superseded(LISTED) == []


def test_a_file_that_is_no_database_or_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lists.db"
    path.write_bytes(b"text" * 100)
    with pytest.raises(ProviderError, match=r"lists\.db: cannot be read"):
        EntryStore(path)
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ProviderError, match="of a newer release"):
        EntryStore(newer)


def test_the_kiosks_that_may_read_are_kept_by_name_and_key(tmp_path: Path, store: EntryStore) -> None:
    assert store.readers() == ()
    with store.changing():
        for key, name in (("b", "two"), ("a", "one")):
            store.add_reader(Reader(key, name, "x"))
    assert store.readers() == (Reader("a", "one", "x"), Reader("b", "two", "x"))
    store.add_reader(Reader("a", "first", "x"))
    assert [one.name for one in store.readers()] == ["first", "two"]
    with pytest.raises(ProviderError, match="there is a kiosk two with another key"):
        store.add_reader(Reader("c", "two", "x"))
    with pytest.raises(ProviderError, match="there is no kiosk one"):
        store.remove_reader("one")
    store.remove_reader("b")  # by the id of its key
    again = EntryStore(tmp_path / "lists.db")
    assert again.readers() == (Reader("a", "first", "x"),)
    again.close()


def test_the_last_kiosk_is_not_removed(store: EntryStore) -> None:
    store.add_reader(Reader("a", "one", "x"))
    with pytest.raises(ProviderError, match="one is the only kiosk: without any, the lists"):
        store.remove_reader("one")
    assert store.readers() == (Reader("a", "one", "x"),)


def test_for_which_kiosks_a_list_was_encrypted_is_kept(store: EntryStore) -> None:
    assert store.sealed_for("police") == ()
    store.set_sealed("police", ["a", "b"])
    store.set_sealed("police", ["a"])
    assert store.sealed_for("police") == ("a",)
