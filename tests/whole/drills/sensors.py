"""Runs random fault scripts against every driver on a virtual clock.

Checks which errors the driver raises, how long its calls take and that it leaves no port, thread or file open.

python -m tests.whole.drills.sensors --scripts 500
python -m tests.whole.drills.sensors --driver sfm --seed 17 --scripts 1 --show      repeats one script and prints it
"""

import contextlib
import gc
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
from tests.whole.drills.command_line import drill_parser
from tests.whole.drills.sensor_targets import TARGETS, Target

ERROR_CLASSES = (CaptureRetry, LinkLost, ProtocolError, Cancelled)
CANCEL_WITHIN_S = 0.3
HANG_S = 30  # real time for one script
ROUNDS = 6
STOPPED_S = 1.0  # a stream that is silent for this long has stopped
FRAMES_IN_TRANSIT = 10  # of a stream: the simulated camera makes a frame for each transfer that waits for one
KEEP_OPEN_SHARE = 0.7  # of the scripts whose sensor works at the end: it is not opened again
LATENESS_S = (0.05, 0.4, 1.0, 3.0)
LATEST_S = max(LATENESS_S) + 2.0  # after this time all delayed data have arrived
ROUND_S = 6.0  # the events of a round happen within this time
LIFTED_S = 0.1  # a driver that polls must see that the finger is lifted; it polls at least every 0.05 s


class Hang(BaseException):
    """A script takes so long that there must be an endless loop. No subclass of Exception, so no code catches it."""


@dataclass
class Outcome:
    """The problems and the log of one script."""

    problems: list[str] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    longest: dict[str, float] = field(default_factory=dict)  # virtual seconds over the timeout
    log: list[str] = field(default_factory=list)
    wrong_pixels: int = 0  # samples that are not what was presented, because of corrupted data


