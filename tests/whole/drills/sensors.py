"""Seeded fault scripts against every driver on a virtual clock: what comes out, when, and what is left behind.

python -m tests.whole.drills.sensors --scripts 500
python -m tests.whole.drills.sensors --driver sfm --seed 17 --scripts 1 --show      plays one again and prints it
"""

import argparse
import contextlib
import random
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.errors import Cancelled, CaptureRetry, LinkLost, ProtocolError
from drivers.sample import Sample
from simulators.transports.faults import ANYWHERE, FAULTS, Value
from tests.whole.drills.sensor_targets import TARGETS, Target

FAMILIES = (CaptureRetry, LinkLost, ProtocolError, Cancelled)
CANCEL_WITHIN_S = 0.3
HANG_S = 30  # of real time, for one script
ROUNDS = 6
STOPPED_S = 1.0  # a stream that is silent for so long has stopped
FRAMES_UNDER_WAY = 10  # of a stream: the simulated camera draws a frame for each of the transfers that wait for one
CARRY_ON = 0.7  # of the scripts whose sensor is well at the end: it is not opened again
LATENESS_S = (0.05, 0.4, 1.0, 3.0)
LATEST_S = max(LATENESS_S) + 2.0  # after so long everything that was late has arrived
STORY_S = 6.0  # events of a round happen within so long
GONE_S = 0.1  # no finger leaves between two looks of a sensor that has to be asked: they are at most 0.05 s apart


class Hang(BaseException):
    """A script takes so long that something must be spinning. No Exception: nobody may swallow it."""


@dataclass
class Outcome:
    """One script: what went wrong, if anything, and what was seen on the way."""

    problems: list[str] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    longest: dict[str, float] = field(default_factory=dict)  # seconds of the virtual clock over the time-out
    story: list[str] = field(default_factory=list)
    wrong_pixels: int = 0  # samples of a spoilt line that are not what was presented


