"""kiosk-bench compare finger, on synthetic people."""

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.finger.compare.score import compare
from simulators.bench import compare_finger as bench_compare
from simulators.bench.command import app
from simulators.bench.compare_finger import FINGER, ImageFile, Pair, PairsError, read_pairs
from tests.conftest import template_of

MODELS = ("leader", "leader-student")

HEADER = "probe,reference,label,ppi_probe,ppi_reference\n"

PAIRS = (
    HEADER + "a/1_2.png,a/1_1.png,genuine,500,500\na/2_1.png,a/1_1.png,impostor,,\na/no.png,a/1_1.png,genuine,500,500\n"
)


def _compare(fingers: Path, pairs: str, *options: str) -> tuple[int, str, list[dict[str, str]]]:
    (fingers / "pairs.csv").write_text(pairs, encoding="utf-8")
    files = ["--root", str(fingers), "--pairs", str(fingers / "pairs.csv"), "--out", str(fingers / "scores.csv")]
    done = CliRunner().invoke(app, ["compare", "finger", *files, *options])
    if not (fingers / "scores.csv").exists():
        return done.exit_code, done.output, []
    with (fingers / "scores.csv").open(newline="", encoding="utf-8") as file:
        return done.exit_code, done.output, list(csv.DictReader(file))


def test_each_pair_of_the_list_gets_the_score_of_the_kiosk(fingers: Path) -> None:
    code, output, rows = _compare(fingers, PAIRS, "--processes", "1")
    assert code == 0, output
    assert [tuple(row)[:4] for row in rows] == [("probe", "reference", "label", "score")] * 3
    assert [row["label"] for row in rows] == ["genuine", "impostor", "genuine"]
    one, two, other = template_of(1, 0), template_of(1, 1), template_of(2, 0)
    assert float(rows[0]["score"]) == pytest.approx(compare(two, one), abs=1e-6)
    assert float(rows[1]["score"]) == pytest.approx(compare(other, one), abs=1e-6)
    assert float(rows[0]["score"]) > 2 * float(rows[1]["score"])


def test_a_pair_with_an_unusable_image_has_an_empty_score_and_the_image_is_named(fingers: Path) -> None:
    useless = "a/no.png", "a/blank.png", "a/missing.png", "../outside.png"
    rows = "".join(f"{name},a/1_1.png,impostor,500,500\n" for name in useless)
    code, output, scores = _compare(fingers, HEADER + rows, "--processes", "1")
    assert code == 0
    assert [row["score"] for row in scores] == [""] * len(useless)
    assert all(name in output for name in useless)


def test_other_processes_give_the_same_scores(fingers: Path) -> None:
    pairs = [Pair(ImageFile("a/1_2.png", 500.0), ImageFile("a/1_1.png", 500.0), "genuine")]
    assert bench_compare.measure(FINGER, fingers, pairs, 2) == bench_compare.measure(FINGER, fingers, pairs, 1)


def test_each_image_is_encoded_once_for_each_resolution(fingers: Path) -> None:
    asked: list[ImageFile] = []

    def encode(_: Path, picture: ImageFile) -> None:
        asked.append(picture)

    pictures = [ImageFile("x", 500.0), ImageFile("y", 500.0), ImageFile("x", 569.0)]
    pairs = [Pair(one, other, "genuine") for one in pictures for other in pictures]
    kind = bench_compare.Comparer(encode, bench_compare.compare_fingers)
    assert bench_compare.measure(kind, fingers, pairs, 1).scores == [None] * 9
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
def test_the_scores_never_overwrite_the_list(fingers: Path, modality: str, name: str) -> None:
    listed = fingers / ("pairs.csv.part" if name == "pairs" else "pairs.csv")
    listed.write_text(PAIRS, encoding="utf-8")
    (fingers / "link.csv").symlink_to(listed)
    scores = fingers / (name.format(folder=fingers.name) if name != "pairs" else "pairs.csv")
    files = ["--root", str(fingers), "--pairs", str(listed), "--out", str(scores)]
    done = CliRunner().invoke(app, ["compare", modality, *files], env={"COLUMNS": "300"})
    assert (done.exit_code, "overwrite the list" in done.output) == (2, True)
    assert listed.read_text(encoding="utf-8") == PAIRS


def test_a_list_that_is_no_text_or_not_there_ends_the_command(fingers: Path) -> None:
    (fingers / "bytes.csv").write_bytes(bytes(range(256)))
    for name, complaint in (("bytes.csv", "no CSV file"), ("none.csv", "No such file")):
        arguments = ["--root", str(fingers), "--pairs", str(fingers / name), "--out", str(fingers / "scores.csv")]
        done = CliRunner().invoke(app, ["compare", "finger", *arguments], env={"COLUMNS": "300"})
        assert done.exit_code == 2
        assert complaint in done.output
    assert not (fingers / "scores.csv").exists()


def test_another_model_is_measured_where_it_is_named(fingers: Path) -> None:
    pair = HEADER + "a/1_2.png,a/1_1.png,genuine,500,500\n"
    usual, other = (_compare(fingers, pair, "--processes", "1", "--model", name)[2][0]["score"] for name in MODELS)
    assert float(usual) != float(other)
    assert min(float(usual), float(other)) > 0.6


def test_a_model_that_is_none_of_fingers_is_refused_before_anything_is_measured(fingers: Path) -> None:
    code, output, rows = _compare(fingers, PAIRS, "--model", "iris-encoder")
    assert (code, rows) == (2, [])
    assert MODELS[1] in output
    encoded = CliRunner().invoke(
        app, ["encode", "finger", "--no-fetch-yardstick", "--cache", str(fingers), "--model", "x"]
    )
    assert encoded.exit_code == 2
    assert MODELS[1] in encoded.output
