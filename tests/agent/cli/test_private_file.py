"""A private file is new, only its owner can read it, and a file that already exists stays as it is."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.private_file import check_writable, private_file
from agent.errors import AgentError


@pytest.fixture(name="widest_umask")
def _widest_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("widest_umask")
def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "sample"
    with private_file(path) as file:
        file.write(b"a finger")
    assert path.read_bytes() == b"a finger"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_there_already_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "sample"
    path.write_text("something else")
    with pytest.raises(AgentError, match="sample: already exists: delete it"):
        check_writable(path)
    assert path.read_text() == "something else"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "sample"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AgentError, match="already exists"):
        check_writable(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="sample: cannot be written: No such file"):
        check_writable(tmp_path / "nowhere" / "sample")


def test_a_check_leaves_no_file(tmp_path: Path) -> None:
    check_writable(tmp_path / "sample")
    assert list(tmp_path.iterdir()) == []
