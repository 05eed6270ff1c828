"""Generates synthetic fingerprints as minutiae, 100 000 or more, to fill a test gallery. They belong to no real person.

Minutiae lie on a jittered grid within an ellipse, so that their distance is never less than that of two ridges. They
point along the ridge flow of an arch, a loop or a whorl (zero-pole model of Sherlock and Monro), in either direction.
Counts are those of LEADER on real impressions (mean 41, deviation 13). models/README.md compares them with real ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.finger.minutiae import TURN
from models.finger.packed_cylinders import DIRECTION_WORD, Words

WIDTH, HEIGHT = 320, 400  # pixels at 500 ppi
PITCH = 15.0  # pixels between points of the grid
JITTER = 5.0
COUNT_MEAN, COUNT_DEVIATION, COUNT_MIN, COUNT_MAX = 41, 13, 11, 90
FLOW_NOISE = 0.17  # radians between a minutia and the flow, standard deviation
QUALITY = (2.6, 1.4)  # beta distribution of the quality of a minutia, close to that of LEADER above 0.2
LOWEST, HIGHEST = [0, 0, 0, 1], [WIDTH - 1, HEIGHT - 1, TURN - 1, 100]  # limits of a row
PATTERNS = {"arch": 0.06, "loop": 0.62, "whorl": 0.32}  # frequency of each pattern

# Differences of a second impression of the same finger.
KEPT_SHARE = 0.8  # share of the minutiae that the second impression also has
PLACE_NOISE = 2.5  # pixels
DIRECTION_NOISE = 0.1  # radians
ROTATION, SHIFT = 0.2, 25  # deviations, radians and pixels

Rows = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Fingers:
    """Several fingers: their rows (x, y, direction, quality) one after another, and the index where each begins."""

    rows: Rows
    starts: NDArray[np.int64]

    def one(self, number: int) -> Rows:
        """The rows of one finger, best quality first."""
        rows: Rows = self.rows[self.starts[number] : self.starts[number + 1]]
        return rows


def fingers(rng: np.random.Generator, number: int) -> Fingers:
    """The minutiae of `number` synthetic fingers."""
    place, order = _places(rng, number)
    counts = np.clip(rng.normal(COUNT_MEAN, COUNT_DEVIATION, number), COUNT_MIN, COUNT_MAX).astype(int)
    chosen = np.take_along_axis(place, order[:, :COUNT_MAX, np.newaxis], axis=1)
    angle = _flow(rng, chosen) + rng.normal(0, FLOW_NOISE, chosen.shape[:2])
    angle += np.pi * rng.integers(0, 2, angle.shape)
    quality = np.sort(rng.beta(*QUALITY, angle.shape), axis=1)[:, ::-1]
    rows = np.dstack([chosen, np.mod(angle / (2 * np.pi), 1) * TURN, 100 * quality])
    kept = np.arange(COUNT_MAX) < counts[:, np.newaxis]
    starts = np.concatenate([[0], np.cumsum(counts)])
    return Fingers(np.clip(rows[kept], LOWEST, HIGHEST).astype(np.uint16), starts)


def another_impression(rng: np.random.Generator, rows: Rows) -> Rows:
    """Another impression of a finger: rotated, shifted, with noise, some minutiae missing and some spurious."""
    kept = rows[rng.random(len(rows)) < KEPT_SHARE].astype(float)
    rotation, middle = rng.normal(0, ROTATION), np.array([WIDTH, HEIGHT]) / 2
    x, y = (kept[:, :2] - middle).T
    place = np.stack([np.cos(rotation) * x + np.sin(rotation) * y, np.cos(rotation) * y - np.sin(rotation) * x], axis=1)
    place += middle + rng.normal(0, SHIFT, 2) + rng.normal(0, PLACE_NOISE, place.shape)
    angle = kept[:, 2] / TURN * 2 * np.pi + rotation + rng.normal(0, DIRECTION_NOISE, len(kept))
    seen = np.column_stack([place, np.mod(angle / (2 * np.pi), 1) * TURN, kept[:, 3] + rng.normal(0, 12, len(kept))])
    spurious = fingers(rng, 1).one(0)[: max(2, len(rows) // 8)]
    found = np.clip(np.concatenate([seen, spurious]), LOWEST, HIGHEST).astype(np.uint16)
    best_first: Rows = found[np.argsort(-found[:, 3].astype(int), kind="stable")]
    return best_first


def repositioned(rng: np.random.Generator, made: Fingers, words: Words) -> tuple[Fingers, Words]:
    """The same fingers rotated and shifted as a whole, which leaves their cylinders unchanged.

    `words` are their packed cylinders (models/finger/packed_cylinders.py), of which only the directions change. This
    is a hundred times as fast as making and describing as many new fingers. For the search, which compares directions,
    these are different entries; but there are no more different fingers among them.
    """
    number, lengths = len(words), np.diff(made.starts)
    turns = rng.normal(0, ROTATION, number) * TURN / (2 * np.pi)
    rotation = np.rint(turns).astype(np.int64) % TURN
    each = np.repeat(rotation / TURN * 2 * np.pi, lengths)
    x, y = made.rows[:, 0] - WIDTH / 2, made.rows[:, 1] - HEIGHT / 2
    rows = made.rows.copy()
    for column, place in ((0, np.cos(each) * x + np.sin(each) * y), (1, np.cos(each) * y - np.sin(each) * x)):
        least = np.minimum.reduceat(place, made.starts[:-1])
        rows[:, column] = np.rint(place - np.repeat(least - rng.integers(0, SHIFT, number), lengths))
    rows[:, 2] += np.repeat(rotation, lengths).astype(np.uint16)
    other = words.copy()
    directions = (words[:, DIRECTION_WORD] & 0xFFFF) + rotation[:, np.newaxis].astype(np.uint32) & 0xFFFF
    there = words[:, -1] != 0
    other[:, DIRECTION_WORD] = np.where(there, words[:, DIRECTION_WORD] & 0xFFFF0000 | directions, 0)
    return Fingers(rows, made.starts), other


def _places(rng: np.random.Generator, number: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The points of a jittered grid for each finger, and the order in which they become minutiae: on the skin first."""
    across, down = np.meshgrid(np.arange(0, WIDTH, PITCH), np.arange(0, HEIGHT, PITCH))
    grid = np.stack([across.ravel(), down.ravel()], axis=1)
    place = grid + rng.uniform(0, PITCH, (number, 1, 2)) + rng.uniform(-JITTER, JITTER, (number, len(grid), 2))
    axes = np.array([WIDTH, HEIGHT]) / 2 * rng.uniform(0.75, 1.0, (number, 1, 2))
    outside = (((place - [WIDTH / 2, HEIGHT / 2]) / axes) ** 2).sum(2) > 1
    return place, np.argsort(rng.random(outside.shape) + outside, axis=1)


