"""From a provider's signed list to a segment: which parts are needed, what they change, and what is refused.

The new segment is written to disk beside the old one while searches go on in the old one. Nothing is visible before the
updater commits it. A part that was downloaded is kept, encrypted, until the list is applied, so that an interrupted
update does not fetch it again.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from agent.distribution.repository import PartInfo
from agent.events.event import RefusedReference
from agent.storage.free_space import check_disk, check_memory
from agent.watchlist.list_format import (
    MOST_PART_BYTES,
    AgreementTerms,
    Confirm,
    Delta,
    ListEntry,
    ListFormatError,
    Manifest,
    PartLine,
    PartSet,
    Put,
    Refused,
    Snapshot,
    Withdraw,
    parse_manifest,
    read_part,
)
from agent.watchlist.reference import (
    Agreement,
    ListedReference,
    Period,
    Terms,
    entries_by_format,
    gallery_entries,
    with_imported_templates,
)
from agent.watchlist.sealed_parts import KEYS, KEYS_BYTES, ContentKeys, SealPolicy, open_keys
from agent.watchlist.segment import AnyGallery, Segment
from agent.watchlist.store import StoredSegment, WatchlistStore, gallery_of_blocks
from agent.watchlist.table import Confirmation, ReferenceTable, Row, row_of
from drivers.printable import printable
from models import gallery_class, packed_size
from models.encoder import Entry
from models.exchange.to_templates import RecordTemplates
from models.gallery import BLOCK
from models.template import TemplateError

log = logging.getLogger(__name__)

LINES_A_STEP = 16  # of a part, between two looks whether a search runs: 20 ms of work

# What a template of the list becomes on the kiosk.
STORED_AS = {
    "finger-minutiae/1": "finger-minutiae/2",
    "finger-minutiae/2": "finger-minutiae/2",
    "iso19794-2": "finger-minutiae/2",
    "iris-code/1": "iris-code/1",
    "iso19794-6": "iris-code/1",
}


class PartSource(Protocol):
    """Where the parts of a list come from: a repository whose signatures were checked."""

    def target_info(self, provider: str, name: str) -> PartInfo:
        """What is signed about a part."""

    def fetch_part(self, provider: str, name: str) -> bytes:
        """The bytes of a part, as the provider has signed them. UpdateRefused says why there are none."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A list that is on disk and not yet searched, and what the hub is told of it."""

    stored: StoredSegment
    previous_revision: int
    added: int
    withdrawn: tuple[str, ...]  # the ids that are not on the new list
    refused: tuple[RefusedReference, ...]
    refused_count: int


@dataclass(slots=True)
class _Changes:
    """What the parts say, in their order."""

    put: dict[str, ListedReference] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    confirmed: dict[str, Confirmation] = field(default_factory=dict)


class Refusals:
    """The entries of a list that were refused: the first ones by name, and their number."""

    NAMED = 100

    def __init__(self) -> None:
        self.named: list[RefusedReference] = []
        self.count = 0

    def copy(self) -> "Refusals":
        """Others, with the same content."""
        made = Refusals()
        made.named, made.count = list(self.named), self.count
        return made

    def add(self, reference_id: str, reason: str) -> None:
        """Note one."""
        self.count += 1
        if len(self.named) < self.NAMED:
            name, why = printable(reference_id)[:64], printable(reason)[:200]
            self.named.append(RefusedReference(reference_id=name, reason=why))


