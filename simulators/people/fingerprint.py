"""Generates the friction skin of one finger: ridges along a flow, their pores, ragged edges and creases.

Ridges grow from noise, which is filtered repeatedly by a bank of short waves; each place uses the wave of its own
orientation and period. Where the flow diverges, ridges end or fork: these are the minutiae.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from simulators.people.ridge_flow import Field, Flow, Grid, Pattern, draw_flow, smooth_noise

GROWTH_PPI = 300.0  # ridges are at least 4 pixels apart at this resolution; 2.8 times fewer pixels than at 500
SKIN_PPI = 500.0
_ORIENTATIONS = 16
_PERIODS = 4
_ROUNDS = (6, 9)  # minimum and maximum number of filter rounds; more rounds leave fewer minutiae
_PERIOD_WIDTH = 0.25  # standard deviation of a filter in the natural logarithm of the period
_ANGLE_WIDTH = 0.30  # standard deviation of the direction of a filter, radians
_ENVELOPE = 0.3  # smoothing of the local amplitude, mm
_PORE_SPACING = 0.7  # mm, in both directions: about 9 pores per centimetre of ridge, as Nagesh et al. (2011) counted


@dataclass(frozen=True, slots=True, eq=False)
class Skin:
    """The pad of one finger at SKIN_PPI, undistorted; row 0 at the tip, every layer f32[h, w].

    `ridges` is -1 in the middle of a valley and 1 on a crest; `pores` and `creases` are 0 to 1 (1: no skin there).
    `half_axes` (mm) is the contact of a normal touch.
    """

    pattern: Pattern
    ridges: Field
    pores: Field
    creases: Field
    half_axes: tuple[float, float]


@dataclass(frozen=True, slots=True)
class FingerAnatomy:
    """Parameters of a finger: half axes of the contact and ridge period in mm, number of creases."""

    half_axes: tuple[float, float]
    period: float
    creases: int


def _periods(flow: Flow) -> NDArray[np.float64]:
    return np.geomspace(float(flow.period.min()) * 0.99, float(flow.period.max()) * 1.01, _PERIODS)


@dataclass(frozen=True, slots=True, eq=False)
class Waves:
    """Short waves of every orientation and period, and the weight of each at every point of the grid."""

    transfers: Field  # f32[orientation, period, h, w // 2 + 1]
    ahead: NDArray[np.complex64]  # [orientation, h, w // 2 + 1]: a quarter of a wave further along its direction
    weights: Field  # f32[orientation, period, h, w]
    wrapped: Field  # f32[h, w]: -1 where orientation 0 represents pi


def _spectrum_plane(grid: Grid) -> tuple[Field, Field]:
    """The frequency (1 / mm) and direction (radians) of each term of the real Fourier transform."""
    rows = fft.fftfreq(grid.shape[0], grid.pitch)[:, None]
    columns = fft.rfftfreq(grid.shape[1], grid.pitch)[None, :]
    return np.hypot(columns, rows) + 1e-9, np.arctan2(-rows, columns)


def _waves(grid: Grid, flow: Flow) -> Waves:
    """The filter bank, with linear interpolation between the two nearest orientations and the two nearest periods."""
    periods = _periods(flow)
    radius, angle = _spectrum_plane(grid)
    index = np.arange(_ORIENTATIONS)[:, None, None]
    relative = angle - np.pi * index / _ORIENTATIONS  # a wave runs across its ridge
    across = np.exp(-0.5 * (np.log(radius * periods[:, None, None]) / _PERIOD_WIDTH) ** 2)
    along = np.exp(-0.5 * ((relative % np.pi - np.pi / 2) / _ANGLE_WIDTH) ** 2)
    slot = (flow.orientation / np.pi * _ORIENTATIONS) % _ORIENTATIONS
    distance = np.abs((slot - index + _ORIENTATIONS / 2) % _ORIENTATIONS - _ORIENTATIONS / 2)
    rank = np.log(flow.period / periods[0]) / np.log(periods[1] / periods[0])
    stretch = np.abs(rank - np.arange(_PERIODS)[:, None, None])
    return Waves(
        (along[:, None] * across[None]).astype(np.float32),
        (1j * np.sign(np.sin(relative))).astype(np.complex64),
        (np.maximum(0, 1 - distance)[:, None] * np.maximum(0, 1 - stretch)[None]).astype(np.float32),
        np.where(slot > _ORIENTATIONS - 1, -1.0, 1.0).astype(np.float32),
    )


def _filtered(image: Field, waves: Waves) -> Field:
    """The image filtered at each point by the wave of that point."""
    spectrum = fft.rfft2(image)
    out = np.zeros_like(image)
    for transfers, weights in zip(waves.transfers, waves.weights, strict=True):
        for transfer, weight in zip(transfers, weights, strict=True):
            out += weight * fft.irfft2(spectrum * transfer, s=image.shape)
    return out


def _quadrature(image: Field, waves: Waves) -> Field:
    """The result of _filtered, a quarter of a wave ahead; its sign is arbitrary."""
    spectrum = fft.rfft2(image)
    out = np.zeros_like(image)
    for index, (transfers, weights) in enumerate(zip(waves.transfers, waves.weights, strict=True)):
        sign = waves.wrapped if index == 0 else 1.0
        for transfer, weight in zip(transfers, weights, strict=True):
            out += sign * weight * fft.irfft2(spectrum * transfer * waves.ahead[index], s=image.shape)
    return out


def _levelled(wave: Field, pitch: float) -> Field:
    """The wave with an amplitude of about one; it stays weak where ridges end."""
    power = gaussian_filter(wave * wave, _ENVELOPE / pitch)
    return np.asarray(wave / (np.sqrt(2 * power) + 1e-3 * float(wave.std())), dtype=np.float32)


def _cosine(wave: Field, ahead: Field) -> Field:
    """The wave with an amplitude of one everywhere except at the points where ridges end."""
    amplitude = np.hypot(wave, ahead)
    return np.asarray(wave / (amplitude + 0.05 * float(amplitude.mean())), dtype=np.float32)


def grow_ridges(rng: Generator, grid: Grid, flow: Flow) -> Field:
    """Ridges and valleys along the flow, as the cosine of a phase, -1 to 1."""
    waves = _waves(grid, flow)
    image = rng.standard_normal(grid.shape).astype(np.float32)
    for _ in range(int(rng.integers(*_ROUNDS, endpoint=True))):
        image = _levelled(_filtered(image, waves), grid.pitch)
    return _cosine(_filtered(image, waves), _quadrature(image, waves))


def _uphill(heights: Field, rows: Field, columns: Field, steps: int = 6) -> tuple[Field, Field]:
    """Move points to the nearest ridge crest."""
    slope_y, slope_x = np.gradient(heights)
    for _ in range(steps):
        at = np.stack((rows, columns))
        rows = rows + 1.5 * map_coordinates(slope_y, at, order=1, mode="nearest")
        columns = columns + 1.5 * map_coordinates(slope_x, at, order=1, mode="nearest")
    return rows, columns


def _pores(rng: Generator, ridges: Field) -> Field:
    """Sweat pores of various sizes along each ridge crest."""
    step = _PORE_SPACING * SKIN_PPI / 25.4
    rows, columns = np.mgrid[0 : ridges.shape[0] : step, 0 : ridges.shape[1] : step].astype(np.float32)
    jitter = rng.normal(0.0, 0.3 * step, (2, *rows.shape)).astype(np.float32)
    rows, columns = _uphill(ridges, rows + jitter[0], columns + jitter[1])
    layer = np.zeros_like(ridges)
    inside = tuple(
        np.clip(np.rint(axis).astype(int), 0, size - 1) for axis, size in zip((rows, columns), layer.shape, strict=True)
    )
    layer[inside] = rng.uniform(0.3, 1.0, rows.shape)
    blurred = gaussian_filter(layer, 1.1)
    return np.asarray(np.minimum(1.0, blurred * 2 * np.pi * 1.1**2), dtype=np.float32)


def _crease(rng: Generator, grid: Grid) -> Field:
    """One white line across the ridges: curved and uneven, mostly horizontal, tapered at its ends; few are wide."""
    x0, y0 = rng.normal(0.0, 4.5), rng.normal(-2.5, 4.5)
    tilt, bend = rng.normal(0.0, 0.4), rng.normal(0.0, 0.03)
    length, width = rng.uniform(0.8, 4.0), 0.05 + rng.gamma(1.2, 0.03)
    along = (grid.x - x0) * np.cos(tilt) + (grid.y - y0) * np.sin(tilt)
    across = (grid.y - y0) * np.cos(tilt) - (grid.x - x0) * np.sin(tilt) - bend * along**2
    across = across + 0.07 * smooth_noise(rng, grid.shape, 0.35 / grid.pitch)
    taper = np.clip(1.0 - (along / length) ** 2, 0.0, 1.0)
    return np.asarray(np.exp(-0.5 * (across / (width * (0.3 + taper))) ** 2) * np.sqrt(taper), dtype=np.float32)


def _creases(rng: Generator, grid: Grid, count: int) -> Field:
    layer = np.zeros(grid.shape, dtype=np.float32)
    for _ in range(count):
        layer = np.maximum(layer, _crease(rng, grid))
    deep = 0.75 + 0.45 * smooth_noise(rng, grid.shape, 0.5 / grid.pitch)
    return np.asarray(np.clip(layer * deep, 0.0, 1.0), dtype=np.float32)


def grow_skin(rng: Generator, pattern: Pattern, anatomy: FingerAnatomy) -> Skin:
    """The skin of one finger. Takes about half a second."""
    reach = anatomy.half_axes[0] + 2.5, anatomy.half_axes[1] + 3.0
    coarse = Grid.of(*reach, 25.4 / GROWTH_PPI, multiple=12)
    wave = grow_ridges(rng, coarse, draw_flow(rng, coarse, pattern, anatomy.period))
    ridges = zoom(wave, SKIN_PPI / GROWTH_PPI, order=3, mode="grid-mirror", grid_mode=True)
    edges = 0.10 * smooth_noise(rng, ridges.shape, 2.2) + 0.12 * smooth_noise(rng, ridges.shape, 9.0)
    fine = Grid.of(ridges.shape[1] / 2 * 25.4 / SKIN_PPI, ridges.shape[0] / 2 * 25.4 / SKIN_PPI, 25.4 / SKIN_PPI, 2)
    return Skin(pattern, ridges + edges, _pores(rng, ridges), _creases(rng, fine, anatomy.creases), anatomy.half_axes)
