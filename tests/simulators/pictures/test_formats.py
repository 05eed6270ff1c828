"""Which formats are opened, and which are named and refused."""

import numpy as np
import pytest

from simulators.pictures.errors import Fault, ImageFileError
from simulators.pictures.formats import JPEG, JPEG_SCANS, TIFF, Format, format_of, opened
from tests.rigs.picture_files import encoded, tiff

GREY = np.full((8, 9), 7, np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "JPEG2000", "TIFF", "BMP", "PPM"])
def test_formats_are_known_by_their_first_bytes(kind: str) -> None:
    data = encoded(GREY, kind)
    image = opened(data, format_of(data, "x"), "x")
    assert (image.format, image.size) == (kind, (9, 8))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"GIF89a", "GIF"), (b"\xff\xa0\xff\xa8", "WSQ"), (b"RIFF....WEBP", "WebP"), (b"%!PS-Adobe", "PostScript"),
        (b"%PDF-1.4", "PDF"), (b"....ftypheic", "HEIF"), (bytes(128) + b"DICM", "DICOM"), (b"FIR\x00020", "19794-4"),
        (b"\xff\xd8\xff\xf7", "JPEG-LS"), (b"PF\n", "colour PFM"), (b"1.001:", "ANSI/NIST"),
    ],
)  # fmt: skip
def test_a_format_that_is_not_read_is_named(data: bytes, name: str) -> None:
    """PostScript among them: its decoder in Pillow would start a program."""
    with pytest.raises(ImageFileError, match=f"{name}.* file, which is not supported: give a PNG") as refused:
        format_of(data, "x")
    assert refused.value.fault is Fault.NOT_SUPPORTED


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ImageFileError, match="x is not a readable image") as refused:
        format_of(b"whorl, left hand", "x")
    assert refused.value.fault is Fault.NO_PICTURE


def test_a_jpeg_of_12_bits_is_refused_by_that_name() -> None:
    data = bytearray(encoded(GREY, "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(ImageFileError, match=r"JPEG file .*12-bit"):
        opened(bytes(data), JPEG, "x")


def test_a_jpeg_of_very_many_scans_is_not_decoded() -> None:
    with pytest.raises(ImageFileError, match="more than 200 scans"):
        opened(encoded(GREY, "JPEG") + b"\xff\xda\x00\x08" * JPEG_SCANS, JPEG, "x")


def test_a_tiff_that_is_not_read_is_refused_with_its_depth() -> None:
    with pytest.raises(ImageFileError, match=r"unknown pixel mode; bits per sample .*16.*; sample format"):
        opened(tiff(bytes(200), (10, 10), 16, form=3), TIFF, "x")


def test_a_damaged_header_is_refused() -> None:
    with pytest.raises(ImageFileError, match="TIFF file that is damaged"):
        opened(b"II*\0", TIFF, "x")


def test_a_format_without_a_decoder_cannot_be_opened() -> None:
    with pytest.raises(ValueError, match="WSQ has no decoder"):
        opened(b"", Format("WSQ"), "x")
