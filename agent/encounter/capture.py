"""The first half of the path: every step's sample, assessed, encoded, and asked for again when it is poor.

Steps on different sensors run side by side; those on one sensor follow each other.
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

# What a step without a usable sample ended with; the first that any step has names the encounter's gap.
GAPS = (ReasonCode.SENSOR_UNAVAILABLE, ReasonCode.FAILURE_TO_CAPTURE, ReasonCode.ABANDONED)

BEAT_S = 5.0  # how often a collector that waits shows that it is alive

# What was presented last is still there: told once, and there is the rest of the step's time to take it away.
NOT_REMOVED = frozenset({Retry.LIFT_FINGER, Retry.LOOK_AWAY})

# These say that nobody presented anything new: no attempt.
NO_PRESENTATION = NOT_REMOVED | {Retry.NOTHING_PRESENTED}


@dataclass(frozen=True, slots=True)
class CapturedTemplate:
    """A usable sample's template and quality. The image is not kept."""

    step: Step
    quality: int
    template: Template


@dataclass(slots=True)
class Collection:
    """What the steps yielded so far."""

    captured: dict[Position, CapturedTemplate] = field(default_factory=dict)
    missing: dict[Position, ReasonCode] = field(default_factory=dict)
    attempts: dict[Position, int] = field(default_factory=dict)
    timings_ms: dict[str, float] = field(default_factory=dict)
    before: tuple[CapturedTemplate, ...] = ()  # of the same person, of earlier collections

    def others(self, position: Position) -> list[Template]:
        """The templates of all other positions."""
        known = (*self.before, *self.captured.values())
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
    def tries(self) -> int:
        """How many samples were judged, all positions together."""
        return sum(self.attempts.values())

    @property
    def gap(self) -> ReasonCode:
        """Why positions are missing."""
        return next((g for g in GAPS if g in self.missing.values()), ReasonCode.FAILURE_TO_CAPTURE)

    @property
    def weakest(self) -> CapturedTemplate:
        """The probe that a recapture would help most."""
        return min(self.captured.values(), key=lambda c: c.quality)

    def keep(self, captured: CapturedTemplate) -> None:
        """Take a usable sample, unless an earlier one of this position was better."""
        position = captured.step.position
        before = self.captured.get(position)
        if before is None or captured.quality > before.quality:
            self.captured[position] = captured
        self.missing.pop(position, None)

    def lose(self, position: Position, why: ReasonCode) -> None:
        """Note that a step ended without a usable sample; an earlier good one stays."""
        if position not in self.captured:
            self.missing[position] = why


@dataclass(slots=True)
class _Turn:
    """One sample asked for, until `deadline` (monotonic seconds)."""

    step: Step
    future: "Future[Sample]"
    deadline: float
    told_to_remove: bool = False


