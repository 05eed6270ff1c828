"""What a file states of its resolution, and what it is worth."""

import math

import pytest
from PIL import Image

from simulators.pictures.errors import ImageFileError, Subject
from simulators.pictures.resolution import Stated, check_oblong, finger_resolution, stated_by


def picture(**info: object) -> Image.Image:
    image = Image.new("L", (2, 2))
    image.info.update(info)
    return image


NO_STATEMENTS = [
    (72, 72), (96.0, 96.0), (1, 1), (71.98, 71.98), (0, 0), (math.nan, 500), ("a", "b"), (), (math.inf, 1),
    (-500, -500), (500,), None,
]  # fmt: skip


@pytest.mark.parametrize("dpi", NO_STATEMENTS)
def test_these_are_no_statement(dpi: object) -> None:
    assert stated_by(picture(dpi=dpi)) is None


def test_a_ratio_without_a_unit_counts_only_if_it_is_not_1() -> None:
    assert stated_by(picture(aspect=(1, 1))) is None
    assert stated_by(picture(jfif_unit=0, jfif_density=(1, 1))) is None
    assert stated_by(picture(jfif_unit=0, jfif_density=(1, 2))) == Stated(1, 2, absolute=False)
    assert stated_by(picture(resolution=(2, 1))) == Stated(2, 1, absolute=False)
    assert stated_by(picture()) is None


@pytest.mark.parametrize(("unit", "ppi"), [(2, 400), (3, 1016)])
def test_exif_states_a_resolution_with_its_unit(unit: int, ppi: float) -> None:
    image = picture()
    image.getexif().update({0x011A: 400.0, 0x011B: 400.0, 0x0128: unit})
    stated = stated_by(image)
    assert stated is not None
    assert stated.finest == pytest.approx(ppi)


def test_what_is_given_counts_then_what_is_stated_then_500() -> None:
    stated = Stated(1000, 1000, absolute=True)
    assert finger_resolution(None, None, "x") == (500, ())
    assert finger_resolution(Stated(1, 2, absolute=False), None, "x") == (500, ())
    assert finger_resolution(stated, None, "x")[0] == 1000
    assert finger_resolution(Stated(499.999, 499.999, absolute=True), None, "x") == (499.999, ())
    given, notes = finger_resolution(stated, 500, "x")
    assert given == 500
    assert [(note.subject, note.text) for note in notes] == [
        (Subject.RESOLUTION_DIFFERS, "500 ppi, as given, but the file states 1000 ppi")
    ]
    assert finger_resolution(None, 569, "x") == (569, ())
    assert finger_resolution(Stated(569.2, 569.2, absolute=True), 569, "x") == (569, ())


@pytest.mark.parametrize("ppi", [10, 99, 4001, 25400])
def test_what_no_fingerprint_sensor_has_is_refused(ppi: float) -> None:
    with pytest.raises(ImageFileError, match=r"x states .* ppi, which no fingerprint sensor has \(100 to 4000\)"):
        finger_resolution(Stated(ppi, ppi, absolute=True), None, "x")


def test_one_number_cannot_be_given_for_oblong_pixels() -> None:
    for stated in (Stated(500, 1000, absolute=True), Stated(1, 2, absolute=False)):
        with pytest.raises(ImageFileError, match="but one resolution is given for both axes, 500 ppi"):
            finger_resolution(stated, 500, "x")
    assert finger_resolution(Stated(500, 1000, absolute=True), None, "x")[0] == 1000


def test_pixels_of_more_than_4_to_1_are_an_error() -> None:
    check_oblong(Stated(1, 4, absolute=False), "x")
    with pytest.raises(ImageFileError, match="x states oblong pixels, 5:1"):
        check_oblong(Stated(1, 5, absolute=False), "x")


def test_a_turned_picture_has_the_axes_exchanged() -> None:
    assert Stated(1, 2, absolute=True).turned == Stated(2, 1, absolute=True)
