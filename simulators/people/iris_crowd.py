"""Irises as codes alone, by the million: enough to fill a gallery, nobody's.

Some are made as responses of the encoder's filters to noise, in the frequencies that the filters let through and with a
share in common among the radii, as furrows have. Each gives VARIANTS: turned farther than any probe is, and mirrored.
Lids hide the outer radii above and below, of each code anew. How like codes of real eyes they are: models/README.md.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from models.iris.template import COLUMNS, ORDER, IrisCode, Words

ANGLES = 512
WAVELENGTHS = (20.0, 32.0)  # of the encoder's filters, in angles
SIGMA_OF_WAVELENGTH = 0.25
RADII = 4
FRAGILE = 0.2  # of the mean size of a response
IN_COMMON = 0.6  # correlation of two radii
NOISE = 0.75  # of another picture of the same iris, beside the response
TURN = 3.0  # columns, deviation
LIDS = ((192, 50.0), (64, 20.0))  # the middle column of each, and how many columns it hides to each side, at the limbus
LID_VARIES = 18.0  # columns, deviation
DEPTH = (0.2, 0.45, 0.75, 1.0)  # how much of that each radius loses
TURNS, TURN_APART = 6, 42  # columns: a probe is turned by 17 at most
VARIANTS = 2 * TURNS
SECOND_PARTS = np.uint16(0xF0F0)  # the planes of the imaginary parts
_BATCH = 256  # irises that are made at a time: what is made of them stays in the cache of the processor

Fields = NDArray[np.complex64]  # [n, scales, RADII, COLUMNS]
Columns = NDArray[np.uint16]  # [n, COLUMNS]: the planes of each column as one number


@dataclass(frozen=True, slots=True)
class Sheets:
    """Codes by column, not in the order of the stored form, and what of them is clear; lids are not there yet."""

    code: Columns
    clear: Columns

    @classmethod
    def of(cls, fields: Fields) -> Self:
        """Of responses, as the encoder has them."""
        parts = np.stack([fields.real, fields.imag], axis=2)  # [n, scales, 2, RADII, COLUMNS]
        size = np.abs(parts)
        clear = size > FRAGILE * size.mean(axis=(3, 4), keepdims=True)
        return cls(_numbers(parts > 0), _numbers(clear))

    def variant(self, items: NDArray[np.intp], numbers: NDArray[np.intp]) -> Self:
        """Of some of them the variants of these numbers."""
        code, clear = (_varied(columns[items], numbers) for columns in (self.code, self.clear))
        # The mirror image of a response runs against the filter; its conjugate runs with it again.
        return type(self)(np.where(_mirrored(numbers), code ^ SECOND_PARTS, code), clear)

    def words(self, seen: Columns) -> tuple[Words, Words]:
        """Codes and masks, u64 [n, WORDS], where lids leave this to be seen."""
        mask = (self.clear & seen)[:, ORDER]
        code, mask = (np.ascontiguousarray(a, "<u2").view("<u8").astype(np.uint64) for a in (self.code[:, ORDER], mask))
        return code & mask, mask


def irises(rng: np.random.Generator, number: int) -> Fields:
    """The responses of so many irises of nobody."""
    own = _noise(rng, (number, len(WAVELENGTHS), RADII))
    common = _noise(rng, (number, len(WAVELENGTHS), 1))
    return np.asarray(np.sqrt(1 - IN_COMMON) * own + np.sqrt(IN_COMMON) * common, np.complex64)


def sheets(rng: np.random.Generator, number: int) -> Sheets:
    """The same as codes."""
    parts = [Sheets.of(irises(rng, min(_BATCH, number - at))) for at in range(0, number, _BATCH)]
    return Sheets(np.concatenate([one.code for one in parts]), np.concatenate([one.clear for one in parts]))


def again(rng: np.random.Generator, fields: Fields) -> Fields:
    """The responses in other pictures of the same irises: noisy, and turned as heads are."""
    noisy = fields + np.float32(NOISE) * irises(rng, len(fields))
    turns = np.round(rng.normal(0, TURN, len(fields))).astype(int)
    return np.stack([np.roll(one, turn, axis=-1) for one, turn in zip(noisy, turns, strict=True)])


def lids(rng: np.random.Generator, number: int) -> Columns:
    """What lids leave of so many irises."""
    seen = np.ones((number, RADII, COLUMNS), bool)
    for middle, half in LIDS:
        widest = rng.normal(half, LID_VARIES, (number, 1, 1))
        away = np.abs((np.arange(COLUMNS) - middle + COLUMNS // 2) % COLUMNS - COLUMNS // 2)
        seen &= away > widest * np.array(DEPTH)[:, np.newaxis]
    planes = sum(1 << RADII * part for part in range(2 * len(WAVELENGTHS)))
    weight = (planes << np.arange(RADII)).astype(np.uint16)
    columns: Columns = np.einsum("nrc,r->nc", seen.astype(np.uint16), weight)
    return columns


def code_of(rng: np.random.Generator, fields: Fields, variant: int) -> list[IrisCode]:
    """The codes of responses, all of one variant."""
    some = Sheets.of(fields).variant(np.arange(len(fields)), np.full(len(fields), variant))
    return [IrisCode(60, *both) for both in zip(*some.words(lids(rng, len(fields))), strict=True)]


def _noise(rng: np.random.Generator, shape: tuple[int, int, int]) -> Fields:
    """Noise in the frequencies of each filter, mean size about 1: [n, scales, radii, COLUMNS]."""
    parts = rng.standard_normal((*shape, COLUMNS, 2), np.float32)
    spectrum = parts.view(np.complex64)[..., 0] * _PASSED[:, np.newaxis]
    return np.asarray(fft.ifft(spectrum, axis=-1, overwrite_x=True), np.complex64)


def _passed() -> NDArray[np.float32]:
    """[scales, 1, COLUMNS]: how much of each frequency a filter lets through."""
    frequency = np.arange(COLUMNS)
    rows = []
    for wavelength in WAVELENGTHS:
        spread = ANGLES / (2 * np.pi * SIGMA_OF_WAVELENGTH * wavelength)
        row = np.exp(-((frequency - ANGLES / wavelength) ** 2) / (2 * spread**2))
        rows.append(row * COLUMNS / np.sqrt((row**2).sum()))
    return np.array(rows, np.float32)


_PASSED = _passed()


def _numbers(planes: NDArray[np.bool_]) -> Columns:
    """Bits [n, scales, 2, RADII, COLUMNS] as one number for each column, the first plane lowest."""
    flat = planes.reshape(len(planes), -1, COLUMNS)
    weight = (1 << np.arange(flat.shape[1])).astype(np.uint16)
    numbers: Columns = np.einsum("npc,p->nc", flat.astype(np.uint16), weight)
    return numbers


def _mirrored(numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
    mirrored: NDArray[np.bool_] = (numbers & 1 == 1)[:, np.newaxis]
    return mirrored


def _varied(columns: Columns, numbers: NDArray[np.intp]) -> Columns:
    """Turned and mirrored as the number of the variant says."""
    turn = (numbers // 2 * TURN_APART)[:, np.newaxis]
    source = np.where(_mirrored(numbers), -1, 1) * np.arange(COLUMNS) - turn
    return np.take_along_axis(columns, source % COLUMNS, axis=1)
