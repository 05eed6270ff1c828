"""The image record of SFM modules: pixels of any size, and damaged records."""

import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import ProtocolError
from drivers.sfm.image import BadRecord, parse_record
from simulators.sensors.sfm.device import SfmSettings
from tests.rigs.sfm_rig import SIXTEEN, SfmRig


def record(width: int = 16, height: int = 16, compressed: int = 0, encrypted: int = 0, form: int = 0,
           image: int = 256, template: int = 0, pixels: int = 256) -> bytes:  # fmt: skip
    return struct.pack("<7i", width, height, compressed, encrypted, form, image, template) + bytes(pixels)


def test_a_record_with_a_template_behind_the_pixels_is_read_without_it() -> None:
    assert parse_record(record(template=384, pixels=640), "sfm").pixels.shape == (16, 16)


def test_four_bits_fill_the_range_left_pixel_first() -> None:
    data = struct.pack("<7i", 16, 16, 0, 0, 2, 128, 0) + bytes([0xF1]) + bytes(127)
    image = parse_record(data, "sfm")
    assert image.pixels[0, :3].tolist() == [255, 17, 0]
    assert image.depth_bits == 4


@given(st.integers(16, 40), st.integers(16, 40), st.sampled_from([0, 2]), st.integers(0, 9), st.randoms())
def test_an_image_of_any_size_is_read_pixel_by_pixel(
    width: int, height: int, form: int, template: int, rng: random.Random
) -> None:
    pixels = np.frombuffer(rng.randbytes(width * height), np.uint8) // (17 if form else 1)
    pairs = np.append(pixels, np.zeros(len(pixels) % 2, np.uint8)).reshape(-1, 2) if form else pixels
    packed = (pairs[:, 0] << 4 | pairs[:, 1] if form else pixels).tobytes()
    head = struct.pack("<7i", width, height, 0, 0, form, len(packed), template)
    image = parse_record(head + packed + bytes(template), "sfm")
    assert (image.pixels == (pixels * (17 if form else 1)).reshape(height, width)).all()


def test_half_a_byte_less_than_an_odd_number_of_four_bit_pixels_is_damage() -> None:
    with pytest.raises(BadRecord, match="144 bytes are not an image of 17 x 17 pixels"):
        parse_record(record(17, 17, form=2, image=144, pixels=144), "sfm")


def test_an_odd_number_of_four_bit_pixels_comes_from_a_module() -> None:
    rig = SfmRig(SfmSettings(width=17, height=19, boot_s=0.0))
    sensor = rig.opened_sensor(grey="4bit")
    image = SIXTEEN[:19, :17].copy()
    rig.module.press(image)
    assert (sensor.capture(1).image == image).all()


@pytest.mark.parametrize(
    "bad",
    [
        b"", bytes(27), record(width=15), record(height=-16), record(width=2000), record(image=255),
        record(template=-1), record(template=1), record(pixels=255), record(pixels=257), record(form=2),
        record(width=17), record(image=-256, template=512),
    ],
)  # fmt: skip
def test_numbers_that_do_not_fit_are_damage(bad: bytes) -> None:
    with pytest.raises(BadRecord):
        parse_record(bad, "sfm")


@pytest.mark.parametrize(("other", "said"), [
    (record(compressed=1), "compressed"), (record(encrypted=1), "encrypted"), (record(form=1), "format 1"),
    (record(form=3), "format 3"),
])  # fmt: skip
def test_images_that_are_no_plain_grey_are_named(other: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        parse_record(other, "sfm")
