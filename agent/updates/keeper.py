"""The steps that keep the providers' lists: check for something new, hide, delete, report.

Whatever goes wrong in a step is reported, and the last good list goes on serving. A step is safe to interrupt: what
must be deleted, and the receipts that are owed for it, are stored with the change itself and are carried out after the
next start.
"""

import json
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from agent.clock import Clock
from agent.distribution.repository import ListRepository, Refreshed, Versions
from agent.errors import AgentError, StoreError
from agent.events.event import Event, ListReport, ListReportKind
from agent.hub.outbox import Outbox
from agent.storage.database import StoreDamaged
from agent.updates.segment_update import Applied, ListUpdate
from agent.watchlist.list_format import ListFormatError, Manifest
from agent.watchlist.receipt import MOST_IDS
from agent.watchlist.sealed_parts import SealPolicy
from agent.watchlist.segment import LOCAL, Segment
from agent.watchlist.store import StoredSegment, WatchlistStore
from agent.watchlist.table import seconds_of
from agent.watchlist.view import ListInMemory
from agent.watchlist.watchlist import DAMAGED, EXPECTED, TIME, VALID_UNTIL
from models.exchange.to_templates import RecordTemplates
from models.template import TemplateError

log = logging.getLogger(__name__)

STORE_TIME_S = 60.0  # how often trusted time is stored
ASKED_S = 10.0  # between two checks that a message of the broker asks for: anybody on it may send them
FLOOR = "metadata floor"  # the fact with the highest versions of signed metadata that were seen
CONFIRMED = "confirmed lists"  # the fact that says when each list was last as its provider has it
PENDING = "receipt "  # prefix of the facts that say what was deleted and not yet reported
EVERYTHING = ""  # the name under which a problem of all lists is kept

Json = dict[str, Any]


class Stopping(BaseException):
    """The kiosk is being stopped. What was begun is carried on, or undone, after the next start."""


# Given the trusted time and the highest versions seen. UpdateUnreachable if the source is not there.
OpenRepository = Callable[[datetime, Versions | None], ListRepository]
Sign = Callable[[str, int, Sequence[str], str, datetime], str]  # provider, revision, ids, reason, trusted time


@dataclass(frozen=True, slots=True)
class KeeperConfig:
    """When things are done. Without `open_repository` nothing is fetched; without `sign` receipts wait."""

    open_repository: OpenRepository | None
    sign: Sign | None
    check_every_s: float
    delete_after_s: float
    seal: SealPolicy = SealPolicy()  # noqa: RUF009 - it is frozen
    floor: str = FLOOR  # the name of the fact; another one for another root, whose versions count anew


