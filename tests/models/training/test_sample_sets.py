"""The sets of images of a fit: who owns an image, and which sets are rejected."""

from pathlib import Path

import pytest
from PIL import Image

from models.training.sample_sets import EYES, FINGERS, FileNaming, SetError, load_sets, repeated
from simulators.pictures.errors import ImageFileError


def _save(folder: Path, fingers: int = 4, each: int = 2) -> Path:
    folder.mkdir()
    for finger in range(fingers):
        for impression in range(each):
            Image.new("L", (8, 8), 128).save(folder / f"{finger}_{impression}.png")
    return folder


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
def test_the_owner_of_an_image_is_read_from_its_name(naming: FileNaming, stem: str, owner: str | None) -> None:
    found = naming.stem.fullmatch(stem)
    assert (found and found[1]) == owner


def test_sets_are_loaded_in_their_order_with_their_resolutions(tmp_path: Path) -> None:
    _save(tmp_path / "A")
    _save(tmp_path / "B")
    first, second = load_sets(tmp_path, ["B:1000", "A"], FINGERS)
    assert [(one.name, one.pixels_per_inch) for one in (first, second)] == [("B", 1000), ("A", 500)]
    assert sorted(set(second.owners.values())) == ["A/0", "A/1", "A/2", "A/3"]
    assert repeated(second.owners.values()) == 4


@pytest.mark.parametrize(
    ("named", "complaint"),
    [
        (["A:99"], "A:99: a resolution is a number from 100 to 4000"),
        (["A:x"], "A:x: a resolution"),
        (["A", "A:600"], "A: this set is named twice"),
        (["few"], "few has 3 fingers with two images or more: a set needs 4"),
        (["bad"], r"overview.png: an image is named FINGER_IMPRESSION, as 101_1.png"),
    ],
)
def test_a_set_that_no_calibration_can_be_fitted_to_is_rejected(
    tmp_path: Path, named: list[str], complaint: str
) -> None:
    _save(tmp_path / "A")
    _save(tmp_path / "few", fingers=3)
    (_save(tmp_path / "bad") / "overview.png").touch()
    with pytest.raises(SetError, match=complaint):
        load_sets(tmp_path, named, FINGERS)


def test_the_resolution_of_eyes_cannot_be_given(tmp_path: Path) -> None:
    (tmp_path / "eyes").mkdir()
    with pytest.raises(SetError, match="eyes:500: the resolution of an eye does not matter"):
        load_sets(tmp_path, ["eyes:500"], EYES)


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (_save(tmp_path / "A") / "3_1.png").write_text("not an image")
    with pytest.raises(ImageFileError, match=r"3_1\.png"):
        load_sets(tmp_path, ["A"], FINGERS)
