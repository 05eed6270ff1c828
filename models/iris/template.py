"""The iris code: what each bit is, shifting it, and the stored form "iris-code/1".

The iris is sampled at COLUMNS angles. Each angle gives PLANES bits: two scales at four radii, and for each filter
response the signs of its two parts (models/training/build_iris_encoder.py). A mask of the same size marks the known
bits; a bit that is not known is 0. Columns are stored in the order ORDER, so that any first part of a code samples all
angles evenly.

Layout, little-endian: magic "KIC", version u8, quality u8 (0..100), reserved u8 (0), then BITS bits of code and BITS of
mask, the first bit of each byte the lowest. 1030 bytes.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.template import Template, TemplateError

FORMAT = "iris-code/1"
COLUMNS, PLANES = 256, 16
BITS = COLUMNS * PLANES
WORDS = BITS // 64
MAX_QUALITY = 100
# The shifts of a probe, in columns of 1.4 degrees. 94 % of the genuine comparisons of CASIA-Interval are most similar
# within three columns. Beyond, every second column costs little accuracy, and heads are tilted by up to 25 degrees.
SHIFTS = (*range(-17, -3, 2), *range(-3, 4), *range(5, 18, 2))

_MAGIC = b"KIC"
_VERSION = 1
_HEADER = struct.Struct("<3sBBB")
_BYTES = BITS // 8
SIZE = _HEADER.size + 2 * _BYTES

Words = NDArray[np.uint64]
Bits = NDArray[np.bool_]


def _order() -> NDArray[np.intp]:
    """0, 128, 64, 192, 32...: the column numbers with their eight binary digits reversed."""
    digits = np.arange(COLUMNS)[:, np.newaxis] >> np.arange(8) & 1
    reversed_numbers: NDArray[np.intp] = (digits << np.arange(8)[::-1]).sum(1)
    return reversed_numbers


ORDER = _order()  # the column of each PLANES bits of a code; the permutation is its own inverse


def _shifted_sources() -> NDArray[np.intp]:
    """[shifts, BITS]: the bit of the code that each bit of the shifted code comes from."""
    columns = np.array([ORDER[(ORDER - shift) % COLUMNS] for shift in SHIFTS])
    source: NDArray[np.intp] = columns[:, :, np.newaxis] * PLANES + np.arange(PLANES)
    return source.reshape(len(SHIFTS), BITS)


_SHIFTED_SOURCES = _shifted_sources()


@dataclass(frozen=True, slots=True, eq=False)
class IrisCode:
    """One iris: the bits and their mask, u64 [WORDS], first bit lowest; and the `quality` of the sample, 0..100."""

    quality: int
    code: Words
    mask: Words

    def __len__(self) -> int:
        """The number of known bits."""
        return int(np.bitwise_count(self.mask).sum())

    def __repr__(self) -> str:
        """The number of known bits; never a bit itself."""
        return f"<IrisCode {len(self)} of {BITS} bits>"

    @classmethod
    def of(cls, quality: int, code: Bits, mask: Bits) -> "IrisCode":
        """A code of bits [BITS] in the order of the stored form. Bits that are not known become 0."""
        return cls(quality, words_of(code & mask), words_of(mask))

    def shifted(self) -> tuple[Words, Words]:
        """The code and the mask at all SHIFTS, u64 [shifts, WORDS] each."""
        return words_of(bits_of(self.code)[_SHIFTED_SOURCES]), words_of(bits_of(self.mask)[_SHIFTED_SOURCES])


def words_of(bits: Bits) -> Words:
    """Bits [..., BITS] as u64 [..., WORDS]."""
    words: Words = np.packbits(bits, axis=-1, bitorder="little").view("<u8").astype(np.uint64, copy=False)
    return words


def bits_of(words: Words) -> Bits:
    """u64 [..., WORDS] as bits [..., BITS]."""
    octets = np.ascontiguousarray(words, "<u8").view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little").astype(np.bool_)


def empty_code() -> IrisCode:
    """The code of an image without an iris: no bit is known, and it is similar to no other code."""
    return IrisCode(0, np.zeros(WORDS, np.uint64), np.zeros(WORDS, np.uint64))


def pack(iris: IrisCode) -> Template:
    """The stored form. TemplateError if a value does not fit."""
    _check(iris)
    octets = (np.ascontiguousarray(words, "<u8").tobytes() for words in (iris.code, iris.mask))
    return Template(FORMAT, _HEADER.pack(_MAGIC, _VERSION, iris.quality, 0) + b"".join(octets))


def unpack(template: Template) -> IrisCode:
    """The code of a stored form. TemplateError if format, version or size is wrong, or the content is inconsistent."""
    if template.format != FORMAT:
        raise TemplateError(f"template format is {template.format!r}, expected {FORMAT!r}")
    if len(template.data) != SIZE:
        raise TemplateError(f"{FORMAT}: {len(template.data)} bytes, expected {SIZE}")
    magic, version, quality, reserved = _HEADER.unpack_from(template.data)
    if magic != _MAGIC or version != _VERSION or reserved:
        raise TemplateError(f"{FORMAT}: does not begin with the magic and version of this format")
    words = np.frombuffer(template.data, "<u8", offset=_HEADER.size).astype(np.uint64).reshape(2, WORDS)
    iris = IrisCode(quality, words[0], words[1])
    _check(iris)
    return iris


def _check(iris: IrisCode) -> None:
    if not 0 <= iris.quality <= MAX_QUALITY:
        raise TemplateError(f"{FORMAT}: quality is out of range (0 to {MAX_QUALITY})")
    if iris.code.shape != (WORDS,) or iris.mask.shape != (WORDS,):
        raise TemplateError(f"{FORMAT}: code or mask is not of {BITS} bits")
    if np.any(iris.code & ~iris.mask):
        raise TemplateError(f"{FORMAT}: bits are set that the mask says are not known")