class Script:
    """One script against one driver, made from a seed."""

    def __init__(self, driver: str, seed: int) -> None:
        self.outcome = Outcome()
        self._rng = random.Random(f"{driver} {seed}")
        self._target: Target = TARGETS[driver](self._rng)
        self._image: NDArray[np.uint8] | None = None
        self._presented = list[NDArray[np.uint8]]()
        self._cancelled_at: float | None = None
        self._repairing = False
        self._stops = False  # a payload of the stream may be so late that the stream counts as stopped
        self._power = 0  # Plug.power when the sensor was opened; 0 if it is closed or has failed
        self._log(self._target.about)

    def play(self) -> Outcome:
        """Play rounds of faults, then repair everything or only remove the faults. The next capture must work."""
        try:
            self._call("open", self._target.sensor.open, self._target.open_s)
            for _ in range(self._rng.randint(1, ROUNDS)):
                self._round()
            self._finish()
        except Hang:
            self._problem(f"hangs: {''.join(traceback.format_exc(limit=-4))}")
        except Exception:  # noqa: BLE001 - the drill reports it
            self._problem(f"raises another error: {traceback.format_exc()}")
        self._target.sensor.close()
        if self._target.plug.claims:
            self._problem("a port is still claimed after close()")
        return self.outcome

    def compare_resources(self, before: tuple[int, int]) -> None:
        """It is a problem if the script left threads or files open."""
        if (after := _open_resources()) != before:
            self._problem(f"threads and files left open: {before} -> {after}")

    # A round

    def _round(self) -> None:
        if self._rng.random() < 0.6:
            self._log("lift")
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
            self._log("replug")
            self._target.plug.replug()
        self._call("open", self._target.sensor.open, self._target.open_s)

    def _inject(self) -> None:
        name = self._rng.choice([*self._target.faults, "unplug"])
        params = {key: self._value(key, default) for key, default in FAULTS[name].params.items()}
        times = self._rng.choice([None, 1, 2, 3, 0])
        if name in ("silent", "wrong_device") and times == 0:
            times = None
        self._stops |= self._target.sensor.streams and float(params.get("seconds", 0)) >= STOPPED_S
        self._log(f"inject {name} times={times} {params}")
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
        """Plan an action for later, during a call of the driver."""
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
        after = rng.random() * rng.choice([0.1, 1.0, ROUND_S])
        self._log(f"in {after:.4f} s: {what}")

        def act() -> None:
            if self._repairing:
                return
            self._log(f"  {target.time.now():.4f} s: {what}")
            actions[what]()

        target.time.later(after, act)

    def _press(self, seed: int) -> None:
        self._image = self._target.press(seed)
        self._presented.append(self._image)

    def _cancel(self) -> None:
        self._cancelled_at = self._target.time.now() if self._cancelled_at is None else self._cancelled_at
        self._target.sensor.cancel()

    # Calls of the driver

    def _call(self, what: str, call: Callable[[], object], limit: float, timeout: float = 0.0) -> str:
        """Call the driver and return how the call ended. A call that ends too late is a problem."""
        started = self._target.time.now()
        result: object = None
        try:
            result = call()
            ended = "ok"
        except ERROR_CLASSES as error:
            ended = type(error).__name__ if not isinstance(error, LinkLost) else "LinkLost"
            ended = "ProtocolError" if isinstance(error, ProtocolError) else ended
            self._log(f"{what}({timeout:g}): {type(error).__name__}: {error}")
        self._remember(what, ended)
        took = self._target.time.now() - started
        self._log(f"{what}({timeout:g}): {ended} after {took:.3f} s")
        self.outcome.ended[f"{what}: {ended}"] += 1
        over = took - timeout
        self.outcome.longest[what] = max(over, self.outcome.longest.get(what, 0.0))
        if over > limit:
            self._problem(f"{what} took {took:.2f} s, {limit:.2f} s over its timeout are allowed")
        if what != "close":
            self._check_cancel(what, ended, started)
        self._check_sample(result)
        return ended

    def _remember(self, what: str, ended: str) -> None:
        """Remember whether the sensor is open and has not failed."""
        if what.endswith("open"):
            self._power = self._target.plug.power if ended == "ok" else 0
        elif what == "close" or ended in ("LinkLost", "ProtocolError"):
            self._power = 0

    def _check_cancel(self, what: str, ended: str, started: float) -> None:
        if ended == "Cancelled" and self._cancelled_at is None:
            self._problem(f"{what} raised Cancelled without a cancel()")
        if self._cancelled_at is None:
            return
        late = self._target.time.now() - max(self._cancelled_at, started)
        if ended == "Cancelled":
            self._cancelled_at = None
        else:
            self._log("the cancel has not taken effect yet")
        if late > CANCEL_WITHIN_S:
            self._problem(f"{what} took {late:.2f} s after cancel()")

    def _check_sample(self, result: object) -> None:
        if isinstance(result, Sample) and not self._target.sensor.streams:
            allowed = self._target.may_differ
            self.outcome.wrong_pixels += all(np.sum(result.image != image) > allowed for image in self._presented)

    # The end

    def _finish(self) -> None:
        self._repairing = True
        self._target.clear()
        self._target.device.lift()
        self._target.disarm()
        works = self._power != 0 and self._power == self._target.plug.power and not self._stops
        if works and self._rng.random() < KEEP_OPEN_SHARE:
            self._keep_open()
        else:
            self._repair()

    def _keep_open(self) -> None:
        """The sensor stays open. Data of the faults that are still in transit must not disturb the next capture."""
        self._log("the faults are removed; the sensor stays open")
        if self._cancelled_at is not None:
            ended = self._call("capture", lambda: self._target.sensor.capture(0.0), self._target.capture_s)
            if ended != "Cancelled":
                self._problem(f"a cancel between two calls was ignored: {ended}")
        self._check_capture("capture without reopening")

    def _repair(self) -> None:
        target = self._target
        self._log("everything is repaired")
        if self._rng.random() < 0.5:
            self._log("power off and on")
            target.plug.unplug()
        target.plug.replug()
        target.sensor.close()
        target.time.run(lambda: False, LATEST_S)
        self._check_pending_cancel()
        if (ended := self._call("last open", target.sensor.open, target.open_s)) != "ok":
            return self._problem(f"the open after the repair ended with {ended}")
        return self._check_capture("last capture")

    def _check_capture(self, what: str) -> None:
        """Capture with nothing presented, then with an image: the sample must be this image."""
        target = self._target
        if not target.sensor.streams:
            self._check_nothing_presented()
        self._press(self._rng.getrandbits(32))
        found, ended = list[Sample](), ""
        for _ in range(1 + FRAMES_IN_TRANSIT * target.sensor.streams):
            ended = self._call(what, lambda: found.append(target.sensor.capture(5.0)), target.capture_s, 5.0)
            if ended != "ok" or self._is_pressed(found[-1]):
                break
        if ended != "ok" or not self._is_pressed(found[-1]):
            self._problem(f"the {what} after the repair: {ended}, or other pixels")

    def _is_pressed(self, sample: Sample) -> bool:
        return self._image is not None and bool(np.sum(sample.image != self._image) <= self._target.may_differ)

    def _check_nothing_presented(self) -> None:
        """A capture with nothing presented must raise CaptureRetry. The finger was lifted LIFTED_S ago."""
        target = self._target
        target.time.run(lambda: False, LIFTED_S)
        ended = self._call("capture of nothing", lambda: target.sensor.capture(0.0), target.capture_s)
        if ended != "CaptureRetry":
            self._problem(f"the capture of nothing after the repair ended with {ended}")

    def _check_pending_cancel(self) -> None:
        """A cancel between two calls must end the next call."""
        if self._cancelled_at is None:
            return
        ended = self._call("open", self._target.sensor.open, self._target.open_s)
        if ended != "Cancelled":
            self._problem(f"a cancel between two calls was ignored: {ended}")

    def _log(self, line: str) -> None:
        self.outcome.log.append(line)

    def _problem(self, text: str) -> None:
        self._log(f"PROBLEM: {text}")
        self.outcome.problems.append(text)


