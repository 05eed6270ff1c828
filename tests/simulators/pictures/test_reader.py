"""Files of pictures of any mode, depth, polarity and resolution, and those that cannot be read."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from simulators.pictures import reader
from simulators.pictures.errors import Fault, ImageFileError, Subject
from simulators.pictures.reader import MAX_BYTES, read_finger, read_grey, read_picture, squared
from simulators.pictures.resolution import Stated
from tests.rigs.picture_files import RATIONAL, SHORT, Order, encoded, tiff, tiff_of, with_chunk, with_resolution

Pixels = NDArray[np.uint8]


def saved(folder: Path, picture: Image.Image, name: str = "finger.png", **options: int | Image.Exif) -> Path:
    path = folder / name
    picture.save(path, None, **options)
    return path


# Any mode

GREY = np.random.default_rng(3).integers(0, 256, (48, 64), np.uint8)
MODES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "L": lambda grey: grey,
    "P": lambda grey: grey.convert("P"),
    "RGB": lambda grey: grey.convert("RGB"),
    "RGBA": lambda grey: grey.convert("RGBA"),
    "LA": lambda grey: grey.convert("LA"),
    "CMYK": lambda grey: grey.convert("RGB").convert("CMYK"),
    "I;16": lambda _: Image.fromarray(GREY.astype(np.uint16) * 257),
    "I;16 holding 8 bits": lambda _: Image.fromarray(GREY.astype(np.uint16)),
    "I": lambda _: Image.fromarray(GREY.astype(np.int32)),
    "F": lambda _: Image.fromarray(GREY.astype(np.float32) / 255),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_any_mode_is_read_as_the_same_grey(mode: str, tmp_path: Path) -> None:
    picture = MODES[mode](Image.fromarray(GREY))
    assert picture.mode == mode.partition(" ")[0]
    read = read_grey(saved(tmp_path, picture, "finger.tiff"))
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - GREY).max() <= 1


def test_a_picture_of_one_bit_is_read_as_black_and_white(tmp_path: Path) -> None:
    bits = GREY > 128
    assert (read_grey(saved(tmp_path, Image.fromarray(bits))) == np.where(bits, 255, 0)).all()


def test_what_is_clear_in_a_picture_is_as_white_as_paper(tmp_path: Path) -> None:
    colour = np.zeros((10, 10, 4), np.uint8)
    colour[2:4, 2:4, 3] = 255
    read = read_grey(saved(tmp_path, Image.fromarray(colour)))
    assert (read[2:4, 2:4] == 0).all()
    assert read[0, 0] == 255


def test_a_clear_palette_colour_is_as_white_as_paper(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8))
    picture.putpalette([0, 0, 0, 90, 90, 90])
    assert read_grey(saved(tmp_path, picture, transparency=0)).tolist() == [[255, 90]]


def test_a_fraction_that_is_no_number_is_white_and_upsets_nothing(tmp_path: Path) -> None:
    fractions = np.array([[np.nan, 0.5, np.inf], [1.0, 0.0, -np.inf]], np.float32)
    picture = read_picture(saved(tmp_path, Image.fromarray(fractions), "f.tiff"))
    assert picture.grey.tolist() == [[255, 128, 255], [255, 0, 0]]
    assert [note.subject for note in picture.notes] == [Subject.NO_NUMBERS]


def test_a_picture_that_a_camera_turned_is_turned_back(tmp_path: Path) -> None:
    picture = Image.fromarray(GREY)
    exif = picture.getexif()
    exif[0x0112] = 6  # a quarter turn
    assert read_grey(saved(tmp_path, picture, exif=exif)).shape == (64, 48)


# Files that cannot be shown


def damaged(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def folder_named(folder: Path) -> Path:
    (folder / "pictures").mkdir()
    return folder / "pictures"


def cut(folder: Path) -> Path:
    whole = saved(folder, Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 300), np.uint8))).read_bytes()
    return damaged(folder, "cut.png", whole[: len(whole) // 2])


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "nobody.png", "there is no file"),
    "a folder": (folder_named, "is a folder"),
    "empty": (lambda folder: damaged(folder, "empty.png", b""), "is an empty file"),
    "a text": (lambda folder: damaged(folder, "notes.png", b"whorl, left hand"), "is not a readable image"),
    "cut off": (cut, "cannot be read .*truncated"),
    "too wide": (lambda folder: saved(folder, Image.new("1", (5001, 2))), "5001x2: crop it to one finger or eye"),
    "far too large": (lambda folder: saved(folder, Image.new("1", (14_000, 14_000))), "14000x14000: crop it"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_cannot_be_shown_is_named_with_the_reason(kind: str, tmp_path: Path) -> None:
    make, reason = REFUSED[kind]
    path = make(tmp_path)
    with pytest.raises(ImageFileError, match=reason) as refused:
        read_grey(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "tiff"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_gives_a_picture_or_an_error_that_names_it(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = bytearray(saved(folder, Image.fromarray(GREY), f"whole.{kind}").read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, min(len(whole), 300) - 1))] = data.draw(st.integers(0, 255))
    path = damaged(folder, f"damaged.{kind}", bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    try:
        assert read_grey(path).dtype == np.uint8
    except ImageFileError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right


# Any depth and polarity

LEVELS = np.random.default_rng(5).integers(0, 256, (40, 50)).astype(np.uint8)  # 8 bits of grey
BITS = (8, 10, 12, 14, 16)
ORDERS: tuple[Order, Order] = ("<", ">")


def deep(bits: int) -> NDArray[np.uint16]:
    """The same grey in so many bits of 16."""
    values: NDArray[np.uint16] = np.rint(LEVELS * (((1 << bits) - 1) / 255)).astype(np.uint16)
    return values


def same(folder: Path, content: bytes) -> bool:
    return bool(np.abs(read_grey(damaged(folder, "picture", content)).astype(int) - LEVELS).max() <= 1)


@pytest.mark.parametrize("bits", BITS)
def test_grey_of_fewer_bits_in_16_keeps_its_brightness(bits: int, tmp_path: Path) -> None:
    assert same(tmp_path, encoded(deep(bits), "PNG"))
    assert same(tmp_path, encoded(deep(bits), "TIFF", compression="tiff_lzw"))
    assert same(tmp_path, encoded(deep(bits), "JPEG2000"))
    for order in ORDERS:
        assert same(tmp_path, tiff_of(deep(bits), order))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.float32, np.float64])
def test_where_zero_is_white_it_is_read_as_white(kind: type, order: Order, tmp_path: Path) -> None:
    white = 1 if kind in (np.float32, np.float64) else np.iinfo(kind).max
    negative: NDArray[Any] = ((255 - LEVELS.astype(np.float64)) / 255 * white).astype(kind)
    assert same(tmp_path, tiff_of(negative, order, photometric=0))
    assert same(tmp_path, tiff_of((LEVELS / 255 * white).astype(kind), order, photometric=1))


@pytest.mark.parametrize("bits", BITS[1:])
@pytest.mark.parametrize("order", ["<", ">"])
def test_fewer_bits_of_a_picture_whose_zero_is_white_are_inverted_within_them(
    bits: int, order: Order, tmp_path: Path
) -> None:
    assert same(tmp_path, tiff_of(((1 << bits) - 1 - deep(bits)).astype(np.uint16), order, photometric=0))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_12_bits_packed_are_read_in_both_byte_orders(order: Order, photometric: int, tmp_path: Path) -> None:
    values = deep(12).ravel() if photometric else 4095 - deep(12).ravel()
    one, other = values[::2].astype(int), values[1::2].astype(int)
    packed = np.stack([one >> 4, (one & 15) << 4 | other >> 8, other & 255], 1).astype(np.uint8).tobytes()
    assert same(tmp_path, tiff(packed, (50, 40), 12, order=order, photometric=photometric))


def test_a_dark_picture_of_stated_depth_stays_dark(tmp_path: Path) -> None:
    dark = (deep(12) // 8).astype(np.uint16)  # up to 511 of 4095
    for content in (
        b"P5 50 40 4095\n" + dark.astype(">u2").tobytes(),
        tiff_of(dark, more={281: (SHORT, 4095)}),
        with_chunk(encoded(dark, "PNG"), b"sBIT", b"\x0c"),  # written without the scaling that PNG demands
        with_chunk(encoded(dark * np.uint16(16), "PNG"), b"sBIT", b"\x0c"),  # with it
    ):
        read = read_grey(damaged(tmp_path, "picture", content))
        assert np.abs(read - LEVELS / 8).max() <= 1


@pytest.mark.parametrize("white", [1, 15, 255, 1000, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
def test_a_pgm_or_ppm_file_of_any_maxval_keeps_its_brightness(kind: str, white: int, tmp_path: Path) -> None:
    values = np.rint(LEVELS / 255 * white).astype(int)
    values = values if kind in ("P2", "P5") else np.repeat(values, 3)
    body = (
        " ".join(map(str, values.ravel())).encode() if kind in ("P2", "P3")
        else values.astype(">u2" if white > 255 else "u1").tobytes()
    )  # fmt: skip
    read = read_grey(damaged(tmp_path, "p", f"{kind}\n# a comment\n50 40\n{white}\n".encode() + body))
    assert np.abs(read - np.rint(LEVELS / 255 * white) / white * 255).max() <= 1


def test_a_dead_pixel_does_not_darken_the_rest(tmp_path: Path) -> None:
    shares = LEVELS.astype(np.float32) / 255
    for value in (np.nan, np.inf, -np.inf, 1e30):
        shares[0, 0] = value
        read = read_grey(damaged(tmp_path, "f", tiff_of(shares)))
        assert np.abs(read.astype(int) - LEVELS).ravel()[1:].max() <= 1
    twelve = deep(12)
    twelve[0, 0] = 65535
    assert np.abs(read_grey(damaged(tmp_path, "t", encoded(twelve, "PNG"))).astype(int) - LEVELS).ravel()[1:].max() <= 1


def test_a_clear_grey_of_16_bits_is_white(tmp_path: Path) -> None:
    content = with_chunk(encoded(deep(16), "PNG"), b"tRNS", int(deep(16)[3, 4]).to_bytes(2, "big"))
    assert read_grey(damaged(tmp_path, "p", content))[3, 4] == 255


def colours(bits: int) -> bytes:
    """A PPM of 16 bits per colour as PNG: Pillow writes none, so the chunks are made here."""
    rows = np.repeat(deep(bits)[..., None], 3, 2).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", 50, 40, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_16_bits_per_colour_are_read_if_the_upper_ones_are_used(tmp_path: Path) -> None:
    assert same(tmp_path, colours(16))
    with pytest.raises(ImageFileError, match="16 bits per colour, of which the highest are not used") as refused:
        read_grey(damaged(tmp_path, "c.png", colours(12)))
    assert refused.value.fault is Fault.NOT_SUPPORTED


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tiff_of(LEVELS.astype(np.int16) - 128), "values from -128 to 127, so the value of black is unknown"),
        (tiff_of(LEVELS.astype(np.float32) / 127 - 1), "so the value of black is unknown"),
        (tiff_of((LEVELS // 2).astype(np.int8)), "signed 8-bit"),
        (tiff_of(np.full((4, 4), np.nan, np.float32)), "no pixel with a finite value"),
        (tiff(bytes(200), (10, 10), 16, form=3), "not supported .*bits per sample .*16"),
        (tiff(bytes(400), (10, 10), 24), "not supported .*bits per sample .*24"),
    ],
    ids=["signed", "negative", "signed bytes", "not a number", "half floats", "24 bits"],
)  # fmt: skip
def test_values_that_have_no_known_brightness_are_refused_by_name(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=reason):
        read_grey(damaged(tmp_path, "picture.tif", content))


# Resolution

PPM_1000 = 39370  # pixels per metre


def inches(x: int, y: int, unit: int = 2) -> dict[int, tuple[int, int] | tuple[int, int, int]]:
    return {282: (RATIONAL, x, 1), 283: (RATIONAL, y, 1), 296: (SHORT, unit)}


RESOLUTIONS = {
    "PNG": with_chunk(encoded(LEVELS, "PNG"), b"pHYs", struct.pack(">IIB", PPM_1000, PPM_1000, 1)),
    "JFIF": encoded(LEVELS, "JPEG", dpi=(1000, 1000)),
    "TIFF per inch": tiff_of(LEVELS, more=inches(1000, 1000)),
    "TIFF without a unit": tiff_of(LEVELS, more={n: t for n, t in inches(1000, 1000).items() if n != 296}),
    "TIFF per cm": tiff_of(LEVELS, ">", more=inches(394, 394, 3)),
    "BMP": encoded(LEVELS, "BMP", dpi=(1000, 1000)),
    "JP2": with_resolution(encoded(LEVELS, "JPEG2000"), PPM_1000, PPM_1000),
}


@pytest.mark.parametrize("kind", RESOLUTIONS)
def test_the_resolution_that_a_file_states_is_used_where_none_is_given(kind: str, tmp_path: Path) -> None:
    path = damaged(tmp_path, "picture", RESOLUTIONS[kind])
    finger = read_finger(path)
    assert finger.pixels_per_inch == pytest.approx(1000, rel=0.002)
    assert [note.subject for note in finger.notes] == [Subject.RESOLUTION_OF_FILE]
    assert read_finger(path, 1000).notes == ()
    assert read_finger(path, 500).pixels_per_inch == 500
    assert [note.subject for note in read_finger(path, 500).notes] == [Subject.RESOLUTION_DIFFERS]


@pytest.mark.parametrize("dpi", [1, 72, 96])
def test_what_programs_write_who_know_no_resolution_is_no_statement(dpi: int, tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "BMP", "TIFF"):
        finger = read_finger(damaged(tmp_path, "picture", encoded(LEVELS, kind, dpi=(dpi, dpi))))
        assert (finger.pixels_per_inch, finger.notes) == (500, ())


def test_pixels_that_a_file_calls_oblong_are_made_square(tmp_path: Path) -> None:
    path = damaged(tmp_path, "picture", tiff_of(LEVELS, more=inches(500, 1000)))
    finger = read_finger(path)
    assert finger.pixels_per_inch == 1000
    assert finger.grey.shape == (40, 100)
    assert {note.subject for note in finger.notes} == {Subject.NOT_SQUARE, Subject.RESOLUTION_OF_FILE}
    with pytest.raises(ImageFileError, match="500 x 1000 ppi, but one resolution is given for both axes, 500 ppi"):
        read_finger(path, 500)
    ratio = with_chunk(encoded(LEVELS, "PNG"), b"pHYs", struct.pack(">IIB", 2, 1, 0))
    assert read_grey(damaged(tmp_path, "picture.png", ratio)).shape == (80, 50)


def test_a_picture_turned_by_exif_has_its_resolutions_exchanged(tmp_path: Path) -> None:
    path = damaged(tmp_path, "t.tif", tiff_of(LEVELS, more=inches(500, 1000) | {274: (SHORT, 6)}))
    assert read_grey(path).shape == (100, 40)
    assert squared(read_picture(path), "t").stated == Stated(1000, 1000, absolute=True)


@pytest.mark.parametrize(("x", "y", "reason"), [(10, 10, "10 ppi, which no"), (20_000, 20_000, "ppi, which no")])
def test_an_impossible_resolution_is_refused_unless_one_is_given(x: int, y: int, reason: str, tmp_path: Path) -> None:
    path = damaged(tmp_path, "picture.png", tiff_of(LEVELS, more=inches(x, y)))
    with pytest.raises(ImageFileError, match=reason) as refused:
        read_finger(path)
    assert refused.value.fault is Fault.RESOLUTION
    assert read_finger(path, 500).pixels_per_inch == 500
    assert read_grey(path).shape == LEVELS.shape  # an eye has no resolution


def test_pixels_can_be_too_oblong(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="100 x 1000 ppi, which no sensor has"):
        read_grey(damaged(tmp_path, "picture.png", tiff_of(LEVELS, more=inches(100, 1000))))


# Pages, pipes and large files


def test_of_several_pages_the_first_is_read_and_this_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    Image.fromarray(LEVELS).save(path, save_all=True, append_images=[Image.new("L", (50, 40))])
    picture = read_picture(path)
    assert (picture.grey == LEVELS).all()
    assert [note.subject for note in picture.notes] == [Subject.PAGES]


def test_a_premultiplied_grey_is_read(tmp_path: Path) -> None:
    pairs = np.stack([LEVELS // 2, np.full_like(LEVELS, 128)], 2)
    more = {258: (SHORT, 8), 277: (SHORT, 2), 338: (SHORT, 1)}
    read = read_grey(damaged(tmp_path, "a.tif", tiff(pairs.tobytes(), (50, 40), 8, more=more)))
    assert np.abs(read - (127 + LEVELS / 2)).max() <= 3


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    large = damaged(tmp_path, "large.png", b"\x89PNG\r\n\x1a\n")
    os.truncate(large, MAX_BYTES + 1)
    faults = {
        tmp_path / "pipe": Fault.NO_FILE, tmp_path: Fault.NO_FILE, large: Fault.TOO_LARGE,
        Path("a\0b"): Fault.NO_ACCESS, tmp_path / ("x" * 300): Fault.NO_ACCESS,
        Path("/dev/zero"): Fault.NO_FILE,
    }  # fmt: skip
    for path, fault in faults.items():
        with pytest.raises(ImageFileError) as refused:
            read_grey(path)
        assert refused.value.fault is fault


@pytest.mark.parametrize(
    ("error", "fault"), [(PermissionError(13, "no"), Fault.NO_PERMISSION), (OSError(5, "EIO"), Fault.NO_ACCESS)]
)
def test_a_file_that_cannot_be_opened_is_refused(
    error: OSError, fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error

    path = saved(tmp_path, Image.fromarray(GREY))
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageFileError) as refused:
        read_grey(path)
    assert refused.value.fault is fault


def test_a_picture_that_needs_too_much_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(reader, "eight_bits", fail)
    with pytest.raises(ImageFileError, match="more memory"):
        read_grey(damaged(tmp_path, "p.png", encoded(deep(16), "PNG")))