class ListUpdate:
    """Makes the segment of one provider from its manifest and parts. One update, in the updater's thread."""

    def __init__(
        self,
        store: WatchlistStore,
        source: PartSource,
        provider: str,
        records: RecordTemplates,
        on_progress: Callable[[], None] = lambda: None,
        *,
        seal: SealPolicy,
    ) -> None:
        self._store = store
        self._source = source
        self._provider = provider
        self._records = records
        self._on_progress = on_progress
        self._seal = seal
        self._content_keys: ContentKeys | None = None  # None: the list is not encrypted
        self._refusals = Refusals()
        self._kept: dict[str, str] = {}  # the name in the store of each part
        self._lacks = False  # whether a delta confirms a reference that was deleted here, or refused

    def read_manifest(self, data: bytes) -> Manifest:
        """The manifest of this provider. ListFormatError if it is not one, or of another provider."""
        manifest = parse_manifest(data)
        if manifest.provider != self._provider:
            raise ListFormatError(f"the manifest of {self._provider} is one of {printable(manifest.provider)}")
        return manifest

    def apply(self, manifest: Manifest, before: StoredSegment | None, now: int) -> Applied:
        """The new segment, written to disk. StoreError if there is not enough room on the disk or in memory.

        ListFormatError if this kiosk cannot read the list, or takes only encrypted ones.
        """
        self._content_keys = self._fetch_keys(manifest)
        for one in manifest.refused_agreements:
            self._refusals.add(one.reference_id, f"agreement: {one.reason}")
        agreements = {one.id: agreement_of(one) for one in manifest.agreements}
        known = before if before is not None and not _allow_more(agreements, before.segment.table.agreements) else None
        refused = self._refusals.copy()
        stored = self._changed(manifest, known, agreements, now)
        if known is not None and self._lacks:
            log.info("the list of %s confirms references that are not here: its snapshot is taken", self._provider)
            self._refusals = refused
            stored = self._changed(manifest, None, agreements, now)
        return self._applied(before, stored)

    def _changed(
        self, manifest: Manifest, before: StoredSegment | None, agreements: Mapping[str, Agreement], now: int
    ) -> StoredSegment:
        """What follows from `before`, or from nothing. `_lacks` says whether a delta needs what is not there."""
        snapshot, deltas = changes_to(manifest, before.segment.revision if before is not None else None)
        changes: list[PartSet] = [*([snapshot] if snapshot else []), *deltas]
        # Under its hash, so that a part of the same name and other content is another part.
        self._kept = {
            name: self._source.target_info(self._provider, name).sha256 for change in changes for name in change.parts
        }
        self._store.delete_parts(self._provider, keep=self._kept.values())
        self._check_room(manifest, changes)
        for name in self._kept:
            self._fetch(name)
        stored = before if snapshot is None else self._snapshot(snapshot, agreements, now)
        assert stored is not None  # without a list, changes_to() gives the snapshot
        self._lacks = False
        if deltas or snapshot is None:
            stored = self._delta(manifest.revision, deltas, agreements, stored)
        return stored

    def _applied(self, before: StoredSegment | None, stored: StoredSegment) -> Applied:
        old = before.segment.table if before is not None else ReferenceTable.of((), {})
        new = stored.segment.table
        gone: list[str] = []
        for start in range(0, len(old), BLOCK):
            self._store.give_way()
            gone += (one for one in old.ids[start : start + BLOCK] if new.find(one) is None)
        added = len(new) - (len(old) - len(gone))
        previous = before.segment.revision if before is not None else 0
        return Applied(stored, previous, added, tuple(gone), tuple(self._refusals.named), self._refusals.count)

    def _check_room(self, manifest: Manifest, changes: Iterable[PartSet]) -> None:
        """Refuse before anything is loaded what cannot fit. A new segment is in memory beside the old one."""
        counts = manifest.snapshot.templates.items()
        size = sum(packed_size(STORED_AS[name], count) for name, count in counts if name in STORED_AS)
        check_memory(size, f"the list of {self._provider}")
        check_disk(self._store.folder, size + sum(change.bytes for change in changes), f"the list of {self._provider}")

    def _fetch_keys(self, manifest: Manifest) -> ContentKeys | None:
        """The content keys of an encrypted list; None if it is not encrypted."""
        if not manifest.sealed:
            if self._seal.required:
                raise ListFormatError(
                    f"the list of {self._provider} is not encrypted, and this kiosk takes only lists that are "
                    "(watchlist.require_sealed)"
                )
            return None
        if self._seal.list_key is None:
            raise ListFormatError(f"the list of {self._provider} is encrypted, and only the daemon has the list key")
        if (length := self._source.target_info(self._provider, KEYS).length) > KEYS_BYTES:
            raise ListFormatError(f"{KEYS} has {length} bytes; at most {KEYS_BYTES} are read")
        return open_keys(self._source.fetch_part(self._provider, KEYS), self._seal.list_key, self._provider)

    def _fetch(self, name: str) -> None:
        """Fetch a part, unless an earlier update that was interrupted has kept it."""
        if not self._store.has_part(self._provider, self._kept[name]):
            data = self._source.fetch_part(self._provider, name)
            self._store.keep_part(self._provider, self._kept[name], data)
        self._on_progress()

    def _snapshot(self, snapshot: Snapshot, agreements: Mapping[str, Agreement], now: int) -> StoredSegment:
        """A segment from nothing. Its blocks are written as they become full, so it is in memory once."""
        builder = _Builder(self._store, self._provider)
        for line in self._lines(snapshot):
            if not isinstance(line, Put):
                self._refuse(line, "a snapshot has entries only")
            elif line.entry.reference_id in builder.ids:
                self._refusals.add(line.entry.reference_id, "twice in the list")
            elif (reference := self._listed(line.entry, agreements)) is not None:
                builder.add(reference)
        return builder.finish(snapshot.revision, agreements, now)

    def _delta(
        self, revision: int, deltas: Sequence[Delta], agreements: Mapping[str, Agreement], before: StoredSegment
    ) -> StoredSegment:
        changes = _Changes()
        for delta in deltas:
            for line in self._lines(delta):
                self._collect(line, changes, before.segment, agreements)
        # What stands under an agreement that has ended is withdrawn too.
        changes.removed |= set(before.segment.table.outside(agreements)) - changes.put.keys()
        segment = before.segment.changed(
            revision,
            list(changes.put.values()),
            frozenset(changes.removed),
            changes.confirmed,
            agreements,
            self._store.give_way,
        )
        return self._store.stage(segment, before)

    def _collect(self, line: PartLine, changes: _Changes, known: Segment, agreements: Mapping[str, Agreement]) -> None:
        """Note what a line changes. A line that is refused removes the reference that it names."""
        if isinstance(line, Confirm):
            self._confirm(line, changes, known)
            return
        reference = self._listed(line.entry, agreements) if isinstance(line, Put) else None
        name = line.entry.reference_id if isinstance(line, Put) else line.reference_id
        changes.confirmed.pop(name, None)
        changes.put.pop(name, None)
        if reference is not None:
            changes.put[name] = reference
        else:
            changes.removed.add(name)
        if isinstance(line, Refused):
            self._refuse(line, line.reason)

    def _confirm(self, line: Confirm, changes: _Changes, known: Segment) -> None:
        name, confirmation = line.reference_id, Confirmation(line.review_by, line.expires_at)
        if name in changes.put:
            changes.put[name] = _confirmed(changes.put[name], confirmation)
        elif name not in changes.removed and known.table.find(name) is not None:
            earlier = changes.confirmed.get(name)
            expires_at = confirmation.expires_at or (earlier.expires_at if earlier else None)
            changes.confirmed[name] = Confirmation(confirmation.review_by, expires_at)
        else:
            self._lacks = self._lacks or name not in changes.removed
            self._refusals.add(name, "confirmed, but not on this list")

    def _lines(self, parts: PartSet) -> Iterator[PartLine]:
        for name in parts.parts:
            # The manifest's figures are the provider's word: what it brings must fit whatever they say.
            check_memory(MOST_PART_BYTES, f"the next part of the list of {self._provider}")
            data = self._store.part(self._provider, self._kept[name])
            assert data is not None  # it was just kept, encrypted as it came
            lines = read_part(data if self._content_keys is None else self._content_keys.open(data))
            for number, line in enumerate(lines):
                if number % LINES_A_STEP == 0:
                    self._store.give_way()
                yield line
            self._on_progress()

    def _refuse(self, line: Withdraw | Confirm | Refused, reason: str) -> None:
        self._refusals.add(line.reference_id, line.reason if isinstance(line, Refused) else reason)

    def _listed(self, entry: ListEntry, agreements: Mapping[str, Agreement]) -> ListedReference | None:
        """The reference of an entry; None if it is refused."""
        if entry.agreement not in agreements:
            self._refusals.add(entry.reference_id, f"agreement: the list has no agreement {entry.agreement}")
            return None
        try:
            return with_imported_templates(listed_of(entry, self._records))
        except TemplateError as error:
            self._refusals.add(entry.reference_id, f"templates: {error}")
            return None


