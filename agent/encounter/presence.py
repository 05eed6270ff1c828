"""Judges whether it is plausible what a sensor reports about presence: fingers that are not there, or never a finger.

Sunlight on an optical sensor, water and dirt look like a finger to it, all the time or again and again. A sensor that
is broken or covered never sees one. Neither is an error that a driver could notice.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agent.clock import Clock
from agent.config import PresenceConfig
from agent.events.event import Capture, Event, NoEncounter
from agent.hub.outbox import Outbox
from agent.storage.database import StoreFull
from drivers.sample import Modality

log = logging.getLogger(__name__)

FEW = 3  # presentations of nobody: fewer are a sleeve or a passing shadow, and are only counted
OTHERS = 5  # presentations at other sensors after which one that saw nobody is suspicious
FIRST_REST_S, MAX_REST_S = 0.25, 2.0  # pause after an image of nobody: doubled up to the second
LOOK_SOON_S = 3.0  # after which an image is taken of a finger that does not leave, if images before showed nobody
REPORT_S = 600.0  # the least time between two events about presentations that were no encounter
UNUSABLE = 3  # encounters of a sensor in a row without a usable sample that are believed
LOOK_AGAIN_S = 10.0  # from one such image to the next

_WHAT = {Modality.FINGER: ("a finger", "no finger"), Modality.IRIS: ("an eye", "no eye")}
_REMEDY = {
    Modality.FINGER: "clean the sensor and shade it from the sun",
    Modality.IRIS: "look for pictures and reflections in its view",
}


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What a sensor is suspected of: the state of the sensor in the kiosk's state, and its explanation."""

    state: Literal["always_present", "never_present"]
    detail: str


