"""Nothing of a known template, reference id or lead is in any file of the kiosk; and, once forgotten, not with the key.

Two people read the disk: a thief without the key, who sees files, and somebody who has the key, who also sees what no
table uses any more. Each protection is switched off once, and must then be missed.
"""

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from agent.events.event import EventClass
from agent.hub import outbox as outbox_module
from agent.hub.outbox import Outbox
from agent.storage import database, encryption
from agent.storage.database import open_store, truncate_log, writing
from tests.conftest import template_of
from tests.rigs.decrypted_pages import pages_of
from tests.rigs.events import raw
from tests.rigs.store_key import TEST_KEY

REFERENCE_ID = b"wanted-4711-of-the-ministry"
TEMPLATE = template_of(101, 0).data
LEAD = b'{"candidates": [{"reference_id": "' + REFERENCE_ID + b'", "data": "' + base64.b64encode(TEMPLATE) + b'"}]}'
BLOCK = os.urandom(200_000) + TEMPLATE + REFERENCE_ID + os.urandom(200_000)  # as packed blocks of a gallery are stored
PIECE = 48  # bytes that are looked for: a page of the database may end within a template


def pieces() -> Iterator[bytes]:
    """Parts of everything that must not be found, in each form in which it is handled."""
    yield REFERENCE_ID
    for whole in (TEMPLATE, base64.b64encode(TEMPLATE), TEMPLATE.hex().encode(), LEAD):
        for start in range(0, len(whole) - PIECE, PIECE):
            if len(set(piece := whole[start : start + PIECE])) > 8:  # zeros are no sign of a template
                yield piece


PIECES = tuple(pieces())


def shows(content: bytes) -> bool:
    return any(piece in content for piece in PIECES)


class Disk:
    """The files of a kiosk that runs: outbox and watchlist are open, with their write-ahead logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open = ExitStack()
        self.outbox = self.open.enter_context(Outbox(folder / "outbox.db", "k1", key=TEST_KEY, identity="s/k1"))
        self.watchlist = self.open.enter_context(
            closing(open_store(folder / "watchlist.db", "watchlist", (_blobs,), key=TEST_KEY, identity="s/k1"))
        )

    def fill(self) -> None:
        for number in range(8):
            self.outbox.put(raw(EventClass.LEAD, LEAD, f"encounter-{number}"))
        with writing(self.watchlist) as db:
            db.execute("INSERT INTO blob (name, data) VALUES (?, ?)", [REFERENCE_ID.decode(), BLOCK])

    def forget(self) -> None:
        self.outbox.forget(self.outbox.epoch, EventClass.LEAD, 8)
        with writing(self.watchlist) as db:
            db.execute("DELETE FROM blob")
        assert truncate_log(self.watchlist)

    def found_by_a_thief(self) -> set[str]:
        """The files in which something can be read as it is."""
        return {file.name for file in self.folder.rglob("*") if file.is_file() and shows(file.read_bytes())}

    def found_with_the_key(self) -> set[str]:
        """The stores with a page, in the file or its log, in which something can be read."""
        stores = [self.folder / name for name in ("outbox.db", "watchlist.db")]
        return {store.name for store in stores if shows(pages_of(store, TEST_KEY))}


def _blobs(db: Database) -> None:
    db.execute("CREATE TABLE blob (name TEXT, data BLOB)")


BOTH = {"outbox.db", "watchlist.db"}


@pytest.fixture(name="disk")
def _disk(tmp_path: Path) -> Iterator[Callable[[], Disk]]:
    with ExitStack() as stack:

        def make() -> Disk:
            disk = Disk(tmp_path / "state")
            stack.push(disk.open)
            return disk

        yield make


def test_a_thief_of_the_disk_reads_nothing(disk: Callable[[], Disk]) -> None:
    kiosk = disk()
    kiosk.fill()
    assert kiosk.found_by_a_thief() == set()  # while it runs, and after kill -9
    assert kiosk.found_with_the_key() == BOTH  # it is there
    kiosk.outbox.save_copy(kiosk.folder / "outbox.db.rescued-1")
    assert kiosk.found_by_a_thief() == set()
    kiosk.open.close()
    assert kiosk.found_by_a_thief() == set()


def test_what_is_forgotten_cannot_be_read_even_with_the_key(disk: Callable[[], Disk]) -> None:
    kiosk = disk()
    kiosk.fill()
    kiosk.forget()
    assert kiosk.found_with_the_key() == set()  # at once: the file and its log
    kiosk.open.close()
    assert kiosk.found_with_the_key() == set()


# -- the same with each protection switched off


def test_without_encryption_a_thief_would_be_seen_to_read(
    disk: Callable[[], Disk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encryption, "unlock", lambda *_: None)
    kiosk = disk()
    kiosk.fill()
    assert {"outbox.db-wal", "watchlist.db-wal"} <= kiosk.found_by_a_thief()
    kiosk.open.close()
    assert kiosk.found_by_a_thief() == BOTH


def test_without_secure_delete_what_is_forgotten_would_be_seen(
    disk: Callable[[], Disk], monkeypatch: pytest.MonkeyPatch
) -> None:
    pragmas = [pragma.replace("secure_delete = ON", "secure_delete = OFF") for pragma in database.PRAGMAS]
    assert pragmas != list(database.PRAGMAS)
    monkeypatch.setattr(database, "PRAGMAS", pragmas)
    kiosk = disk()
    kiosk.fill()
    kiosk.forget()
    assert kiosk.found_with_the_key() == BOTH


def test_without_emptying_the_log_what_is_forgotten_would_be_seen(
    disk: Callable[[], Disk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "truncate_log", lambda _: True)
    kiosk = disk()
    kiosk.fill()
    kiosk.forget()
    assert kiosk.found_with_the_key() == {"outbox.db"}
