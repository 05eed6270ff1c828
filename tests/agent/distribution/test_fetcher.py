"""What all fetchers have in common."""

from pathlib import Path

import pytest

from agent.distribution.directory import DirectoryFetcher
from agent.distribution.fetcher import never, too_long
from agent.distribution.refusal import SourceUnreachable


def test_each_way_of_fetching_gives_the_file_without_another_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", None)
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "a").write_bytes(b"content")
    fetcher = DirectoryFetcher(tmp_path)
    url = f"{fetcher.targets_url}a"
    assert b"".join(fetcher.fetch(url)) == fetcher.download_bytes(url, 7) == b"content"
    with fetcher.download_file(url, 7) as file:
        assert file.read() == b"content"


def test_the_places_of_a_repository_are_below_its_address() -> None:
    fetcher = DirectoryFetcher(Path("/media/lists/"))
    assert (fetcher.metadata_url, fetcher.targets_url) == ("/media/lists/metadata/", "/media/lists/targets/")


def test_nobody_stops_a_fetcher_unless_asked() -> None:
    assert not never()
    DirectoryFetcher(Path("/")).check_stopped()
    with pytest.raises(SourceUnreachable, match="the agent stops"):
        DirectoryFetcher(Path("/"), lambda: True).check_stopped()


def test_the_limit_is_named() -> None:
    assert str(too_long(5)) == "more than 5 bytes"
