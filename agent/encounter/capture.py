"""The first half of the path: captures a sample for each step, assesses and encodes it, and repeats poor ones.

Steps on different sensors run in parallel; steps on the same sensor run one after another.
"""

import queue
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from agent.clock import Clock
from agent.config import Step
from agent.encounter.announcements import Announce, StepDone, tell_traveller
from agent.encounter.messages import MessageKey
from agent.encounter.same_source import is_duplicate
from agent.encounter.station import Station
from agent.events.event import ReasonCode
from drivers.errors import CaptureRetry, Retry, SensorError
from drivers.sample import Modality, Position, Sample
from models.encoder import Encoder, Flaw, Quality, models_of
from models.template import Template

# Why a step has no usable sample. The first of these that any step has becomes the encounter's gap.
GAPS = (ReasonCode.SENSOR_UNAVAILABLE, ReasonCode.FAILURE_TO_CAPTURE, ReasonCode.ABANDONED)

BEAT_S = 5.0  # how often a waiting collector reports to the watchdog
OPEN_S = 1.0  # for a sensor that has just been started; one that does not answer by then is asked for as usual
ABSENT_S = 3.0  # how long a sensor that is not there is waited for

# The last finger or eye is still there: the traveller is told once, and has the rest of the step's time to remove it.
NOT_REMOVED = frozenset({Retry.LIFT_FINGER, Retry.LOOK_AWAY})

# Nobody presented anything new: this does not count as an attempt.
NO_PRESENTATION = NOT_REMOVED | {Retry.NOTHING_PRESENTED}


# An image with one of these flaws shows neither a finger nor an eye.
NOBODY = frozenset({Flaw.EMPTY, Flaw.NO_EYE})


@dataclass(frozen=True, slots=True)
class CapturedTemplate:
    """A usable sample's template and quality. The image is not kept."""

    step: Step
    quality: int
    template: Template


@dataclass(slots=True)
class Collection:
    """The results of the steps so far."""

    captured: dict[Position, CapturedTemplate] = field(default_factory=dict)
    missing: dict[Position, ReasonCode] = field(default_factory=dict)
    attempts: dict[Position, int] = field(default_factory=dict)
    timings_ms: dict[str, float] = field(default_factory=dict)
    somebody: bool = False  # an image showed a finger or an eye, if a bad one
    earlier: tuple[CapturedTemplate, ...] = ()  # samples of the same person from earlier collections

    def other_templates(self, position: Position) -> list[Template]:
        """The templates of all other positions."""
        known = (*self.earlier, *self.captured.values())
        return [captured.template for captured in known if captured.step.position is not position]

    @property
    def probes(self) -> dict[Position, Template]:
        """The templates to search with."""
        return {position: captured.template for position, captured in self.captured.items()}

    @property
    def quality(self) -> dict[Position, int]:
        """The quality of each probe."""
        return {position: captured.quality for position, captured in self.captured.items()}

    @property
    def total_attempts(self) -> int:
        """How many samples were assessed, all positions together."""
        return sum(self.attempts.values())

    @property
    def gap(self) -> ReasonCode:
        """The reason to report for the missing positions."""
        return next((g for g in GAPS if g in self.missing.values()), ReasonCode.FAILURE_TO_CAPTURE)

    @property
    def weakest(self) -> CapturedTemplate:
        """The probe that a recapture would help most."""
        return min(self.captured.values(), key=lambda c: c.quality)

    def keep(self, captured: CapturedTemplate) -> None:
        """Keep a usable sample, unless an earlier one of this position was better."""
        position = captured.step.position
        previous = self.captured.get(position)
        if previous is None or captured.quality > previous.quality:
            self.captured[position] = captured
        self.missing.pop(position, None)

    def mark_missing(self, position: Position, reason: ReasonCode) -> None:
        """Note that a step ended without a usable sample; an earlier usable one stays."""
        if position not in self.captured:
            self.missing[position] = reason


@dataclass(slots=True)
class _Pending:
    """One requested sample, awaited until `deadline` (monotonic seconds)."""

    step: Step
    future: "Future[Sample]"
    deadline: float
    removal_requested: bool = False