class _Builder:
    """Makes a segment reference by reference; a block is written to disk when it is full."""

    def __init__(self, store: WatchlistStore, provider: str) -> None:
        self._store = store
        self._provider = provider
        self._rows: list[Row] = []
        self._waiting: dict[str, list[Entry]] = {}
        self._blocks: dict[str, list[Any]] = {}
        self._blobs: dict[str, list[int]] = {}
        self.ids: set[str] = set()

    def add(self, reference: ListedReference) -> None:
        """Add a reference; its templates are in the formats of this release."""
        self.ids.add(reference.reference_id)
        self._rows.append(row_of(reference))
        for name, entries in entries_by_format(gallery_entries([reference])).items():
            waiting = self._waiting.setdefault(name, [])
            waiting += entries
            if len(waiting) >= BLOCK:
                self._write(name, waiting[:BLOCK])
                del waiting[:BLOCK]

    def finish(self, revision: int, agreements: Mapping[str, Agreement], now: int) -> StoredSegment:
        """The segment, on disk."""
        for name, waiting in self._waiting.items():
            if waiting:
                self._write(name, waiting)
        galleries: dict[str, AnyGallery] = {
            name: gallery_of_blocks(name, blocks) for name, blocks in self._blocks.items()
        }
        table = ReferenceTable.of_rows(self._rows, agreements)
        segment = Segment(self._provider, revision, table, galleries, now)
        return self._store.stage_blocks(segment, {name: tuple(blobs) for name, blobs in self._blobs.items()})

    def _write(self, name: str, entries: list[Entry]) -> None:
        kind: Any = gallery_class(name)
        block = kind.block_of(entries)
        self._blocks.setdefault(name, []).append(block)
        self._blobs.setdefault(name, []).append(self._store.put_block(self._provider, block))