class Script:
    """One seed played against one driver."""

    def __init__(self, driver: str, seed: int) -> None:
        self.outcome = Outcome()
        self._rng = random.Random(f"{driver} {seed}")
        self._target: Target = TARGETS[driver](self._rng)
        self._image: NDArray[np.uint8] | None = None
        self._presented = list[NDArray[np.uint8]]()
        self._cancelled_at: float | None = None
        self._mending = False
        self._stops = False  # a stream with a payload that may come so late that it counts as stopped
        self._power = 0  # the plugging-in that the open sensor is of; 0: it is not open, or unwell
        self._tell(self._target.about)

    def play(self) -> Outcome:
        """Rounds of mishaps, then everything mended, or only the faults forgotten: the next capture must work."""
        before = _kept()
        try:
            self._call("open", self._target.sensor.open, self._target.open_s)
            for _ in range(self._rng.randint(1, ROUNDS)):
                self._round()
            self._finish()
        except Hang:
            self._problem(f"hangs: {''.join(traceback.format_exc(limit=-4))}")
        except Exception:  # noqa: BLE001 - the drill's finding
            self._problem(f"not of the families: {traceback.format_exc()}")
        self._target.sensor.close()
        if self._target.claims():
            self._problem("a port is still claimed after close()")
        if (after := _kept()) != before:
            self._problem(f"left behind: threads, files {before} -> {after}")
        return self.outcome

    # A round

    def _round(self) -> None:
        if self._rng.random() < 0.6:
            self._tell("lift")
            self._target.device.lift()
        for _ in range(self._rng.randint(0, 3)):
            self._inject()
        for _ in range(self._rng.randint(0, 4)):
            self._plan()
        timeout = self._rng.choice([0.0, 0.3, 2.0, 5.0])
        ended = self._call("capture", lambda: self._target.sensor.capture(timeout), self._target.capture_s, timeout)
        if ended in ("LinkLost", "ProtocolError") or self._rng.random() < 0.15:
            self._reopen()

    def _reopen(self) -> None:
        self._call("close", self._target.sensor.close, self._target.close_s)
        if self._rng.random() < 0.7:
            self._tell("replug")
            self._target.plug.replug()
        self._call("open", self._target.sensor.open, self._target.open_s)

    def _inject(self) -> None:
        name = self._rng.choice([*self._target.faults, "unplug"])
        params = {key: self._value(key, default) for key, default in FAULTS[name].params.items()}
        times = self._rng.choice([None, 1, 2, 3, 0])
        if name in ("silent", "wrong_device") and times == 0:
            times = None
        self._stops |= self._target.sensor.streams and float(params.get("seconds", 0)) >= STOPPED_S
        self._tell(f"inject {name} times={times} {params}")
        self._target.device.faults.inject(name, times=times, **params)

    def _value(self, key: str, default: Value) -> Value:
        rng = self._rng
        choices: dict[str, Callable[[], Value]] = {
            "at": lambda: rng.choice(["data", "answer"]),
            "packet": lambda: rng.choice([ANYWHERE, 0, 1, 5]),
            "bytes": lambda: rng.choice([1, 2, 13, 200]),
            "bits": lambda: rng.choice([1, 2, 8]),
            "seconds": lambda: rng.choice(LATENESS_S),
            "after": lambda: rng.randrange(self._target.transfer_bytes),
            "address": lambda: rng.choice([0x12345678, 0, 0xFFFFFFFF]),
        }
        return choices[key]() if key in choices else default

    def _plan(self) -> None:
        """Something that happens in the middle."""
        target, rng = self._target, self._rng
        seed = rng.getrandbits(32)
        actions: dict[str, Callable[[], None]] = {
            "press": lambda: self._press(seed),
            "lift": target.device.lift,
            "unplug": target.plug.unplug,
            "replug": target.plug.replug,
            "cancel": self._cancel,
            "inject": self._inject,
            "clear": target.clear,
        }
        what = rng.choice([*actions, "press", "press", "press"])
        after = rng.random() * rng.choice([0.1, 1.0, STORY_S])
        self._tell(f"in {after:.4f} s: {what}")

        def happen() -> None:
            if self._mending:
                return
            self._tell(f"  {target.time.now():.4f} s: {what}")
            actions[what]()

        target.time.later(after, happen)

    def _press(self, seed: int) -> None:
        self._image = self._target.press(seed)
        self._presented.append(self._image)

    def _cancel(self) -> None:
        self._cancelled_at = self._target.time.now() if self._cancelled_at is None else self._cancelled_at
        self._target.sensor.cancel()

    # Calls of the driver

    def _call(self, what: str, call: Callable[[], object], limit: float, timeout: float = 0.0) -> str:
        """How a call ended; a problem when not by a family, or too late."""
        started = self._target.time.now()
        result: object = None
        try:
            result = call()
            ended = "ok"
        except FAMILIES as error:
            ended = type(error).__name__ if not isinstance(error, LinkLost) else "LinkLost"
            ended = "ProtocolError" if isinstance(error, ProtocolError) else ended
            self._tell(f"{what}({timeout:g}): {type(error).__name__}: {error}")
        self._mark(what, ended)
        took = self._target.time.now() - started
        self._tell(f"{what}({timeout:g}): {ended} after {took:.3f} s")
        self.outcome.ended[f"{what}: {ended}"] += 1
        over = took - timeout
        self.outcome.longest[what] = max(over, self.outcome.longest.get(what, 0.0))
        if over > limit:
            self._problem(f"{what} took {took:.2f} s, {limit:.2f} s over its time-out at most")
        if what != "close":
            self._check_cancel(what, ended, started)
        self._check_sample(result)
        return ended

    def _mark(self, what: str, ended: str) -> None:
        """Keep whether the sensor is open and well."""
        if what.endswith("open"):
            self._power = self._target.power() if ended == "ok" else 0
        elif what == "close" or ended in ("LinkLost", "ProtocolError"):
            self._power = 0

    def _check_cancel(self, what: str, ended: str, started: float) -> None:
        if ended == "Cancelled" and self._cancelled_at is None:
            self._problem(f"{what} was cancelled and nobody had")
        if self._cancelled_at is None:
            return
        late = self._target.time.now() - max(self._cancelled_at, started)
        if ended == "Cancelled":
            self._cancelled_at = None
        else:
            self._tell("a cancel is not spent")
        if late > CANCEL_WITHIN_S:
            self._problem(f"{what} went on for {late:.2f} s after cancel()")

    def _check_sample(self, result: object) -> None:
        if isinstance(result, Sample) and not self._target.sensor.streams:
            allowed = self._target.may_differ
            self.outcome.wrong_pixels += all(np.sum(result.image != image) > allowed for image in self._presented)

    # The end

    def _finish(self) -> None:
        self._mending = True
        self._target.clear()
        self._target.device.lift()
        self._target.disarm()
        well = self._power != 0 and self._power == self._target.power() and not self._stops
        if well and self._rng.random() < CARRY_ON:
            self._carry_on()
        else:
            self._mend()

    def _carry_on(self) -> None:
        """The sensor was well and stays open: whatever of the faults is still on its way must not be taken for more."""
        self._tell("the faults are forgotten; the sensor stays open")
        if self._cancelled_at is not None:
            ended = self._call("capture", lambda: self._target.sensor.capture(0.0), self._target.capture_s)
            if ended != "Cancelled":
                self._problem(f"a cancel between two calls was forgotten: {ended}")
        self._capture_well("capture without reopening")

    def _mend(self) -> None:
        target = self._target
        self._tell("everything is mended")
        if self._rng.random() < 0.5:
            self._tell("power off and on")
            target.plug.unplug()
        target.plug.replug()
        target.sensor.close()
        target.time.run(lambda: False, LATEST_S)
        self._spend_cancel()
        if (ended := self._call("last open", target.sensor.open, target.open_s)) != "ok":
            return self._problem(f"the open after all was mended ended with {ended}")
        return self._capture_well("last capture")

    def _capture_well(self, what: str) -> None:
        """Nobody is there, then somebody: a good sample of just that."""
        target = self._target
        if not target.sensor.streams:
            self._see_nobody()
        self._press(self._rng.getrandbits(32))
        found, ended = list[Sample](), ""
        for _ in range(1 + FRAMES_UNDER_WAY * target.sensor.streams):
            ended = self._call(what, lambda: found.append(target.sensor.capture(5.0)), target.capture_s, 5.0)
            if ended != "ok" or self._is_pressed(found[-1]):
                break
        if ended != "ok" or not self._is_pressed(found[-1]):
            self._problem(f"the {what} after all was mended: {ended}, or other pixels")

    def _is_pressed(self, sample: Sample) -> bool:
        return self._image is not None and bool(np.sum(sample.image != self._image) <= self._target.may_differ)

    def _see_nobody(self) -> None:
        """The finger of an earlier sample has been lifted, and not in this very moment."""
        target = self._target
        target.time.run(lambda: False, GONE_S)
        ended = self._call("capture of nobody", lambda: target.sensor.capture(0.0), target.capture_s)
        if ended != "CaptureRetry":
            self._problem(f"the capture of nobody after all was mended ended with {ended}")

    def _spend_cancel(self) -> None:
        """A cancel that came between two calls ends the next one."""
        if self._cancelled_at is None:
            return
        ended = self._call("open", self._target.sensor.open, self._target.open_s)
        if ended != "Cancelled":
            self._problem(f"a cancel between two calls was forgotten: {ended}")

    def _tell(self, line: str) -> None:
        self.outcome.story.append(line)

    def _problem(self, text: str) -> None:
        self._tell(f"PROBLEM: {text}")
        self.outcome.problems.append(text)


