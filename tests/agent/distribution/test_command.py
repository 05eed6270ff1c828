"""The command line for the public suite, driven as the suite does. `make drill-conformance` runs the suite itself."""

import runpy
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.distribution.command import main
from tests.rigs.list_repository import SignedLists
from tests.rigs.list_server import ListServer


@pytest.fixture
def lists() -> SignedLists:
    """Lists that are valid now: the command goes by the wall clock."""
    made = SignedLists("north", now=datetime.now(UTC))
    made.put("north", "manifest.json", b"content")
    made.publish("north")
    return made


@pytest.fixture
def kept(tmp_path: Path, lists: SignedLists) -> Path:
    """A metadata folder that `init` was run on."""
    (tmp_path / "root.json").write_bytes(lists.trusted_root)
    folder = tmp_path / "kept"
    folder.mkdir()
    assert main(["--metadata-dir", str(folder), "init", str(tmp_path / "root.json")]) == 0
    return folder


def run(kept: Path, server: ListServer, command: str, *names: str) -> int:
    """Run a command."""
    targets = kept.parent / "targets"
    targets.mkdir(exist_ok=True)
    words = ["--metadata-dir", str(kept), "--metadata-url", f"{server.address}/metadata"]
    words += ["--target-dir", str(targets), "--target-base-url", f"{server.address}/targets/"]
    for name in names:
        words += ["--target-name", name]
    return main([*words, command])


def test_a_refresh_stores_the_metadata(kept: Path, lists: SignedLists) -> None:
    with ListServer(lists.files) as server:
        assert run(kept, server, "refresh") == 0
    assert {path.name for path in kept.glob("*.json")} == {
        f"{n}.json" for n in ("root", "timestamp", "snapshot", "targets")
    }
    assert (kept / "timestamp.json").read_bytes() == lists.files["metadata/timestamp.json"]


def test_a_target_is_downloaded_once(kept: Path, lists: SignedLists) -> None:
    with ListServer(lists.files) as server:
        for _ in range(2):
            assert run(kept, server, "download", "north/manifest.json") == 0
    assert (kept.parent / "targets" / "north%2Fmanifest.json").read_bytes() == b"content"
    assert sum("/targets/" in request for request in server.requests) == 1


def test_the_reason_of_a_refusal_is_printed(kept: Path, lists: SignedLists, capsys: pytest.CaptureFixture[str]) -> None:
    with ListServer(lists.files) as server:
        assert run(kept, server, "download", "north/other.json") == 1
        assert "north/other.json: there is no such target" in capsys.readouterr().err
        lists.files["metadata/timestamp.json"] = b"{}"
        assert run(kept, server, "refresh") == 1
    assert "a file is not signed metadata" in capsys.readouterr().err


def test_it_runs_as_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["command", "--metadata-dir", str(tmp_path), "init", str(tmp_path / "missing")])
    monkeypatch.delitem(sys.modules, "agent.distribution.command")
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("agent.distribution.command", run_name="__main__")
    assert caught.value.code == 1
