"""Trusted time: by it references expire and are deleted. The wall clock alone can neither delete nor revive anybody.

It is the highest signed time that was seen, carried on by the monotonic clock. It is stored and never goes back. Where
the wall clock is synchronised (NTP), trusted time follows it, but not past the end of what was signed: an attacker who
forges NTP answers, or sets the clock, deletes nothing that a signature does not allow. Before any signed time was seen
there are no references of providers: trusted time begins with the wall clock then, follows it when it is synchronised,
and the first signed time takes its place, even if the kiosk was set up with a clock that was ahead.
"""

import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from agent.clock import Clock

RELEASED = datetime(2026, 1, 1, tzinfo=UTC)  # before the first release: no clock can rightly show an earlier time
LATEST = datetime(9000, 1, 1, tzinfo=UTC)  # a signed time beyond is taken as this one: times must stay countable
TOLERANCE = timedelta(minutes=5)  # between clocks that agree


@dataclass(frozen=True, slots=True)
class StoredTime:
    """What is kept of trusted time. `valid_until`: the end of what was signed; None before any signed time.

    `lead_s`: so many seconds of it come from a synchronised clock, and from no signature.
    """

    trusted: datetime
    valid_until: datetime | None = None
    lead_s: float = 0.0

    def text(self) -> str:
        """As text for a store."""
        until = None if self.valid_until is None else self.valid_until.isoformat()
        return json.dumps({"trusted": self.trusted.isoformat(), "valid_until": until, "lead_s": self.lead_s})

    @classmethod
    def of_text(cls, text: str) -> Self:
        """The value of text(). ValueError if the text is not one."""
        fields = json.loads(text)
        until = fields["valid_until"]
        end = None if until is None else datetime.fromisoformat(until)
        return cls(datetime.fromisoformat(fields["trusted"]), end, float(fields.get("lead_s", 0.0)))


class TrustedClock:
    """Threads share it. now() never goes back."""

    def __init__(self, clock: Clock, stored: StoredTime | None = None) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        wall, self._at = clock.now(), clock.monotonic()
        self._base = max(wall, RELEASED) if stored is None else stored.trusted
        self._valid_until = stored.valid_until if stored is not None else None
        self._lead = timedelta(seconds=stored.lead_s if stored is not None else 0.0)
        # How far the wall clock may be ahead without a reason for doubt: the kiosk may have been off.
        self._offset = self._plausible(wall, self._base)

    def now(self) -> datetime:
        """Trusted time, UTC."""
        with self._lock:
            return self._now()

    @property
    def reference(self) -> datetime:
        """The time by which signatures are checked, so that no clock that was ahead can prevent the next list for long.

        Before the first signature, the earlier of both clocks. Then the signed time carried on, or the wall clock where
        that lies between it and trusted time.
        """
        with self._lock:
            now, wall = self._now(), self._clock.now()
            least = now - self._lead if self._valid_until is not None else RELEASED
            return max(least, min(now, wall))

    def observe(self, signed_at: datetime | None, valid_until: datetime) -> None:
        """Take over the time of a signature that was checked, and the end of its validity.

        `signed_at` None: the signature does not say when it was made.
        """
        with self._lock:
            now, first = self._now(), self._valid_until is None
            self._valid_until = min(valid_until, LATEST)
            if signed_at is not None:
                signed_at = min(signed_at, LATEST)
                self._lead = timedelta(0) if first else max(timedelta(0), min(self._lead, now - signed_at))
                self._move(signed_at if first else max(now, signed_at), doubtful=not first and bool(self._doubt()))

    def tick(self) -> None:
        """Follow a synchronised wall clock, as far as signatures allow. Call it now and then."""
        if not self._clock.synchronised():
            return
        with self._lock:
            wall = self._clock.now()
            allowed = wall if self._valid_until is None else min(wall, self._valid_until)
            if allowed > (now := self._now()):
                self._lead += allowed - now
                self._move(allowed, doubtful=bool(self._doubt()))

    @property
    def doubt(self) -> str:
        """Why the wall clock is in doubt; empty if there is no reason."""
        with self._lock:
            return self._doubt()

    def state(self) -> StoredTime:
        """What must be stored, so that trusted time never goes back."""
        with self._lock:
            return StoredTime(self._now(), self._valid_until, self._lead.total_seconds())

    def _doubt(self) -> str:
        wall, now, until = self._clock.now(), self._now(), self._valid_until
        if abs(wall - now) <= TOLERANCE:
            return ""  # both agree, whatever was thought of the wall clock before
        if wall < now - TOLERANCE:
            return f"the clock shows {_shown(wall)}, which is before the trusted time {_shown(now)}: set the clock"
        if until is not None and wall > max(until, now) + TOLERANCE:
            return f"the clock shows {_shown(wall)}, after the end of all signatures, {_shown(until)}"
        if abs(wall - now - self._offset) > TOLERANCE:
            return f"the clock was moved: it shows {_shown(wall)}, the trusted time is {_shown(now)}"
        return ""

    def _now(self) -> datetime:
        at = self._clock.monotonic()
        if at > self._at:  # else it stands still: a monotonic clock that steps back takes nothing back
            self._base, self._at = self._base + timedelta(seconds=at - self._at), at
        return self._base

    def _move(self, time: datetime, *, doubtful: bool) -> None:
        """Set trusted time. A wall clock that was in doubt stays in doubt until it agrees again."""
        before = self._now()
        self._base = time
        self._offset = self._offset - (time - before) if doubtful else self._plausible(self._clock.now(), time)

    def _plausible(self, wall: datetime, now: datetime) -> timedelta:
        """The lead of the wall clock that has a harmless reason: the kiosk was off, or the signature is a day old."""
        until = self._valid_until
        harmless = wall >= now and (until is None or wall <= until + TOLERANCE)
        return wall - now if harmless else timedelta(0)


def _shown(time: datetime) -> str:
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='minutes')} UTC"
