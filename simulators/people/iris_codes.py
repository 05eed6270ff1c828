"""Generates synthetic iris codes, a million or more, to fill a test gallery. They belong to no real person.

Some are made as responses of the encoder's filters to noise, at the frequencies that the filters pass and with a part
in common among the radii, like furrows. Each one gives VARIANTS: rotated farther than any probe, and mirrored. Lids
hide the outer radii above and below, drawn again for each code.
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
NOISE = 0.75  # added to the response in another image of the same iris
ROTATION = 3.0  # columns, standard deviation
LIDS = ((192, 50.0), (64, 20.0))  # middle column of each lid, and columns that it hides to each side at the limbus
LID_VARIES = 18.0  # columns, standard deviation
DEPTH = (0.2, 0.45, 0.75, 1.0)  # share of these columns that each radius loses
ROTATIONS, ROTATION_STEP = 6, 42  # columns: a probe is rotated by at most 17
VARIANTS = 2 * ROTATIONS
SECOND_PARTS = np.uint16(0xF0F0)  # the planes of the imaginary parts
_BATCH = 256  # irises that are made at a time, so that the data stays in the processor cache

Fields = NDArray[np.complex64]  # [n, scales, RADII, COLUMNS]
Columns = NDArray[np.uint16]  # [n, COLUMNS]: the planes of each column as one number


@dataclass(frozen=True, slots=True)
class CodeColumns:
    """Codes by column, not in the order of the stored form, and their known bits. Lids are not yet applied."""

    code: Columns
    known: Columns

    @classmethod
    def of(cls, fields: Fields) -> Self:
        """The codes of filter responses, computed as in the encoder."""
        parts = np.stack([fields.real, fields.imag], axis=2)  # [n, scales, 2, RADII, COLUMNS]
        size = np.abs(parts)
        known = size > FRAGILE * size.mean(axis=(3, 4), keepdims=True)
        return cls(_numbers(parts > 0), _numbers(known))

    def variant(self, items: NDArray[np.intp], numbers: NDArray[np.intp]) -> Self:
        """The variants `numbers` of the codes `items`."""
        code, known = (_varied(columns[items], numbers) for columns in (self.code, self.known))
        # A mirrored response has the opposite direction to the filter; its conjugate has the filter's direction again.
        return type(self)(np.where(_mirrored(numbers), code ^ SECOND_PARTS, code), known)

    def words(self, visible: Columns) -> tuple[Words, Words]:
        """Codes and masks, u64 [n, WORDS], with only the `visible` bits in the masks."""
        mask = (self.known & visible)[:, ORDER]
        code, mask = (np.ascontiguousarray(a, "<u2").view("<u8").astype(np.uint64) for a in (self.code[:, ORDER], mask))
        return code & mask, mask


def responses(rng: np.random.Generator, number: int) -> Fields:
    """The filter responses of `number` synthetic irises."""
    own = _noise(rng, (number, len(WAVELENGTHS), RADII))
    common = _noise(rng, (number, len(WAVELENGTHS), 1))
    return np.asarray(np.sqrt(1 - IN_COMMON) * own + np.sqrt(IN_COMMON) * common, np.complex64)


def code_columns(rng: np.random.Generator, number: int) -> CodeColumns:
    """The codes of `number` synthetic irises."""
    parts = [CodeColumns.of(responses(rng, min(_BATCH, number - at))) for at in range(0, number, _BATCH)]
    return CodeColumns(np.concatenate([one.code for one in parts]), np.concatenate([one.known for one in parts]))


def another_image(rng: np.random.Generator, fields: Fields) -> Fields:
    """The responses in other images of the same irises: with noise, and rotated by a tilt of the head."""
    noisy = fields + np.float32(NOISE) * responses(rng, len(fields))
    shifts = np.round(rng.normal(0, ROTATION, len(fields))).astype(int)
    return np.stack([np.roll(one, shift, axis=-1) for one, shift in zip(noisy, shifts, strict=True)])


def visible_columns(rng: np.random.Generator, number: int) -> Columns:
    """The bits of `number` irises that the lids do not hide."""
    visible = np.ones((number, RADII, COLUMNS), bool)
    for middle, half in LIDS:
        widest = rng.normal(half, LID_VARIES, (number, 1, 1))
        away = np.abs((np.arange(COLUMNS) - middle + COLUMNS // 2) % COLUMNS - COLUMNS // 2)
        visible &= away > widest * np.array(DEPTH)[:, np.newaxis]
    planes = sum(1 << RADII * part for part in range(2 * len(WAVELENGTHS)))
    weight = (planes << np.arange(RADII)).astype(np.uint16)
    columns: Columns = np.einsum("nrc,r->nc", visible.astype(np.uint16), weight)
    return columns


def codes_of(rng: np.random.Generator, fields: Fields, variant: int) -> list[IrisCode]:
    """The codes of filter responses, all as the same variant."""
    some = CodeColumns.of(fields).variant(np.arange(len(fields)), np.full(len(fields), variant))
    return [IrisCode(60, *both) for both in zip(*some.words(visible_columns(rng, len(fields))), strict=True)]


def _noise(rng: np.random.Generator, shape: tuple[int, int, int]) -> Fields:
    """Noise in the pass band of each filter, mean magnitude about 1: [n, scales, radii, COLUMNS]."""
    parts = rng.standard_normal((*shape, COLUMNS, 2), np.float32)
    spectrum = parts.view(np.complex64)[..., 0] * _PASSED[:, np.newaxis]
    return np.asarray(fft.ifft(spectrum, axis=-1, overwrite_x=True), np.complex64)


def _passed() -> NDArray[np.float32]:
    """The gain of each filter by frequency: [scales, 1, COLUMNS]."""
    frequency = np.arange(COLUMNS)
    rows = []
    for wavelength in WAVELENGTHS:
        spread = ANGLES / (2 * np.pi * SIGMA_OF_WAVELENGTH * wavelength)
        row = np.exp(-((frequency - ANGLES / wavelength) ** 2) / (2 * spread**2))
        rows.append(row * COLUMNS / np.sqrt((row**2).sum()))
    return np.array(rows, np.float32)


_PASSED = _passed()


def _numbers(planes: NDArray[np.bool_]) -> Columns:
    """Bits [n, scales, 2, RADII, COLUMNS] as one number for each column, with the first plane as the lowest bit."""
    flat = planes.reshape(len(planes), -1, COLUMNS)
    weight = (1 << np.arange(flat.shape[1])).astype(np.uint16)
    numbers: Columns = np.einsum("npc,p->nc", flat.astype(np.uint16), weight)
    return numbers


def _mirrored(numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
    mirrored: NDArray[np.bool_] = (numbers & 1 == 1)[:, np.newaxis]
    return mirrored


def _varied(columns: Columns, numbers: NDArray[np.intp]) -> Columns:
    """Rotated and mirrored according to the number of the variant."""
    shift = (numbers // 2 * ROTATION_STEP)[:, np.newaxis]
    source = np.where(_mirrored(numbers), -1, 1) * np.arange(COLUMNS) - shift
    return np.take_along_axis(columns, source % COLUMNS, axis=1)
