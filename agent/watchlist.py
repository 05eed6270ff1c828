"""References on disk and in memory: search, add, remove, expire. The only module that knows the watchlist's store.

One thread owns a Watchlist. Deleted references are overwritten on disk (the stores' secure_delete) and the write-ahead
log is emptied, so that an expired reference is gone and not only unlisted. Galleries are immutable views of the store,
which is not encrypted yet.
"""

import itertools
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlite_utils import Database

from agent.candidate import Candidate, CandidateList
from agent.clock import Clock
from agent.config import AgreementConfig
from agent.errors import StoreError
from agent.event import Category, ListConfirmed, ListState
from agent.schema import open_store, reading, writing
from drivers.sample import Position
from models import gallery_class, imported
from models.calibration import any_of, fuse, load_calibration
from models.encoder import Entry, Gallery
from models.template import Template, TemplateError

log = logging.getLogger(__name__)

# How many candidates each probe proposes before they are fused per reference.
SHORT_LIST = 50
# How many templates are read from disk at a time, so that a long list is in memory once.
PART = 4096
POSITIONS = {str(position): position for position in Position}


def _create(db: Database) -> None:
    db.execute(
        "CREATE TABLE agreement (id TEXT PRIMARY KEY, provider TEXT NOT NULL, purpose TEXT NOT NULL,"
        " legal_basis TEXT NOT NULL, recipients TEXT NOT NULL)"
    )
    db.execute(
        "CREATE TABLE reference (id TEXT PRIMARY KEY, agreement TEXT NOT NULL REFERENCES agreement (id),"
        " category TEXT NOT NULL, expires_at TEXT NOT NULL, revision INTEGER NOT NULL)"
    )
    db.execute(
        "CREATE TABLE template (reference TEXT NOT NULL REFERENCES reference (id) ON DELETE CASCADE,"
        " position TEXT NOT NULL, format TEXT NOT NULL, data BLOB NOT NULL)"
    )
    db.execute("CREATE INDEX template_of ON template (reference)")
    db.execute("CREATE TABLE list (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, confirmed_at TEXT)")
    db.execute("INSERT INTO list (id, revision) VALUES (1, 0)")


def _bring_fingers_up_to_date(db: Database) -> None:
    """Templates that a list keeps since "finger-minutiae/2" have what a search needs, so that opening only copies."""
    query = "SELECT rowid, reference, format, data FROM template WHERE format = 'finger-minutiae/1'"
    for row, reference, name, data in db.execute(query).fetchall():
        made = _imported(reference, Template(name, data))
        db.execute("UPDATE template SET format = ?, data = ? WHERE rowid = ?", [made.format, made.data, row])


MIGRATIONS = (_create, _bring_fingers_up_to_date)


@dataclass(frozen=True, slots=True)
class Reference:
    """One person on the list, without a name: templates by position, and the agreement that allows them."""

    reference_id: str
    agreement: str
    category: Category
    expires_at: datetime
    templates: tuple[tuple[Position, Template], ...]


@dataclass(frozen=True, slots=True)
class ReferenceInfo:
    """What may be shown of a reference: no template."""

    reference_id: str
    agreement: str
    category: Category
    expires_at: datetime
    positions: tuple[Position, ...]


