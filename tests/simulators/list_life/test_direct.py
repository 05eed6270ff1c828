"""A list that is written directly is the one that a kiosk opens: with all persons, and found by search."""

from pathlib import Path

import pytest

from models import search_threads
from models.gallery import BLOCK
from simulators.list_life.direct import write
from simulators.list_life.stages import FEWER, PROVIDER, Bench, restart


def test_a_list_of_two_blocks_is_opened_with_all_its_persons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_threads, "_thread_count", 1)
    bench = Bench(tmp_path, bytes(32), BLOCK + 3, 1)
    write(bench)
    assert restart(bench).persons == BLOCK + 3
    with bench.open_store() as store:
        assert store.verify(PROVIDER) == ""
        (stored,) = store.load(0).segments
    counts = stored.segment.table.template_counts()
    assert {position: count for (position, _), count in counts.items()} == dict.fromkeys(FEWER, BLOCK + 3)
    for gallery in stored.segment.galleries.values():
        assert [len(block) for block in gallery.blocks] == [BLOCK, 3]
