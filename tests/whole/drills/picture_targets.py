"""The reader of picture files, as fuzz.py feeds it."""

import numpy as np

from simulators.pictures.errors import ImageFileError
from simulators.pictures.reader import MAX_SIDE, picture_in, squared
from simulators.pictures.resolution import finger_resolution
from tests.rigs.picture_files import RATIONAL, SHORT, Tag, encoded, tiff_of, with_chunk
from tests.whole.drills.parser import Feed, Parser


def _picture_file() -> Feed:
    def feed(data: bytes) -> None:
        picture = squared(picture_in(data, "fuzz"), "fuzz")
        assert picture.grey.dtype == np.uint8
        assert max(picture.grey.shape) <= MAX_SIDE
        finger_resolution(picture.stated, None, "fuzz")

    return feed


def _picture_files() -> tuple[bytes, ...]:
    """Small pictures of every format, with their depth and resolution stated."""
    grey = np.arange(96, dtype=np.uint8).reshape(8, 12)
    deep = grey.astype(np.uint16) * np.uint16(40)
    stated: dict[int, Tag] = {281: (SHORT, 4095), 282: (RATIONAL, 500, 1), 283: (RATIONAL, 1000, 1), 296: (SHORT, 2)}
    return (
        *(encoded(grey, kind, dpi=(1000, 1000)) for kind in ("PNG", "JPEG", "BMP", "TIFF")),
        *(encoded(values, "JPEG2000") for values in (grey, deep)),
        with_chunk(encoded(deep, "PNG"), b"sBIT", b"\x0c"),
        tiff_of(deep, ">", photometric=0, more=stated),
        tiff_of(deep.astype(np.float32) / 4095),
        b"P5 12 8 1023\n" + (deep // 4).astype(">u2").tobytes(),
        b"P2 3 1 999\n1 20 999\n",
        b"P6 2 1 15\n\1\2\3\4\5\6",
    )


PICTURE_PARSERS: dict[str, Parser] = {"picture-file": Parser(_picture_files(), _picture_file, (ImageFileError,))}
