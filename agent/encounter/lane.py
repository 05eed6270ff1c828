"""Serves one traveller at a time: waits for a presentation on the first step's sensor, or for a command-line job."""

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

from agent.clock import Clock
from agent.config import Config
from agent.encounter.announcements import Announce, tell_traveller
from agent.encounter.capture import NO_PRESENTATION, Collector
from agent.encounter.decision import Decision
from agent.encounter.encounter import EncounterPath
from agent.encounter.enrolment import LOCAL_TEST, Enroller, Seal
from agent.encounter.messages import MessageKey
from agent.encounter.presence import NoEncounters
from agent.encounter.station import Station
from agent.errors import AgentError, ControlError
from agent.events.event import LeadCandidate, ListConfirmed
from agent.hub.outbox import Outbox
from agent.watchlist.watchlist import Watchlist
from agent.worker import OnCrash, Worker
from drivers.errors import CaptureRetry
from drivers.sample import Modality, Sample
from models.encoder import Encoder

log = logging.getLogger(__name__)

T = TypeVar("T")

IDLE_BEAT_S = 5.0  # how often an idle lane removes expired references and reports to the watchdog


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a job may use. Jobs run in the lane's thread."""

    enroller: Enroller
    watchlist: Watchlist
    outbox: Outbox
    encounter: "Callable[[Future[Sample] | None], tuple[Decision, tuple[LeadCandidate, ...]]]"
    new_collector: Callable[[], Collector]
    no_encounters: NoEncounters


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[JobContext], object]
    result: "Future[object]"


@dataclass(frozen=True, slots=True)
class Stores:
    """How the lane opens its own handles, in its own thread."""

    watchlist: Callable[[], Watchlist]
    outbox: Callable[[], Outbox]


