"""Pixel formats of cameras: raw and MJPEG."""

import io
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from drivers.uvc.formats import (
    FORMAT_NAMED,
    FORMAT_OF_GUID,
    MJPEG,
    NV12,
    Y8,
    Y10,
    Y12,
    Y16,
    YUY2,
    BadFrame,
    PixelFormat,
)
from tests.rigs.uvc_bytes import (
    TAIL,
    jpeg,
)


@pytest.mark.parametrize(
    ("guid", "name"),
    [
        ("59383030" + TAIL, "y8"),  # Y800
        ("59382020" + TAIL, "y8"),
        ("32000000" + TAIL, "y8"),  # L8
        ("3200000002001000800000aa00389b71", "y8"),  # L8, infrared
        ("59313020" + TAIL, "y10"),
        ("59313220" + TAIL, "y12"),
        ("59313620" + TAIL, "y16"),
        ("59555932" + TAIL, "yuy2"),
        ("4e563132" + TAIL, "nv12"),
    ],
)
def test_a_guid_names_its_format(guid: str, name: str) -> None:
    assert FORMAT_OF_GUID[bytes.fromhex(guid)].name == name


GREY = np.random.default_rng(1).integers(0, 256, (48, 64), np.uint8)


DEEP = np.random.default_rng(2).integers(0, 65_536, (48, 64)).astype("<u2")


def test_each_raw_format_gives_its_luma() -> None:
    pairs = np.full((48, 64, 2), 128, np.uint8)
    pairs[..., 0] = GREY
    assert (Y8.luma(GREY.tobytes(), 64, 48) == GREY).all()
    assert (YUY2.luma(pairs.tobytes(), 64, 48) == GREY).all()
    assert (FORMAT_NAMED["uyvy"].luma(pairs[..., ::-1].tobytes(), 64, 48) == GREY).all()
    assert (NV12.luma(GREY.tobytes() + bytes(GREY.size // 2), 64, 48) == GREY).all()


@pytest.mark.parametrize(("row", "bits"), [(Y10, 10), (Y12, 12), (Y16, 16)])
def test_deep_grey_keeps_its_eight_highest_bits(row: PixelFormat, bits: int) -> None:
    words = DEEP >> (16 - bits)
    image = row.luma(words.tobytes(), 64, 48)
    assert (image == words >> (bits - 8)).all()
    assert row.depth_bits == bits


def test_stray_bits_above_the_depth_are_white_and_never_wrap() -> None:
    assert Y10.luma(b"\xff\xff" * 4, 2, 2).tolist() == [[255, 255], [255, 255]]


@pytest.mark.parametrize("name", [name for name, row in FORMAT_NAMED.items() if row.bits])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_raw_frame_of_another_size_is_refused(name: str, change: int) -> None:
    row = FORMAT_NAMED[name]
    with pytest.raises(BadFrame, match="in place of"):
        row.luma(bytes(row.frame_bytes(64, 48) + change), 64, 48)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_mjpeg_gives_the_grey_of_its_image(mode: str) -> None:
    expected = np.add.outer(np.arange(48), np.arange(64))
    assert np.abs(MJPEG.luma(jpeg(mode=mode), 64, 48).astype(int) - expected).max() <= 3


def test_mjpeg_without_huffman_tables_is_read() -> None:
    """Cameras leave them out, for they are always the same."""
    file, at = jpeg(), 2
    kept = file[:2]
    while file[at + 1] != 0xDA:
        length = 2 + int.from_bytes(file[at + 2 : at + 4], "big")
        kept += b"" if file[at + 1] == 0xC4 else file[at : at + length]
        at += length
    bare = kept + file[at:]
    assert len(bare) < len(file)
    assert (MJPEG.luma(bare, 64, 48) == MJPEG.luma(file, 64, 48)).all()


NOISY = np.random.default_rng(3).integers(0, 256, (48, 64), np.uint8)


def saved(grey: NDArray[np.uint8], mode: str, **how: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(grey).convert(mode).save(stream, "JPEG", **how)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("restart", [0, 8])
def test_mjpeg_that_ends_early_is_refused_though_it_has_its_end(mode: str, share: float, restart: int) -> None:
    file = saved(NOISY, mode, restart_marker_blocks=restart)
    begin = file.index(b"\xff\xda")
    cut = begin + 20 + round(share * (len(file) - begin - 20))
    with pytest.raises(BadFrame, match="no readable JPEG"):
        MJPEG.luma(file[:cut] + b"\xff\xd9", 64, 48)


def test_mjpeg_without_its_middle_is_refused() -> None:
    file = saved(NOISY, "L")
    third = len(file) // 3
    with pytest.raises(BadFrame, match="no readable JPEG"):
        MJPEG.luma(file[: 2 * third] + file[-third // 2 :], 64, 48)


Ways = st.fixed_dictionaries(
    {
        "quality": st.integers(1, 100),
        "optimize": st.integers(0, 1),
        "progressive": st.integers(0, 1),
        "subsampling": st.integers(0, 2),
        "restart_marker_blocks": st.sampled_from([0, 0, 1, 5]),
    }
)


@given(
    st.sampled_from([GREY, NOISY, np.zeros((48, 64), np.uint8), np.full((17, 23), 255, np.uint8)]),
    st.sampled_from(["L", "RGB"]),
    Ways,
    st.integers(0, 5),
)
def test_whole_mjpeg_is_never_refused(grey: NDArray[np.uint8], mode: str, how: dict[str, int], zeros: int) -> None:
    if mode == "L":
        del how["subsampling"]
    file = saved(grey, mode, **how)
    height, width = grey.shape
    with Image.open(io.BytesIO(file)) as opened:
        opened.draft("L", opened.size)
        expected = np.asarray(opened.convert("L"))
    assert (MJPEG.luma(file + bytes(zeros), width, height) == expected).all()


@pytest.mark.parametrize("size", [(32, 48), (64, 64)])
def test_mjpeg_of_another_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(BadFrame, match="another size than 64x48"):
        MJPEG.luma(jpeg(*size), 64, 48)


@given(st.binary(max_size=200), st.integers(0, 800))
def test_damaged_mjpeg_is_a_image_or_refused(noise: bytes, at: int) -> None:
    file = jpeg()
    damaged = file[:at] + noise + file[at + len(noise) :]
    with suppress(BadFrame):
        assert MJPEG.luma(damaged, 64, 48).shape == (48, 64)
