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
    MJPEG,
    NV12,
    Y8,
    Y10,
    Y12,
    Y16,
    YUY2,
    BadFrame,
    FrameDecoder,
    PixelFormat,
    formats_of_guid,
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
        ("49343230" + TAIL, "nv12"),  # I420: the luma comes first, too
        ("7deb36e44f52ce119f530020af0ba770", "rgb24"),
        ("4d4a5047" + TAIL, "mjpeg"),
        ("59555932000010008000000000389b71", "yuy2"),  # an iSight: one byte is zero
        ("59383030000010008000000000389b71", "y8"),
        ("32000000ffffffffffffffffffffffff", "y8"),
        ("59313620" + "00" * 12, "y16"),
        ("75797679" + TAIL, "uyvy"),  # in small letters
    ],
)
@pytest.mark.parametrize("bits", [0, 8, 16, 255])
def test_a_guid_names_its_format_by_its_first_four_bytes(guid: str, name: str, bits: int) -> None:
    known, guesses = formats_of_guid(bytes.fromhex(guid), bits)
    assert known is not None
    assert (known.name, guesses) == (name, ())


@pytest.mark.parametrize(
    ("bits", "names"), [(8, ["y8"]), (12, ["nv12"]), (16, ["yuy2", "uyvy", "y16"]), (24, ["rgb24"]), (0, []), (7, [])]
)
def test_an_unknown_guid_is_what_its_bits_per_pixel_allow(bits: int, names: list[str]) -> None:
    known, guesses = formats_of_guid(b"QQQQ" + bytes.fromhex(TAIL), bits)
    assert known is None
    assert [row.name for row in guesses] == names


@pytest.mark.parametrize("code", [b"H264", b"h264", b"HEVC", b"Z16 "])
def test_a_known_format_that_has_no_luma_is_not_guessed(code: bytes) -> None:
    assert formats_of_guid(code + bytes.fromhex(TAIL), 16) == (None, ())


@given(st.binary(max_size=20), st.integers(0, 255))
def test_any_guid_is_a_format_guesses_or_nothing(guid: bytes, bits: int) -> None:
    known, guesses = formats_of_guid(guid, bits)
    assert known is None or not guesses


GREY = np.random.default_rng(1).integers(0, 256, (48, 64), np.uint8)


DEEP = np.random.default_rng(2).integers(0, 65_536, (48, 64)).astype("<u2")