class Lane(Worker):
    """Owns the encounter: stations, encoders, watchlist, and the handle that puts events into the outbox."""

    def __init__(
        self,
        config: Config,
        *,
        stations: Mapping[str, Station],
        encoders: Mapping[Modality, Encoder],
        stores: Stores,
        seal: Seal | None,
        announce: Announce,
        clock: Clock,
        on_crash: OnCrash,
    ) -> None:
        super().__init__("lane", on_crash)
        self._config = config
        self._stations = stations
        self._encoders = encoders
        self._stores = stores
        self._seal = seal
        self._announce = announce
        self._clock = clock
        self._inbox: queue.SimpleQueue[_Job | Future[Sample] | None] = queue.SimpleQueue()
        self._guard = threading.Lock()  # protects the next four fields, which other threads read
        self._collector: Collector | None = None
        self._running: Future[object] | None = None  # the running job
        self._withdrawn = False  # whether nobody waits for it any more
        self._ended = False
        self.list_state: ListConfirmed | None = None
        self.references = 0
        self.encounters = 0
        self.attended = True  # False: the lane waits for no traveller and runs jobs only

    def submit(self, work: Callable[[JobContext], T]) -> "Future[T]":
        """Run a job between two travellers, in the lane's thread."""
        job = _Job(work, Future())
        with self._guard:
            if self._ended or self.stopping.is_set():
                job.result.set_exception(ControlError("the kiosk is being stopped"))
            else:
                self._inbox.put(job)
        return job.result  # type: ignore[return-value]  # Future is invariant; the job sets what work returned

    def withdraw(self, result: "Future[T]") -> None:
        """Cancel a job that nobody waits for any more. If it has begun, end its capture."""
        if result.cancel():
            return
        with self._guard:
            if self._running is result:
                self._withdrawn = True
                if self._collector is not None:
                    self._collector.abort()

    def interrupt(self) -> None:
        """End what run() waits for. A traveller in front of the kiosk is referred to an officer."""
        with self._guard:
            if self._collector is not None:
                self._collector.abort()
        self._inbox.put(None)

    def run(self) -> None:
        """Serve travellers and jobs until stopped."""
        try:
            with closing(self._stores.watchlist()) as watchlist, closing(self._stores.outbox()) as outbox:
                self._delete_disabled_local_list(watchlist)
                self._serve(self._job_context(watchlist, outbox))
        except BaseException:
            tell_traveller(self._announce, MessageKey.GO_TO_OFFICER)  # a waiting traveller must get an answer
            raise
        finally:
            self._refuse_waiting_jobs()

    def _serve(self, context: JobContext) -> None:
        first: Future[Sample] | None = None
        while not self.stopping.is_set():
            self._update_status(context.watchlist)
            context.no_encounters.report()
            first = first or self._await_presentation()
            message = self._next()
            if isinstance(message, _Job) and self._stop_waiting(first):
                first = None
                self._run_job(message, context)
            elif isinstance(message, _Job):
                self._inbox.put(message)  # the traveller came first: run the encounter, then the job
            elif message is not None and message is first:
                first = None
                self._handle_presentation(message, context)
        self._stop_waiting(first)
        context.no_encounters.report(last=True)

    def _await_presentation(self) -> "Future[Sample] | None":
        if not self.attended:
            return None
        step = self._config.plan.steps[0]
        future = self._stations[step.sensor].capture(step, None)
        future.add_done_callback(self._inbox.put)
        return future

    def _next(self) -> "_Job | Future[Sample] | None":
        self.beat()
        try:
            return self._inbox.get(timeout=IDLE_BEAT_S)
        except queue.Empty:
            return None

    def _stop_waiting(self, first: "Future[Sample] | None") -> bool:
        """Stop waiting for a presentation; False if one has come meanwhile."""
        if first is None:
            return True
        if not first.cancel():
            return False
        self._stations[self._config.plan.steps[0].sensor].interrupt()
        return True

    def _handle_presentation(self, first: "Future[Sample]", context: JobContext) -> None:
        """Run an encounter, unless the finger or eye of the last traveller is still there."""
        if first.cancelled():
            return
        error = first.exception()
        if isinstance(error, CaptureRetry) and error.reason in NO_PRESENTATION:
            tell_traveller(self._announce, error.reason)
            return
        context.encounter(first)

    def _run_job(self, job: _Job, context: JobContext) -> None:
        with self._guard:
            if not job.result.set_running_or_notify_cancel():
                return
            self._running, self._withdrawn, self._collector = job.result, False, None
        try:
            job.result.set_result(job.work(context))
        except AgentError as error:
            job.result.set_exception(error)
        except BaseException as error:
            job.result.set_exception(error)
            raise
        finally:
            with self._guard:
                self._running, self._withdrawn = None, False

    def _job_context(self, watchlist: Watchlist, outbox: Outbox) -> JobContext:
        no_encounters = NoEncounters(outbox, self._clock, self.false_presentations)
        path = EncounterPath(
            self._config, self._encoders, watchlist, outbox, self._announce, self._clock, no_encounters
        )
        enroller = Enroller(self._config, watchlist, outbox, self._clock, self._seal)

        def encounter(first: "Future[Sample] | None") -> tuple[Decision, tuple[LeadCandidate, ...]]:
            none_before = no_encounters.without_sample
            decision = path.run(self._new_collector(), first)
            self.encounters += no_encounters.without_sample == none_before
            return decision, path.visible_candidates(decision)

        return JobContext(enroller, watchlist, outbox, encounter, self._new_collector, no_encounters)

    def false_presentations(self) -> dict[str, int]:
        """By sensor: how often it reported a finger or an eye that its image did not show. Callable from any thread."""
        return {name: station.false_presentations for name, station in self._stations.items()}

    def _delete_disabled_local_list(self, watchlist: Watchlist) -> None:
        """Delete the references of a local list that was switched off."""
        if self._config.local_list.enabled:
            return
        gone = watchlist.remove([r.reference_id for r in watchlist.local_references() if r.agreement == LOCAL_TEST])
        if gone:
            log.warning("local_list.enabled is off: %d references made on this kiosk were removed", len(gone))

    def _new_collector(self) -> Collector:
        with self._guard:
            self._collector = Collector(
                self._stations,
                self._encoders,
                self._announce,
                self._clock,
                self._config.plan.step_timeout_s,
                self.beat,
            )
            if self.stopping.is_set() or self._withdrawn:
                self._collector.abort()
            return self._collector

    def _update_status(self, watchlist: Watchlist) -> None:
        """Copy what the status shows, so that other threads never use the store."""
        watchlist.expire()
        self.list_state = watchlist.confirmed
        self.references = watchlist.in_memory.view.references

    def _refuse_waiting_jobs(self) -> None:
        with self._guard:
            self._ended = True
        while not self._inbox.empty():
            message = self._inbox.get()
            if isinstance(message, _Job) and message.result.set_running_or_notify_cancel():
                message.result.set_exception(ControlError("the kiosk is being stopped"))
