"""The provider's own record of its entries, in SQLite: what is on each list, since which revision, what was withdrawn.

The file is not encrypted; it has mode 0600. Deleted entries are overwritten (secure_delete). A revision is counted from
1 for each provider. A change belongs to the next revision until that is published.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.watchlist.list_format import AgreementTerms, Confirm, ListEntry, Put, Withdraw, line_bytes, read_line
from simulators.provider.errors import ProviderError

DAY_S = 86_400
_FORMAT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS provider (name TEXT PRIMARY KEY, revision INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS published (
    provider TEXT NOT NULL, revision INTEGER NOT NULL, at REAL NOT NULL, PRIMARY KEY (provider, revision));
CREATE TABLE IF NOT EXISTS agreement (
    provider TEXT NOT NULL, id TEXT NOT NULL, keep_days INTEGER NOT NULL, terms TEXT NOT NULL,
    changed_at INTEGER NOT NULL, PRIMARY KEY (provider, id));
CREATE TABLE IF NOT EXISTS entry (
    provider TEXT NOT NULL, reference_id TEXT NOT NULL, put_at INTEGER NOT NULL, changed_at INTEGER NOT NULL,
    agreement TEXT, category TEXT, listed_at REAL, review_by REAL, expires_at REAL, templates TEXT, line BLOB,
    PRIMARY KEY (provider, reference_id));
CREATE INDEX IF NOT EXISTS entry_changed ON entry (provider, changed_at);
CREATE TABLE IF NOT EXISTS superseded (path TEXT PRIMARY KEY, since REAL NOT NULL);
CREATE TABLE IF NOT EXISTS kiosk (key_id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, x TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sealed (provider TEXT PRIMARY KEY, readers TEXT NOT NULL);
"""
_ENTRY = (
    "INSERT OR REPLACE INTO entry VALUES (:provider, :reference_id, :revision, :revision, :agreement, :category, "
    ":listed_at, :review_by, :expires_at, :templates, :line)"
)


@dataclass(frozen=True, slots=True)
class Listed:
    """What may be shown of an entry."""

    reference_id: str
    agreement: str
    category: str
    review_by: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Reader:
    """A kiosk that may read encrypted lists. `x` is its public list key (X25519, base64url)."""

    key_id: str
    name: str
    x: str


