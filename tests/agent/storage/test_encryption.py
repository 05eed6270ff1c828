"""SQLCipher with a raw key: what is on disk says nothing, another key opens nothing, the key shows nowhere."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.storage.encryption import StoreKey, connect, is_plain, opens_with
from tests.rigs.decrypted_pages import pages_of
from tests.rigs.store_key import OTHER_KEY, TEST_KEY

TEXT = "an entry that nobody may read"


def make(path: Path, key: StoreKey | None = TEST_KEY) -> Path:
    connection = connect(path, key)
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES (?)", [TEXT])
    connection.close()
    return path


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_has_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        StoreKey(bytes(length))


def test_a_key_does_not_show_itself() -> None:
    for text in (repr(TEST_KEY), str(TEST_KEY), f"{[TEST_KEY]}"):
        assert TEST_KEY.secret.hex() not in text
        assert str(TEST_KEY.secret) not in text


def test_the_file_shows_nothing_without_the_key_and_everything_with_it(tmp_path: Path) -> None:
    path = make(tmp_path / "t.db")
    assert TEXT.encode() not in path.read_bytes()
    assert b"CREATE TABLE" not in path.read_bytes()
    assert TEXT.encode() in pages_of(path, TEST_KEY)


def test_two_files_with_the_same_contents_and_key_have_no_page_in_common(tmp_path: Path) -> None:
    one, two = (make(tmp_path / name).read_bytes() for name in ("one.db", "two.db"))
    pages = [{content[at : at + 64] for at in range(0, len(content), 4096)} for content in (one, two)]
    assert not pages[0] & pages[1]


def test_the_settings_are_those_of_sqlcipher_4(tmp_path: Path) -> None:
    """A file that the library makes with its own defaults opens with ours: the settings are pinned, not changed."""
    connection = connect(tmp_path / "t.db", None)
    connection.execute(f'PRAGMA key = "{TEST_KEY.literal}"').fetchone()
    connection.execute("PRAGMA cipher_compatibility = 4").fetchone()
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    assert opens_with(tmp_path / "t.db", TEST_KEY)


def test_whether_a_key_opens_a_file_is_found_without_a_change_to_it(tmp_path: Path) -> None:
    path = make(tmp_path / "t #?%.db")
    before = path.read_bytes()
    assert [opens_with(path, TEST_KEY), opens_with(path, OTHER_KEY)] == [True, False]
    assert not opens_with(tmp_path / "missing.db", TEST_KEY)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_plain_encrypted_and_empty_files_are_told_apart(tmp_path: Path) -> None:
    plain, encrypted = make(tmp_path / "plain.db", None), make(tmp_path / "encrypted.db")
    empty = tmp_path / "empty.db"
    empty.touch()
    assert [is_plain(path) for path in (plain, encrypted, empty)] == [True, False, False]


def test_the_library_writes_no_lines_of_its_own(tmp_path: Path) -> None:
    path = make(tmp_path / "t.db")
    code = (
        "import sys; from pathlib import Path; from agent.storage.encryption import opens_with;"
        "from tests.rigs.store_key import OTHER_KEY; print(opens_with(Path(sys.argv[1]), OTHER_KEY))"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_an_error_while_the_key_is_given_closes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.storage.encryption.SETTINGS", ("cipher_page_size = (",))
    with pytest.raises(Exception, match="syntax error"):
        connect(tmp_path / "t.db", TEST_KEY)
