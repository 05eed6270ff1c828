"""A store of the release before is encrypted at the first start: whole or not at all, and nothing plain is left."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from agent.errors import StoreError
from agent.events.event import EventClass
from agent.hub.outbox import MIGRATIONS, Outbox
from agent.storage import first_encryption
from agent.storage.database import StoreDamaged, open_store
from agent.storage.encryption import is_plain
from tests.agent.hub.test_outbox import UNSHARE, can_mount
from tests.rigs.earlier_store import EPOCH, leave, make_outbox, make_store
from tests.rigs.store_key import TEST_KEY

SECRET = b"the lead that nobody may read"
BODIES = [SECRET + bytes([n]) * 900 for n in range(60)]
KILLED = pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])


@pytest.fixture(name="earlier")
def _earlier(tmp_path: Path) -> Path:
    """The folder of a kiosk whose agent of the release before was killed."""
    path = tmp_path / "made" / "outbox.db"
    leave(make_outbox(path, BODIES), path, tmp_path / "earlier" / "outbox.db", killed=True)
    return tmp_path / "earlier"


def assert_kept(path: Path) -> None:
    with Outbox(path, "k1", key=TEST_KEY, identity="s/k1") as outbox:
        assert outbox.epoch == EPOCH
        stored = outbox.pending(EventClass.LEAD, 1000)
        assert [one.key.sequence for one in stored] == list(range(4, 4 + len(BODIES)))
        assert [one.event.body for one in stored] == BODIES
        assert outbox.acknowledged()[EventClass.LEAD] == 3


def plain_files(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if SECRET in file.read_bytes()]


@KILLED
def test_everything_is_kept_and_nothing_plain_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, killed: bool
) -> None:
    made, path = tmp_path / "made" / "outbox.db", tmp_path / "state" / "outbox.db"
    leave(make_outbox(made, BODIES), made, path, killed=killed)
    assert plain_files(path.parent)
    for _ in range(2):
        assert_kept(path)
    assert plain_files(path.parent) == []
    assert [file.name for file in path.parent.glob("outbox.db*")] == ["outbox.db"]
    assert [record.message for record in caplog.records] == [f"{path}: was not encrypted, and is now"]


def test_the_old_file_and_its_log_are_overwritten_before_they_are_deleted(tmp_path: Path) -> None:
    path = tmp_path / "made" / "outbox.db"
    state = tmp_path / "state"
    leave(make_outbox(path, BODIES), path, state / "outbox.db", killed=True)
    held = [open(state / name, "rb") for name in ("outbox.db", "outbox.db-wal")]  # noqa: SIM115, PTH123
    sizes = [os.fstat(file.fileno()).st_size for file in held]
    assert_kept(state / "outbox.db")
    contents = []
    for file in held:
        with file:
            contents.append(file.read())
    assert SECRET not in b"".join(contents)
    assert set(contents[1]) == {0}
    assert len(contents[1]) == sizes[1] > 60_000
    assert set(contents[0]) == {0}


def test_a_store_belongs_to_its_kiosk_afterwards(earlier: Path) -> None:
    assert_kept(earlier / "outbox.db")
    with pytest.raises(StoreError, match="is the outbox of the kiosk s/k1, not of s/k2"):
        Outbox(earlier / "outbox.db", "k2", key=TEST_KEY, identity="s/k2")


def test_a_command_leaves_it_to_the_daemon(earlier: Path) -> None:
    with pytest.raises(StoreError, match="not encrypted yet: start the daemon"):
        Outbox(earlier / "outbox.db", "k1", key=TEST_KEY, create=False)
    assert is_plain(earlier / "outbox.db")


def test_a_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    db = make_store(path, "outbox", MIGRATIONS)
    db.execute("PRAGMA application_id = 7")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        open_store(path, "outbox", MIGRATIONS, key=TEST_KEY)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["outbox.db"]


def test_a_damaged_store_is_left_as_it_is(earlier: Path) -> None:
    path = earlier / "outbox.db"
    assert_kept(shutil.copytree(earlier, earlier.parent / "sound") / "outbox.db")
    log = bytearray((earlier / "outbox.db-wal").read_bytes())
    log[0:4] = bytes(4)  # the log is lost, and with it the tables
    (earlier / "outbox.db-wal").write_bytes(log)
    path.write_bytes(path.read_bytes()[:100] + b"\xa5" * 3996)
    with pytest.raises(StoreDamaged, match="damaged or changed"):
        Outbox(path, "k1", key=TEST_KEY)
    assert is_plain(path)
    assert not (earlier / "outbox.db.new").exists()


def test_a_store_in_which_nothing_was_ever_written_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    db = make_store(tmp_path / "other.db", "outbox", ())
    for table in db.table_names():
        db.table(table).drop()
    db.close()
    (tmp_path / "other.db").rename(path)
    with Outbox(path, "k1", key=TEST_KEY) as outbox:
        assert sum(outbox.last().values()) == 0
    assert not is_plain(path)


def test_where_there_is_no_store_nothing_is_made(tmp_path: Path) -> None:
    first_encryption.encrypt_if_plain(tmp_path / "outbox.db", TEST_KEY, "s/k1")
    assert list(tmp_path.iterdir()) == []


# -- cut short


def test_cut_short_just_before_or_after_the_exchange_the_plain_name_goes(earlier: Path, tmp_path: Path) -> None:
    path, plain = earlier / "outbox.db", earlier / "outbox.db.plain"
    kept = tmp_path / "kept"
    shutil.copy(path, kept)
    os.link(path, plain)
    assert_kept(path)
    assert not plain.exists()
    shutil.copy(kept, plain)
    assert_kept(path)
    assert not plain.exists()


def run_until_killed(path: Path, at: int) -> bool:
    """Encrypt in a child process that is killed before the call number `at` of the module; whether it was."""
    child = os.fork()
    if child == 0:
        calls = 0

        def count(frame: FrameType, event: str, _: Any) -> None:  # noqa: ANN401 - as in sys.setprofile
            nonlocal calls
            if event == "c_call" and frame.f_code.co_filename == first_encryption.__file__:
                calls += 1
                if calls == at:
                    os.kill(os.getpid(), signal.SIGKILL)

        with suppress(BaseException):
            sys.setprofile(count)
            first_encryption.encrypt_if_plain(path, TEST_KEY, "s/k1")
            os._exit(0)
        os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status != 0


def test_killed_at_any_step_it_goes_on_at_the_next_start(earlier: Path, tmp_path: Path) -> None:
    at, seen = 1, set()
    while True:
        folder = tmp_path / f"killed-{at}"
        shutil.copytree(earlier, folder)
        killed = run_until_killed(folder / "outbox.db", at)
        seen.add(tuple(sorted(file.name for file in folder.iterdir())))
        assert_kept(folder / "outbox.db")
        assert plain_files(folder) == []
        assert [file.name for file in folder.glob("outbox.db*")] == ["outbox.db"]
        shutil.rmtree(folder)
        if not killed:
            break
        at += 1
    assert at > 30
    assert {"outbox.db.new", "outbox.db.plain"} <= {name for names in seen for name in names}


def test_cut_short_twice_it_still_goes_on(earlier: Path, tmp_path: Path) -> None:
    for first in (20, 30, 40):
        for second in (1, 5, 25):
            folder = shutil.copytree(earlier, tmp_path / f"killed-{first}-{second}")
            run_until_killed(folder / "outbox.db", first)
            run_until_killed(folder / "outbox.db", second)
            assert_kept(folder / "outbox.db")
            assert plain_files(folder) == []


@pytest.mark.parametrize("function", ["link", "fsync"])
def test_an_error_of_the_disk_leaves_the_store_as_it_was(
    earlier: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, function, fail)
        with pytest.raises(StoreError, match=r"outbox\.db: cannot be encrypted: Input/output error; the file is as it"):
            Outbox(earlier / "outbox.db", "k1", key=TEST_KEY)
    assert is_plain(earlier / "outbox.db")
    assert not (earlier / "outbox.db.new").exists()
    assert_kept(earlier / "outbox.db")


def test_a_copy_that_lacks_rows_is_refused(earlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(first_encryption, "_rows", lambda _db, place, _table: len(place))
        with pytest.raises(StoreError, match="the encrypted copy is not complete"):
            Outbox(earlier / "outbox.db", "k1", key=TEST_KEY)
    assert_kept(earlier / "outbox.db")


# A disk of its own, in a mount namespace that ends with the process.
ON_A_DISK = """
import contextlib, subprocess, sys
from pathlib import Path
from agent.errors import StoreError
from agent.storage.encryption import is_plain
from tests.agent.storage.test_first_encryption import BODIES, assert_kept
from tests.rigs.earlier_store import make_outbox

