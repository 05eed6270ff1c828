"""The watchlist as the lane uses it: search all lists, change the local one.

The view that is searched is shared with the updater (agent/updates/updater.py), which puts another in its place. The
handle on the store belongs to the thread that opened it.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from agent.clock import Clock
from agent.config import AgreementConfig, PolicyConfig
from agent.errors import StoreError
from agent.events.event import ListConfirmed, ListState
from agent.storage.database import StoreFull, set_aside
from agent.storage.encryption import StoreKey
from agent.storage.owned_files import sync
from agent.watchlist.candidate import CandidateList
from agent.watchlist.reference import (
    Reference,
    ReferenceInfo,
    listed,
    local_agreement,
    with_imported_templates,
)
from agent.watchlist.segment import LOCAL
from agent.watchlist.store import StoredSegment, WatchlistStore, open_watchlist_store
from agent.watchlist.trusted_time import StoredTime, TrustedClock
from agent.watchlist.view import Hit, ListInMemory, View, local_segment
from drivers.sample import Position
from models.template import Template

log = logging.getLogger(__name__)

TIME = "trusted time"  # the fact that has the trusted time
VALID_UNTIL = "valid until"  # the fact that says when the signatures of the providers' lists expire
DAMAGED = "damaged"  # the fact that says what of the store cannot be read any more
EXPECTED = "expected lists"  # the fact with the names of the providers' lists, one a line


@dataclass(frozen=True, slots=True)
class Presearch:
    """The references that the segments of a view found for a probe."""

    probe: Template
    view: View
    found: tuple[Hit, ...]


class Watchlist:
    """The lane's handle. With `shared` it uses a list that is already in memory, else it loads the list."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        key: StoreKey,
        identity: str = "",
        create: bool = True,
        policy: PolicyConfig | None = None,
        providers: bool = False,
        shared: ListInMemory | None = None,
    ) -> None:
        """`providers`: the lists of providers are configured; without any of them the kiosk then clears nobody."""
        self._policy = policy or PolicyConfig()
        self._store = open_watchlist_store(path, key=key, identity=identity, create=create)
        self._presearches: dict[Position, Presearch] = {}
        try:
            self.in_memory = shared or load_list(self._store, clock, self._policy, providers=providers)
        except BaseException:
            self._store.close()
            raise
        if shared is None:
            self.expire()

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def presearch(self, position: Position, probe: Template) -> None:
        """Search for one probe while another is awaited, so that the next search() already has its candidates.

        Does nothing if that is already done. The result is discarded after the next search() and with every change of
        the list.
        """
        with self.in_memory.searches.search():
            self._presearches[position] = self._searched(self.in_memory.view, position, probe)

    def discard_presearches(self) -> None:
        """Discard the probes and results of presearch()."""
        self._presearches.clear()

    def search(self, probes: Mapping[Position, Template], limit: int) -> CandidateList:
        """The references most similar to all probes together, at most `limit`, and the state of the list."""
        view, clock = self.in_memory.view, self.in_memory.clock
        with self.in_memory.searches.search():
            hits = {position: self._searched(view, position, probe).found for position, probe in probes.items()}
            self.discard_presearches()
            now = clock.now()
            found = view.candidates(probes, hits, limit, now)
        expired = view.valid_until is not None and now > view.valid_until
        allowed = timedelta(hours=self._policy.expired_list_hours)
        return CandidateList(
            found,
            view.references,
            view.revision,
            _age(view, now),
            clock_in_doubt=bool(clock.doubt),
            list_expired=expired,
            list_unusable=view.valid_until is not None and now > view.valid_until + allowed,
            list_incomplete=bool(view.missing),
        )

    def add(self, reference: Reference, agreement: AgreementConfig) -> None:
        """Add a reference to the local list. StoreError if its id is already on the list."""
        self.add_all([reference], agreement)

    def add_all(self, references: Sequence[Reference], agreement: AgreementConfig) -> None:
        """Add several references under one agreement to the local list: all of them, or none."""
        ids = [reference.reference_id for reference in references]
        known = next((one for one in ids if one in self), None)
        if known is not None or len(set(ids)) < len(ids):
            twice = known or next(one for one in ids if ids.count(one) > 1)
            raise StoreError(f"reference {twice} is already on the list: remove it first, or choose another id")
        if not references:
            return
        # An unreadable template is refused before anything is stored.
        put = [with_imported_templates(listed(reference)) for reference in references]
        before = local_segment(self.in_memory.view, self.in_memory.clock.now())
        agreements = before.segment.table.used_agreements()
        for name in dict.fromkeys(reference.agreement for reference in references):
            new = local_agreement(name, agreement)
            if agreements.setdefault(name, new) != new:
                remedy = "remove its references first, or use another name"
                raise StoreError(f"agreement {name} is on this list with other terms: {remedy}")
        segment = before.segment.changed(before.segment.revision + 1, put, agreements=agreements)
        self._switch_local(self._store.stage(segment, before), confirmed=True)

    def remove(self, reference_ids: Iterable[str]) -> tuple[str, ...]:
        """Delete references of the local list from disk and memory; returns the ids that were on it."""
        before = local_segment(self.in_memory.view, self.in_memory.clock.now())
        gone = tuple(one for one in dict.fromkeys(reference_ids) if before.segment.table.find(one) is not None)
        if not gone:
            return ()
        segment = before.segment.changed(before.segment.revision + 1, removed=frozenset(gone))
        self._switch_local(self._store.stage(segment, before), confirmed=False)
        self._store.delete_unused(LOCAL)
        self._store.truncate_log()
        return gone

    def expire(self) -> tuple[str, ...]:
        """Hide what has expired; delete it from the local list. Returns the deleted ids."""
        self.in_memory.advance()
        now = int(self.in_memory.clock.now().timestamp())
        local = self.in_memory.view.segments.get(LOCAL)
        gone = self.remove(local.segment.table.expired(now)) if local is not None else ()
        if gone:
            log.info("%d expired references removed from the watchlist", len(gone))
        return gone

    def __contains__(self, reference_id: str) -> bool:
        """Whether a reference of this id is on the list."""
        return any(True for _ in self.in_memory.view.find(reference_id))

    def references(self) -> Sequence[ReferenceInfo]:
        """All references of the list, as far as they may be shown."""
        return tuple(info for segment in self.in_memory.view for info in segment.table.infos(segment.now))

    def local_references(self) -> Sequence[ReferenceInfo]:
        """The references of the local list."""
        segment = local_segment(self.in_memory.view, self.in_memory.clock.now()).segment
        return tuple(segment.table.infos(segment.now))

    @property
    def state(self) -> ListState:
        """The revision, and the seconds since a provider last confirmed the list."""
        view = self.in_memory.view
        return ListState(revision=view.revision, age_s=_age(view, self.in_memory.clock.now()))

    @property
    def confirmed(self) -> ListConfirmed:
        """The revision, and when a provider last confirmed the list."""
        view = self.in_memory.view
        return ListConfirmed(revision=view.revision, confirmed_at=view.confirmed_at)

    def _searched(self, view: View, position: Position, probe: Template) -> Presearch:
        known = self._presearches.get(position)
        if known is not None and known.probe == probe and known.view is view:
            return known
        return Presearch(probe, view, view.hits(position, probe))

    def _switch_local(self, changed: StoredSegment, *, confirmed: bool) -> None:
        now = self.in_memory.clock.now()
        # Where providers' lists are used, only their signatures confirm a list.
        at = now if confirmed and self.in_memory.view.valid_until is None else None
        with self.in_memory.changing:
            revision = self._store.commit([changed], facts={TIME: self.in_memory.clock.state().text()}, confirmed_at=at)
            self.in_memory.replace([changed], revision, confirmed_at=at)
        self.discard_presearches()


