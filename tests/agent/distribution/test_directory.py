"""A folder or a stick that somebody else has made."""

import os
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError

from agent.distribution.directory import DirectoryFetcher
from agent.distribution.refusal import SourceUnreachable


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A folder with one file."""
    folder = tmp_path / "stick"
    (folder / "metadata").mkdir(parents=True)
    (folder / "metadata" / "timestamp.json").write_bytes(b"signed")
    return folder


def read(stick: Path, name: str, most: int = 100) -> bytes:
    fetcher = DirectoryFetcher(stick)
    return fetcher.read(f"{fetcher.metadata_url}{name}", most)


def test_a_file_is_read(stick: Path) -> None:
    assert read(stick, "timestamp.json", 6) == b"signed"


def test_the_folder_itself_may_be_reached_by_a_link(stick: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(stick)
    assert read(tmp_path / "link", "timestamp.json") == b"signed"


def test_a_name_is_taken_as_one_name_even_with_odd_characters(stick: Path) -> None:
    (stick / "metadata" / "1.a b?.json").write_bytes(b"odd")
    assert read(stick, "1.a%20b%3F.json") == b"odd"


@pytest.mark.parametrize("name", ["1.root.json", "x" * 300, "timestamp.json/inner"])
def test_a_missing_file_is_a_404(stick: Path, name: str) -> None:
    with pytest.raises(DownloadHTTPError, match="there is no such file") as caught:
        read(stick, name)
    assert caught.value.status_code == 404


@pytest.mark.parametrize("name", ["../../secret", "..%2F..%2Fsecret", "%2e%2e/secret", "", ".", "a//b", "a%00b"])
def test_no_name_leads_out_of_the_folder(stick: Path, name: str) -> None:
    (stick.parent / "secret").write_bytes(b"secret")
    with pytest.raises(DownloadError, match="is not the name of a file"):
        read(stick, name)


@pytest.mark.parametrize("name", ["link", "folder/secret"])
def test_a_symbolic_link_in_the_folder_is_not_followed(stick: Path, name: str) -> None:
    (stick.parent / "secret").write_bytes(b"secret")
    (stick / "metadata" / "link").symlink_to(stick.parent / "secret")
    (stick / "metadata" / "folder").symlink_to(stick.parent)
    with pytest.raises(DownloadError, match="symbolic link"):
        read(stick, name)


def test_a_named_pipe_and_a_folder_are_no_plain_files(stick: Path) -> None:
    os.mkfifo(stick / "metadata" / "pipe")
    (stick / "metadata" / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(DownloadError, match="is not a plain file"):
            read(stick, name)


def test_a_file_that_is_too_long_is_not_read(stick: Path) -> None:
    with pytest.raises(DownloadLengthMismatchError, match="more than 5 bytes"):
        read(stick, "timestamp.json", 5)


def test_a_file_that_grows_while_it_is_read_is_too_long(stick: Path) -> None:
    path = stick / "metadata" / "timestamp.json"

    def grow() -> bool:
        with path.open("ab") as file:
            file.write(b"more" * 50)
        return False

    fetcher = DirectoryFetcher(stick, grow)
    with pytest.raises(DownloadLengthMismatchError):
        fetcher.read(f"{fetcher.metadata_url}timestamp.json", 100)


def test_a_read_ends_when_the_agent_stops(stick: Path) -> None:
    fetcher = DirectoryFetcher(stick, lambda: True)
    with pytest.raises(SourceUnreachable, match="the agent stops"):
        fetcher.read(f"{fetcher.metadata_url}timestamp.json", 100)


def test_an_empty_or_missing_folder_is_unreachable(stick: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nothing"):
        with pytest.raises(SourceUnreachable, match="it has no folder metadata"):
            read(folder, "timestamp.json")


def test_a_stick_that_can_no_longer_be_read_is_unreachable(stick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the system answers after the stick was pulled out: the file is open, and its disk is gone.
    def gone(file: int, count: int) -> bytes:
        del file, count
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", gone)
    with pytest.raises(SourceUnreachable, match=r"metadata/timestamp.json: Input/output error"):
        read(stick, "timestamp.json")
