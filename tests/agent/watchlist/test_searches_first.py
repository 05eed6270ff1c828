"""An update waits while a search runs, but not for ever; without a search it does not wait at all."""

import threading

import pytest

from agent.watchlist import searches_first
from agent.watchlist.searches_first import SearchesFirst, at_once

PATIENCE_S = 10.0


def _waiting(searches: SearchesFirst) -> tuple[threading.Thread, threading.Event]:
    """A step of an update in another thread, and what is set when it may go on."""
    done = threading.Event()

    def step() -> None:
        searches.give_way()
        done.set()

    thread = threading.Thread(target=step, daemon=True)
    thread.start()
    return thread, done


def test_without_a_search_an_update_goes_on() -> None:
    SearchesFirst().give_way()
    at_once()


def test_an_update_waits_for_the_end_of_all_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches_first, "MOST_S", PATIENCE_S)
    searches = SearchesFirst()
    with searches.search():
        with searches.search():
            thread, done = _waiting(searches)
            assert not done.wait(0.05)
        assert not done.wait(0.05)
    assert done.wait(PATIENCE_S)
    thread.join()


def test_a_search_that_fails_has_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches_first, "MOST_S", PATIENCE_S)
    searches = SearchesFirst()
    with pytest.raises(ValueError, match="probe"), searches.search():
        raise ValueError("probe")
    _, done = _waiting(searches)
    assert done.wait(PATIENCE_S)


def test_where_searches_never_end_each_step_waits_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches_first, "MOST_S", 0.01)
    searches = SearchesFirst()
    with searches.search():
        _, done = _waiting(searches)
        assert done.wait(PATIENCE_S)