def _open_resources() -> tuple[int, int]:
    """The numbers of threads and open files. What only waits for the garbage collector is not counted."""
    gc.collect()
    return threading.active_count(), sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextlib.contextmanager
def no_hang(seconds: float) -> Iterator[None]:
    """Hang is raised in the middle of whatever takes longer."""

    def raise_hang(_number: int, _frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, raise_hang)
    # Again and again: an exception that is raised inside the garbage collector is lost.
    signal.setitimer(signal.ITIMER_REAL, seconds, max(seconds, 1.0))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def play(driver: str, seed: int) -> Outcome:
    """Play one script."""
    script = Script(driver, seed)
    before = _open_resources()  # not within the time limit: the garbage collector may be slow
    with no_hang(HANG_S):
        outcome = script.play()
    script.compare_resources(before)
    return outcome


@dataclass
class Totals:
    """The results of all scripts of one driver."""

    scripts: int = 0
    failed: dict[int, Outcome] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    longest: dict[str, float] = field(default_factory=dict)
    wrong_pixels: int = 0
    seconds: float = 0.0

    def add(self, seed: int, outcome: Outcome) -> None:
        """Add the outcome of one script."""
        self.scripts += 1
        self.ended += outcome.ended
        self.wrong_pixels += outcome.wrong_pixels
        for what, seconds in outcome.longest.items():
            self.longest[what] = max(seconds, self.longest.get(what, 0.0))
        if outcome.problems:
            self.failed[seed] = outcome


def run(driver: str, scripts: int, seed: int) -> Totals:
    """Play scripts with consecutive seeds, starting with `seed`."""
    totals, started = Totals(), time.monotonic()
    gc.collect()
    gc.freeze()  # what was there before the scripts is not searched again after each of them
    for number in range(seed, seed + scripts):
        totals.add(number, play(driver, number))
    gc.unfreeze()
    totals.seconds = time.monotonic() - started
    return totals


def _report(driver: str, totals: Totals) -> None:
    print(f"{driver}: {totals.scripts} scripts in {totals.seconds:.1f} s, {len(totals.failed)} with problems")
    print("   " + ", ".join(f"{what} {count}" for what, count in sorted(totals.ended.items())))
    longest = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in sorted(totals.longest.items()))
    print(f"   longest time over the timeout: {longest}; samples with corrupted data: {totals.wrong_pixels}")
    for seed, outcome in list(totals.failed.items())[:3]:
        print(f"{driver} seed {seed}: python -m tests.whole.drills.sensors --driver {driver} --seed {seed} --scripts 1")
        print("\n".join(outcome.log))


def main() -> int:
    """Run the scripts and print the results. Exit status 1 if a script had a problem."""
    parser = drill_parser(__doc__, scripts=500)
    parser.add_argument("--driver", choices=TARGETS, action="append", help="only this driver; default: all")
    parser.add_argument("--show", action="store_true", help="print the first script of each driver")
    arguments = parser.parse_args()
    failed = 0
    for driver in arguments.driver or TARGETS:
        totals = run(driver, arguments.scripts, arguments.seed)
        _report(driver, totals)
        failed += len(totals.failed)
    if arguments.show:
        for driver in arguments.driver or TARGETS:
            print("\n".join(play(driver, arguments.seed).log))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
