"""The daemon: builds and starts the parts, waits for a signal or a crash, stops them in the reverse order of start."""

import logging
import queue
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from types import FrameType
from typing import Any, Literal, NamedTuple

from agent.config import Config
from agent.control.cancellation import CancellationToken
from agent.control.server import ControlServer
from agent.encounter.announcements import Announcement, Decided, tell_traveller
from agent.encounter.messages import MessageKey
from agent.errors import ConfigError, StoreError
from agent.events.event import Event, EventClass, Health, KioskState, SensorState
from agent.hub.link import HubLink, HubSignal, ListNews
from agent.hub.outbox import Outbox, held_events
from agent.hub.publisher import Publisher
from agent.keys import keep_development_store_key
from agent.kiosk import Kiosk, open_outbox, watch_stores
from agent.requests import RequestContext, handle_request
from agent.sd_notify import Notifier
from agent.storage.database import StoreFull
from agent.worker import Worker
from models.encoder import models_of

log = logging.getLogger(__name__)

TICK_S = 5.0  # how often the daemon checks its workers and refreshes the retained state
STOP_S = 1.8  # limit for all workers to end: the process must be gone 2 s after SIGTERM

_HEALTH: dict[str, Literal["ok", "degraded", "lost"]] = {
    "ready": "ok",
    "fault": "lost",
    "closed": "degraded",
    "always_present": "degraded",
    "never_present": "degraded",
}


class _Crashed(NamedTuple):
    worker: str
    error: BaseException


class _SensorChanged(NamedTuple):
    sensor: str
    state: SensorState


class _SignalReceived(NamedTuple):
    signal: int


_Notice = _Crashed | _SensorChanged | _SignalReceived


