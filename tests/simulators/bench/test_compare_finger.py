"""kiosk-bench compare finger, on synthetic people."""

import csv
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from models.encoder import Flaw, Quality
from models.finger.compare.score import compare
from simulators.bench import compare_finger as bench_compare
from simulators.bench.command import app
from simulators.bench.compare_finger import FINGER, Encoded, ImageFile, Pair, PairsError, read_pairs
from simulators.bench.files import Remark
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

    def encode(_: Path, picture: ImageFile) -> Encoded:
        asked.append(picture)
        return Encoded(None, (("missing", "there is no file"),))

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


def test_a_list_of_a_spreadsheet_begins_with_a_mark_and_an_empty_resolution_is_none(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(HEADER + "a,b,genuine,,4000\n", encoding="utf-8-sig")
    assert read_pairs(tmp_path / "pairs.csv") == [Pair(ImageFile("a", None), ImageFile("b", 4000.0), "genuine")]


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


def _remarks(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "scores.pictures.csv").open(newline="", encoding="utf-8") as file:
        return {row["picture"]: row for row in csv.DictReader(file)}


def test_every_image_that_cannot_be_used_has_its_reason_and_the_reasons_are_counted(fingers: Path) -> None:
    (fingers / "a" / "empty.png").write_bytes(b"")
    (fingers / "a" / "cut.png").write_bytes((fingers / "a" / "1_1.png").read_bytes()[:2000])
    Image.new("1", (6000, 6000)).save(fingers / "a" / "large.png")
    reasons = {
        "a/no.png": "no_picture", "a/blank.png": "empty", "a/missing.png": "missing", "a": "no_file",
        "a/empty.png": "empty_file", "a/cut.png": "damaged", "a/large.png": "too_large", "a/\x1b[2J.png": "missing",
    }  # fmt: skip
    rows = "".join(f"{name},a/1_1.png,impostor,500,500\n" for name in reasons)
    code, output, scores = _compare(fingers, HEADER + rows, "--processes", "1")
    assert code == 0
    assert [row["score"] for row in scores] == [""] * len(reasons)
    remarks = _remarks(fingers)
    assert {name: row["reason"] for name, row in remarks.items()} == reasons
    assert {row["used"] for row in remarks.values()} == {"no"}
    assert all(name in row["explanation"] for name, row in remarks.items() if name not in ("a/blank.png"))
    assert "8 cannot be used, so their comparisons have no score: 2 missing, 1 " in output.replace("\n", " ")
    assert "\x1b[2J" not in output


def test_a_list_of_usable_images_has_an_empty_file_of_remarks(fingers: Path) -> None:
    (fingers / "scores.pictures.csv").write_text("of an earlier run", encoding="utf-8")
    code, output, _ = _compare(fingers, HEADER + "a/1_2.png,a/1_1.png,genuine,500,500\n", "--processes", "1")
    assert (code, _remarks(fingers)) == (0, {})
    assert "images:" not in output


def test_the_resolution_of_a_file_is_used_where_the_list_gives_none(fingers: Path) -> None:
    for name in ("1_1", "1_2"):
        with Image.open(fingers / "a" / f"{name}.png") as image:
            twice = image.resize((2 * image.width, 2 * image.height), Image.Resampling.BICUBIC)
        twice.save(fingers / "a" / f"{name}_1000.png", dpi=(1000, 1000))
    pairs = "a/1_2_1000.png,a/1_1.png,genuine,,\na/1_2_1000.png,a/1_1_1000.png,genuine,500,\n"
    code, output, scores = _compare(fingers, HEADER + pairs, "--processes", "1")
    assert code == 0
    right, wrong = (float(row["score"]) for row in scores)
    assert right > 0.6 > wrong
    with (fingers / "scores.pictures.csv").open(newline="", encoding="utf-8") as file:
        rows = [(row["picture"], row["ppi"], row["used"], row["reason"]) for row in csv.DictReader(file)]
    assert sorted(rows) == [
        ("a/1_1_1000.png", "", "yes", "resolution_of_file"),
        ("a/1_2_1000.png", "", "yes", "resolution_of_file"),
        ("a/1_2_1000.png", "500", "yes", "resolution_differs"),
    ]
    assert "2 resolution_of_file, 1 resolution_differs" in output


def test_an_image_of_several_fingers_cannot_be_used() -> None:
    template = template_of(1, 0)
    slap = bench_compare.usable(template, Quality(90, Flaw.SEVERAL), (), features=True)
    assert (slap.template, slap.notes[-1][0]) == (None, "several")
    assert "more than one finger" in slap.notes[-1][1]
    assert bench_compare.usable(template, Quality(20, Flaw.TOO_DRY), (), features=True) == Encoded(template)
    assert bench_compare.usable(template, Quality(0), (), features=False).notes[-1][0] == "too_few_features"


def test_many_remarks_are_counted_and_the_first_are_named(fingers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remarks = [Remark(f"{n}.png", "", used=False, reason="missing", explanation="no file") for n in range(12)]
    bench_compare.report_remarks(remarks, fingers / "scores.csv")
    said = capsys.readouterr().err
    assert "9.png: missing" in said
    assert "10.png" not in said
    assert "... and 2 more" in said
    assert "images: 12 cannot be used" in said
