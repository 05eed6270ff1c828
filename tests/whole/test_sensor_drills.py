"""A short seed of the fault scripts and of the fuzzing; `make drill-sensors` and `make drill-fuzz` run them long."""

import random
import time

import pytest

from drivers.errors import Cancelled, CaptureRetry, ProtocolError, Retry
from drivers.sample import Position, Sample
from simulators.transports.faults import FAULTS
from tests.whole.drills import fuzz, sensors
from tests.whole.drills.fuzz_targets import PARSERS, Feed, Parser
from tests.whole.drills.sensor_targets import TARGETS, Target

SCRIPTS = 12
FRAMES = 600


@pytest.mark.parametrize("driver", TARGETS)
def test_whatever_goes_wrong_only_the_families_come_out_and_the_next_capture_works(driver: str) -> None:
    tally = sensors.run(driver, SCRIPTS, seed=900)
    assert {seed: outcome.problems for seed, outcome in tally.failed.items()} == {}
    assert tally.ended["last capture: ok"] + tally.ended["capture without reopening: ok"] >= SCRIPTS
    assert tally.ended["last capture: ok"] > 0
    assert tally.ended["capture without reopening: ok"] > 0
    assert len(tally.ended) > 6  # they did go wrong


ONCE_FAILED = {
    "ef01": (440, 950, 5089, 5415, 5663), "nb1010": (3, 7, 31, 37, 90, 148, 392), "sfm": (5835,),
    "uru4000": (28, 94, 7389),
}  # fmt: skip


@pytest.mark.parametrize("driver", ONCE_FAILED)
def test_scripts_that_once_found_something_find_nothing_any_more(driver: str) -> None:
    assert {seed: sensors.play(driver, seed).problems for seed in ONCE_FAILED[driver]} == {
        seed: [] for seed in ONCE_FAILED[driver]
    }


@pytest.mark.parametrize("driver", TARGETS)
def test_a_script_is_told_by_its_seed(driver: str) -> None:
    assert sensors.play(driver, 5).story == sensors.play(driver, 5).story != sensors.play(driver, 6).story


@pytest.mark.parametrize("driver", TARGETS)
def test_every_fault_of_a_script_is_one_of_the_table(driver: str) -> None:
    assert set(TARGETS[driver](random.Random(1)).faults) <= set(FAULTS)


class Foul(Exception):
    """Of no family."""


def test_an_error_of_no_family_is_a_problem_with_its_story(monkeypatch: pytest.MonkeyPatch) -> None:
    def row(rng: random.Random) -> Target:
        target = made(rng)

        def open_() -> None:
            raise Foul

        target.sensor.open = open_  # type: ignore[assignment, method-assign]
        return target

    made = TARGETS["ef01"]
    monkeypatch.setitem(TARGETS, "ef01", row)
    outcome = sensors.play("ef01", 1)
    assert "Foul" in outcome.problems[0]
    assert any("PROBLEM" in line for line in outcome.story)


def test_a_capture_that_is_late_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def row(rng: random.Random) -> Target:
        target = made(rng)
        target.capture_s = -1.0
        return target

    made = TARGETS["ef01"]
    monkeypatch.setitem(TARGETS, "ef01", row)
    assert any("over its time-out" in problem for problem in sensors.play("ef01", 1).problems)


def test_a_cancel_that_is_obeyed_late_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def row(rng: random.Random) -> Target:
        target = made(rng)
        asked = list[None]()

        def capture(timeout: float, position: Position = Position.UNKNOWN) -> Sample:
            target.time.run(lambda: False, 1.0)
            if asked:
                asked.clear()
                raise Cancelled
            raise CaptureRetry(Retry.NOTHING_PRESENTED)

        target.sensor.open = asked.clear  # type: ignore[assignment, method-assign]
        target.sensor.capture = capture  # type: ignore[method-assign]
        target.sensor.cancel = lambda: asked.append(None)  # type: ignore[method-assign]
        return target

    made = TARGETS["ef01"]
    monkeypatch.setitem(TARGETS, "ef01", row)
    problems = [problem for seed in range(20) for problem in sensors.play("ef01", seed).problems]
    assert any("s after cancel()" in problem for problem in problems)


def test_a_driver_that_is_well_only_after_it_was_opened_again_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def row(rng: random.Random) -> Target:
        target = made(rng)
        whole, tired = target.sensor.capture, list[None]()

        def capture(timeout: float, position: Position = Position.UNKNOWN) -> Sample:
            if tired:
                raise CaptureRetry(Retry.MOVED)
            try:
                return whole(timeout, position)
            except CaptureRetry:
                tired.append(None)
                raise

        closed = target.sensor.close
        target.sensor.close = lambda: (tired.clear(), closed())[1]  # type: ignore[method-assign, func-returns-value]
        target.sensor.capture = capture  # type: ignore[method-assign]
        return target

    made = TARGETS["ef01"]
    monkeypatch.setitem(TARGETS, "ef01", row)
    problems = [problem for seed in range(10) for problem in sensors.play("ef01", seed).problems]
    assert any("capture without reopening" in problem for problem in problems)


def test_a_driver_that_spins_is_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    def row(rng: random.Random) -> Target:
        target = made(rng)

        def spin() -> None:
            while True:
                target.time.now()

        target.sensor.open = spin  # type: ignore[assignment, method-assign]
        return target

    made = TARGETS["ef01"]
    monkeypatch.setitem(TARGETS, "ef01", row)
    monkeypatch.setattr(sensors, "HANG_S", 0.2)
    began = time.monotonic()
    assert any("hangs" in problem for problem in sensors.play("ef01", 1).problems)
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize("parser", PARSERS)
def test_mutated_frames_raise_nothing_else_and_leave_nothing(parser: str) -> None:
    found = fuzz.run(parser, FRAMES, seed=7)
    assert found.problems == []


def test_fuzzing_finds_what_a_parser_should_not_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    def fragile() -> Feed:
        def feed(data: bytes) -> None:
            if len(data) > 20:
                raise IndexError
            if not data:
                raise ProtocolError("short")

        return feed

    monkeypatch.setitem(PARSERS, "fragile", Parser((bytes(30),), fragile, (ProtocolError,)))
    found = fuzz.run("fragile", 500, seed=1)
    assert "IndexError" in found.problems[0]
    assert found.raised["ProtocolError"] > 0


def test_fuzzing_finds_a_parser_that_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bytes] = []
    monkeypatch.setitem(PARSERS, "miser", Parser((bytes(200),), lambda: lambda data: kept.append(data + b"!")))
    assert "grows" in fuzz.run("miser", 2_000, seed=1).problems[0]
