from pathlib import Path

import pytest

from simulators.provider.errors import ProviderError, sync_folder, write_file


def test_a_file_is_written_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    write_file(path, b"one", 0o600)
    write_file(path, b"two", 0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "list"
    write_file(path, b"old")
    (tmp_path / ".list.new").mkdir()
    with pytest.raises(OSError, match=r"\.list\.new"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_folder_can_be_made_durable(tmp_path: Path) -> None:
    sync_folder(tmp_path)


def test_an_error_is_printable() -> None:
    assert str(ProviderError("a\x1b[2J", "do this")) == "a\\x1b[2J\ndo this"
