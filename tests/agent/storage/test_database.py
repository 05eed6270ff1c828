"""A store file: opened privately, upgraded on start, refused when it is not ours, errors of SQLite named once."""

import stat
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from agent.errors import StoreError
from agent.storage.database import StoreFull, open_store, path_of, reading, writing
from agent.storage.encryption import MistakeInAgent, connect
from tests.rigs.store_key import TEST_KEY


def _first(db: Database) -> None:
    db.execute("CREATE TABLE t (a)")


def _insert(db: Database, value: object) -> None:
    with writing(db):
        db.execute("INSERT INTO t VALUES (?)", [value])


def _values(db: Database) -> list[object]:
    with reading(db):
        return [row[0] for row in db.execute("SELECT a FROM t")]


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.db"


def test_every_commit_is_synced_and_deleted_rows_are_overwritten(path: Path) -> None:
    with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        assert db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        _insert(db, "find me later")
        with writing(db):
            db.execute("DELETE FROM t")
    assert b"find me later" not in path.read_bytes()


def test_the_file_is_private_and_so_are_the_directories_made_for_it(path: Path) -> None:
    with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        _insert(db, 1)
        files = [path, path.with_name("store.db-wal"), path.with_name("store.db-shm")]
        assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_path_of_a_store_is_that_of_its_file(path: Path) -> None:
    with closing(open_store(path, "things", (), key=TEST_KEY)) as db:
        assert path_of(db) == str(path)


def test_a_store_is_upgraded_on_start_and_only_once(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    ran: list[str] = []

    def first(db: Database) -> None:
        ran.append("first")
        db.execute("CREATE TABLE t (a)")

    def second(db: Database) -> None:
        ran.append("second")
        db.execute("ALTER TABLE t ADD COLUMN b")

    for migrations in ((first,), (first, second), (first, second)):
        open_store(path, "things", migrations, key=TEST_KEY).close()
    assert ran == ["first", "second"]


def test_opening_a_store_that_is_up_to_date_writes_nothing_and_waits_for_no_writer(path: Path) -> None:
    with (
        closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db,
        closing(connect(path, TEST_KEY)) as writer,
    ):
        _insert(db, 1)
        log = path.with_name(path.name + "-wal")
        before = log.read_bytes()
        writer.execute("BEGIN IMMEDIATE")  # and does not end: opening would wait for 5 s, then raise
        for _ in range(3):
            with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as reader:
                assert _values(reader) == [1]
        assert log.read_bytes() == before
        writer.execute("ROLLBACK")


def test_a_failed_upgrade_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    def broken(db: Database) -> None:
        db.execute("INSERT INTO t VALUES (1)")
        db.execute("CREATE TABLE t (a)")

    open_store(path, "things", (_first,), key=TEST_KEY).close()
    with pytest.raises(StoreError, match=r"store\.db"):
        open_store(path, "things", (_first, broken), key=TEST_KEY)
    with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        assert db.execute("SELECT count(*) FROM t").fetchone()[0] == 0


def test_a_store_of_a_newer_version_is_refused(path: Path) -> None:
    open_store(path, "things", (_first, lambda _: None), key=TEST_KEY).close()
    with pytest.raises(StoreError, match="newer version"):
        open_store(path, "things", (_first,), key=TEST_KEY)


def test_a_store_of_another_kind_is_refused(path: Path) -> None:
    open_store(path, "watchlist", (), key=TEST_KEY).close()
    for migrations in ((), (_first,)):
        with pytest.raises(StoreError, match="holds the watchlist, not the outbox"):
            open_store(path, "outbox", migrations, key=TEST_KEY)


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(Database(path)) as foreign:
        foreign.table("notes").insert({"text": "mine"})
    with pytest.raises(StoreError, match="another"):
        open_store(path, "things", (), key=TEST_KEY)
    with closing(Database(path)) as foreign:
        assert foreign.table_names() == ["notes"]


@pytest.mark.parametrize(
    ("content", "says"), [(b"no database at all" * 100, "another key"), (b"SQLite format 3\0", "store.db")]
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=says):
        open_store(path, "things", (), key=TEST_KEY)


def test_damage_found_later_is_a_store_error_too(path: Path) -> None:
    with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        for _ in range(200):
            _insert(db, b"x" * 500)
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"), closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        _values(db)


def test_a_directory_in_place_of_the_file_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(tmp_path, "things", (), key=TEST_KEY)


def _make_a_table_and_fail(db: Database) -> None:
    with writing(db):
        db.execute("CREATE TABLE t (a)")
        raise ZeroDivisionError


def test_a_transaction_that_raises_leaves_nothing_behind(path: Path) -> None:
    with closing(open_store(path, "things", (), key=TEST_KEY)) as db:
        with pytest.raises(ZeroDivisionError):
            _make_a_table_and_fail(db)
        with reading(db):
            assert db.table_names() == ["store"]


def test_a_store_locked_by_another_writer_is_a_store_error(path: Path) -> None:
    with (
        closing(open_store(path, "things", (), key=TEST_KEY)) as db,
        closing(open_store(path, "things", (), key=TEST_KEY)) as other,
    ):
        other.execute("PRAGMA busy_timeout = 10").fetchone()
        with writing(db), pytest.raises(StoreError, match="locked by another process"), writing(other):
            pass


def test_a_store_that_may_not_grow_any_further_is_full(path: Path) -> None:
    with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        db.execute("PRAGMA max_page_count = 10").fetchone()
        with pytest.raises(StoreFull, match=r"store\.db: the disk is full"):
            _insert(db, b"x" * 100_000)
        assert _values(db) == []


def test_an_error_that_is_not_in_the_table_is_reported_in_the_words_of_sqlite(path: Path) -> None:
    with (
        closing(open_store(path, "things", (), key=TEST_KEY)) as db,
        pytest.raises(StoreError, match=r"store\.db: no such table: t"),
    ):
        _values(db)


def test_a_mistake_in_the_agent_is_no_store_error(path: Path) -> None:
    db = open_store(path, "things", (), key=TEST_KEY)
    db.close()
    with pytest.raises(MistakeInAgent), writing(db):
        pass
