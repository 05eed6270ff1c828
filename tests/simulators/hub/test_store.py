"""The hub's store: each class strictly in order, each batch whole or not at all, counted what is not stored."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from simulators.hub.rules import Key, read_key
from simulators.hub.store import HubStore, event_key, progress, rows
from tests.rigs.hub_messages import EPOCH, changed, leads


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Iterator[HubStore]:
    with closing(HubStore(tmp_path / "hub.db")) as store:
        yield store


def key(sequence: int) -> Key:
    return Key("k1", EPOCH, "lead", sequence)


def put(store: HubStore, *sequences: int, acknowledged: int = 0) -> list[str]:
    """Store what comes next, and tell where each stood."""
    places = []
    with store.batch():
        for given in leads(*sequences):
            places.append(store.classify(read_key(given), acknowledged))
            if places[-1] == "next":
                store.store(read_key(given), given)
    return places


def test_events_are_stored_in_order_and_once(store: HubStore) -> None:
    assert put(store, 1, 3, 2, 2, 3) == ["next", "early", "next", "duplicate", "next"]
    assert [row["sequence"] for row in rows(store.path, "events")] == [1, 2, 3]
    (counted,) = progress(store.path)
    assert (counted.upto, counted.duplicates, counted.early, counted.lost) == (3, 1, 1, 0)


def test_a_stored_event_has_the_key_that_the_kiosk_gave_it(store: HubStore) -> None:
    put(store, 1)
    assert event_key(rows(store.path, "events")[0]) == str(key(1))


def test_what_was_acknowledged_to_a_store_that_is_lost_is_counted_as_lost(store: HubStore) -> None:
    assert put(store, 5, acknowledged=4) == ["next"]
    assert (store.upto(key(5)), progress(store.path)[0].lost) == (5, 4)


def test_a_class_of_which_nothing_came_is_stored_up_to_nothing(store: HubStore) -> None:
    assert store.upto(key(1)) == 0


def test_an_invalid_event_takes_its_place_and_a_message_without_a_key_takes_none(store: HubStore) -> None:
    (bad,) = leads(1)
    with store.batch():
        store.classify(key(1), 0)
        store.store_invalid(bad, "time is missing", key(1))
        store.store_invalid(changed(bad, id="nonsense"), "attribute id contradicts")
    assert store.upto(key(1)) == 1
    assert [row["reason"] for row in rows(store.path, "invalid")] == ["time is missing", "attribute id contradicts"]
    assert rows(store.path, "events") == []


def test_states_are_kept_as_they_came(store: HubStore) -> None:
    with store.batch():
        store.store_state("s1", "k1", b'{"status":"online"}')
    (row,) = rows(store.path, "states")
    assert (row["site"], row["kiosk"], row["body"]) == ("s1", "k1", '{"status":"online"}')


def _interrupted(store: HubStore) -> None:
    with store.batch():
        store.store_state("s1", "k1", b"{}")
        raise KeyboardInterrupt


def test_a_batch_that_is_interrupted_stores_nothing(store: HubStore) -> None:
    with pytest.raises(KeyboardInterrupt):
        _interrupted(store)
    assert rows(store.path, "states") == []


def test_a_store_is_opened_again_with_what_it_held(store: HubStore) -> None:
    put(store, 1, 2)
    with closing(HubStore(store.path)) as again:
        assert again.upto(key(1)) == 2


def test_an_event_that_cannot_be_verified_stays_the_next_of_its_class(store: HubStore) -> None:
    put(store, 1)
    with store.batch():
        for _ in range(2):
            store.hold(key(2), "unknown_kiosk_key")
    assert store.held(key(1)) == (2, "unknown_kiosk_key")
    assert len(rows(store.path, "held")) == 1
    put(store, 2)
    assert store.held(key(2)) is None