def _kept() -> tuple[int, int]:
    """Threads and open files."""
    return threading.active_count(), sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextlib.contextmanager
def no_hang(seconds: float) -> Iterator[None]:
    """Hang is raised in the middle of whatever takes longer."""

    def raise_hang(_number: int, _frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, raise_hang)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def play(driver: str, seed: int) -> Outcome:
    """One script."""
    with no_hang(HANG_S):
        return Script(driver, seed).play()


@dataclass
class Tally:
    """All scripts of one driver."""

    scripts: int = 0
    failed: dict[int, Outcome] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    longest: dict[str, float] = field(default_factory=dict)
    wrong_pixels: int = 0
    seconds: float = 0.0

    def add(self, seed: int, outcome: Outcome) -> None:
        """Count one more."""
        self.scripts += 1
        self.ended += outcome.ended
        self.wrong_pixels += outcome.wrong_pixels
        for what, seconds in outcome.longest.items():
            self.longest[what] = max(seconds, self.longest.get(what, 0.0))
        if outcome.problems:
            self.failed[seed] = outcome


def run(driver: str, scripts: int, seed: int) -> Tally:
    """So many scripts from this seed on."""
    tally, started = Tally(), time.monotonic()
    for number in range(seed, seed + scripts):
        tally.add(number, play(driver, number))
    tally.seconds = time.monotonic() - started
    return tally


def _report(driver: str, tally: Tally) -> None:
    print(f"{driver}: {tally.scripts} scripts in {tally.seconds:.1f} s, {len(tally.failed)} with problems")
    print("   " + ", ".join(f"{what} {count}" for what, count in sorted(tally.ended.items())))
    longest = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in sorted(tally.longest.items()))
    print(f"   longest over its time-out: {longest}; samples of a spoilt line: {tally.wrong_pixels}")
    for seed, outcome in list(tally.failed.items())[:3]:
        print(f"{driver} seed {seed}: python -m tests.whole.drills.sensors --driver {driver} --seed {seed} --scripts 1")
        print("\n".join(outcome.story))


def main() -> int:
    """Run all; 1 when a script had a problem."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--scripts", type=int, default=500)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--driver", choices=TARGETS, action="append")
    arguments.add_argument("--show", action="store_true", help="print every script as it went")
    asked = arguments.parse_args()
    failed = 0
    for driver in asked.driver or TARGETS:
        tally = run(driver, asked.scripts, asked.seed)
        _report(driver, tally)
        failed += len(tally.failed)
    if asked.show:
        for driver in asked.driver or TARGETS:
            print("\n".join(play(driver, asked.seed).story))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