def test_each_raw_format_gives_its_luma() -> None:
    pairs = np.full((48, 64, 2), 128, np.uint8)
    pairs[..., 0] = GREY
    assert (Y8.luma(GREY.tobytes(), 64, 48) == GREY).all()
    assert (YUY2.luma(pairs.tobytes(), 64, 48) == GREY).all()
    assert (FORMAT_NAMED["uyvy"].luma(pairs[..., ::-1].tobytes(), 64, 48) == GREY).all()
    assert (NV12.luma(GREY.tobytes() + bytes(GREY.size // 2), 64, 48) == GREY).all()
    assert (FORMAT_NAMED["rgb24"].luma(np.repeat(GREY, 3, 1).tobytes(), 64, 48) == GREY).all()


@pytest.mark.parametrize(("row", "bits"), [(Y10, 10), (Y12, 12), (Y16, 16)])
def test_deep_grey_keeps_its_eight_highest_bits(row: PixelFormat, bits: int) -> None:
    words = DEEP >> (16 - bits)
    image = row.luma(words.tobytes(), 64, 48)
    assert (image == words >> (bits - 8)).all()
    assert row.depth_bits == bits


def test_stray_bits_above_the_depth_are_white_and_never_wrap() -> None:
    assert Y10.luma(b"\xff\xff" * 4, 2, 2).tolist() == [[255, 255], [255, 255]]


@pytest.mark.parametrize("announced", [Y10, Y12, Y16])
@pytest.mark.parametrize(("used", "shift"), [(8, 0), (10, 0), (12, 0), (14, 0), (16, 0), (10, 6), (12, 4)])
def test_the_depth_of_words_is_measured_from_what_comes(announced: PixelFormat, used: int, shift: int) -> None:
    """`used` bits, moved to the left by `shift`."""
    if used + shift < announced.depth_bits:
        return  # as announced: a sensor of 10 bits may be in the dark
    words = DEEP >> (16 - used) << shift
    decoder = FrameDecoder(announced, 64, 48)
    assert (decoder.luma(words.tobytes()) == words >> (used + shift - 8)).all()
    assert decoder.depth_bits == (used if announced is Y16 else announced.depth_bits)


def test_a_dark_frame_does_not_change_the_depth_of_the_next_nor_of_itself() -> None:
    """A frame that a strobing lamp left unlit has the scale of a lit one."""
    bright, dark = DEEP >> 6, DEEP >> 11
    decoder = FrameDecoder(Y16, 64, 48)
    for words in (bright, dark, bright, dark):
        assert (decoder.luma(words.tobytes()) == words >> 2).all()
    assert decoder.depth_bits == 10


def test_a_brighter_frame_makes_the_depth_larger() -> None:
    decoder = FrameDecoder(Y16, 64, 48)
    assert decoder.depth_bits == 16  # nothing came yet
    for depth in (10, 12, 16, 16):
        words = DEEP >> (16 - depth)
        assert (decoder.luma(words.tobytes()) == words >> (depth - 8)).all()
        assert decoder.depth_bits == depth


def test_a_few_specks_are_white_and_do_not_make_a_frame_black() -> None:
    words = np.full((480, 640), 700, "<u2")
    words.flat[[5, 7000, 90_000]] = 0xFFFF
    image = FrameDecoder(Y16, 640, 480).luma(words.tobytes())
    assert (int(np.median(image)), int(image.flat[5])) == (700 >> 2, 255)


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
    with pytest.raises(BadFrame, match=f"an image of {size[0]}x{size[1]}, of another size than 64x48") as caught:
        MJPEG.luma(jpeg(*size), 64, 48)
    assert caught.value.other_contents


NOISE = np.random.default_rng(5).bytes(3000)
BEHIND = {
    "zeros": bytes(2000),
    "filling": b"\xff" * 700,
    "noise": NOISE,
    "a thumbnail": jpeg(16, 12),
    "a thumbnail and noise": jpeg(16, 12) + NOISE,
    "a broken thumbnail": jpeg(16, 12)[:150],
    "another end": b"\xff\xd9" * 3,
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("progressive", [False, True])
def test_whatever_is_behind_the_end_marker_mjpeg_is_read(behind: str, progressive: bool) -> None:  # noqa: FBT001
    file = saved(NOISY, "L", progressive=progressive)
    assert (MJPEG.luma(file + BEHIND[behind], 64, 48) == MJPEG.luma(file, 64, 48)).all()


@pytest.mark.parametrize("before", [bytes(10), jpeg(16, 12), b"\xff\xd8\xff", NOISE[:40]])
def test_whatever_is_before_an_image_mjpeg_is_read(before: bytes) -> None:
    file = saved(NOISY, "L")
    assert (MJPEG.luma(before + file, 64, 48) == MJPEG.luma(file, 64, 48)).all()


def test_mjpeg_whose_end_marker_is_missing_is_read_if_it_is_complete() -> None:
    file = saved(NOISY, "L")
    assert (MJPEG.luma(file[:-2], 64, 48) == MJPEG.luma(file, 64, 48)).all()
    with pytest.raises(BadFrame):
        MJPEG.luma(file[:-40], 64, 48)


def test_a_thumbnail_within_the_header_is_not_taken_for_the_image() -> None:
    file, small = saved(NOISY, "L"), jpeg(16, 12)
    segment = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    assert (MJPEG.luma(file[:2] + segment + file[2:], 64, 48) == MJPEG.luma(file, 64, 48)).all()


def test_what_is_no_jpeg_at_all_is_refused() -> None:
    with pytest.raises(BadFrame, match="no JPEG in it"):
        MJPEG.luma(bytes(1000), 64, 48)


@given(st.binary(max_size=200), st.integers(0, 800))
def test_damaged_mjpeg_is_a_image_or_refused(noise: bytes, at: int) -> None:
    file = jpeg()
    damaged = file[:at] + noise + file[at + len(noise) :]
    with suppress(BadFrame):
        assert MJPEG.luma(damaged, 64, 48).shape == (48, 64)


def smooth(width: int, height: int) -> NDArray[np.uint8]:
    wave = np.add.outer(np.arange(height), np.arange(width)) / 9
    return (128 + 90 * np.sin(wave) * np.cos(wave / 5)).astype(np.uint8)


@pytest.mark.parametrize("row", [YUY2, FORMAT_NAMED["uyvy"]])
def test_colours_that_are_pixels_of_a_wider_image_are_noticed_once(row: PixelFormat) -> None:
    decoder = FrameDecoder(row, 376, 480)
    assert "y8 752x480" in decoder.doubt(smooth(752, 480).tobytes())
    assert decoder.doubt(smooth(752, 480).tobytes()) == ""


def colours(kind: str) -> bytes:
    grey, rng = smooth(376, 480).astype(np.int64), np.random.default_rng(1)
    kinds: dict[str, NDArray[np.int64]] = {
        "none": np.full_like(grey, 128),
        "noise": 128 + rng.integers(-4, 5, grey.shape),
        "of the brightness": 128 + (grey - 128) // 4,
        "of an object": 128 + 60 * (grey > 140),
        "random": rng.integers(0, 256, grey.shape),
    }
    return np.stack([grey, kinds[kind]], axis=2).astype(np.uint8).tobytes()


@pytest.mark.parametrize("kind", ["none", "noise", "of the brightness", "of an object", "random"])
def test_colours_are_no_pixels(kind: str) -> None:
    assert FrameDecoder(YUY2, 376, 480).doubt(colours(kind)) == ""


@pytest.mark.parametrize("data", [b"", bytes(10), bytes(376 * 480 * 2), b"\xff" * 1001])
def test_a_frame_without_contrast_raises_no_doubt(data: bytes) -> None:
    assert FrameDecoder(YUY2, 376, 480).doubt(data) == ""


@given(st.binary(max_size=400))
def test_any_frame_can_be_doubted(data: bytes) -> None:
    FrameDecoder(YUY2, 16, 8).doubt(data)
