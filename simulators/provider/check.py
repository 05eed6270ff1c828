"""Checks a published repository as a kiosk would, with the agent's own client, and compares what belongs together."""

import hashlib
import ssl
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from agent.distribution.refusal import UpdateRefused
from agent.distribution.repository import ListRepository, Refreshed
from agent.distribution.source import open_source
from agent.keys import ListKey
from agent.watchlist.list_format import (
    Confirm,
    Delta,
    ListEntry,
    ListFormatError,
    Manifest,
    PartLine,
    PartSet,
    Put,
    Refused,
    Withdraw,
    parse_manifest,
    read_part,
)
from agent.watchlist.sealed_parts import KEYS, ContentKeys, open_keys, readers_of

SHOWN = 20  # problems of a list that are kept with their text

Stepped = Callable[[str, int, int], None]  # what is read, parts done, parts in all


def no_step(_what: str, _done: int, _total: int) -> None:
    """No progress bar."""


@dataclass(slots=True)
class ListReport:
    """The list of one provider. A warning does not stop a kiosk; a problem is an error of the provider."""

    provider: str
    revision: int = 0
    published_at: datetime | None = None
    entries: int = 0
    templates: Counter[str] = field(default_factory=Counter)
    deltas: int = 0
    readers: int | None = None  # kiosks for which it is encrypted; None: it is not
    unread: bool = False  # its entries were not read, for want of a list key
    expired: int = 0
    unreviewed: int = 0
    problems: list[str] = field(default_factory=list)
    more_problems: int = 0

    def add(self, problem: str) -> None:
        """Keep a problem, or count it."""
        if len(self.problems) < SHOWN:
            self.problems.append(problem)
        else:
            self.more_problems += 1


@dataclass(frozen=True, slots=True)
class Report:
    """A repository that a kiosk accepts, and its lists."""

    refreshed: Refreshed
    lists: list[ListReport]

    @property
    def good(self) -> bool:
        """Whether no list has a problem."""
        return not any(one.problems for one in self.lists)


def check(
    source: str,
    root: bytes,
    now: datetime,
    *,
    tls: ssl.SSLContext | None = None,
    list_key: ListKey | None = None,
    step: Stepped = no_step,
) -> Report:
    """Everything that is published at a folder or an address, verified. UpdateRefused if a kiosk would refuse it all.

    What a kiosk would refuse of one list is a problem of that list. The entries of an encrypted list are read only with
    the list key of a kiosk; without it, only the signatures of its parts are checked.
    """
    with tempfile.TemporaryDirectory(prefix="kiosk-list-") as folder:
        repository = ListRepository(open_source(source, tls=tls), root=root, metadata_dir=Path(folder), trusted_now=now)
        refreshed = repository.refresh()
        return Report(refreshed, [_Check(repository, name, now, list_key, step).report for name in refreshed.providers])


class _Check:
    """Reads one list; the result is `report`."""

    def __init__(
        self, repository: ListRepository, provider: str, now: datetime, list_key: ListKey | None, step: Stepped
    ) -> None:
        self._repository, self._now, self._step, self._list_key = repository, now, step, list_key
        self._content_keys: ContentKeys | None = None
        self.report = ListReport(provider)
        self._known: dict[str, bytes] = {}  # a digest of each entry
        self._times: dict[str, tuple[datetime, datetime]] = {}
        try:
            data = repository.manifest(provider)
            if data is not None:
                self._read(parse_manifest(data))
        except (UpdateRefused, ListFormatError) as error:
            self.report.add(str(error))

    def _read(self, manifest: Manifest) -> None:
        report = self.report
        report.revision, report.published_at = manifest.revision, manifest.published_at
        report.deltas = len(manifest.deltas)
        if manifest.provider != report.provider:
            report.add(f"the manifest is of {manifest.provider}")
        for refused in manifest.refused_agreements:
            report.add(f"agreement {refused.reference_id}: {refused.reason}")
        for agreement in manifest.agreements:
            if agreement.review_by < self._now:
                report.add(f"agreement {agreement.id}: its review was due on {agreement.review_by:%Y-%m-%d}")
        if manifest.sealed:
            data = self._repository.fetch_part(report.provider, KEYS)
            report.readers, report.unread = len(readers_of(data)), self._list_key is None
            if self._list_key is None:
                self._fetch_all(manifest)
                return
            self._content_keys = open_keys(data, self._list_key, report.provider)
        self._snapshot(manifest)
        for delta in manifest.deltas:
            if delta.to_revision == manifest.snapshot.revision:
                self._delta(delta)

    def _fetch_all(self, manifest: Manifest) -> None:
        """See that all parts are there and are those that are signed."""
        names = [name for parts in (manifest.snapshot, *manifest.deltas) for name in parts.parts]
        for number, name in enumerate(names, 1):
            self._repository.fetch_part(self.report.provider, name)
            self._step(f"{self.report.provider}: parts", number, len(names))

    def _snapshot(self, manifest: Manifest) -> None:
        report = self.report
        agreements = {one.id for one in manifest.agreements}
        count = 0
        for line in self._lines("snapshot", manifest.snapshot):
            count += 1
            if isinstance(line, Put):
                self._entry(line.entry, agreements)
            elif not isinstance(line, Refused):
                report.add(f"{line.reference_id}: a snapshot must not have the operation {line.op}")
        if (count, dict(report.templates)) != (manifest.snapshot.entries, manifest.snapshot.templates):
            report.add("the snapshot does not have as many entries or templates as the manifest says")

    def _entry(self, entry: ListEntry, agreements: set[str]) -> None:
        report = self.report
        report.entries += 1
        report.templates.update(template.format for template in entry.templates)
        if entry.reference_id in self._known:
            report.add(f"{entry.reference_id}: is there twice")
        if entry.agreement not in agreements:
            report.add(f"{entry.reference_id}: there is no agreement {entry.agreement}")
        report.expired += entry.expires_at <= self._now
        report.unreviewed += entry.review_by <= self._now < entry.expires_at
        self._known[entry.reference_id] = _digest(entry)
        self._times[entry.reference_id] = entry.review_by, entry.expires_at

    def _delta(self, delta: Delta) -> None:
        what = f"changes since revision {delta.from_revision}"
        for line in self._lines(what, delta):
            if not isinstance(line, Refused) and not self._agrees(line):
                self.report.add(f"{line.reference_id if not isinstance(line, Put) else line.entry.reference_id}: "
                                f"the {what} say another thing than the snapshot")  # fmt: skip

    def _agrees(self, line: Put | Withdraw | Confirm) -> bool:
        """Whether a change leads to what is in the snapshot."""
        if isinstance(line, Put):
            return self._known.get(line.entry.reference_id) == _digest(line.entry)
        if isinstance(line, Withdraw):
            return line.reference_id not in self._known
        review_by, expires_at = self._times.get(line.reference_id, (None, None))
        return line.review_by == review_by and line.expires_at in (None, expires_at)

    def _lines(self, what: str, part_set: PartSet) -> Iterator[PartLine]:
        total = len(part_set.parts)
        for number, name in enumerate(part_set.parts):
            self._step(f"{self.report.provider}: {what}", number, total)
            data = self._repository.fetch_part(self.report.provider, name)
            for line in read_part(data if self._content_keys is None else self._content_keys.open(data)):
                if isinstance(line, Refused):
                    self.report.add(f"{what}: {line.reference_id}: {line.reason}")
                yield line
        self._step(f"{self.report.provider}: {what}", total, total)


def _digest(entry: ListEntry) -> bytes:
    return hashlib.sha256(entry.model_dump_json().encode()).digest()