class Collector:
    """Asks the stations, judges what comes, asks again. collect() runs in one thread; abort() may come from any."""

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
        self._done: queue.SimpleQueue[_Turn | None] = queue.SimpleQueue()
        self._aborted = False

    def models(self, modalities: Container[Modality | None]) -> dict[str, str]:
        """What makes the templates of these: name and sha256 of each model."""
        return models_of(encoder for each, encoder in self._encoders.items() if each in modalities)

    def abort(self) -> None:
        """End collect(): what is missing then counts as abandoned."""
        self._aborted = True
        self._done.put(None)

    def collect(
        self,
        steps: Iterable[Step],
        into: Collection,
        attempts: int,
        min_quality: int,
        first: "Future[Sample] | None" = None,
        ask: MessageKey | Retry = MessageKey.PRESENT,
        meanwhile: Callable[[Position, Template], None] = lambda *_: None,
    ) -> None:
        """Run the steps until each is captured or missing.

        `first` is the result of the first step, already there; for every other step the traveller is told `ask`.
        `meanwhile` may work on what is there while another sample is awaited; it is told of a probe
        again and again.
        """
        waiting: dict[str, deque[Step]] = {}
        for step in steps:
            waiting.setdefault(step.sensor, deque()).append(step)
        running: dict[str, _Turn] = {}
        for sensor, queued in waiting.items():
            running[sensor] = (
                self._ask(queued.popleft(), ask) if first is None else self._turn(queued.popleft(), first, 0.0)
            )
            first = None
        while running and not self._aborted:
            self._use_the_wait(into, meanwhile)
            turn = self._next()
            if turn is None or running.get(turn.step.sensor) is not turn:
                continue  # nothing yet, or an abort
            sensor = turn.step.sensor
            again = self._judge(turn, into, attempts, min_quality)
            if again is not None:
                running[sensor] = again
            elif waiting[sensor]:
                running[sensor] = self._ask(waiting[sensor].popleft(), ask)
            else:
                del running[sensor]
        self._give_up(running, waiting, into)

    def _use_the_wait(self, into: Collection, meanwhile: Callable[[Position, Template], None]) -> None:
        for position, captured in into.captured.items():
            if not self._done.empty():
                return  # a traveller waits for an answer to that
            meanwhile(position, captured.template)

    def _next(self) -> _Turn | None:
        self._beat()
        try:
            return self._done.get(timeout=BEAT_S)
        except queue.Empty:
            return None

    def _ask(self, step: Step, key: MessageKey | Retry | Flaw) -> _Turn:
        tell_traveller(self._announce, key, step.position)
        return self._begin(step)

    def _begin(self, step: Step) -> _Turn:
        deadline = time.monotonic() + self._step_timeout_s
        return self._turn(step, self._stations[step.sensor].capture(step, self._step_timeout_s), deadline)

    def _turn(self, step: Step, future: "Future[Sample]", deadline: float) -> _Turn:
        turn = _Turn(step, future, deadline)
        future.add_done_callback(lambda _: self._done.put(turn))
        return turn

    def _judge(self, turn: _Turn, into: Collection, attempts: int, min_quality: int) -> _Turn | None:
        """Take the end of one turn; the next turn of the same step, when it must be asked for again."""
        position = turn.step.position
        try:
            sample = turn.future.result()
        except CancelledError:
            into.lose(position, ReasonCode.ABANDONED)
            return None
        except SensorError:
            into.lose(position, ReasonCode.SENSOR_UNAVAILABLE)
            return None
        except CaptureRetry as retry:
            if retry.reason in NOT_REMOVED and time.monotonic() < turn.deadline:
                return self._await_removal(turn, retry.reason)
            if retry.reason in NO_PRESENTATION:
                into.lose(position, ReasonCode.ABANDONED)
                return None
            return self._poor(turn, into, attempts, retry.reason, None)
        return self._assess(turn, sample, into, attempts, min_quality)

    def _await_removal(self, turn: _Turn, reason: Retry) -> _Turn:
        """What gave the sample before is still there: say so once, and go on waiting for the rest of the time."""
        if not turn.told_to_remove:
            tell_traveller(self._announce, reason, turn.step.position)
        left = turn.deadline - time.monotonic()
        future = self._stations[turn.step.sensor].capture(turn.step, max(0.0, left))
        again = self._turn(turn.step, future, turn.deadline)
        again.told_to_remove = True
        return again

    def _assess(self, turn: _Turn, sample: Sample, into: Collection, attempts: int, min_quality: int) -> _Turn | None:
        position = turn.step.position
        tell_traveller(self._announce, MessageKey.WORKING, position)
        watch = Stopwatch(into.timings_ms)
        watch.since("transfer", position, sample.captured_at, self._clock.now())
        encoder = self._encoders[sample.modality]
        with watch.measured("assess", position):
            quality = encoder.assess(sample)
        if quality.score < min_quality:
            return self._poor(turn, into, attempts, quality.flaw or Flaw.TOO_FEW_FEATURES, quality)
        with watch.measured("encode", position):
            template = encoder.encode(sample)
        self._stations[turn.step.sensor].require_removal()
        if is_duplicate(template, into.others(position)):
            return self._poor(turn, into, attempts, Retry.SAME_AGAIN, quality)
        into.keep(CapturedTemplate(turn.step, quality.score, template))
        self._report(turn, into, usable=True, quality=quality.score, reason=quality.flaw)
        return None

    def _poor(
        self, turn: _Turn, into: Collection, attempts: int, reason: Retry | Flaw, quality: Quality | None
    ) -> _Turn | None:
        self._report(turn, into, usable=False, quality=quality.score if quality else None, reason=reason)
        if into.attempts[turn.step.position] >= attempts:
            self._stations[turn.step.sensor].require_removal()  # or it would begin the next encounter
            into.lose(turn.step.position, ReasonCode.FAILURE_TO_CAPTURE)
            return None
        return self._ask(turn.step, reason)

    def _report(self, turn: _Turn, into: Collection, *, usable: bool, quality: int | None, reason: str | None) -> None:
        position = turn.step.position
        attempt = into.attempts[position] = into.attempts.get(position, 0) + 1
        suffix = f".{position}"
        timings = {k.removesuffix(suffix): v for k, v in into.timings_ms.items() if k.endswith(suffix)}
        self._announce(
            StepDone(
                position=position, attempt=attempt, usable=usable, quality=quality, reason=reason, timings_ms=timings
            )
        )

    def _give_up(self, running: dict[str, _Turn], waiting: Mapping[str, Iterable[Step]], into: Collection) -> None:
        for turn in running.values():
            into.lose(turn.step.position, ReasonCode.ABANDONED)
            if turn.future.cancel():
                self._stations[turn.step.sensor].interrupt()
        for step in (step for queued in waiting.values() for step in queued):
            into.lose(step.position, ReasonCode.ABANDONED)


class Stopwatch:
    """Milliseconds by name, "name.position" where a position is given."""

    def __init__(self, into: dict[str, float]) -> None:
        self._into = into

    @contextmanager
    def measured(self, name: str, position: Position | None = None) -> Iterator[None]:
        """Note how long the block took."""
        start = time.perf_counter()
        yield
        self._note(name, position, time.perf_counter() - start)

    def since(self, name: str, position: Position | None, start: datetime, end: datetime) -> None:
        """Note the time between two moments of the wall clock; one that jumped back counts as none."""
        self._note(name, position, max(0.0, (end - start).total_seconds()))

    def _note(self, name: str, position: Position | None, seconds: float) -> None:
        self._into[name if position is None else f"{name}.{position}"] = round(seconds * 1000, 1)
