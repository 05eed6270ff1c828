"""The fit of the calibration: wrong arguments and sets are rejected with one line, before anything is encoded."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivers.sample import Sample
from models.finger.encoder import FingerEncoder
from models.finger.minutiae import Minutiae
from models.finger.template import unpack
from models.manifest import ModelCard
from models.training import fit_finger as fit_calibration
from models.training import fit_iris as fit_iris_calibration
from models.training.fit_finger import fit, impressions, main
from models.training.golden_scores import GoldenScores
from models.training.sample_sets import EYES, FINGERS, FileNaming, SetError, load_sets
from simulators.bench.search_finger import template_of
from simulators.people.finger_minutiae import another_impression, fingers
from tests.conftest import touch


def _save(folder: Path, number: int, each: int) -> None:
    """The picture of one finger under the names of several: nothing looks at what is in it."""
    folder.mkdir()
    for finger in range(number):
        for impression in range(each):
            Image.fromarray(touch(1, 0)).save(folder / f"{finger}_{impression}.png")


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    for name, number, each in (("A", 4, 2), ("one", 1, 2), ("once", 6, 1), ("bad", 4, 2), ("named", 4, 2)):
        _save(tmp_path / name, number, each)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad" / "3_1.png").write_text("no picture")
    (tmp_path / "named" / "overview.png").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("sets", "complaint"),
    [
        ("A:abc", "A:abc: a resolution is a number from 100 to 4000"),
        ("A:0", "A:0: a resolution"),
        ("A:nan", "A:nan: a resolution"),
        ("A:500:500", "A:500:500: a resolution"),
        ("none", "none"),
        ("A/0_0.png", "0_0.png"),
        ("empty", "empty has 0 fingers with two images"),
        ("A one", "one has 1 fingers"),
        ("once", "once has 0 fingers"),
        ("A A:512", "A: this set is named twice"),
        ("bad", "3_1.png is not a readable image"),
        ("named", "overview.png: an image is named FINGER_IMPRESSION, as 101_1.png"),
    ],
)
def test_a_set_that_nothing_can_be_fitted_to_is_refused_in_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sets: str, complaint: str
) -> None:
    monkeypatch.setattr(fit_calibration, "FingerEncoder", lambda **_: pytest.fail("encoded"))
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(root), *sets.split()])
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert complaint in said.err


@pytest.mark.parametrize(
    ("sets", "complaint"),
    [
        ("eyes:500", "eyes:500: the resolution of an eye does not matter"),
        ("none", "none"),
        ("few", "few has 1 eyes with two images"),
        ("A", "0_0.png: an image is named EYE and two digits"),
        ("eyes", "eyes: an iris is found in 0 of 8 images"),
    ],
)
def test_eyes_that_nothing_can_be_fitted_to_are_refused_in_one_line(
    root: Path, capsys: pytest.CaptureFixture[str], sets: str, complaint: str
) -> None:
    for name, eyes in (("eyes", 4), ("few", 1)):
        (root / name).mkdir()
        for number in range(2 * eyes):
            Image.new("L", (160, 120), 90).save(root / name / f"L{number // 2}0{number % 2}.png")
    with pytest.raises(SystemExit) as ended:
        fit_iris_calibration.main(["--root", str(root), *sets.split()])
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert complaint in said.err


@pytest.mark.parametrize(
    ("naming", "stem", "owner"),
    [
        (FINGERS, "101_1", "101"),
        (FINGERS, "left_thumb_12", "left_thumb"),
        (FINGERS, "101", None),
        (FINGERS, "_1", None),
        (FINGERS, "101_a", None),
        (EYES, "S1001L01", "S1001L"),
        (EYES, "010203", "0102"),
        (EYES, "01", None),
        (EYES, "S1001L1", None),
    ],
)
def test_whose_a_picture_is_stands_in_its_name(naming: FileNaming, stem: str, owner: str | None) -> None:
    found = naming.stem.fullmatch(stem)
    assert (found and found[1]) == owner


class Touches:
    """An encoder that sees another finger in every second picture, and not the same of it."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(4)
        made = fingers(self._rng, 8)
        self._left = [made.one(number) for number in range(8) for _ in range(2)]

    def minutiae(self, _: Sample) -> Minutiae:
        return unpack(template_of(another_impression(self._rng, self._left.pop())))


def test_the_smallest_sets_that_are_taken_can_be_fitted_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("A", "B"):
        _save(tmp_path / name, 4, 2)
    monkeypatch.setattr(fit_calibration, "FingerEncoder", lambda **_: Touches())
    monkeypatch.setattr(fit_calibration, "finger_golden_scores", lambda: GoldenScores(0.1, 0.5))
    main(["--root", str(tmp_path), "A", "B:500"])
    said = capsys.readouterr().out
    assert 'sets = ["A", "B"]' in said
    assert "comparisons = 48" in said
    assert "nan" not in said


def test_of_another_model_no_table_is_printed_that_would_replace_the_one_of_the_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _save(tmp_path / "A", 4, 2)
    cards: list[str] = []

    def encoder(*, card: ModelCard, **_: int) -> Touches:
        cards.append(card.name)
        return Touches()

    monkeypatch.setattr(fit_calibration, "FingerEncoder", encoder)
    main(["--root", str(tmp_path), "A", "--model", "leader-student"])
    lines = capsys.readouterr().out.splitlines()
    assert cards == ["leader-student"]
    assert all(line.startswith("# ") for line in lines)
    assert lines[0].startswith("# calibration of the manifest, predicted 0.1")


def test_a_model_that_is_none_of_fingers_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(root), "A", "--model", "iris-encoder"])
    assert ended.value.code == 2
    assert "there are: leader, leader-student" in capsys.readouterr().err


def test_a_picture_of_16_bits_is_the_finger_that_it_is_in_8(root: Path) -> None:
    deep = Image.fromarray(touch(1, 0).astype(np.uint16) * 257)
    deep.save(root / "A" / "0_1.png")
    (sample_set,) = load_sets(root, ["A"], FINGERS)
    seen = list(impressions(FingerEncoder(threads=1), sample_set))
    assert seen[0].quality == seen[1].quality > 0
    assert np.array_equal(seen[0].cylinders.rows, seen[1].cylinders.rows)


def test_scores_that_are_all_alike_are_refused() -> None:
    with pytest.raises(SetError, match="are all 0"):
        fit(np.zeros(100))
