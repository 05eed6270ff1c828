"""The references on disk and in memory: search, add, remove, expire. The tables are in agent/watchlist/store.py.

One thread owns a Watchlist. Deleted references are overwritten on disk (the stores' secure_delete) and the write-ahead
log is emptied, so that an expired reference is really erased. Galleries are immutable views of the store, which is not
encrypted yet.
"""

import itertools
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent.clock import Clock
from agent.config import AgreementConfig
from agent.errors import StoreError
from agent.events.event import ListConfirmed, ListState
from agent.storage.database import open_store, reading, writing
from agent.storage.encryption import StoreKey
from agent.watchlist.candidate import Candidate, CandidateList
from agent.watchlist.reference import (
    Reference,
    ReferenceInfo,
    TemplateCounts,
    count_comparable,
    entries_by_format,
    gallery_entries,
    reference_info,
    template_counts,
    with_imported_templates,
)
from agent.watchlist.store import MIGRATIONS, agreement_row, reference_info_from_row, reference_row, template_rows
from drivers.sample import Position
from models import gallery_class
from models.calibration import any_of, fuse, load_calibration
from models.encoder import Entry, Gallery
from models.template import Template

log = logging.getLogger(__name__)

# How many candidates each probe proposes before they are fused per reference.
CANDIDATES_PER_PROBE = 50
# How many templates are read from disk at a time, so that a long list is in memory only once.
LOAD_BATCH = 4096
POSITIONS = {str(position): position for position in Position}