def load_list(store: WatchlistStore, clock: Clock, policy: PolicyConfig, *, providers: bool) -> ListInMemory:
    """The list of a store, in memory, without damaged segments.

    Deletes what an interrupted change of the local list has left. The updater does that for the providers' lists, which
    may be long.
    """
    facts = store.facts()
    trusted = TrustedClock(clock, StoredTime.of_text(facts[TIME]) if TIME in facts else None)
    trusted.tick()
    store.delete_unused(LOCAL)
    with suppress(StoreFull):  # a power cut may have brought a log back, with what was deleted before
        store.truncate_log()
    loaded = store.load(int(trusted.now().timestamp()))
    for name, reason in loaded.unusable.items():
        log.error("the list %s is not searched: %s", name, reason)
    revision, confirmed_at = store.state()
    expected = set(facts.get(EXPECTED, "").split()) if providers else set()
    segments = {stored.segment.name: stored for stored in loaded.segments if providers or stored.segment.name == LOCAL}
    missing = (expected | loaded.unusable.keys()) - segments.keys()
    if providers and not expected:
        missing.add("(none fetched yet)")
    valid_until = datetime.fromisoformat(facts[VALID_UNTIL]) if providers and VALID_UNTIL in facts else None
    view = View(segments, revision, confirmed_at, valid_until, tuple(sorted(missing)), policy.swapped_positions)
    return ListInMemory(trusted, view.at(trusted.now()), damaged=DAMAGED in facts or loaded.damaged)


def rebuild_store(path: Path, memory: ListInMemory, *, key: StoreKey, identity: str) -> None:
    """Write the store again with what is in memory: pages that cannot be read can neither be used nor deleted.

    Call it when no handle is open. The old file is deleted when the new one is complete.
    """
    made = path.with_name(f"{path.name}.rebuilt")
    for part in ("-wal", "-shm", ""):
        made.with_name(made.name + part).unlink(missing_ok=True)
    with open_watchlist_store(path, key=key, identity=identity, create=False) as old:
        facts, (revision, confirmed_at) = old.facts(), old.state()
    with open_watchlist_store(made, key=key, identity=identity) as new:
        staged = [new.stage(stored.segment) for stored in memory.view.segments.values()]
        new.commit(staged, facts={name: text for name, text in facts.items() if name != DAMAGED})
        new.restore_state(revision, confirmed_at)
    aside = set_aside(path)
    made.rename(path)
    sync(path.parent)
    for part in ("-wal", "-shm", "-journal", ""):
        aside.with_name(aside.name + part).unlink(missing_ok=True)


def _age(view: View, now: datetime) -> float | None:
    """Seconds since the list was last confirmed. Trusted time does not go back, but may begin earlier than a list."""
    if view.confirmed_at is None:
        return None
    return max(0.0, (now - view.confirmed_at).total_seconds())
