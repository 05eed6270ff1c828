"""The fit of the calibration of irises: sets that it cannot be fitted to are rejected with one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivers.sample import Position
from models.iris.score import score
from models.training import fit_iris
from models.training.fit_iris import EyeImage, comparisons
from models.training.golden_scores import GoldenScores
from models.training.sample_sets import EYES, load_sets
from simulators.people.person import EyeCondition, Person
from tests.rigs.iris_codes import noisy, some_code


def _save_blank(folder: Path, eyes: int) -> None:
    """Two images of each eye, in which no iris is found."""
    folder.mkdir()
    for number in range(2 * eyes):
        Image.new("L", (160, 120), 90).save(folder / f"L{number // 2}0{number % 2}.png")


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
def test_sets_that_no_calibration_can_be_fitted_to_are_rejected_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sets: str, complaint: str
) -> None:
    for name, eyes in (("eyes", 4), ("few", 1)):
        _save_blank(tmp_path / name, eyes)
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "0_0.png").touch()
    with pytest.raises(SystemExit) as ended:
        fit_iris.main(["--root", str(tmp_path), *sets.split()])
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert complaint in said.err


def test_images_are_compared_within_their_set_only() -> None:
    one, other = some_code(1), some_code(2)
    again = noisy(one, 3, 0.2)
    found = [
        EyeImage("a", "a/1", one),
        EyeImage("a", "a/1", again),
        EyeImage("a", "a/2", other),
        EyeImage("b", "b/1", one),
    ]
    made = comparisons(found)
    assert list(zip(made.first.tolist(), made.second.tolist(), strict=True)) == [(1, 0), (2, 0), (2, 1)]
    assert made.genuine.tolist() == [True, False, False]
    assert made.scores == pytest.approx([score(again, one), score(other, one), score(other, again)])


def test_a_calibration_is_fitted_to_real_irises_and_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "A"
    folder.mkdir()
    for seed in range(4):
        for number in range(2):
            scene = Person(40 + seed).eye(Position.LEFT_EYE).scene(number, 320, 240, EyeCondition.NORMAL)
            Image.fromarray(scene.image).save(folder / f"L{seed}0{number}.png")
    (sample_set,) = load_sets(tmp_path, ["A"], EYES)
    assert len(fit_iris._code(next(iter(sample_set.owners)))) > 500
    monkeypatch.setattr(fit_iris, "iris_golden_scores", lambda: GoldenScores(0.5, 0.8))
    fit_iris.main(["--root", str(tmp_path), "A"])
    lines = capsys.readouterr().out.splitlines()
    assert '[calibration."iris-code/1"]' in lines
    assert "comparisons = 24" in lines
    assert lines[-1] == "witness = [0.5, 0.8]"
    assert np.all([line.startswith("# ") for line in lines[: lines.index('[calibration."iris-code/1"]')]])
