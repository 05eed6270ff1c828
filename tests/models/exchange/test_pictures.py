"""The pictures of records become grey images, without loss where theirs is none, and nothing else is raised."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import features

from models.exchange.pictures import PictureFormat, decoded, encoded
from models.template import TemplateError
from tests.rigs.records import jpeg2000, png_of

PIXELS = np.random.default_rng(1).integers(0, 256, (48, 64)).astype(np.uint8)
SMOOTH = np.add.outer(np.arange(48), 2 * np.arange(64)).astype(np.uint8)
GREY_IN_COLOUR = np.dstack([PIXELS] * 3)
COLOURS = np.dstack([SMOOTH, SMOOTH // 2, SMOOTH // 3])


@pytest.mark.parametrize("form", PictureFormat)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 2), (48, 64), (300, 5)])
def test_what_is_encoded_is_decoded_without_loss(form: PictureFormat, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    found = decoded(form, encoded(form, pixels), shape[1], shape[0])
    assert np.array_equal(found.image, pixels)
    assert found.image.dtype == np.uint8
    assert (found.coloured, found.lossy) == (False, False)


@pytest.mark.parametrize(
    ("form", "data"),
    [(PictureFormat.PNG, png_of(GREY_IN_COLOUR)), (PictureFormat.JPEG_2000, jpeg2000(GREY_IN_COLOUR))],
)
def test_24_bits_of_grey_are_grey(form: PictureFormat, data: bytes) -> None:
    found = decoded(form, data, 64, 48)
    assert np.array_equal(found.image, PIXELS)
    assert not found.coloured


@pytest.mark.parametrize(
    ("form", "data"), [(PictureFormat.PNG, png_of(COLOURS)), (PictureFormat.JPEG_2000, jpeg2000(COLOURS))]
)
def test_colours_become_their_luma_and_the_result_says_so(form: PictureFormat, data: bytes) -> None:
    found = decoded(form, data, 64, 48)
    expected = COLOURS @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    assert np.abs(found.image - expected).max() <= 1
    assert found.coloured


def test_a_jpeg_2000_image_with_loss_says_so() -> None:
    found = decoded(PictureFormat.JPEG_2000, jpeg2000(SMOOTH, lossy=True), 64, 48)
    assert found.lossy
    assert np.abs(found.image.astype(int) - SMOOTH).mean() < 8


def test_pixels_that_cannot_be_decoded_are_an_error_without_them() -> None:
    whole = bytearray(png_of(PIXELS))
    whole[-30] ^= 0xFF
    with pytest.raises(TemplateError, match="the PNG image cannot be decoded: "):
        decoded(PictureFormat.PNG, bytes(whole), 64, 48)


def test_a_raw_image_has_a_byte_for_each_pixel() -> None:
    with pytest.raises(TemplateError, match="the raw image has 5 bytes, 3x2 pixels take 6"):
        decoded(PictureFormat.RAW, bytes(5), 3, 2)


def test_a_decoder_that_reads_another_picture_than_the_header_says_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("models.exchange.pictures.checked_png", lambda data, *_: data)
    with pytest.raises(TemplateError, match=r"the PNG image is decoded as L of \(64, 48\)"):
        decoded(PictureFormat.PNG, png_of(PIXELS), 63, 48)


def test_without_jpeg_2000_in_pillow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg2000(PIXELS)
    monkeypatch.setattr(features, "check", lambda _: False)
    with pytest.raises(TemplateError, match="has no JPEG 2000"):
        decoded(PictureFormat.JPEG_2000, data, 64, 48)
    with pytest.raises(TemplateError, match="has no JPEG 2000"):
        encoded(PictureFormat.JPEG_2000, PIXELS)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_pictures_raise_nothing_else(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from([PictureFormat.PNG, PictureFormat.JPEG_2000]))
    damaged = bytearray(encoded(form, PIXELS))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(TemplateError):
        assert decoded(form, bytes(damaged), 64, 48).image.shape == (48, 64)
