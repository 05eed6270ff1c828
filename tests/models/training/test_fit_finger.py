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
from models.training import fit_finger
from models.training.fit_finger import fit, impressions, main
from models.training.golden_scores import GoldenScores
from models.training.sample_sets import FINGERS, SetError, load_sets
from simulators.bench.search_finger import template_of
from simulators.people.finger_minutiae import another_impression, fingers
from tests.conftest import impression_of


def _save(folder: Path, number: int, each: int) -> None:
    """The image of one finger under the names of several; the content is not used."""
    folder.mkdir()
    for finger in range(number):
        for impression in range(each):
            Image.fromarray(impression_of(1, 0)).save(folder / f"{finger}_{impression}.png")


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
def test_a_set_that_no_calibration_can_be_fitted_to_is_rejected_with_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sets: str, complaint: str
) -> None:
    monkeypatch.setattr(fit_finger, "FingerEncoder", lambda **_: pytest.fail("encoded"))
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(root), *sets.split()])
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert complaint in said.err


class Touches:
    """An encoder that ignores the image: it returns two different impressions of each of eight fingers."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(4)
        made = fingers(self._rng, 8)
        self._left = [made.one(number) for number in range(8) for _ in range(2)]

    def minutiae(self, _: Sample) -> Minutiae:
        return unpack(template_of(another_impression(self._rng, self._left.pop())))


def test_a_calibration_can_be_fitted_to_the_smallest_accepted_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("A", "B"):
        _save(tmp_path / name, 4, 2)
    monkeypatch.setattr(fit_finger, "FingerEncoder", lambda **_: Touches())
    monkeypatch.setattr(fit_finger, "finger_golden_scores", lambda: GoldenScores(0.1, 0.5))
    main(["--root", str(tmp_path), "A", "B:500"])
    said = capsys.readouterr().out
    assert 'sets = ["A", "B"]' in said
    assert "comparisons = 48" in said
    assert "nan" not in said


def test_for_another_model_no_table_is_printed_that_could_replace_that_of_the_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _save(tmp_path / "A", 4, 2)
    cards: list[str] = []

    def encoder(*, card: ModelCard, **_: int) -> Touches:
        cards.append(card.name)
        return Touches()

    monkeypatch.setattr(fit_finger, "FingerEncoder", encoder)
    main(["--root", str(tmp_path), "A", "--model", "leader-student"])
    lines = capsys.readouterr().out.splitlines()
    assert cards == ["leader-student"]
    assert all(line.startswith("# ") for line in lines)
    assert lines[0].startswith("# calibration of the manifest, predicted 0.1")


def test_a_model_that_is_not_one_of_fingers_is_rejected(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(root), "A", "--model", "iris-encoder"])
    assert ended.value.code == 2
    assert "there are: leader, leader-student" in capsys.readouterr().err


def test_an_image_of_16_bits_gives_the_same_minutiae_as_one_of_8_bits(root: Path) -> None:
    deep = Image.fromarray(impression_of(1, 0).astype(np.uint16) * 257)
    deep.save(root / "A" / "0_1.png")
    (sample_set,) = load_sets(root, ["A"], FINGERS)
    seen = list(impressions(FingerEncoder(threads=1), sample_set))
    assert seen[0].quality == seen[1].quality > 0
    assert np.array_equal(seen[0].cylinders.rows, seen[1].cylinders.rows)


def test_scores_that_are_all_equal_are_rejected() -> None:
    with pytest.raises(SetError, match="are all 0"):
        fit(np.zeros(100))
