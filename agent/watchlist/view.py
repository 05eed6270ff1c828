"""What is searched now: all segments, at one revision. Immutable, so that a search is never of two lists.

An update makes another view while searches go on in the old one. The lane reads `ListInMemory.view` once for each
search.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from agent.watchlist.candidate import Candidate
from agent.watchlist.reference import ReferenceInfo, TemplateCounts, count_comparable
from agent.watchlist.searches_first import SearchesFirst
from agent.watchlist.segment import LOCAL, Segment
from agent.watchlist.store import StoredSegment
from agent.watchlist.table import seconds_of
from agent.watchlist.trusted_time import TrustedClock
from drivers.sample import Position, other_side
from models.calibration import any_of, fuse, load_calibration
from models.template import Template

# How many candidates each probe proposes before they are fused per reference.
CANDIDATES_PER_PROBE = 50


class Hit(NamedTuple):
    """A reference that a gallery found for a probe. `swapped`: on the other hand, or as the other eye."""

    segment: str
    reference_id: str
    score: float
    swapped: bool


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The list that is searched. `missing` names the lists that should be here and are not: damaged, never fetched."""

    segments: Mapping[str, StoredSegment]
    revision: int = 0
    confirmed_at: datetime | None = None
    valid_until: datetime | None = None  # when the signatures of the providers' lists expire; None if there are none
    missing: tuple[str, ...] = ()
    swapped_positions: bool = False

    def __iter__(self) -> Iterator[Segment]:
        """The segments."""
        return (stored.segment for stored in self.segments.values())

    @property
    def references(self) -> int:
        """How many references are searched."""
        return sum(segment.references for segment in self)

    def at(self, now: datetime) -> "View":
        """The view at a later trusted time; the same object if nothing changes."""
        if not self.is_due(now):
            return self
        moved = {
            name: replace(stored, segment=stored.segment.at(seconds_of(now))) for name, stored in self.segments.items()
        }
        return replace(self, segments=moved)

    def is_due(self, now: datetime) -> bool:
        """Whether another view must take the place of this one: a reference is to be hidden, or to be searched."""
        return any(seconds_of(now) >= segment.until for segment in self)

    def find(self, reference_id: str) -> Iterator[tuple[Segment, ReferenceInfo]]:
        """The references of an id, one from each segment that has it."""
        for segment in self:
            if (row := segment.table.find(reference_id)) is not None:
                yield segment, segment.table.info_at(row, segment.now)

    def hits(self, position: Position, probe: Template) -> tuple[Hit, ...]:
        """The references that are similar to one probe, of each segment the best."""
        sides = [(position, False)]
        if self.swapped_positions and other_side(position) is not position:
            sides.append((other_side(position), True))
        return tuple(
            Hit(segment.name, found.key, found.score, swapped)
            for segment in self
            if (gallery := segment.searched.get(probe.format)) is not None
            for side, swapped in sides
            for found in gallery.search(probe, side, CANDIDATES_PER_PROBE)
        )

    def candidates(
        self, probes: Mapping[Position, Template], hits: Mapping[Position, Iterable[Hit]], limit: int, now: datetime
    ) -> tuple[Candidate, ...]:
        """The references most similar to all probes together, best first, at most `limit`.

        Without those that must be hidden at the trusted time `now`, also where the view does not hide them yet.
        """
        found: dict[tuple[str, str], _Evidence] = {}
        for position, probe in probes.items():
            calibration = load_calibration(probe.format)
            for hit in hits[position]:
                evidence = found.setdefault((hit.segment, hit.reference_id), _Evidence({}, {}))
                side = evidence.swapped if hit.swapped else evidence.labelled
                side[position] = hit.score, calibration.false_match_rate(hit.score)
        candidates = (self._candidate(*key, evidence, probes, seconds_of(now)) for key, evidence in found.items())
        made = [one for one in candidates if one is not None]
        return tuple(sorted(made, key=lambda one: (one.false_match_rate, one.reference_id, one.provider))[:limit])

    def _candidate(
        self, name: str, reference_id: str, evidence: "_Evidence", probes: Mapping[Position, Template], now: int
    ) -> Candidate | None:
        """What is said of a reference that was found; None if it must be hidden now."""
        table = self.segments[name].segment.table
        row = table.find(reference_id)
        assert row is not None
        counts, info = table.counts_at(row), table.info_at(row, now)
        if info.hidden:
            return None
        rate, swapped = _fused(evidence.labelled, probes, counts, lambda position: position), False
        chosen = evidence.labelled
        if self.swapped_positions:
            other = _fused(evidence.swapped, probes, counts, other_side)
            swapped = other < rate
            # Two tries: as the list says, and with left and right exchanged. The better one has two chances.
            rate, chosen = any_of(min(rate, other), 2), evidence.swapped if swapped else evidence.labelled
        return Candidate(
            reference_id,
            info.agreement,
            info.category,
            {position: score for position, (score, _) in chosen.items()},
            rate,
            provider=info.provider,
            instruction=info.instruction,
            positions_swapped=swapped,
            recipients=frozenset(info.recipients),
        )


Found = dict[Position, tuple[float, float]]  # the score and its false match rate for the probe of a position


class _Evidence(NamedTuple):
    """What was found of one reference, with the positions as the list says, and with the sides exchanged."""

    labelled: Found
    swapped: Found


def _fused(
    found: Found,
    probes: Mapping[Position, Template],
    counts: TemplateCounts,
    stored_as: Callable[[Position], Position],
) -> float:
    """The false match rate of all probes that the reference can be compared with.

    A probe that did not find the reference counts against it, with rate 1. A finger or eye that the reference does not
    have is not counted. A probe that is compared with several templates has that many chances of a false match.
    """
    compared = {p: count_comparable(stored_as(p), probe.format, counts) for p, probe in probes.items()}
    rates = {position: rate for position, (_, rate) in found.items()}
    return fuse([any_of(rates.get(position, 1.0), count) for position, count in compared.items() if count])


class ListInMemory:
    """The view that is searched, and the trusted clock by which it is hidden and deleted. Shared by the threads."""

    def __init__(self, clock: TrustedClock, view: View, *, damaged: bool = False) -> None:
        """`damaged`: something in the store of the view cannot be read."""
        self.clock = clock
        self.damaged = damaged
        self.view = view
        self.searches = SearchesFirst()
        self.changing = threading.Lock()  # held while a change is committed and its view takes the place of the old one

    def replace(
        self,
        segments: Iterable[StoredSegment],
        revision: int,
        dropped: Iterable[str] = (),
        confirmed_at: datetime | None = None,
        **fields: object,
    ) -> View:
        """Put changed segments in place of the old ones. Hold `changing`. Returns the new view."""
        kept = dict(self.view.segments)
        for name in dropped:
            kept.pop(name, None)
        kept |= {stored.segment.name: stored for stored in segments}
        known = self.view.confirmed_at if confirmed_at is None else confirmed_at
        view = replace(self.view, segments=kept, revision=revision, confirmed_at=known, **fields)  # type: ignore[arg-type]  # fields of View
        self.view = view.at(self.clock.now())
        return self.view

    def advance(self) -> None:
        """Hide what must not be searched any more."""
        now = self.clock.now()
        if self.view.is_due(now):
            with self.changing:
                self.view = self.view.at(now)


def local_segment(view: View, now: datetime) -> StoredSegment:
    """The segment of the local list; an empty one if there is none yet."""
    known = view.segments.get(LOCAL)
    return known if known is not None else StoredSegment(Segment.empty(LOCAL, seconds_of(now)), 0, {})