class PresenceMonitor:
    """What one sensor has reported. One thread calls the methods; other threads may read the counters.

    `kiosk` has the monitors of all sensors of this kiosk; this one is added. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        limits: PresenceConfig,
        modality: Modality = Modality.FINGER,
        kiosk: "list[PresenceMonitor] | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._modality = modality
        self._kiosk = [] if kiosk is None else kiosk
        self._kiosk.append(self)
        self._clock = clock
        self.presentations = 0  # with a finger or eye in the image
        self.false_presentations = 0
        self._real_at, self._others_then = clock(), self._presentations_of_others()
        self._held_since: float | None = None
        self._look_at = 0.0
        self._absent_since: float | None = None
        self._false_run = 0  # presentations of nobody without a real one or a quiet time in between
        self._false_since = self._false_at = 0.0
        self._ghosts = False  # it is known to report fingers that are not there

    def absent(self) -> None:
        """The sensor has reported nothing for a while."""
        now = self._clock()
        self._held_since = None
        self._absent_since = now if self._absent_since is None else self._absent_since
        if now - self._absent_since >= self._limits.always_after_s:
            self._false_run, self._ghosts = 0, False

    def held(self) -> None:
        """The sensor reports that the last finger or eye has not left."""
        self._absent_since = None
        self._held_since = self._clock() if self._held_since is None else self._held_since

    def false_presentation(self) -> float:
        """A presentation had no finger or eye in its image. Returns the seconds to rest before the next capture."""
        now = self._clock()
        self.false_presentations += 1
        self._false_since = self._false_since if self._false_run else now
        self._false_run, self._false_at = self._false_run + 1, now
        self._held_since = self._absent_since = None  # the image shows that the last finger has left
        self._ghosts |= self._false_run >= FEW and now - self._false_since >= self._limits.always_after_s
        return min(MAX_REST_S, FIRST_REST_S * 2.0 ** min(self._false_run - 1, 16))

    def presented(self) -> None:
        """A finger or an eye was presented."""
        self.presentations += 1
        self._real_at, self._others_then = self._clock(), self._presentations_of_others()
        self._held_since = self._absent_since = None
        if not self._ghosts:  # a sensor in the sun works as well while a finger shades it
            self._false_run = 0

    @property
    def false_run(self) -> int:
        """How many presentations of nobody came in a row."""
        return self._false_run

    @property
    def stuck(self) -> bool:
        """Whether the last finger or eye has been there for suspiciously long."""
        return self._held_for() >= self._limits.always_after_s

    def should_look(self) -> bool:
        """Whether to take an image of a finger that does not leave, to see whether there is one."""
        patience = LOOK_SOON_S if self._false_run else self._limits.always_after_s
        return self._held_for() >= patience and self._clock() >= self._look_at

    def looked(self) -> None:
        """An image is being taken for that reason."""
        self._look_at = self._clock() + LOOK_AGAIN_S

    def suspicion(self) -> Suspicion | None:
        """What the sensor is suspected of now."""
        (one, none), remedy = _WHAT[self._modality], _REMEDY[self._modality]
        if self.stuck:
            return Suspicion("always_present", f"sees {one} all the time: {remedy}")
        if self._ghosts:
            return Suspicion("always_present", f"reports {one} where its images show none: {remedy}")
        unused, limits = self._clock() - self._real_at, self._limits
        if unused >= limits.never_after_s and self._presentations_of_others() - self._others_then >= OTHERS:
            return Suspicion(
                "never_present",
                f"has seen {none} for {_hours(limits.never_after_s)}, but other sensors of this kiosk have: "
                "test it with kiosk-agent capture",
            )
        if unused >= (limits.unused_after_s or math.inf):
            return Suspicion(
                "never_present",
                f"has seen {none} for {_hours(limits.unused_after_s)}: if travellers were here, "
                "test it with kiosk-agent capture",
            )
        return None

    def _presentations_of_others(self) -> int:
        return sum(monitor.presentations for monitor in self._kiosk if monitor is not self)

    def _held_for(self) -> float:
        return -1.0 if self._held_since is None else self._clock() - self._held_since


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds:g} s"


class NoEncounters:
    """Counts presentations that were no encounter, and puts at most one event about them in REPORT_S. One thread.

    `false_presentations` returns how many each sensor has had so far. `now` is monotonic, in seconds.
    """

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        false_presentations: Callable[[], dict[str, int]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._false_presentations = false_presentations
        self._now = now
        self._without_sample = Counter[str]()
        self._unusable_run = Counter[str]()  # encounters in a row without a usable sample, by the first sensor
        self._reported = Counter[str](), Counter[str]()  # what the last event has counted: both kinds
        self._since: datetime = clock.now()
        self._report_at = -math.inf

    def began(self, sensor: str, *, usable: bool, somebody: bool) -> bool:
        """Whether an encounter that the first presentation at `sensor` has begun was one.

        `usable`: it has a usable sample. `somebody`: an image showed a finger or an eye, if a bad one. A traveller
        whose fingers cannot be read is believed; of a sensor that gives such images only, the first UNUSABLE are.
        """
        self._unusable_run[sensor] = 0 if usable else self._unusable_run[sensor] + 1
        if usable or (somebody and self._unusable_run[sensor] <= UNUSABLE):
            return True
        self._without_sample[sensor] += 1
        return False

    @property
    def without_sample(self) -> int:
        """How many encounters were none, because no image showed anybody."""
        return self._without_sample.total()

    def report(self, *, last: bool = False) -> str:
        """Put the event if there is something to report and one is due. Returns its key, or an empty text."""
        false = Counter(self._false_presentations())
        new, new_without = false - self._reported[0], self._without_sample - self._reported[1]
        if not (new or new_without) or (self._now() < self._report_at and not last):
            return ""
        sensors = {
            name: NoEncounter(false_presentations=new[name], without_sample=new_without[name])
            for name in sorted({*new, *new_without})
        }
        until = self._clock.now()
        capture = Capture(since=self._since, until=until, sensors=sensors)
        try:
            key = self._outbox.put(Event.of(capture, "presence", until))
        except StoreFull as error:
            log.warning("an event about presentations was dropped: the outbox has no room for telemetry: %s", error)
            return ""
        self._reported, self._since = (false, self._without_sample.copy()), until
        self._report_at = self._now() + REPORT_S
        return str(key)