class Watchlist:
    """The list of this kiosk. Open it in the thread that uses it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._db = open_store(path, "watchlist", MIGRATIONS)
        self._galleries: dict[str, Gallery] = {}
        self._ahead: dict[Position, _Proposed] = {}
        self._agreements: dict[str, AgreementInfo] = {}
        self._references: dict[str, ReferenceInfo] = {}
        self._kinds: dict[str, Kinds] = {}
        with reading(self._db):
            self._load()
        self.expire()

    def look_ahead(self, position: Position, probe: Template) -> None:
        """Search for one probe while another is awaited: the next search() of it has its candidates already.

        Does nothing where that is done already. What it keeps is forgotten with the next search().
        """
        self._ahead[position] = self._proposed(position, probe)

    def search(self, probes: Mapping[Position, Template], limit: int) -> CandidateList:
        """The references most similar to all probes together, at most `limit`. Expired ones are removed first."""
        self.expire()
        scores: dict[str, dict[Position, float]] = {}
        rates: dict[str, dict[Position, float]] = {}
        for position, probe in probes.items():
            calibration = load_calibration(probe.format)
            for key, score in self._proposed(position, probe).found:
                scores.setdefault(key, {})[position] = score
                rates.setdefault(key, {})[position] = calibration.false_match_rate(score)
        self._ahead.clear()
        fused = {key: self._fused(key, probes, rate) for key, rate in rates.items()}
        ranked = sorted(fused, key=lambda key: (fused[key], key))[:limit]
        found = tuple(self._candidate(key, scores[key], fused[key]) for key in ranked)
        state = self.state
        return CandidateList(found, len(self._references), state.revision, state.age_s)

    def add(self, reference: Reference, agreement: AgreementConfig) -> None:
        """Store a reference under its agreement and make it searchable. StoreError when its id is already there."""
        self.add_all([reference], agreement)

    def add_all(self, references: Sequence[Reference], agreement: AgreementConfig) -> None:
        """The same of several, under one agreement: all of them, or none."""
        ids = [reference.reference_id for reference in references]
        known = next((one for one in ids if one in self._references), None)
        if known is not None or len(set(ids)) < len(ids):
            twice = known or next(one for one in ids if ids.count(one) > 1)
            raise StoreError(f"reference {twice} is already on the list: remove it first, or choose another id")
        if not references:
            return
        # An unreadable template is refused before anything is stored.
        references = [_as_kept(reference) for reference in references]
        galleries = self._galleries_with(_by_format(_entries(references)))
        with writing(self._db) as db:
            for name in dict.fromkeys(reference.agreement for reference in references):
                self._agree(_agreement_row(name, agreement))
            revision = self._bump(confirmed=True)
            db.table("reference").insert_all(_reference_row(reference, revision) for reference in references)
            db.table("template").insert_all(row for reference in references for row in _template_rows(reference))
        for reference in references:
            self._agreements[reference.agreement] = AgreementInfo(frozenset(agreement.recipients))
            self._references[reference.reference_id] = _info(reference)
            self._kinds[reference.reference_id] = _kinds(reference)
        self._galleries = galleries

    def remove(self, reference_ids: Iterable[str]) -> tuple[str, ...]:
        """Delete these from disk and memory; returns those that were there."""
        gone = tuple(r for r in dict.fromkeys(reference_ids) if r in self._references)
        if not gone:
            return ()
        with writing(self._db) as db:
            for reference_id in gone:
                db.table("reference").delete(reference_id)
            db.execute("DELETE FROM agreement WHERE id NOT IN (SELECT agreement FROM reference)")
            self._bump(confirmed=False)
        with reading(self._db) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        for reference_id in gone:
            del self._references[reference_id], self._kinds[reference_id]
        self._galleries = {f: g.changed((), frozenset(gone)) for f, g in self._galleries.items()}
        return gone

    def expire(self) -> tuple[str, ...]:
        """Remove what is past its expiry; returns the ids."""
        now = self._clock.now()
        due = [r.reference_id for r in self._references.values() if r.expires_at <= now]
        gone = self.remove(due)
        if gone:
            log.info("%d expired references removed from the watchlist", len(gone))
        return gone

    def recipients(self, agreement: str) -> frozenset[str]:
        """Who may be told of a candidate under this agreement; nobody, when the agreement is unknown."""
        known = self._agreements.get(agreement)
        return known.recipients if known else frozenset()

    def __contains__(self, reference_id: str) -> bool:
        """Whether a reference of this id is on the list."""
        return reference_id in self._references

    def references(self) -> Sequence[ReferenceInfo]:
        """Everything on the list that may be shown."""
        return tuple(self._references.values())

    @property
    def state(self) -> ListState:
        """Revision, and seconds since whoever provides the list last added to it or confirmed it."""
        known = self.confirmed
        if known.confirmed_at is None:
            return ListState(revision=known.revision, age_s=None)
        # A clock that jumped back must not make a list look younger than new.
        age = max(0.0, (self._clock.now() - known.confirmed_at).total_seconds())
        return ListState(revision=known.revision, age_s=age)

    @property
    def confirmed(self) -> ListConfirmed:
        """Revision, and when the list was last added to or confirmed."""
        with reading(self._db) as db:
            row = db.table("list").get(1)
        time = row["confirmed_at"]
        return ListConfirmed(
            revision=row["revision"], confirmed_at=None if time is None else datetime.fromisoformat(time)
        )

    def close(self) -> None:
        """Give the file back."""
        self._db.close()

    def _fused(self, key: str, probes: Mapping[Position, Template], rates: Mapping[Position, float]) -> float:
        """One rate of the probes that the reference has something to compare with.

        Of these, one that did not propose the reference speaks against it with rate 1; a finger or eye that the
        reference does not have says nothing. A probe that is compared with several templates has as many chances.
        """
        kinds = self._kinds[key]
        counts = {p: _comparable(p, probe.format, kinds) for p, probe in probes.items()}
        return fuse([any_of(rates.get(position, 1.0), count) for position, count in counts.items() if count])

    def _proposed(self, position: Position, probe: Template) -> "_Proposed":
        gallery = self._galleries.get(probe.format)
        known = self._ahead.get(position)
        if known is not None and known.probe == probe and known.gallery is gallery:
            return known
        return _Proposed(probe, gallery, tuple(gallery.search(probe, position, SHORT_LIST)) if gallery else ())

    def _galleries_with(self, added: Mapping[str, Sequence[Entry]]) -> dict[str, Gallery]:
        galleries = dict(self._galleries)
        for template_format, entries in added.items():
            old = galleries.get(template_format)
            galleries[template_format] = (
                gallery_class(template_format).build(entries) if old is None else old.changed(entries, frozenset())
            )
        return galleries

    def _candidate(self, key: str, scores: Mapping[Position, float], rate: float) -> Candidate:
        info = self._references[key]
        return Candidate(key, info.agreement, info.category, scores, rate)

    def _bump(self, *, confirmed: bool) -> int:
        """The next revision. Who takes references away, or time that does, has not confirmed the others."""
        revision = int(self._db.table("list").get(1)["revision"]) + 1
        now = {"confirmed_at": self._clock.now().isoformat()} if confirmed else {}
        self._db.table("list").update(1, {"revision": revision, **now})
        return revision

    def _agree(self, row: dict[str, str]) -> None:
        """Store the agreement; terms that differ would change those of references that are there already."""
        known = list(self._db.table("agreement").rows_where("id = ?", [row["id"]]))
        if not known:
            self._db.table("agreement").insert(row)
        elif known[0] != row:
            raise StoreError(
                f"agreement {row['id']} is on this list with other terms: remove its references first, or name it anew"
            )

    def _load(self) -> None:
        for row in self._db.table("agreement").rows:
            self._agreements[row["id"]] = AgreementInfo(frozenset(json.loads(row["recipients"])))
        loaded = {row["id"]: row for row in self._db.table("reference").rows}
        kinds: dict[str, list[tuple[Position, str]]] = {name: [] for name in loaded}
        rows = self._db.execute("SELECT reference, position, format, data FROM template")
        # All entries of a reference share the text of its id.
        stored = (Entry(loaded[r]["id"], POSITIONS[p], Template(f, d)) for r, p, f, d in rows)
        for part in iter(lambda: list(itertools.islice(stored, PART)), []):
            for entry in part:
                kinds[entry.key].append((entry.position, entry.template.format))
            self._galleries = self._galleries_with(_by_format(part))
        self._kinds = {name: Counter(several) for name, several in kinds.items()}
        self._references = {name: _stored_info(row, kinds[name]) for name, row in loaded.items()}


@dataclass(frozen=True, slots=True)
class _Proposed:
    """What a gallery found for a probe."""

    probe: Template
    gallery: Gallery | None
    found: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class AgreementInfo:
    """What a search needs of an agreement."""

    recipients: frozenset[str]


Kinds = Counter[tuple[Position, str]]  # how many templates a reference has of each position and format


def _kinds(reference: Reference) -> Kinds:
    return Counter((position, template.format) for position, template in reference.templates)


def _comparable(position: Position, template_format: str, kinds: Kinds) -> int:
    """With how many of these a search compares such a probe, as the galleries do."""
    fitting = (
        n
        for (p, f), n in kinds.items()
        if f == template_format and (p is position or Position.UNKNOWN in (p, position))
    )
    return sum(fitting)


def _entries(references: Iterable[Reference]) -> Iterator[Entry]:
    for reference in references:
        for position, template in reference.templates:
            yield Entry(reference.reference_id, position, template)


def _by_format(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.template.format, []).append(entry)
    return found


def _info(reference: Reference) -> ReferenceInfo:
    positions = tuple(position for position, _ in reference.templates)
    return ReferenceInfo(
        reference.reference_id, reference.agreement, reference.category, reference.expires_at, positions
    )


def _stored_info(row: Mapping[str, str], kinds: Sequence[tuple[Position, str]]) -> ReferenceInfo:
    expires_at = datetime.fromisoformat(row["expires_at"])
    positions, _ = zip(*kinds, strict=True) if kinds else ((), ())
    return ReferenceInfo(row["id"], row["agreement"], Category(row["category"]), expires_at, positions)


def _imported(reference_id: str, template: Template) -> Template:
    """As the list keeps it. TemplateError names the reference."""
    try:
        return imported(template)
    except TemplateError as error:
        raise TemplateError(f"{reference_id}: {error}") from error


def _as_kept(reference: Reference) -> Reference:
    kept = tuple((position, _imported(reference.reference_id, template)) for position, template in reference.templates)
    return replace(reference, templates=kept)


def _agreement_row(name: str, agreement: AgreementConfig) -> dict[str, str]:
    return {
        "id": name,
        "provider": agreement.provider,
        "purpose": agreement.purpose,
        "legal_basis": agreement.legal_basis,
        "recipients": json.dumps(agreement.recipients),
    }


def _reference_row(reference: Reference, revision: int) -> dict[str, str | int]:
    return {
        "id": reference.reference_id,
        "agreement": reference.agreement,
        "category": str(reference.category),
        "expires_at": reference.expires_at.isoformat(),
        "revision": revision,
    }


def _template_rows(reference: Reference) -> Iterable[dict[str, str | bytes]]:
    for position, template in reference.templates:
        yield {
            "reference": reference.reference_id,
            "position": str(position),
            "format": template.format,
            "data": template.data,
        }
