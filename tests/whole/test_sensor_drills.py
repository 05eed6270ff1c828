"""Short runs of the fault scripts and the fuzzing. `make drill-sensors` and `make drill-fuzz` run the long ones."""

import random
import time
from collections.abc import Callable

import pytest

from drivers.errors import Cancelled, CaptureRetry, ProtocolError, Retry
from drivers.sample import Position, Sample
from simulators.transports.faults import FAULTS
from tests.whole.drills import fuzz, sensors
from tests.whole.drills.fuzz_targets import PARSERS
from tests.whole.drills.parser import Feed, Parser
from tests.whole.drills.sensor_targets import TARGETS, Target

SCRIPTS = 12
FRAMES = 600


@pytest.mark.parametrize("driver", TARGETS)
def test_after_any_faults_only_declared_errors_are_raised_and_the_next_capture_works(driver: str) -> None:
    totals = sensors.run(driver, SCRIPTS, seed=900)
    assert {seed: outcome.problems for seed, outcome in totals.failed.items()} == {}
    assert totals.ended["last capture: ok"] + totals.ended["capture without reopening: ok"] >= SCRIPTS
    assert totals.ended["last capture: ok"] > 0
    assert totals.ended["capture without reopening: ok"] > 0
    assert len(totals.ended) > 6  # there were faults


FORMER_FAILURES = {
    "ef01": (440, 950, 5089, 5415, 5663, 6397), "nb1010": (3, 7, 31, 37, 90, 148, 392), "sfm": (5835,),
    "uru4000": (28, 94, 7389),
}  # fmt: skip


@pytest.mark.parametrize("driver", FORMER_FAILURES)
def test_scripts_that_once_failed_pass(driver: str) -> None:
    assert {seed: sensors.play(driver, seed).problems for seed in FORMER_FAILURES[driver]} == {
        seed: [] for seed in FORMER_FAILURES[driver]
    }


@pytest.mark.parametrize("driver", TARGETS)
def test_a_seed_repeats_its_script(driver: str) -> None:
    assert sensors.play(driver, 5).log == sensors.play(driver, 5).log != sensors.play(driver, 6).log


@pytest.mark.parametrize("driver", TARGETS)
def test_every_fault_of_a_target_is_in_the_table(driver: str) -> None:
    assert set(TARGETS[driver](random.Random(1)).faults) <= set(FAULTS)


def change_ef01(monkeypatch: pytest.MonkeyPatch, change: Callable[[Target], None]) -> None:
    """Change every target of the driver ef01 that the drill makes."""
    make = TARGETS["ef01"]

    def make_changed(rng: random.Random) -> Target:
        target = make(rng)
        change(target)
        return target

    monkeypatch.setitem(TARGETS, "ef01", make_changed)


class UndeclaredError(Exception):
    """An error that a driver must not raise."""


def test_an_undeclared_error_is_a_problem_and_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(target: Target) -> None:
        def open_() -> None:
            raise UndeclaredError

        target.sensor.open = open_  # type: ignore[assignment, method-assign]

    change_ef01(monkeypatch, change)
    outcome = sensors.play("ef01", 1)
    assert "UndeclaredError" in outcome.problems[0]
    assert any("PROBLEM" in line for line in outcome.log)


def test_a_capture_that_is_late_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(target: Target) -> None:
        target.capture_s = -1.0

    change_ef01(monkeypatch, change)
    assert any("over its timeout" in problem for problem in sensors.play("ef01", 1).problems)


def test_a_late_cancel_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(target: Target) -> None:
        cancels = list[None]()

        def capture(timeout: float, position: Position = Position.UNKNOWN) -> Sample:
            target.time.run(lambda: False, 1.0)
            if cancels:
                cancels.clear()
                raise Cancelled
            raise CaptureRetry(Retry.NOTHING_PRESENTED)

        target.sensor.open = cancels.clear  # type: ignore[assignment, method-assign]
        target.sensor.capture = capture  # type: ignore[method-assign]
        target.sensor.cancel = lambda: cancels.append(None)  # type: ignore[method-assign]

    change_ef01(monkeypatch, change)
    problems = [problem for seed in range(20) for problem in sensors.play("ef01", seed).problems]
    assert any("s after cancel()" in problem for problem in problems)


def test_a_driver_that_works_only_after_reopening_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(target: Target) -> None:
        capture_sample, failing = target.sensor.capture, list[None]()

        def capture(timeout: float, position: Position = Position.UNKNOWN) -> Sample:
            if failing:
                raise CaptureRetry(Retry.MOVED)
            try:
                return capture_sample(timeout, position)
            except CaptureRetry:
                failing.append(None)
                raise

        close = target.sensor.close
        target.sensor.close = lambda: (failing.clear(), close())[1]  # type: ignore[method-assign, func-returns-value]
        target.sensor.capture = capture  # type: ignore[method-assign]

    change_ef01(monkeypatch, change)
    problems = [problem for seed in range(10) for problem in sensors.play("ef01", seed).problems]
    assert any("capture without reopening" in problem for problem in problems)


def test_an_endless_loop_is_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(target: Target) -> None:
        def spin() -> None:
            while True:
                target.time.now()

        target.sensor.open = spin  # type: ignore[assignment, method-assign]

    change_ef01(monkeypatch, change)
    monkeypatch.setattr(sensors, "HANG_S", 0.2)
    began = time.monotonic()
    assert any("hangs" in problem for problem in sensors.play("ef01", 1).problems)
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize("parser", PARSERS)
def test_mutated_frames_raise_only_declared_errors(parser: str) -> None:
    result = fuzz.run(parser, FRAMES, seed=7)
    assert result.problems == []


def test_fuzzing_finds_an_undeclared_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fragile() -> Feed:
        def feed(data: bytes) -> None:
            if len(data) > 20:
                raise IndexError
            if not data:
                raise ProtocolError("short")

        return feed

    monkeypatch.setitem(PARSERS, "fragile", Parser((bytes(30),), fragile, (ProtocolError,)))
    result = fuzz.run("fragile", 500, seed=1)
    assert "IndexError" in result.problems[0]
    assert result.raised["ProtocolError"] > 0


def test_fuzzing_finds_a_parser_that_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bytes] = []
    monkeypatch.setitem(PARSERS, "growing", Parser((bytes(200),), lambda: lambda data: kept.append(data + b"!")))
    assert "grows" in fuzz.run("growing", 2_000, seed=1).problems[0]