class EntryStore:
    """The file. `with store.changing():` makes several changes one transaction."""

    def __init__(self, path: Path) -> None:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None)
        try:
            self._prepare(path)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ProviderError(f"{path}: cannot be read: {error}", "restore it from your copy") from error
        except ProviderError:
            self._db.close()
            raise

    def close(self) -> None:
        """Empty the write-ahead log and close the file."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._db.close()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One transaction: durable when the block ends, undone if it fails."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def add_provider(self, name: str) -> None:
        """Begin the list of a provider; does nothing if there is one."""
        self._db.execute("INSERT OR IGNORE INTO provider VALUES (?, 0)", [name])

    @property
    def providers(self) -> tuple[str, ...]:
        """All providers."""
        return tuple(name for (name,) in self._db.execute("SELECT name FROM provider ORDER BY rowid"))

    def revision(self, provider: str) -> int:
        """The revision that was prepared last; 0 before the first."""
        (found,) = self._db.execute("SELECT revision FROM provider WHERE name = ?", [provider]).fetchone()
        return int(found)

    def set_agreement(self, terms: AgreementTerms) -> None:
        """Add an agreement, or replace the one of this id."""
        values = [terms.provider, terms.id, terms.keep_days, terms.model_dump_json(), self._next(terms.provider)]
        self._db.execute("INSERT OR REPLACE INTO agreement VALUES (?, ?, ?, ?, ?)", values)

    def agreements(self, provider: str) -> tuple[AgreementTerms, ...]:
        """All agreements of a provider."""
        rows = self._db.execute("SELECT terms FROM agreement WHERE provider = ? ORDER BY id", [provider])
        return tuple(AgreementTerms.model_validate_json(terms) for (terms,) in rows)

    def put(self, provider: str, entries: Iterable[ListEntry]) -> int:
        """Add entries, or replace those of the same ids; returns how many. Each needs an agreement of the provider."""
        known = {terms.id for terms in self.agreements(provider)}
        count, revision = 0, self._next(provider)
        for entry in entries:
            if entry.agreement not in known:
                raise ProviderError(
                    f"{entry.reference_id}: {provider} has no agreement {entry.agreement}",
                    f"there are: {', '.join(sorted(known)) or 'none'}; make it with: kiosk-list agreement",
                )
            self._db.execute(_ENTRY, _row(provider, entry, line_bytes(Put(entry))) | {"revision": revision})
            count += 1
        return count

    def put_raw(self, provider: str, reference_id: str, line: bytes) -> None:
        """Put any bytes as the line of an entry, unchecked. For tests of what a kiosk does with a bad list."""
        row = dict.fromkeys(("agreement", "category", "listed_at", "review_by", "expires_at"))
        values = {"provider": provider, "reference_id": reference_id, "templates": "{}", "line": line, **row}
        self._db.execute(_ENTRY, values | {"revision": self._next(provider)})

    def withdraw(self, provider: str, reference_id: str) -> None:
        """Remove an entry. ProviderError if it is not on the list."""
        done = self._db.execute(
            "UPDATE entry SET changed_at = ?, line = NULL, templates = NULL WHERE provider = ? AND reference_id = ? "
            "AND line IS NOT NULL",
            [self._next(provider), provider, reference_id],
        )
        if not done.rowcount:
            raise _unknown(provider, reference_id)

    def confirm(self, provider: str, reference_id: str, review_by: datetime, expires_at: datetime | None) -> None:
        """Move the review date of an entry, and its expiry if one is given. ProviderError if it is not on the list."""
        row = self._db.execute(
            "SELECT line, put_at FROM entry WHERE provider = ? AND reference_id = ? AND line IS NOT NULL",
            [provider, reference_id],
        ).fetchone()
        if row is None:
            raise _unknown(provider, reference_id)
        known = read_line(row[0])
        assert isinstance(known, Put)  # nothing else is stored
        changes = {"review_by": review_by} | ({} if expires_at is None else {"expires_at": expires_at})
        entry = ListEntry(**dict(known.entry) | changes)
        values = _row(provider, entry, line_bytes(Put(entry))) | {"revision": self._next(provider)}
        self._db.execute(_ENTRY, values)
        self._db.execute(
            "UPDATE entry SET put_at = ? WHERE provider = ? AND reference_id = ?", [row[1], provider, reference_id]
        )

    def due(self, provider: str, before: datetime) -> Iterator[Listed]:
        """The entries that must be reviewed, or expire, before a time; the most urgent first."""
        rows = self._db.execute(
            "SELECT reference_id, agreement, category, review_by, expires_at FROM entry WHERE provider = ? "
            "AND line IS NOT NULL AND min(review_by, expires_at) < ? ORDER BY min(review_by, expires_at), reference_id",
            [provider, before.timestamp()],
        )
        for reference_id, agreement, category, *times in rows:
            yield Listed(reference_id, agreement, category, *map(_time, times))

    def ids(self, provider: str) -> tuple[str, ...]:
        """The ids of all entries."""
        rows = self._db.execute(
            "SELECT reference_id FROM entry WHERE provider = ? AND line IS NOT NULL ORDER BY reference_id", [provider]
        )
        return tuple(name for (name,) in rows)

    def count(self, provider: str) -> int:
        """The number of entries."""
        query = "SELECT count(*) FROM entry WHERE provider = ? AND line IS NOT NULL"
        return int(self._db.execute(query, [provider]).fetchone()[0])

    def expire(self, provider: str, now: datetime) -> int:
        """Withdraw what has expired, by itself or by the retention of its agreement; returns how many."""
        rows = self._db.execute(
            "SELECT reference_id FROM entry JOIN agreement ON agreement.provider = entry.provider "
            "AND agreement.id = entry.agreement WHERE entry.provider = ? AND line IS NOT NULL "
            "AND min(expires_at, listed_at + keep_days * ?) <= ?",
            [provider, DAY_S, now.timestamp()],
        ).fetchall()
        for (reference_id,) in rows:
            self.withdraw(provider, reference_id)
        return len(rows)

    def has_changes(self, provider: str) -> bool:
        """Whether something has changed since the last revision that was published."""
        last = max(self.published(provider), default=0)
        query = "SELECT EXISTS (SELECT 1 FROM {} WHERE provider = ? AND changed_at > ?)"
        return any(self._db.execute(query.format(t), [provider, last]).fetchone()[0] for t in ("entry", "agreement"))

    def published(self, provider: str) -> tuple[int, ...]:
        """The revisions that were published, the last one first."""
        rows = self._db.execute("SELECT revision FROM published WHERE provider = ? ORDER BY 1 DESC", [provider])
        return tuple(revision for (revision,) in rows)

    def next_revision(self, provider: str) -> int:
        """Prepare the next revision. Its number is used once, even if its publication fails."""
        self._db.execute("UPDATE provider SET revision = revision + 1 WHERE name = ?", [provider])
        return self.revision(provider)

    def set_published(self, provider: str, revision: int, now: datetime, keep: int) -> None:
        """A revision is visible. Forget all but the last `keep` ones, and what was withdrawn before these."""
        self._db.execute("INSERT INTO published VALUES (?, ?, ?)", [provider, revision, now.timestamp()])
        oldest = self.published(provider)[:keep][-1]
        self._db.execute("DELETE FROM published WHERE provider = ? AND revision < ?", [provider, oldest])
        self._db.execute(
            "DELETE FROM entry WHERE provider = ? AND line IS NULL AND changed_at <= ?", [provider, oldest]
        )

    def lines(self, provider: str) -> Iterator[tuple[bytes, Mapping[str, int]]]:
        """The lines of a snapshot, with the templates in each by format."""
        rows = self._db.execute(
            "SELECT line, templates FROM entry WHERE provider = ? AND line IS NOT NULL ORDER BY reference_id",
            [provider],
        )
        for line, templates in rows:
            yield line, json.loads(templates)

    def changes(self, provider: str, since: int) -> Iterator[tuple[bytes, Mapping[str, int]]]:
        """The lines of a delta that leads from the revision `since` to now."""
        rows = self._db.execute(
            "SELECT reference_id, put_at, review_by, expires_at, line, templates FROM entry "
            "WHERE provider = ? AND changed_at > ? ORDER BY reference_id",
            [provider, since],
        )
        for reference_id, put_at, review_by, expires_at, line, templates in rows:
            if line is None:
                yield line_bytes(Withdraw(reference_id)), {}
            elif put_at > since:
                yield line, json.loads(templates)
            else:
                yield line_bytes(Confirm(reference_id, _time(review_by), _time(expires_at))), {}

    def readers(self) -> tuple[Reader, ...]:
        """The kiosks that may read the lists, by name; if there are none, the lists are not encrypted."""
        rows = self._db.execute("SELECT key_id, name, x FROM kiosk ORDER BY name")
        return tuple(Reader(*row) for row in rows)

    def add_reader(self, reader: Reader) -> None:
        """Let a kiosk read the lists. A key that is here already gets the name. ProviderError if another has it."""
        known = self._db.execute("SELECT key_id FROM kiosk WHERE name = ?", [reader.name]).fetchone()
        if known is not None and known[0] != reader.key_id:
            raise ProviderError(
                f"there is a kiosk {reader.name} with another key", "remove it first, or choose another --name"
            )
        self._db.execute("INSERT OR REPLACE INTO kiosk VALUES (?, ?, ?)", [reader.key_id, reader.name, reader.x])

    def remove_reader(self, name: str) -> None:
        """Let the kiosk of a name, or with a key of this id, no longer read the lists. ProviderError if there is none.

        The last one stays: without any, the lists would be published readable.
        """
        known = self.readers()
        if name not in {text for one in known for text in (one.name, one.key_id)}:
            raise ProviderError(f"there is no kiosk {name}", "see which there are: kiosk-list kiosks list")
        if len(known) == 1:
            raise ProviderError(
                f"{name} is the only kiosk: without any, the lists would be published readable by everybody",
                "add the key of another kiosk first",
            )
        self._db.execute("DELETE FROM kiosk WHERE ? IN (name, key_id)", [name])

    def sealed_for(self, provider: str) -> tuple[str, ...]:
        """The ids of the keys for which the list was encrypted when it was published last; none if it was not."""
        row = self._db.execute("SELECT readers FROM sealed WHERE provider = ?", [provider]).fetchone()
        return tuple(json.loads(row[0])) if row else ()

    def set_sealed(self, provider: str, key_ids: Sequence[str]) -> None:
        """The list was published, encrypted for these."""
        self._db.execute("INSERT OR REPLACE INTO sealed VALUES (?, ?)", [provider, json.dumps(list(key_ids))])

    def supersede(self, paths: Iterable[str], now: datetime) -> None:
        """Remember since when files are no longer part of what is published."""
        rows = ((path, now.timestamp()) for path in paths)
        self._db.executemany("INSERT OR IGNORE INTO superseded VALUES (?, ?)", rows)

    def take_superseded(self, before: datetime) -> Sequence[str]:
        """The files that have not been part of it since that time; they are forgotten."""
        rows = self._db.execute("DELETE FROM superseded WHERE since <= ? RETURNING path", [before.timestamp()])
        return [path for (path,) in rows]

    def _prepare(self, path: Path) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, _FORMAT):
            raise ProviderError(f"{path}: is of a newer release of kiosk-list", "use that one")
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
            self._db.execute(f"PRAGMA {pragma}").fetchone()
        self._db.executescript(_TABLES)
        self._db.execute(f"PRAGMA user_version = {_FORMAT}")

    def _next(self, provider: str) -> int:
        return self.revision(provider) + 1


def _row(provider: str, entry: ListEntry, line: bytes) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for template in entry.templates:
        counts[template.format] = counts.get(template.format, 0) + 1
    times = {name: getattr(entry, name).timestamp() for name in ("listed_at", "review_by", "expires_at")}
    return {
        "provider": provider, "reference_id": entry.reference_id, "agreement": entry.agreement,
        "category": str(entry.category), **times, "templates": json.dumps(counts), "line": line,
    }  # fmt: skip


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _unknown(provider: str, reference_id: str) -> ProviderError:
    return ProviderError(f"{reference_id}: is not on the list of {provider}", "see what is: kiosk-list review")