def _flow(rng: np.random.Generator, place: NDArray[np.float64]) -> NDArray[np.float64]:
    """The direction of the ridges at each place, y upwards."""
    number = len(place)
    kind = rng.choice(len(PATTERNS), number, p=list(PATTERNS.values()))  # also the number of cores and of deltas
    core = np.array([WIDTH / 2, HEIGHT * 0.42]) + rng.normal(0, 18, (number, 2))
    second = core + np.stack([rng.normal(0, 8, number), rng.uniform(15, 45, number)], axis=1)
    side = rng.choice([-1, 1], number)
    delta = core + np.stack([side * rng.uniform(70, 120, number), rng.uniform(90, 150, number)], axis=1)
    other = core + np.stack([-side * rng.uniform(70, 120, number), rng.uniform(90, 150, number)], axis=1)
    half = (kind >= 1)[:, np.newaxis] * (_bearing(place, core) - _bearing(place, delta))
    half = half + (kind == 2)[:, np.newaxis] * (_bearing(place, second) - _bearing(place, other))
    arch = (kind == 0)[:, np.newaxis] * 2 * 0.5 * np.sin((place[..., 0] - core[:, :1]) / 60) * -1
    lean = rng.normal(0, 0.12, (number, 1))
    flow: NDArray[np.float64] = (half + arch) / 2 + lean
    return flow


def _bearing(place: NDArray[np.float64], pole: NDArray[np.float64]) -> NDArray[np.float64]:
    bearing: NDArray[np.float64] = np.arctan2(
        pole[:, 1, np.newaxis] - place[..., 1], place[..., 0] - pole[:, 0, np.newaxis]
    )
    return bearing
