"""The facts about the references of a segment, in columns: a million of them take little memory and load at once.

Times are whole seconds since 1970 in UTC. The columns are never changed; a change makes another table. Terms and kinds
(which templates a reference has) are the same for many references: a column has the number of each. The stricter of a
reference and its agreement counts: an earlier end, an earlier review, fewer recipients. A reference whose agreement is
gone is not searched.
"""

import bisect
import io
import itertools
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from agent.events.event import Category
from agent.watchlist.reference import (
    Agreement,
    Kinds,
    ListedReference,
    ReferenceInfo,
    TemplateCounts,
    Terms,
    kinds_of,
)
from drivers.sample import Position

END = 253_402_214_400  # NEVER in seconds: after this there is no change
DAY_S = 86_400

_NOT_BEFORE, _EXPIRES_AT, _REVIEW_BY, _LISTED_AT = range(4)
_POSITIONS = {str(position): position for position in Position}

Value = TypeVar("Value")


class Confirmation(NamedTuple):
    """A provider has reviewed a reference: searched until `review_by` again; `expires_at` None keeps the expiry."""

    review_by: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceTable:
    """The references of a segment, sorted by their ids, with what the provider says of them, and their agreements."""

    ids: tuple[str, ...]
    times: NDArray[np.int64]  # [4, n]: not before, expires at, review by, listed at
    terms_of: NDArray[np.uint32]  # [n]: index into `terms`
    kinds_of: NDArray[np.uint32]  # [n]: index into `kinds`
    terms: tuple[Terms, ...]
    kinds: tuple[Kinds, ...]
    agreements: Mapping[str, Agreement]
    limits: NDArray[np.int64] = field(init=False)  # [2, n]: expires at, review by, with the limits of the agreements

    def __post_init__(self) -> None:
        """Apply the limits of the agreements."""
        keep, review = np.full(len(self.terms), END), np.full(len(self.terms), END)
        for number, terms in enumerate(self.terms):
            agreement = self.agreements.get(terms.agreement)
            review[number] = 0 if agreement is None else seconds_of(agreement.review_by)
            if agreement is not None and agreement.keep_days is not None:
                keep[number] = agreement.keep_days * DAY_S
        limits = self.times[_EXPIRES_AT : _REVIEW_BY + 1].copy()
        if len(self.ids):
            np.minimum(limits[0], self.times[_LISTED_AT] + keep[self.terms_of], out=limits[0])
            np.minimum(limits[1], review[self.terms_of], out=limits[1])
        object.__setattr__(self, "limits", limits)

    @classmethod
    def of(cls, references: Iterable[ListedReference], agreements: Mapping[str, Agreement]) -> Self:
        """The table of these references. An id may occur once."""
        return cls.of_rows(map(row_of, references), agreements)

    @classmethod
    def of_rows(cls, rows: "Iterable[Row]", agreements: Mapping[str, Agreement]) -> Self:
        """The table of these rows. An id may occur once."""
        terms, kinds = _Numbers[Terms](), _Numbers[Kinds]()
        ids, times, terms_of, kinds_of_ = [], [], [], []
        for row in sorted(rows, key=lambda row: row.reference_id):
            ids.append(row.reference_id)
            times.append(row.times)
            terms_of.append(terms.number(row.terms))
            kinds_of_.append(kinds.number(row.kinds))
        return cls(
            tuple(ids),
            np.array(times, np.int64).reshape(-1, 4).T.copy(),
            np.array(terms_of, np.uint32),
            np.array(kinds_of_, np.uint32),
            terms.in_order,
            kinds.in_order,
            agreements,
        )

    def __len__(self) -> int:
        """The number of references."""
        return len(self.ids)

    def find(self, reference_id: str) -> int | None:
        """The row of a reference; None if there is none."""
        row = bisect.bisect_left(self.ids, reference_id)
        return row if row < len(self.ids) and self.ids[row] == reference_id else None

    def counts_at(self, row: int) -> TemplateCounts:
        """How many templates a reference has of each position and format."""
        return Counter(self.kinds[self.kinds_of[row]])

    def info_at(self, row: int, now: int) -> ReferenceInfo:
        """What may be shown of a reference, at a trusted time."""
        terms = self.terms[self.terms_of[row]]
        agreement = self.agreements.get(terms.agreement)
        found = ReferenceInfo(
            self.ids[row],
            terms.agreement,
            terms.category,
            _time(self.limits[0, row]),
            tuple(position for position, _ in self.kinds[self.kinds_of[row]]),
            instruction=terms.instruction,
            not_before=_time(self.times[_NOT_BEFORE, row]),
            review_by=_time(self.limits[1, row]),
            hidden=self._hidden(row, now),
        )
        if agreement is None:
            return found
        allowed = agreement.recipients
        return replace(
            found,
            provider=agreement.provider,
            purpose=agreement.purpose,
            legal_basis=agreement.legal_basis,
            necessity=terms.necessity or agreement.necessity,
            recipients=allowed if terms.recipients is None else tuple(r for r in terms.recipients if r in allowed),
        )

    def infos(self, now: int) -> Iterator[ReferenceInfo]:
        """What may be shown of all references."""
        return (self.info_at(row, now) for row in range(len(self.ids)))

    def active(self, now: int) -> NDArray[np.bool_]:
        """Which references are searched at a trusted time."""
        expires_at, review_by = self.limits
        searched: NDArray[np.bool_] = (self.times[_NOT_BEFORE] <= now) & (now < expires_at) & (now < review_by)
        return searched

    def next_change(self, now: int) -> int:
        """The first time after `now` at which a reference begins or ends to be searched; END if there is none."""
        columns = (self.times[_NOT_BEFORE], *self.limits)
        return min(int(times[times > now].min(initial=END)) for times in columns)

    def expired(self, at: int) -> tuple[str, ...]:
        """The references that expired at a time or earlier."""
        return tuple(self.ids[row] for row in np.flatnonzero(self.limits[0] <= at))

    def outside(self, agreements: Mapping[str, Agreement]) -> tuple[str, ...]:
        """The references whose agreement is not among these."""
        outside = np.array([terms.agreement not in agreements for terms in self.terms], bool)
        return tuple(self.ids[row] for row in np.flatnonzero(outside[self.terms_of])) if outside.any() else ()

    def not_reviewed(self, now: int) -> int:
        """How many references are hidden because their review is overdue."""
        return int(((self.limits[1] <= now) & (now < self.limits[0])).sum())

    def categories(self) -> Counter[str]:
        """How many references each category has."""
        numbers = np.bincount(self.terms_of, minlength=len(self.terms)).tolist()
        found: Counter[str] = Counter()
        for terms, number in zip(self.terms, numbers, strict=True):
            found[terms.category] += number
        return +found

    def template_counts(self) -> TemplateCounts:
        """How many templates all references have of each position and format."""
        numbers = np.bincount(self.kinds_of, minlength=len(self.kinds)).tolist()
        found: TemplateCounts = Counter()
        for kinds, number in zip(self.kinds, numbers, strict=True):
            for kind in kinds:
                found[kind] += number
        return found

    def used_agreements(self) -> dict[str, Agreement]:
        """The agreements of which there is a reference."""
        used = {self.terms[number].agreement for number in np.unique(self.terms_of)}
        return {name: agreement for name, agreement in self.agreements.items() if name in used}

    def changed(
        self,
        put: Sequence[ListedReference],
        removed: frozenset[str] = frozenset(),
        confirmed: Mapping[str, Confirmation] | None = None,
        agreements: Mapping[str, Agreement] | None = None,
    ) -> "ReferenceTable":
        """The table without `removed`, with `put` (instead of references of the same id), then confirmed.

        `agreements`: in place of those that the table has.
        """
        gone = removed | {reference.reference_id for reference in put}
        kept = np.ones(len(self.ids), bool)
        kept[[row for row in map(self.find, gone) if row is not None]] = False
        table = replace(self._only(kept), agreements=self.agreements if agreements is None else agreements)
        if put:
            table = _joined(table, ReferenceTable.of(put, table.agreements))
        return _confirmed(table, confirmed or {})

    def packed(self) -> bytes:
        """The table as bytes: a NumPy archive without pickled objects."""
        about = {
            "terms": [asdict(terms) for terms in self.terms],
            "kinds": [[[str(position), name] for position, name in kinds] for kinds in self.kinds],
            "agreements": [asdict(one) | {"review_by": one.review_by.isoformat()} for one in self.agreements.values()],
        }
        file = io.BytesIO()
        np.savez(
            file,
            ids=np.frombuffer("\n".join(self.ids).encode(), np.uint8),
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
            times=self.times,
            terms_of=self.terms_of,
            kinds_of=self.kinds_of,
        )
        return file.getvalue()

    @classmethod
    def unpacked(cls, data: bytes) -> Self:
        """The table of packed(). ValueError if the bytes are not one."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                columns = [file[name] for name in ("times", "terms_of", "kinds_of")]
                about, text = json.loads(file["about"].tobytes()), file["ids"].tobytes().decode()
            table = cls._read(tuple(text.split("\n")) if text else (), columns, about)
        except (KeyError, TypeError, IndexError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"not a table of references: {type(error).__name__}") from error
        return table

    @classmethod
    def _read(cls, ids: tuple[str, ...], columns: Sequence[NDArray[Any]], about: Mapping[str, Any]) -> Self:
        times, terms_of, kinds_of_ = columns
        terms = tuple(_terms(one) for one in about["terms"])
        kinds = tuple(tuple((_POSITIONS[position], name) for position, name in one) for one in about["kinds"])
        if times.shape != (4, len(ids)) or {terms_of.shape, kinds_of_.shape} != {(len(ids),)}:
            raise ValueError("not a table of references: columns of different lengths")
        if ids and (terms_of.max() >= len(terms) or kinds_of_.max() >= len(kinds)):
            raise ValueError("not a table of references: a number without its terms")
        agreements = {one["agreement"]: _agreement(one) for one in about["agreements"]}
        return cls(ids, times, terms_of, kinds_of_, terms, kinds, agreements)

    def _hidden(self, row: int, now: int) -> str:
        expires_at, review_by = self.limits[:, row]
        if now >= expires_at:
            return "expired"
        if self.terms[self.terms_of[row]].agreement not in self.agreements:
            return "its agreement has ended"
        if now >= review_by:
            return "not reviewed in time"
        return "not yet valid" if now < self.times[_NOT_BEFORE, row] else ""

    def _only(self, kept: NDArray[np.bool_]) -> Self:
        if kept.all():
            return self
        ids = tuple(itertools.compress(self.ids, kept))
        return replace(
            self, ids=ids, times=self.times[:, kept], terms_of=self.terms_of[kept], kinds_of=self.kinds_of[kept]
        )


class Row(NamedTuple):
    """A reference without its templates: the four times are those of ReferenceTable.times."""

    reference_id: str
    times: tuple[int, int, int, int]
    terms: Terms
    kinds: Kinds


class _Numbers(dict[Value, int]):
    """Gives each value a number, in the order in which they come."""

    def number(self, value: Value) -> int:
        return self.setdefault(value, len(self))

    @property
    def in_order(self) -> tuple[Value, ...]:
        return tuple(self)


def seconds_of(time: datetime) -> int:
    """A time in whole seconds since 1970: a limit is reached a little early rather than late."""
    return min(int(time.timestamp()), END)


def row_of(reference: ListedReference) -> Row:
    """A reference without its templates."""
    period = reference.period
    times = (period.not_before, period.expires_at, period.review_by, period.listed_at)
    first, second, third, fourth = (seconds_of(time) for time in times)
    return Row(reference.reference_id, (first, second, third, fourth), reference.terms, kinds_of(reference))


def _joined(table: ReferenceTable, other: ReferenceTable) -> ReferenceTable:
    """The references of both; an id may occur in one of them."""
    terms, kinds = _Numbers[Terms](), _Numbers[Kinds]()
    mine = [terms.number(one) for one in table.terms], [kinds.number(one) for one in table.kinds]
    new = [terms.number(one) for one in other.terms], [kinds.number(one) for one in other.kinds]
    both = [*table.ids, *other.ids]
    # Both are sorted. To sort them again would keep the interpreter from a search: a second for a million.
    places = [bisect.bisect_left(table.ids, one) for one in other.ids]
    order = np.insert(np.arange(len(table)), places, np.arange(len(table), len(both)))
    return replace(
        table,
        ids=tuple(both[row] for row in order.tolist()),
        times=np.concatenate([table.times, other.times], axis=1)[:, order],
        terms_of=_renumbered(table.terms_of, mine[0], other.terms_of, new[0])[order],
        kinds_of=_renumbered(table.kinds_of, mine[1], other.kinds_of, new[1])[order],
        terms=terms.in_order,
        kinds=kinds.in_order,
    )


def _confirmed(table: ReferenceTable, confirmed: Mapping[str, Confirmation]) -> ReferenceTable:
    if not confirmed:
        return table
    times = table.times.copy()
    for reference_id, confirmation in confirmed.items():
        if (row := table.find(reference_id)) is not None:
            times[_REVIEW_BY, row] = seconds_of(confirmation.review_by)
            if confirmation.expires_at is not None:
                times[_EXPIRES_AT, row] = seconds_of(confirmation.expires_at)
    return replace(table, times=times)


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _terms(fields: dict[str, Any]) -> Terms:
    recipients = fields["recipients"]
    fewer = None if recipients is None else tuple(recipients)
    return Terms(**(fields | {"category": Category(fields["category"]), "recipients": fewer}))


def _agreement(fields: dict[str, Any]) -> Agreement:
    changed = {
        "recipients": tuple(fields["recipients"]),
        "review_by": datetime.fromisoformat(fields["review_by"]),
    }
    return Agreement(**(fields | changed))


def _renumbered(
    mine: NDArray[np.uint32], my_numbers: list[int], other: NDArray[np.uint32], other_numbers: list[int]
) -> NDArray[np.uint32]:
    parts = (np.array(my_numbers, np.uint32)[mine], np.array(other_numbers, np.uint32)[other])
    return np.concatenate(parts)