class Watchlist:
    """The watchlist of this kiosk. Open it in the thread that uses it."""

    def __init__(self, path: Path, clock: Clock, *, key: StoreKey, identity: str = "", create: bool = True) -> None:
        self._clock = clock
        self._db = open_store(path, "watchlist", MIGRATIONS, key=key, identity=identity, create=create)
        self._galleries: dict[str, Gallery] = {}
        self._presearches: dict[Position, Presearch] = {}
        self._agreements: dict[str, AgreementInfo] = {}
        self._references: dict[str, ReferenceInfo] = {}
        self._template_counts: dict[str, TemplateCounts] = {}
        with reading(self._db):
            self._load()
        self.expire()

    def presearch(self, position: Position, probe: Template) -> None:
        """Search for one probe while another is awaited, so that the next search() already has its candidates.

        Does nothing if that is already done. The result is discarded after the next search() and with every change of
        the list.
        """
        self._presearches[position] = self._search_gallery(position, probe)

    def discard_presearches(self) -> None:
        """Discard the probes and results of presearch()."""
        self._presearches.clear()

    def search(self, probes: Mapping[Position, Template], limit: int) -> CandidateList:
        """The references most similar to all probes together, at most `limit`. Expired ones are removed first."""
        self.expire()
        scores: dict[str, dict[Position, float]] = {}
        rates: dict[str, dict[Position, float]] = {}
        for position, probe in probes.items():
            calibration = load_calibration(probe.format)
            for key, score in self._search_gallery(position, probe).found:
                scores.setdefault(key, {})[position] = score
                rates.setdefault(key, {})[position] = calibration.false_match_rate(score)
        self.discard_presearches()
        fused = {key: self._fused_rate(key, probes, rate) for key, rate in rates.items()}
        ranked = sorted(fused, key=lambda key: (fused[key], key))[:limit]
        found = tuple(self._candidate(key, scores[key], fused[key]) for key in ranked)
        state = self.state
        return CandidateList(found, len(self._references), state.revision, state.age_s)

    def add(self, reference: Reference, agreement: AgreementConfig) -> None:
        """Store a reference under its agreement and make it searchable. StoreError if its id is already on the list."""
        self.add_all([reference], agreement)

    def add_all(self, references: Sequence[Reference], agreement: AgreementConfig) -> None:
        """Store several references under one agreement: all of them, or none."""
        ids = [reference.reference_id for reference in references]
        known = next((one for one in ids if one in self._references), None)
        if known is not None or len(set(ids)) < len(ids):
            twice = known or next(one for one in ids if ids.count(one) > 1)
            raise StoreError(f"reference {twice} is already on the list: remove it first, or choose another id")
        if not references:
            return
        # An unreadable template is refused before anything is stored.
        references = [with_imported_templates(reference) for reference in references]
        galleries = self._galleries_with(entries_by_format(gallery_entries(references)))
        with writing(self._db) as db:
            for name in dict.fromkeys(reference.agreement for reference in references):
                self._store_agreement(agreement_row(name, agreement))
            revision = self._next_revision(confirmed=True)
            db.table("reference").insert_all(reference_row(reference, revision) for reference in references)
            db.table("template").insert_all(row for reference in references for row in template_rows(reference))
        for reference in references:
            self._agreements[reference.agreement] = AgreementInfo(frozenset(agreement.recipients))
            self._references[reference.reference_id] = reference_info(reference)
            self._template_counts[reference.reference_id] = template_counts(reference)
        self.discard_presearches()
        self._galleries = galleries

    def remove(self, reference_ids: Iterable[str]) -> tuple[str, ...]:
        """Delete references from disk and memory; returns the ids that were on the list."""
        gone = tuple(r for r in dict.fromkeys(reference_ids) if r in self._references)
        if not gone:
            return ()
        with writing(self._db) as db:
            for reference_id in gone:
                db.table("reference").delete(reference_id)
            db.execute("DELETE FROM agreement WHERE id NOT IN (SELECT agreement FROM reference)")
            self._next_revision(confirmed=False)
        with reading(self._db) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        for reference_id in gone:
            del self._references[reference_id], self._template_counts[reference_id]
        self.discard_presearches()
        self._galleries = {f: g.changed((), frozenset(gone)) for f, g in self._galleries.items()}
        return gone

    def expire(self) -> tuple[str, ...]:
        """Remove expired references; returns their ids."""
        now = self._clock.now()
        due = [r.reference_id for r in self._references.values() if r.expires_at <= now]
        gone = self.remove(due)
        if gone:
            log.info("%d expired references removed from the watchlist", len(gone))
        return gone

    def recipients(self, agreement: str) -> frozenset[str]:
        """Who may receive a candidate under this agreement; empty if the agreement is unknown."""
        known = self._agreements.get(agreement)
        return known.recipients if known else frozenset()

    def __contains__(self, reference_id: str) -> bool:
        """Whether a reference of this id is on the list."""
        return reference_id in self._references

    def references(self) -> Sequence[ReferenceInfo]:
        """All references of the list, as far as they may be shown."""
        return tuple(self._references.values())

    @property
    def state(self) -> ListState:
        """The revision, and the seconds since a provider last added to the list or confirmed it."""
        known = self.confirmed
        if known.confirmed_at is None:
            return ListState(revision=known.revision, age_s=None)
        # If the clock was set back, the age must not become negative.
        age = max(0.0, (self._clock.now() - known.confirmed_at).total_seconds())
        return ListState(revision=known.revision, age_s=age)

    @property
    def confirmed(self) -> ListConfirmed:
        """The revision, and when a provider last added to the list or confirmed it."""
        with reading(self._db) as db:
            row = db.table("list").get(1)
        time = row["confirmed_at"]
        return ListConfirmed(
            revision=row["revision"], confirmed_at=None if time is None else datetime.fromisoformat(time)
        )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _fused_rate(self, key: str, probes: Mapping[Position, Template], rates: Mapping[Position, float]) -> float:
        """The false match rate of all probes that the reference can be compared with.

        A probe that did not find the reference counts against it, with rate 1. A finger or eye that the reference does
        not have is not counted. A probe that is compared with several templates has that many chances of a false match.
        """
        stored = self._template_counts[key]
        counts = {p: count_comparable(p, probe.format, stored) for p, probe in probes.items()}
        return fuse([any_of(rates.get(position, 1.0), count) for position, count in counts.items() if count])

    def _search_gallery(self, position: Position, probe: Template) -> "Presearch":
        gallery = self._galleries.get(probe.format)
        known = self._presearches.get(position)
        if known is not None and known.probe == probe and known.gallery is gallery:
            return known
        return Presearch(
            probe, gallery, tuple(gallery.search(probe, position, CANDIDATES_PER_PROBE)) if gallery else ()
        )

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

    def _next_revision(self, *, confirmed: bool) -> int:
        """Store and return the next revision. Removal or expiry of references does not confirm the others."""
        revision = int(self._db.table("list").get(1)["revision"]) + 1
        now = {"confirmed_at": self._clock.now().isoformat()} if confirmed else {}
        self._db.table("list").update(1, {"revision": revision, **now})
        return revision

    def _store_agreement(self, row: dict[str, str]) -> None:
        """Store the agreement. StoreError if its terms differ: they would change for references already on the list."""
        known = list(self._db.table("agreement").rows_where("id = ?", [row["id"]]))
        if not known:
            self._db.table("agreement").insert(row)
        elif known[0] != row:
            remedy = "remove its references first, or use another name"
            raise StoreError(f"agreement {row['id']} is on this list with other terms: {remedy}")

    def _load(self) -> None:
        for row in self._db.table("agreement").rows:
            self._agreements[row["id"]] = AgreementInfo(frozenset(json.loads(row["recipients"])))
        loaded = {row["id"]: row for row in self._db.table("reference").rows}
        kinds: dict[str, list[tuple[Position, str]]] = {name: [] for name in loaded}
        rows = self._db.execute("SELECT reference, position, format, data FROM template")
        # All entries of a reference share the text of its id.
        stored = (Entry(loaded[r]["id"], POSITIONS[p], Template(f, d)) for r, p, f, d in rows)
        for part in iter(lambda: list(itertools.islice(stored, LOAD_BATCH)), []):
            for entry in part:
                kinds[entry.key].append((entry.position, entry.template.format))
            self._galleries = self._galleries_with(entries_by_format(part))
        self._template_counts = {name: Counter(several) for name, several in kinds.items()}
        self._references = {name: reference_info_from_row(row, kinds[name]) for name, row in loaded.items()}


@dataclass(frozen=True, slots=True)
class Presearch:
    """The candidates that a gallery found for a probe."""

    probe: Template
    gallery: Gallery | None
    found: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class AgreementInfo:
    """What a search needs of an agreement."""

    recipients: frozenset[str]