class ListKeeper:
    """Owns the providers' segments. One thread."""

    def __init__(
        self,
        config: KeeperConfig,
        store: WatchlistStore,
        outbox: Outbox,
        in_memory: ListInMemory,
        clock: Clock,
        beat: Callable[[], None] = lambda: None,
        on_event: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._store = store
        self._outbox = outbox
        self._memory = in_memory
        store.give_way = self._step
        self._clock = clock
        self._beat = beat
        self._on_event = on_event
        self._records = RecordTemplates()
        self.automatic = True  # whether a tick checks when it is time for it
        self._tidy = False  # whether what an interrupted change has left was deleted
        self._next_check = 0.0
        self._last_check = -ASKED_S
        self._next_stored = 0.0
        self.problems: dict[str, str] = {}  # why a list could not be updated, by its name
        self.checked_at: datetime | None = None  # trusted time of the last check that succeeded

    def _step(self) -> None:
        """Between two steps of a change: say that there is progress, end if wanted, and let searches go first."""
        self._beat()
        self._memory.searches.give_way()

    def tick(self) -> None:
        """Hide and delete what has expired, send what is owed, store trusted time; check if it is time for it."""
        self._memory.clock.tick()
        self._memory.advance()
        for step in (self._delete_left_over, self._delete_expired, self._store_time, self.send_receipts):
            self._try(step)
        due = self._clock.monotonic() >= self._next_check
        if due and self.automatic and self._config.open_repository is not None:
            self.check()

    def _try(self, step: Callable[[], None]) -> None:
        """Do one step of a tick: an error of the store must not prevent the next one."""
        try:
            step()
        except StoreError as error:
            self._tidy = False
            self._note_problem(EVERYTHING, str(error))
            if isinstance(error, StoreDamaged):  # the next start writes the store again, from what can be read
                with suppress(StoreError):
                    self._store.commit(facts={DAMAGED: str(error)})

    def store_time(self) -> None:
        """Store trusted time now: at the end."""
        self._next_stored = 0.0
        self._store_time()

    def check_soon(self) -> None:
        """There may be something new: check at the next tick, but not again and again."""
        self._next_check = min(self._next_check, self._last_check + ASKED_S)

    def check(self) -> dict[str, str]:
        """Fetch what is new and apply it. Returns what was done, by list; problems are reported, not raised."""
        if self._config.open_repository is None:
            return {}
        self._last_check = self._clock.monotonic()
        self._next_check = self._last_check + self._config.check_every_s
        try:
            repository = self._config.open_repository(self._memory.clock.reference, self._floor())
            refreshed = repository.refresh()
            done = self._take_over(repository, refreshed)
        except Exception as error:  # noqa: BLE001 - whatever a repository has, travellers are served
            problem = _problem_of(error)
            self._note_problem(EVERYTHING, problem)
            self._tidy = False
            with suppress(StoreError):  # on a full disk it is tried again at each tick
                self._delete_left_over()
            return {EVERYTHING: problem}
        self.problems.pop(EVERYTHING, None)
        try:
            self.send_receipts()
        except StoreError as error:
            self._note_problem(EVERYTHING, str(error))
        return done

    def _take_over(self, repository: ListRepository, refreshed: Refreshed) -> dict[str, str]:
        """Apply the lists of a refreshed repository: each one whole, or not at all."""
        self._memory.clock.observe(refreshed.signed_at, refreshed.valid_until)
        # Also those that are on the disk and, damaged, not in memory: they must not come back.
        known = self._memory.view.segments.keys() | set(self._store.names())
        dropped = sorted(known - {LOCAL} - set(refreshed.providers))
        applied: list[Applied] = []
        confirmed: list[str] = []
        done: dict[str, str] = {}
        for provider in refreshed.providers:
            self._beat()
            try:
                if (new := self._apply(repository, provider)) is not None:
                    applied.append(new)
            except Exception as error:  # noqa: BLE001 - one provider's list must not stop the others
                self._tidy = False  # what was written of the list that is refused
                done[provider] = _problem_of(error)
                self._note_problem(provider, done[provider])
            else:
                self.problems.pop(provider, None)
                confirmed.append(provider)
                done[provider] = _described(new)
        for name in self.problems.keys() - {EVERYTHING} - set(refreshed.providers):
            self.problems.pop(name)
        self._commit(refreshed, applied, dropped, confirmed)
        self._store.delete_parts_of_others(refreshed.providers)
        self._delete_left_over()
        return done | dict.fromkeys(dropped, "no longer in the repository: removed")

    def _apply(self, repository: ListRepository, provider: str) -> Applied | None:
        """The new segment of a provider; None if nothing is new."""
        if provider == LOCAL:
            raise ListFormatError(f"a provider cannot have the name {LOCAL}")
        data = repository.manifest(provider)
        if data is None:
            return None  # it has not published yet
        update = ListUpdate(self._store, repository, provider, self._records, self._beat, seal=self._config.seal)
        manifest = update.read_manifest(data)
        before = self._memory.view.segments.get(provider)
        if before is not None and manifest.revision == before.segment.revision:
            self._store.delete_parts(provider)  # which a power cut after the last commit has left
            return None
        _refuse_older(manifest, before)
        return update.apply(manifest, before, seconds_of(self._memory.clock.now()))

    def _commit(
        self, refreshed: Refreshed, applied: Sequence[Applied], dropped: Sequence[str], confirmed: Sequence[str]
    ) -> None:
        """Switch to the new lists, with what is owed for them; then delete what they no longer have.

        `confirmed`: the lists that are now as their providers have them. The age of the whole is that of the oldest.
        """
        clock, view = self._memory.clock, self._memory.view
        gone = {one.stored.segment.name: one.withdrawn for one in applied}
        gone |= {name: view.segments[name].segment.table.ids for name in dropped if name in view.segments}
        revisions = {one.stored.segment.name: one.stored.segment.revision for one in applied}
        here = (view.segments.keys() | revisions.keys()) - {LOCAL} - set(dropped)
        expected = [name for name in refreshed.providers if name in here or name in self.problems]
        facts: dict[str, str | None] = {
            TIME: clock.state().text(),
            VALID_UNTIL: refreshed.valid_until.isoformat(),
            EXPECTED: " ".join(expected),
            self._config.floor: refreshed.versions.model_dump_json(),
        }
        for name, ids in gone.items():
            facts |= owed(name, revisions.get(name, 0), ids, "withdrawn")
        times = self._confirmations(expected) | dict.fromkeys(confirmed, refreshed.signed_at or clock.now())
        facts[CONFIRMED] = json.dumps({name: time.isoformat() for name, time in times.items()})
        signed_at = min(times.values(), default=refreshed.signed_at or clock.now())
        with self._memory.changing:
            revision = self._store.commit([one.stored for one in applied], dropped, facts, signed_at)
            self._memory.replace(
                [one.stored for one in applied],
                revision,
                dropped,
                signed_at,
                valid_until=refreshed.valid_until,
                missing=tuple(sorted(set(expected) - here)),
            )
        self.checked_at = clock.now()
        for name in (*revisions, *dropped):
            self._store.delete_unused(name)
            self._store.delete_parts(name)
        for one in applied:
            self._report_applied(one)

    def _floor(self) -> Versions | None:
        """The highest versions of metadata that were ever accepted, from the encrypted store."""
        text = self._store.facts().get(self._config.floor)
        return None if text is None else Versions.model_validate_json(text)

    def _confirmations(self, names: Sequence[str]) -> dict[str, datetime]:
        """When each of these lists was last known to be as its provider has it."""
        known = json.loads(self._store.facts().get(CONFIRMED, "{}"))
        return {name: datetime.fromisoformat(known[name]) for name in names if name in known}

    def _delete_left_over(self) -> None:
        """After a start or a failure: delete what a change has left. Receipts are owed for some of it."""
        if self._tidy:
            return
        if self._config.open_repository is None:
            self._forget_lists()
        for name in self._store.unused_segments():
            if name != LOCAL:
                self._store.delete_unused(name)
        # A log that was just emptied may be there again after a power cut, with what was deleted before.
        self._tidy = self._store.truncate_log()

    def _forget_lists(self) -> None:
        """No lists are configured any more: what is here of them could never expire or be withdrawn."""
        names = sorted(set(self._store.names()) - {LOCAL})
        if not names:
            return
        facts: dict[str, str | None] = {}
        for name in names:
            facts |= owed(name, 0, self._store.ids(name), "withdrawn")
        self._store.commit(dropped=names, facts=facts | {CONFIRMED: None, EXPECTED: None, VALID_UNTIL: None})
        log.warning("no lists of providers are configured: %s deleted", ", ".join(names))
        for name in names:
            self._store.delete_parts(name)

    def _delete_expired(self) -> None:
        """Delete from disk and memory what expired longer ago than the time of grace. Trusted time decides."""
        limit = seconds_of(self._memory.clock.now() - timedelta(seconds=self._config.delete_after_s))
        for name, stored in self._memory.view.segments.items():
            expired = stored.segment.table.expired(limit) if name != LOCAL else ()
            if not expired:
                continue
            # The revision is still that of the provider: the next delta fits.
            segment = stored.segment.changed(
                stored.segment.revision, removed=frozenset(expired), give_way=self._store.give_way
            )
            staged = self._store.stage(segment, stored)
            facts = {TIME: self._memory.clock.state().text()}
            with self._memory.changing:
                revision = self._store.commit([staged], facts=facts | owed(name, segment.revision, expired, "expired"))
                self._memory.replace([staged], revision)
            self._store.delete_unused(name)
            log.info("%d expired references of %s were deleted", len(expired), name)

    def verify(self) -> dict[str, str]:
        """Read every list from the disk again. What is damaged there is written again from memory."""
        results: dict[str, str] = {}
        for name, stored in self._memory.view.segments.items():
            problem = self._store.verify(name)
            results[name] = f"{len(stored.segment)} references, complete on disk and in memory"
            if problem and name == LOCAL:
                results[name] = f"damaged on the disk: {problem}; enrol these references again"
            elif problem:
                again = self._store.stage(stored.segment)
                with self._memory.changing:
                    self._memory.replace([again], self._store.commit([again]))
                self._store.delete_unused(name)
                log.error("the list %s was damaged on the disk and was written again from memory: %s", name, problem)
                results[name] = f"was damaged on the disk ({problem}); written again from memory"
        return results | dict.fromkeys(self._memory.view.missing, "missing: it is fetched again at the next check")

    def send_receipts(self) -> None:
        """Sign what was deleted, for the hub. What a crash or a full disk has left over is deleted first."""
        sign = self._config.sign
        pending = {name: text for name, text in self._store.facts().items() if name.startswith(PENDING)}
        if not pending or sign is None:
            return
        rows = {name: json.loads(text) for name, text in sorted(pending.items())}
        for provider in sorted({row["provider"] for row in rows.values()}):  # what a full disk has prevented
            self._store.delete_unused(provider)
            self._store.delete_parts(provider)
        self._store.truncate_log()
        for name, row in rows.items():
            now = self._memory.clock.now()
            kind = ListReportKind(row["reason"])
            receipt = sign(row["provider"], row["revision"], row["ids"], row["reason"], now)
            facts = {"revision": row["revision"], "removed": len(row["ids"]), "receipt": receipt}
            if not self._put(self._report(row["provider"], kind, **facts)):
                return  # the outbox is full: the receipt is still owed
            self._store.commit(facts={name: None})
            self._store.truncate_log()

    def _store_time(self) -> None:
        if (now := self._clock.monotonic()) >= self._next_stored:
            self._next_stored = now + STORE_TIME_S
            self._store.commit(facts={TIME: self._memory.clock.state().text()})

    def _note_problem(self, name: str, text: str) -> None:
        """Keep why a list was not updated, and tell the hub once."""
        if self.problems.get(name) == text:
            return
        self.problems[name] = text
        log.warning("the list %s was not updated: %s", name, text) if name else log.warning("lists: %s", text)
        known = self._memory.view.segments.get(name)
        revision = known.segment.revision if known is not None else 0
        self._put(self._report(name, ListReportKind.REFUSED, revision=revision, detail=text))

    def _report_applied(self, applied: Applied) -> None:
        segment = applied.stored.segment
        log.info("list %s: %s", segment.name, _described(applied))
        self._put(
            self._report(
                segment.name,
                ListReportKind.UPDATED,
                revision=segment.revision,
                previous_revision=applied.previous_revision,
                added=applied.added,
                removed=len(applied.withdrawn),
                refused=applied.refused,
                refused_count=applied.refused_count,
            )
        )

    def _report(self, provider: str, kind: ListReportKind, **fields: Any) -> ListReport:  # noqa: ANN401 - of the payload
        known = self._memory.view.segments.get(provider)
        clock = self._memory.clock
        return ListReport(
            provider=provider,
            kind=kind,
            references=len(known.segment) if known is not None else 0,
            trusted_time=clock.now(),
            clock_in_doubt=bool(clock.doubt),
            **fields,
        )

    def _put(self, report: ListReport) -> bool:
        """Put a report into the outbox; whether there was room."""
        try:
            self._outbox.put(Event.of(report, report.provider or "lists", self._clock.now()))
        except StoreError as error:
            log.warning("a report about %s was not stored: %s", report.provider or "all lists", error)
            return False
        self._on_event()
        return True


def owed(provider: str, revision: int, ids: Sequence[str], reason: str) -> dict[str, str | None]:
    """The facts that say which receipts are owed for deleted references."""
    return {
        f"{PENDING}{secrets.token_hex(8)}": json.dumps(
            {"provider": provider, "revision": revision, "ids": part, "reason": reason}
        )
        for part in _parts(ids)
    }


def _parts(ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), MOST_IDS):
        yield list(ids[start : start + MOST_IDS])


