"""The number of threads of a search: all cores until the configuration sets another number."""

import os

import pytest

from models import search_threads


def test_a_search_uses_the_number_of_threads_that_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_threads, "_thread_count", os.cpu_count() or 1)
    assert search_threads.thread_count() == (os.cpu_count() or 1)
    search_threads.set_thread_count(3)
    assert search_threads.thread_count() == 3