class Collector:
    """Requests samples from the stations and assesses them. collect() runs in one thread; abort() may come from any."""

    def __init__(
        self,
        stations: Mapping[str, Station],
        encoders: Mapping[Modality, Encoder],
        announce: Announce,
        clock: Clock,
        step_timeout_s: float,
        beat: Callable[[], None],
    ) -> None:
        self._stations = stations
        self._encoders = encoders
        self._announce = announce
        self._clock = clock
        self._step_timeout_s = step_timeout_s
        self._beat = beat
        self._done: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._aborted = False

    def nobody_was_there(self, sensor: str) -> None:
        """Tell the station of `sensor` that its last samples were of nobody."""
        self._stations[sensor].nobody_was_there()

    def models(self, modalities: Container[Modality | None]) -> dict[str, str]:
        """The models that make the templates of these modalities: name and sha256 of each."""
        return models_of(encoder for each, encoder in self._encoders.items() if each in modalities)

    def abort(self) -> None:
        """End collect(): positions that are still missing count as abandoned."""
        self._aborted = True
        self._done.put(None)

    def collect(
        self,
        steps: Iterable[Step],
        into: Collection,
        attempts: int,
        min_quality: int,
        first: "Future[Sample] | None" = None,
        prompt: MessageKey | Retry = MessageKey.PRESENT,
        meanwhile: Callable[[Position, Template], None] = lambda *_: None,
    ) -> None:
        """Run the steps until each is captured or missing.

        `first` is the future of the first step, already requested; for every other step the traveller gets the message
        `prompt`. `meanwhile` may work on the probes while another sample is awaited; it is called repeatedly with the
        same probe.
        """
        waiting: dict[str, deque[Step]] = {}
        for step in steps:
            waiting.setdefault(step.sensor, deque()).append(step)
        running: dict[str, _Pending] = {}
        for sensor, queued in waiting.items():
            running[sensor] = (
                self._prompt(queued.popleft(), prompt) if first is None else self._track(queued.popleft(), first, 0.0)
            )
            first = None
        while running and not self._aborted:
            self._work_meanwhile(into, meanwhile)
            pending = self._next_done()
            if pending is None or running.get(pending.step.sensor) is not pending:
                continue  # nothing yet, or an abort
            sensor = pending.step.sensor
            renewed = self._handle_result(pending, into, attempts, min_quality)
            if renewed is not None:
                running[sensor] = renewed
            elif waiting[sensor]:
                running[sensor] = self._prompt(waiting[sensor].popleft(), prompt)
            else:
                del running[sensor]
        self._abandon(running, waiting, into)

    def _work_meanwhile(self, into: Collection, meanwhile: Callable[[Position, Template], None]) -> None:
        for position, captured in into.captured.items():
            if not self._done.empty():
                return  # a new sample comes first: its traveller is waiting
            meanwhile(position, captured.template)

    def _next_done(self) -> _Pending | None:
        self._beat()
        try:
            return self._done.get(timeout=BEAT_S)
        except queue.Empty:
            return None

    def _prompt(self, step: Step, key: MessageKey | Retry | Flaw) -> _Pending:
        if self._stations[step.sensor].absent(OPEN_S):
            # There is nothing to put a finger on: wait only for a plug that was pulled out for a moment.
            return self._start_capture(step, min(ABSENT_S, self._step_timeout_s))
        tell_traveller(self._announce, key, step.position)
        return self._start_capture(step, self._step_timeout_s)

    def _start_capture(self, step: Step, timeout: float) -> _Pending:
        deadline = time.monotonic() + timeout
        return self._track(step, self._stations[step.sensor].capture(step, timeout), deadline)

    def _track(self, step: Step, future: "Future[Sample]", deadline: float) -> _Pending:
        pending = _Pending(step, future, deadline)
        future.add_done_callback(lambda _: self._done.put(pending))
        return pending

    def _handle_result(self, pending: _Pending, into: Collection, attempts: int, min_quality: int) -> _Pending | None:
        """Take the result of one capture. Returns the next capture of the same step if it must be repeated."""
        position = pending.step.position
        try:
            sample = pending.future.result()
        except CancelledError:
            into.mark_missing(position, ReasonCode.ABANDONED)
            return None
        except SensorError:
            into.mark_missing(position, ReasonCode.SENSOR_UNAVAILABLE)
            return None
        except CaptureRetry as retry:
            if retry.reason in NOT_REMOVED and time.monotonic() < pending.deadline:
                return self._await_removal(pending, retry.reason)
            if retry.reason in NO_PRESENTATION:
                into.mark_missing(position, ReasonCode.ABANDONED)
                return None
            return self._retry_or_give_up(pending, into, attempts, retry.reason, None)
        return self._assess(pending, sample, into, attempts, min_quality)

    def _await_removal(self, pending: _Pending, reason: Retry) -> _Pending:
        """The last finger or eye is still there: tell the traveller once, and wait for the rest of the time."""
        if not pending.removal_requested:
            tell_traveller(self._announce, reason, pending.step.position)
        left = pending.deadline - time.monotonic()
        future = self._stations[pending.step.sensor].capture(pending.step, max(0.0, left))
        renewed = self._track(pending.step, future, pending.deadline)
        renewed.removal_requested = True
        return renewed

    def _assess(
        self, pending: _Pending, sample: Sample, into: Collection, attempts: int, min_quality: int
    ) -> _Pending | None:
        position = pending.step.position
        tell_traveller(self._announce, MessageKey.WORKING, position)
        watch = Stopwatch(into.timings_ms)
        watch.record("transfer", position, sample.captured_at, self._clock.now())
        encoder = self._encoders[sample.modality]
        with watch.measured("assess", position):
            quality = encoder.assess(sample)
        into.somebody |= quality.flaw not in NOBODY
        if quality.score < min_quality:
            return self._retry_or_give_up(pending, into, attempts, quality.flaw or Flaw.TOO_FEW_FEATURES, quality)
        with watch.measured("encode", position):
            template = encoder.encode(sample)
        self._stations[pending.step.sensor].require_removal()
        if is_duplicate(template, into.other_templates(position)):
            return self._retry_or_give_up(pending, into, attempts, Retry.SAME_AGAIN, quality)
        into.keep(CapturedTemplate(pending.step, quality.score, template))
        self._report(pending, into, usable=True, quality=quality.score, reason=quality.flaw)
        return None

    def _retry_or_give_up(
        self, pending: _Pending, into: Collection, attempts: int, reason: Retry | Flaw, quality: Quality | None
    ) -> _Pending | None:
        self._report(pending, into, usable=False, quality=quality.score if quality else None, reason=reason)
        if into.attempts[pending.step.position] >= attempts:
            self._stations[pending.step.sensor].require_removal()  # or it would begin the next encounter
            into.mark_missing(pending.step.position, ReasonCode.FAILURE_TO_CAPTURE)
            return None
        return self._prompt(pending.step, reason)

    def _report(
        self, pending: _Pending, into: Collection, *, usable: bool, quality: int | None, reason: str | None
    ) -> None:
        position = pending.step.position
        attempt = into.attempts[position] = into.attempts.get(position, 0) + 1
        suffix = f".{position}"
        timings = {k.removesuffix(suffix): v for k, v in into.timings_ms.items() if k.endswith(suffix)}
        self._announce(
            StepDone(
                position=position, attempt=attempt, usable=usable, quality=quality, reason=reason, timings_ms=timings
            )
        )

    def _abandon(self, running: dict[str, _Pending], waiting: Mapping[str, Iterable[Step]], into: Collection) -> None:
        for pending in running.values():
            into.mark_missing(pending.step.position, ReasonCode.ABANDONED)
            if pending.future.cancel():
                self._stations[pending.step.sensor].interrupt()
        for step in (step for queued in waiting.values() for step in queued):
            into.mark_missing(step.position, ReasonCode.ABANDONED)


class Stopwatch:
    """Records milliseconds under a name, or "name.position" if a position is given."""

    def __init__(self, into: dict[str, float]) -> None:
        self._into = into

    @contextmanager
    def measured(self, name: str, position: Position | None = None) -> Iterator[None]:
        """Record how long the block takes."""
        start = time.perf_counter()
        yield
        self._note(name, position, time.perf_counter() - start)

    def record(self, name: str, position: Position | None, start: datetime, end: datetime) -> None:
        """Record the time between two moments of the wall clock; 0 if the clock was set back."""
        self._note(name, position, max(0.0, (end - start).total_seconds()))

    def _note(self, name: str, position: Position | None, seconds: float) -> None:
        self._into[name if position is None else f"{name}.{position}"] = round(seconds * 1000, 1)
