"""Reads PGM and PPM files of any maxval (P2, P3, P5, P6). Pillow needs half a minute for a large one of 10 bits."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.pictures.errors import Fault, ImageFileError
from simulators.pictures.levels import Depth

WIDEST = 65535
LONGEST_HEADER = 4096  # bytes, with its comments
LONGEST_VALUE = 16  # bytes for a value with the white space and comments around it, on average
USUAL = 255  # a maxval that Pillow reads fast
PLANES = {b"P2": 1, b"P3": 3, b"P5": 1, b"P6": 3}
PLAIN = (b"P2", b"P3")  # values as decimal numbers, not as bytes
GREY_WEIGHTS = (0.299, 0.587, 0.114)  # of red, green, blue: ITU-R BT.601, as Pillow uses
_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(rb"(P[2356])" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,9})\s")
_COMMENT = re.compile(rb"#[^\r\n]*")
_PLAIN_VALUES = re.compile(rb"[\s\d]*")


class Header:
    """The header of a file: its kind, its size in pixels, its highest value, and where the values begin."""

    def __init__(self, data: bytes, name: str) -> None:
        found = _HEADER.match(data[:LONGEST_HEADER])
        if found is None:
            raise ImageFileError(f"{name} is a damaged PGM or PPM file: save it again as PNG", Fault.DAMAGED)
        self.kind = found[1]
        self.width, self.height, self.white = (int(found[n]) for n in (2, 3, 4))
        self.start = found.end()
        if not 0 < self.white <= WIDEST or not self.width or not self.height:
            raise ImageFileError(
                f"{name} is a PGM or PPM file of {self.width}x{self.height} pixels with maxval {self.white}: "
                f"these must be at least 1, and maxval at most {WIDEST}",
                Fault.DAMAGED,
            )


def values(data: bytes, header: Header, name: str) -> NDArray[Any]:
    """The grey values [height, width] of a file. ImageFileError if some are missing or too high."""
    planes = PLANES[header.kind]
    count = header.width * header.height * planes
    found = _plain(data, header, count) if header.kind in PLAIN else _binary(data, header, count)
    if found.size < count:
        raise ImageFileError(f"{name} cannot be read (image file is truncated): save it again as PNG", Fault.DAMAGED)
    if int(found.max()) > header.white:
        raise ImageFileError(
            f"{name} has values up to {int(found.max())}, but maxval {header.white}: save it again as PNG",
            Fault.DAMAGED,
        )
    shaped = found[:count].reshape(header.height, header.width, planes)
    return shaped[..., 0] if planes == 1 else _grey(shaped)


def _grey(colours: NDArray[Any]) -> NDArray[np.float32]:
    planes = (colours[..., at].astype(np.float32) * np.float32(weight) for at, weight in enumerate(GREY_WEIGHTS))
    red, green, blue = planes
    grey: NDArray[np.float32] = red + green + blue
    return grey


def _binary(data: bytes, header: Header, count: int) -> NDArray[Any]:
    kind = np.dtype(np.uint8 if header.white < 256 else ">u2")
    there = min(count, (len(data) - header.start) // kind.itemsize)
    return np.frombuffer(data, kind, there, header.start)


def _plain(data: bytes, header: Header, count: int) -> NDArray[Any]:
    text = _COMMENT.sub(b"", data[header.start : header.start + LONGEST_VALUE * count])
    whole = _PLAIN_VALUES.match(text)
    digits = text[: whole.end()] if whole else b""
    return np.fromstring(digits.decode("ascii"), np.int64, sep=" ") if digits.strip() else np.empty(0, np.int64)


def depth(header: Header) -> Depth:
    """What the file states about its values. A maxval of 65535 says no more than that they have 16 bits."""
    return Depth() if header.white == WIDEST else Depth(white=header.white)