class Daemon:
    """One kiosk with its hub link and control socket. run() returns the exit status."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._notices: queue.SimpleQueue[_Notice] = queue.SimpleQueue()
        self._sensors: dict[str, SensorState] = {}
        self._crash: _Crashed | None = None
        self._restart = False  # because files were deleted below the running daemon
        self._counts: dict[EventClass, int] = {}  # the events that wait, as main last saw them
        self._notifier = Notifier()
        self._started = time.monotonic()
        self.kiosk = Kiosk(config, self._announce, self._on_sensor_change, self._on_crash)
        self._rescue = watch_stores(config)
        self._start_time = self.kiosk.clock.now()
        self._inbox: queue.Queue[HubSignal] = queue.Queue()
        lists = ListNews(config.watchlist.name, self.kiosk.updater.ask) if config.watchlist.source else None
        self.link = HubLink(config.hub, config.kiosk.site, config.kiosk.name, self._inbox, self._on_crash, lists)
        self.publisher = Publisher(
            partial(open_outbox, config, self.kiosk.store_key),
            self.link,
            self._inbox,
            self._on_crash,
            config=config.outbox,
            clock=self.kiosk.clock,
        )
        self.kiosk.updater.on_event = self.publisher.wake
        self.control = ControlServer(
            config.kiosk.control_socket, config.kiosk.control_group, self._handle_request, self._on_crash
        )

    @property
    def workers(self) -> Iterable[Worker]:
        """In the order of their start."""
        return (self.link, self.publisher, *self.kiosk.workers, self.control)

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT (0) or until a worker crashes (1)."""
        if self._config.hub.clear_text_on_the_network:
            log.warning("CLEAR TEXT: events cross the network without TLS (hub.insecure). For tests only")
        with _signals(self._on_signal), open_outbox(self._config, self.kiosk.store_key) as outbox:
            self._counts = outbox.counts()
            try:
                for worker in self.workers:
                    worker.start()
                self._notifier.ready(self._summary(outbox))
                log.info("kiosk %s/%s is ready", self._config.kiosk.site, self._config.kiosk.name)
                self._watch(outbox)
            finally:
                ended = self._stop()
                self._rescue.finish(outbox, lambda: sum(outbox.counts().values()))
                self._keep_store_key()
        if self._restart:
            return 1
        if self._crash is None:
            return 0 if ended else 1
        log.error("ending because worker %s crashed: %s", self._crash.worker, _describe(self._crash.error))
        return 1

    def status(self) -> dict[str, Any]:
        """What `kiosk-agent status` shows. May be called from any thread."""
        try:
            with open_outbox(self._config, self.kiosk.store_key) as outbox:
                counts, held = outbox.counts(), held_events(outbox)
        except StoreError:  # deleted below the daemon: main still has it open
            counts, held = self._counts, []
        state = self._state(counts)
        return state.model_dump(mode="json") | {
            "site": self._config.kiosk.site,
            "kiosk": self._config.kiosk.name,
            "uptime_s": round(time.monotonic() - self._started, 1),
            "hub": {
                "address": f"{self._config.hub.host}:{self._config.hub.port}",
                "connected": self.link.connected,
                "reason": self.link.reason,
                "clear_text": self._config.hub.clear_text_on_the_network,
                "refused": self.link.refused | self.publisher.refused,
                "silent_s": round(self.link.silent_for, 1),
            },
            "held": held,
            "references": self.kiosk.lane.references,
            "encounters": self.kiosk.lane.encounters,
            "false_presentations": self.kiosk.lane.false_presentations(),
            "local_list": self._config.local_list.enabled,
            "models": models_of(self.kiosk.encoders.values()),
            "problems": [*([self._rescue.problem] if self._rescue.problem else []), *self._list_problems()],
            "workers": {w.name: round(w.silent_for, 1) for w in self.workers},
        }

    def _keep_store_key(self) -> None:
        """Without its key, an outbox that was written again could not be read at the next start."""
        try:
            keep_development_store_key(self._config.kiosk.state_dir, self.kiosk.store_key)
        except ConfigError as error:
            log.critical("%s", error)

    def _list_problems(self) -> list[str]:
        """What is wrong with the lists, for `status`."""
        missing = self.kiosk.in_memory.view.missing
        lacking = [f"the list {name} is missing: nobody is cleared before it is here" for name in missing]
        refused = [f"list {name}: {text}" if name else text for name, text in self.kiosk.updater.problems.items()]
        return lacking + refused

    def _watch(self, outbox: Outbox) -> None:
        """Feed the watchdog, update the retained state and put health events, until a signal or a crash."""
        while True:
            self._feed_watchdog(outbox)
            if self._must_restart(outbox):
                return
            self.link.set_state(self._state(self._counts))
            try:
                notice = self._notices.get(timeout=self._tick())
            except queue.Empty:
                continue
            if isinstance(notice, _SensorChanged):
                self._record_sensor_state(notice, outbox)
                continue
            if isinstance(notice, _Crashed):
                self._crash = notice
            return

    def _feed_watchdog(self, outbox: Outbox) -> None:
        """Feed the watchdog and update the status line, unless a worker makes no progress."""
        stuck = [w.name for w in self.workers if w.silent_for > w.patience_s]
        if stuck:
            log.error("no progress for too long: %s", ", ".join(stuck))
            return
        self._notifier.watchdog()
        self._notifier.status(self._summary(outbox))

    def _must_restart(self, outbox: Outbox) -> bool:
        """Whether files of the stores were deleted, and a new start keeps the events that wait."""
        self._counts = outbox.counts()
        self._restart = self._rescue.check(outbox, lambda: sum(self._counts.values()))
        return self._restart

    def _tick(self) -> float:
        watchdog = self._notifier.watchdog_s
        return TICK_S if watchdog is None else min(TICK_S, watchdog / 3)

    def _record_sensor_state(self, changed: _SensorChanged, outbox: Outbox) -> None:
        known = self._sensors.get(changed.sensor)
        before, self._sensors[changed.sensor] = known.state if known else None, changed.state
        if changed.state.state == "closed":
            return  # it is only starting: nothing is wrong yet
        if changed.state.state == "fault" and changed.sensor == self._config.plan.steps[0].sensor:
            tell_traveller(self._announce, MessageKey.OUT_OF_SERVICE)
        if before in (None, "closed") and changed.state.state == "ready":
            return  # the normal start
        health = Health(
            component=f"sensor {changed.sensor}", state=_HEALTH[changed.state.state], detail=changed.state.detail
        )
        try:
            outbox.put(Event.of(health, changed.sensor, self.kiosk.clock.now()))
        except StoreFull as error:
            log.warning("a health event was dropped: the room left in the outbox is for encounters: %s", error)
            return
        self.publisher.wake()

    def _state(self, counts: dict[EventClass, int]) -> KioskState:
        sensors = {name: self._sensors[name] for name in sorted(self._sensors)}
        all_ready = all(s.state == "ready" for s in sensors.values()) and len(sensors) == len(self._config.sensors)
        return KioskState(
            status="online" if all_ready else "degraded",
            since=self._start_time,
            version=version("kiosk-agent"),
            sensors=sensors,
            watchlist=self.kiosk.lane.list_state,
            clock_doubt=self.kiosk.in_memory.clock.doubt,
            outbox_pending=counts,
        )

    def _summary(self, outbox: Outbox) -> str:
        lost = [name for name, s in self._sensors.items() if s.state in ("fault", "closed")]
        suspect = [f"{name} {s.state}" for name, s in self._sensors.items() if s.state.endswith("_present")]
        sensors = f"sensors lost: {', '.join(sorted(lost))}" if lost else f"{len(self._config.sensors)} sensors"
        sensors += f", of these to be examined: {', '.join(sorted(suspect))}" if suspect else ""
        hub = "hub connected" if self.link.connected else "hub not connected"
        problem = f"{self._rescue.problem}; " if self._rescue.problem else ""
        return f"{problem}{sensors}; {hub}; {sum(outbox.counts().values())} events waiting"

    def _stop(self) -> bool:
        """Stop in the reverse order of start; whether all workers ended.

        Only the control server, which started last, stops after the kiosk: it sends the last announcements.
        """
        self._notifier.stopping()
        log.info("stopping")
        deadline = time.monotonic() + STOP_S
        ended = self.kiosk.stop(STOP_S)
        for worker in (self.control, self.publisher, self.link):
            ended &= worker.stop(max(0.1, deadline - time.monotonic()))
        return ended

    def _handle_request(self, name: str, arguments: dict[str, Any], cancellation: CancellationToken) -> dict[str, Any]:
        """Serve a request of the command line, then wake the publisher: an enrolment has put an event."""
        try:
            return handle_request(RequestContext(self.kiosk, self.status, cancellation), name, arguments)
        finally:
            self.publisher.wake()

    def _announce(self, announcement: Announcement) -> None:
        if isinstance(announcement, Decided):
            self.publisher.wake()
        self.control.announce(announcement)

    # The next three are called from any thread, and from a signal handler: they only put a notice on a queue.

    def _on_crash(self, worker: str, error: BaseException) -> None:
        self._notices.put(_Crashed(worker, error))

    def _on_sensor_change(self, sensor: str, state: SensorState) -> None:
        self._notices.put(_SensorChanged(sensor, state))

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._notices.put(_SignalReceived(number))


@contextmanager
def _signals(handler: Any) -> Iterator[None]:  # noqa: ANN401 - signal.signal's own union
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
