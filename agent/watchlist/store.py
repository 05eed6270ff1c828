"""The watchlist on disk: packed blocks of galleries, and a small table that says which of them are the list now.

Blocks are written once and never changed. A change of the list writes the new blocks, each in a transaction of its own,
then switches to them in one small transaction: a power cut leaves the old list or the new one. What no list uses any
more is deleted afterwards, overwritten, and the write-ahead log is emptied; what a power cut left over is deleted at
the next start.

A handle belongs to one thread. Each segment is changed by one thread only: the lane changes the local list, the updater
the lists of the providers.
"""

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

from sqlite_utils import Database

from agent.events.event import Category
from agent.storage.database import StoreDamaged, open_store, path_of, reading, truncate_log, writing
from agent.storage.encryption import StoreKey
from agent.storage.free_space import TooLittleMemory, check_memory
from agent.watchlist.reference import ALWAYS, NEVER, Agreement, ListedReference, Period, Terms, import_template
from agent.watchlist.searches_first import at_once
from agent.watchlist.segment import LOCAL, AnyGallery, Segment
from agent.watchlist.table import ReferenceTable
from drivers.sample import Position
from models import gallery_class
from models.template import Template, TemplateError

KIND = "watchlist"
_USED = "SELECT reference_table FROM segment UNION SELECT blob FROM block"  # the blobs of the list
LOAD_THREADS = 2  # handles that read at the same time when the list is loaded

Opener = Callable[[], Database]


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


def _upgrade_fingerprints(db: Database) -> None:
    """Convert templates to "finger-minutiae/2", which contains what a search needs, so that opening only copies."""
    query = "SELECT rowid, reference, format, data FROM template WHERE format = 'finger-minutiae/1'"
    for row, reference, name, data in db.execute(query).fetchall():
        made = import_template(reference, Template(name, data))
        db.execute("UPDATE template SET format = ?, data = ? WHERE rowid = ?", [made.format, made.data, row])