def _refuse_older(manifest: Manifest, before: StoredSegment | None) -> None:
    if before is not None and manifest.revision < before.segment.revision:
        raise ListFormatError(
            f"the list of {manifest.provider} went back from revision {before.segment.revision} to "
            f"{manifest.revision}: refused; the provider must publish a higher revision"
        )


def _problem_of(error: Exception) -> str:
    """What an operator is told. An error that is not one of ours is a fault of this program: the log has more of it."""
    if isinstance(error, AgentError | ListFormatError | TemplateError | OSError):
        return str(error)
    log.error("a list could not be used", exc_info=error)
    return f"{type(error).__name__}: a fault of the agent; the log has more of it"


def list_state(memory: ListInMemory, problems: Mapping[str, str], checked_at: datetime | None) -> Json:
    """What `kiosk-agent watchlist status` shows of the lists. Waits for nothing."""
    view, clock = memory.view, memory.clock
    now = clock.now()
    return {
        "revision": view.revision,
        "references": view.references,
        "confirmed_at": _text(view.confirmed_at),
        "checked_at": _text(checked_at),
        "valid_until": _text(view.valid_until),
        "list_expired": view.valid_until is not None and now > view.valid_until,
        "trusted_time": _text(now),
        "clock_doubt": clock.doubt,
        "memory_bytes": sum(segment.nbytes for segment in view),
        "missing": list(view.missing),
        "problems": dict(problems),
        "lists": [_list_state(segment) for segment in view],
    }


def _list_state(segment: Segment) -> Json:
    table = segment.table
    return {
        "name": segment.name,
        "revision": segment.revision,
        "references": segment.references,
        "hidden": len(segment) - segment.references,
        "not_reviewed": table.not_reviewed(segment.now),
        "categories": dict(table.categories()),
        "agreements": [asdict(one) | {"review_by": _text(one.review_by)} for one in table.used_agreements().values()],
    }


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _described(applied: Applied | None) -> str:
    if applied is None:
        return "nothing new"
    refused = f", {applied.refused_count} refused" if applied.refused_count else ""
    return (
        f"revision {applied.stored.segment.revision}, {len(applied.stored.segment)} references: "
        f"{applied.added} new, {len(applied.withdrawn)} removed{refused}"
    )