def changes_to(manifest: Manifest, revision: int | None) -> tuple[Snapshot | None, tuple[Delta, ...]]:
    """What leads to the revision of a manifest: deltas from the revision that is here, or the snapshot and its deltas.

    Deltas that are together larger than the snapshot are no gain.
    """
    whole = manifest.deltas_from(manifest.snapshot.revision) or ()
    size = manifest.snapshot.bytes + sum(delta.bytes for delta in whole)
    deltas = manifest.deltas_from(revision) if revision is not None else None
    if deltas is not None and sum(delta.bytes for delta in deltas) <= size:
        return None, deltas
    return manifest.snapshot, whole


def _allow_more(agreements: Mapping[str, Agreement], before: Mapping[str, Agreement]) -> bool:
    """Whether what expired here, or was refused, under the agreements of before may stand under those of now.

    No delta says it again: the snapshot has it.
    """
    return any(name not in before or _keep_days(one) > _keep_days(before[name]) for name, one in agreements.items())


def _keep_days(agreement: Agreement) -> float:
    return math.inf if agreement.keep_days is None else agreement.keep_days


def agreement_of(terms: AgreementTerms) -> Agreement:
    """An agreement of a manifest."""
    return Agreement(
        terms.id,
        terms.provider,
        terms.purpose,
        terms.legal_basis,
        terms.necessity,
        tuple(terms.recipients),
        terms.keep_days,
        terms.review_by,
    )


def listed_of(entry: ListEntry, records: RecordTemplates) -> ListedReference:
    """The reference of an entry. TemplateError if a template cannot be read."""
    terms = Terms(entry.agreement, entry.category, entry.instruction, entry.necessity, entry.recipients)
    period = Period(entry.not_before, entry.expires_at, entry.review_by, entry.listed_at)
    templates = tuple(made for one in entry.templates for made in records.read(one.format, one.position, one.data))
    return ListedReference(entry.reference_id, terms, period, templates)


def _confirmed(reference: ListedReference, confirmation: Confirmation) -> ListedReference:
    period = reference.period._replace(review_by=confirmation.review_by)
    if confirmation.expires_at is not None:
        period = period._replace(expires_at=confirmation.expires_at)
    return replace(reference, period=period)