def _pack_references(db: Database) -> None:
    """Version 3. References become packed blocks; those of earlier releases were all of the local list."""
    # A number is never used again, so that no list can lead to a block of another one.
    db.execute("CREATE TABLE blob (id INTEGER PRIMARY KEY AUTOINCREMENT, segment TEXT NOT NULL, data BLOB NOT NULL)")
    db.execute(
        "CREATE TABLE segment (name TEXT PRIMARY KEY, revision INTEGER NOT NULL, reference_table INTEGER NOT NULL)"
    )
    db.execute(
        "CREATE TABLE block (segment TEXT NOT NULL, format TEXT NOT NULL, place INTEGER NOT NULL,"
        " blob INTEGER NOT NULL, PRIMARY KEY (segment, format, place))"
    )
    db.execute(
        "CREATE TABLE part (segment TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (segment, name))"
    )
    db.execute("CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    references = _references_of_earlier_releases(db)
    if references:
        segment = Segment.empty(LOCAL, 0).changed(1, references, agreements=_agreements_of_earlier_releases(db))
        _switch(db, _stored(segment, {}, lambda data: _put_blob(db, LOCAL, data)))
    for table in ("template", "reference", "agreement"):
        db.execute(f"DROP TABLE {table}")


MIGRATIONS = (_create, _upgrade_fingerprints, _pack_references)


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment whose blocks and table are on disk: the number of each blob."""

    segment: Segment
    table: int
    blocks: Mapping[str, tuple[int, ...]]  # by format, in the order of the gallery


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a store had: its segments, and those that are damaged or too large for the memory, with the reason."""

    segments: tuple[StoredSegment, ...]
    unusable: Mapping[str, str]
    damaged: bool = False


def open_watchlist_store(path: Path, *, key: StoreKey, identity: str = "", create: bool = True) -> "WatchlistStore":
    """A handle for the calling thread. The errors are those of open_store()."""
    opener = partial(open_store, path, KIND, MIGRATIONS, key=key, identity=identity, create=create)
    return WatchlistStore(opener)


class WatchlistStore:
    """One thread's handle. `opener` opens the database; loading uses it for handles of other threads too."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._db = opener()
        # Called before each step of a change: it waits while a search runs, and may raise to end the work.
        self.give_way: Callable[[], None] = at_once

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @property
    def folder(self) -> Path:
        """The folder of the file."""
        return Path(path_of(self._db)).parent

    def load(self, now: int) -> Loaded:
        """All segments at the trusted time `now` in seconds. What is damaged, or too large, is not loaded."""
        segments: list[StoredSegment] = []
        unusable: dict[str, str] = {}
        damaged = False
        with reading(self._db) as db:
            rows = db.execute("SELECT name, revision, reference_table FROM segment ORDER BY name").fetchall()
        for name, revision, table in rows:
            try:
                segments.append(self._load(name, revision, table, now))
            except (StoreDamaged, TooLittleMemory, TemplateError, ValueError, LookupError) as error:
                unusable[name] = str(error)
                damaged |= not isinstance(error, TooLittleMemory)
        return Loaded(tuple(segments), unusable, damaged)

    def stage(self, segment: Segment, before: StoredSegment | None = None) -> StoredSegment:
        """Write the blocks and the table of a segment that are not on disk yet. commit() makes it the list.

        `before`: the stored segment with which it shares blocks.
        """
        known = _blobs_of(before) if before is not None else {}
        return _stored(segment, known, partial(self._put, segment.name))

    def put_block(self, segment: str, block: Any) -> int:  # noqa: ANN401 - a block of any gallery
        """Write a packed block for a segment that is being made. Returns the number of its blob."""
        return self._put(segment, block.packed())

    def stage_blocks(self, segment: Segment, blocks: Mapping[str, tuple[int, ...]]) -> StoredSegment:
        """A segment whose blocks were written with put_block(): only its table is missing."""
        return StoredSegment(segment, self._put(segment.name, segment.table.packed()), blocks)

    def commit(
        self,
        segments: Iterable[StoredSegment] = (),
        dropped: Collection[str] = (),
        facts: Mapping[str, str | None] | None = None,
        confirmed_at: datetime | None = None,
    ) -> int:
        """Switch to these segments, all or none. Returns the revision of the list; it rises if a segment changes.

        A fact of None is deleted.
        """
        changed = list(segments)
        with writing(self._db) as db:
            for stored in changed:
                _switch(db, stored)
            for name in dropped:
                db.execute("DELETE FROM segment WHERE name = ?", [name])
                db.execute("DELETE FROM block WHERE segment = ?", [name])
            for name, value in (facts or {}).items():
                db.execute("DELETE FROM fact WHERE name = ?", [name])
                if value is not None:
                    db.execute("INSERT INTO fact VALUES (?, ?)", [name, value])
            if confirmed_at is not None:
                db.execute("UPDATE list SET confirmed_at = ?", [confirmed_at.isoformat()])
            if changed or dropped:
                db.execute("UPDATE list SET revision = revision + 1")
            return int(db.execute("SELECT revision FROM list").fetchone()[0])

    def restore_state(self, revision: int, confirmed_at: datetime | None) -> None:
        """Set the revision and the confirmation, in a store that was written again."""
        with writing(self._db) as db:
            text = None if confirmed_at is None else confirmed_at.isoformat()
            db.execute("UPDATE list SET revision = ?, confirmed_at = ?", [revision, text])

    def delete_unused(self, segment: str | None = None) -> int:
        """Delete the blobs of a segment that the list does not use; of all segments if None. Returns their number."""
        sql = f"SELECT id FROM blob WHERE id NOT IN ({_USED}) AND (? IS NULL OR segment = ?)"  # noqa: S608 - constants
        with reading(self._db) as db:
            unused = [row[0] for row in db.execute(sql, [segment, segment]).fetchall()]
        for blob in unused:  # one at a time: deleting overwrites, and the write-ahead log stays small
            self.give_way()
            with writing(self._db) as db:
                db.execute("DELETE FROM blob WHERE id = ?", [blob])
            self.truncate_log()
        return len(unused)

    def unused_segments(self) -> tuple[str, ...]:
        """The segments of which there are blobs that the list does not use: an interrupted change left them."""
        sql = f"SELECT DISTINCT segment FROM blob WHERE id NOT IN ({_USED}) ORDER BY segment"  # noqa: S608 - constants
        with reading(self._db) as db:
            return tuple(row[0] for row in db.execute(sql).fetchall())

    def truncate_log(self) -> bool:
        """Empty the write-ahead log, so that nothing deleted can be read in it. Whether that was possible."""
        return truncate_log(self._db)

    def keep_part(self, segment: str, name: str, data: bytes) -> None:
        """Keep a downloaded part of a list until the list is applied."""
        with writing(self._db) as db:
            db.execute("INSERT OR REPLACE INTO part VALUES (?, ?, ?)", [segment, name, data])

    def has_part(self, segment: str, name: str) -> bool:
        """Whether a part was kept."""
        with reading(self._db) as db:
            query = "SELECT 1 FROM part WHERE segment = ? AND name = ?"
            return db.execute(query, [segment, name]).fetchone() is not None

    def part(self, segment: str, name: str) -> bytes | None:
        """A part that was kept."""
        with reading(self._db) as db:
            row = db.execute("SELECT data FROM part WHERE segment = ? AND name = ?", [segment, name]).fetchone()
        return bytes(row[0]) if row else None

    def delete_parts(self, segment: str, keep: Collection[str] = ()) -> None:
        """Delete the parts of a segment, but not those of `keep`."""
        with reading(self._db) as db:
            names = [row[0] for row in db.execute("SELECT name FROM part WHERE segment = ?", [segment]).fetchall()]
        for name in sorted(set(names) - set(keep)):
            self.give_way()
            with writing(self._db) as db:
                db.execute("DELETE FROM part WHERE segment = ? AND name = ?", [segment, name])
            self.truncate_log()

    def names(self) -> tuple[str, ...]:
        """The names of the segments of the list on the disk."""
        with reading(self._db) as db:
            return tuple(row[0] for row in db.execute("SELECT name FROM segment ORDER BY name").fetchall())

    def ids(self, name: str) -> tuple[str, ...]:
        """The references of a segment on the disk; none if that cannot be read."""
        with reading(self._db) as db:
            rows = db.execute("SELECT reference_table FROM segment WHERE name = ?", [name]).fetchall()
        try:
            return tuple(one for (table,) in rows for one in ReferenceTable.unpacked(_blob(self._db, table)).ids)
        except (StoreDamaged, ValueError, LookupError):
            return ()

    def delete_parts_of_others(self, segments: Collection[str]) -> None:
        """Delete the parts that were kept for other segments than these."""
        with reading(self._db) as db:
            names = [row[0] for row in db.execute("SELECT DISTINCT segment FROM part").fetchall()]
        for name in sorted(set(names) - set(segments)):
            self.delete_parts(name)

    def facts(self) -> dict[str, str]:
        """The facts that were committed, by name."""
        with reading(self._db) as db:
            return dict(db.execute("SELECT name, value FROM fact").fetchall())

    def state(self) -> tuple[int, datetime | None]:
        """The revision of the list, and when it was last confirmed."""
        with reading(self._db) as db:
            revision, confirmed = db.execute("SELECT revision, confirmed_at FROM list").fetchone()
        return int(revision), None if confirmed is None else datetime.fromisoformat(confirmed)

    def verify(self, name: str) -> str:
        """What is wrong with the blocks of a segment on the disk; empty if all can be read."""
        with reading(self._db) as db:
            query = "SELECT revision, reference_table FROM segment WHERE name = ?"
            rows = db.execute(query, [name]).fetchall()
        try:
            for revision, table in rows:
                _check_complete(self._load(name, revision, table, 0).segment)
        except TooLittleMemory:
            return ""  # nothing is said of the disk
        except (StoreDamaged, TemplateError, ValueError, LookupError) as error:
            return str(error)
        return "" if rows else "it is not on the disk"

    def _put(self, segment: str, data: bytes) -> int:
        """Write a blob of a segment, in a transaction of its own."""
        self.give_way()
        with writing(self._db) as db:
            return _put_blob(db, segment, data)

    def _load(self, name: str, revision: int, table: int, now: int) -> StoredSegment:
        with reading(self._db) as db:
            query = "SELECT format, blob FROM block WHERE segment = ? ORDER BY format, place"
            rows = db.execute(query, [name]).fetchall()
            sizes = (
                "SELECT coalesce(sum(length(data)), 0) FROM blob WHERE id IN (SELECT blob FROM block WHERE segment = ?)"
            )
            check_memory(int(db.execute(sizes, [name]).fetchone()[0]), f"the list {name}")
        blocks = _load_blocks(self._opener, rows)
        numbers: dict[str, list[int]] = {}
        loaded: dict[str, list[Any]] = {}
        for (template_format, blob), block in zip(rows, blocks, strict=True):
            numbers.setdefault(template_format, []).append(blob)
            loaded.setdefault(template_format, []).append(block)
        galleries = {kind: gallery_of_blocks(kind, found) for kind, found in loaded.items()}
        segment = Segment(name, revision, ReferenceTable.unpacked(_blob(self._db, table)), galleries, now)
        return StoredSegment(segment, table, {name: tuple(found) for name, found in numbers.items()})


def _check_complete(segment: Segment) -> None:
    """ValueError if the table and the galleries are not of the same references."""
    templates = sum(segment.table.template_counts().values())
    found = sum(len(gallery) for gallery in segment.galleries.values())
    if templates != found:
        raise ValueError(f"{found} templates, but the table says {templates}")


def gallery_of_blocks(template_format: str, blocks: Sequence[Any]) -> AnyGallery:
    """The gallery of some blocks, ready for a search."""
    kind: Any = gallery_class(template_format)
    gallery: AnyGallery = kind.of_blocks(blocks)
    return gallery


def _load_blocks(opener: Opener, rows: Sequence[tuple[str, int]]) -> list[Any]:
    """The blocks of these blobs, in their order, read by LOAD_THREADS handles."""

    def read(part: Sequence[tuple[str, int]]) -> list[Any]:
        with closing(opener()) as db:
            kinds: dict[str, Any] = {name: gallery_class(name) for name, _ in part}
            return [kinds[name].unpacked_block(_blob(db, blob)) for name, blob in part]

    parts = [rows[start::LOAD_THREADS] for start in range(min(LOAD_THREADS, len(rows)))]
    if len(parts) < LOAD_THREADS:
        return [block for part in parts for block in read(part)]
    with ThreadPoolExecutor(LOAD_THREADS) as pool:
        loaded = list(pool.map(read, parts))
    # Row i was read by handle i % LOAD_THREADS.
    mixed = itertools.zip_longest(*loaded)
    return [block for several in mixed for block in several if block is not None]


def _blob(db: Database, number: int) -> bytes:
    with reading(db):
        row = db.execute("SELECT data FROM blob WHERE id = ?", [number]).fetchone()
    if row is None:
        raise LookupError(f"block {number} is missing")
    return bytes(row[0])


def _put_blob(db: Database, segment: str, data: bytes) -> int:
    row = db.execute("INSERT INTO blob (segment, data) VALUES (?, ?) RETURNING id", [segment, data]).fetchone()
    return int(row[0])


def _blobs_of(stored: StoredSegment) -> dict[int, int]:
    """The blob of each block in memory, by the identity of the block."""
    return {
        id(block): blob
        for name, gallery in stored.segment.galleries.items()
        for block, blob in zip(gallery.blocks, stored.blocks[name], strict=True)
    }


def _stored(segment: Segment, known: Mapping[int, int], put: Callable[[bytes], int]) -> StoredSegment:
    """The segment with its blobs: those of the blocks that are `known`, and those that `put` writes."""
    blocks = {
        name: tuple(known[id(block)] if id(block) in known else put(block.packed()) for block in gallery.blocks)
        for name, gallery in segment.galleries.items()
    }
    return StoredSegment(segment, put(segment.table.packed()), blocks)


def _switch(db: Database, stored: StoredSegment) -> None:
    segment = stored.segment
    db.execute("INSERT OR REPLACE INTO segment VALUES (?, ?, ?)", [segment.name, segment.revision, stored.table])
    db.execute("DELETE FROM block WHERE segment = ?", [segment.name])
    for name, blobs in stored.blocks.items():
        for place, blob in enumerate(blobs):
            db.execute("INSERT INTO block VALUES (?, ?, ?, ?)", [segment.name, name, place, blob])


def _agreements_of_earlier_releases(db: Database) -> dict[str, Agreement]:
    return {
        row["id"]: Agreement(
            row["id"], row["provider"], row["purpose"], row["legal_basis"], "", tuple(json.loads(row["recipients"]))
        )
        for row in db.table("agreement").rows
    }


def _references_of_earlier_releases(db: Database) -> list[ListedReference]:
    templates: dict[str, list[tuple[Position, Template]]] = {}
    for row in db.table("template").rows:
        template = import_template(row["reference"], Template(row["format"], row["data"]))
        templates.setdefault(row["reference"], []).append((Position(row["position"]), template))
    return [
        ListedReference(
            row["id"],
            Terms(row["agreement"], Category(row["category"])),
            Period(ALWAYS, datetime.fromisoformat(row["expires_at"]), NEVER),
            tuple(templates.get(row["id"], ())),
        )
        for row in db.table("reference").rows
    ]