def run(*command):
    subprocess.run(command, check=True)

disk = Path(sys.argv[1])
run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk)
path = disk / "outbox.db"
make_outbox(path, BODIES).close()
filler = disk / "somebody's log"
if sys.argv[2] == "full":
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - 8 * 4096)  # the copy begins, and does not end
else:
    run("mount", "-o", "remount,ro", disk)
try:
    assert_kept(path)
except StoreError as error:
    print(type(error).__name__, error)
assert is_plain(path)
if sys.argv[2] == "full":
    assert sorted(file.name for file in disk.iterdir()) == ["outbox.db", filler.name], list(disk.iterdir())
    filler.unlink()
else:
    run("mount", "-o", "remount,rw", disk)
assert_kept(path)
print("kept")
"""


@pytest.mark.skipif(not can_mount(), reason="no mount namespaces here: a small disk cannot be made")
@pytest.mark.parametrize(
    ("how", "says"),
    [("full", "StoreFull {}: the disk is full: free some space"), ("read-only", "StoreError {}: cannot be")],
)
def test_a_disk_that_takes_nothing_is_named_and_the_next_start_encrypts(tmp_path: Path, how: str, says: str) -> None:
    command = [*UNSHARE, sys.executable, "-c", ON_A_DISK, str(tmp_path), how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    first, *rest = done.stdout.splitlines()
    assert first.startswith(says.format(tmp_path / "outbox.db")), done.stderr
    assert rest == ["kept"], done.stderr
