"""The stages of kiosk-bench list: the provider publishes twice, and the kiosk takes what its source has."""

from pathlib import Path

import pytest

from models import search_threads
from simulators.list_life.stages import Bench, changed_persons, disk_of, first_load, kiosk, publish, restart, update


@pytest.fixture(name="bench")
def _bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(search_threads, "_thread_count", 1)  # a stage sets it; put back at the end
    bench = Bench(tmp_path, bytes(32), 6, 1)
    publish(bench)
    return bench


def test_the_delta_is_one_per_cent_and_at_least_one_person_in_and_out() -> None:
    assert [changed_persons(persons) for persons in (2, 1000, 100_000)] == [1, 5, 500]


def test_a_list_is_loaded_opened_and_changed(bench: Bench) -> None:
    seconds, peak = first_load(bench)
    assert seconds > 0
    assert peak > 10_000_000
    opened = restart(bench)
    assert opened.persons == 6
    assert disk_of(bench) > 0
    done = update(bench)
    assert len(done.before) > 1
    assert len(done.during) >= 1
    with kiosk(bench, lambda: bench.repository("second")) as (lane, updater):
        assert updater.submit(lambda keeper: dict(keeper.problems)).result() == {}
        ids = {info.reference_id for info in lane.references()}
    assert len(ids) == 6
    assert "crowd-2-0000000" in ids  # the new one of the delta


def test_a_list_that_is_refused_ends_the_measurement_with_the_reason(bench: Bench) -> None:
    timestamp = bench.repository("first") / "metadata" / "timestamp.json"
    timestamp.unlink()  # the second repository has it too
    timestamp.write_text("{}")
    with pytest.raises(RuntimeError, match="the list was not updated"):
        first_load(bench)
