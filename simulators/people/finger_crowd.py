"""Fingers as minutiae alone, by the hundred thousand: enough to fill a gallery, nobody's.

Minutiae lie on a jittered grid within an ellipse, so that none are nearer than two ridges allow, and point along the
ridge flow of an arch, a loop or a whorl (zero-pole model of Sherlock and Monro), in either sense. Counts are those of
LEADER on real impressions (mean 41, deviation 13). How like real ones they are: models/README.md.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.finger.minutiae import TURN
from models.finger.packed_cylinders import DIRECTION_WORD, Words

WIDTH, HEIGHT = 320, 400  # pixels at 500 ppi
PITCH = 15.0  # pixels between points of the grid
JITTER = 5.0
COUNT_MEAN, COUNT_DEVIATION, COUNT_LEAST, COUNT_MOST = 41, 13, 11, 90
FLOW_NOISE = 0.17  # radians between a minutia and the flow
QUALITY = (2.6, 1.4)  # of a minutia: beta distribution, about that of LEADER from 0.2 on
LOWEST, HIGHEST = [0, 0, 0, 1], [WIDTH - 1, HEIGHT - 1, TURN - 1, 100]  # of a row
CORES = {"arch": 0.06, "loop": 0.62, "whorl": 0.32}  # how frequent the patterns are

# Of a second impression of the same finger.
SEEN_AGAIN = 0.8
PLACE_NOISE = 2.5  # pixels
TURN_NOISE = 0.1  # radians
ROTATION, SHIFT = 0.2, 25  # deviations, radians and pixels

Rows = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Fingers:
    """Several fingers: their rows x, y, direction, quality one after another, and where each begins."""

    rows: Rows
    starts: NDArray[np.int64]

    def one(self, number: int) -> Rows:
        """The rows of one finger, best quality first."""
        rows: Rows = self.rows[self.starts[number] : self.starts[number + 1]]
        return rows


def fingers(rng: np.random.Generator, number: int) -> Fingers:
    """So many fingers of nobody."""
    place, order = _places(rng, number)
    counts = np.clip(rng.normal(COUNT_MEAN, COUNT_DEVIATION, number), COUNT_LEAST, COUNT_MOST).astype(int)
    chosen = np.take_along_axis(place, order[:, :COUNT_MOST, np.newaxis], axis=1)
    angle = _flow(rng, chosen) + rng.normal(0, FLOW_NOISE, chosen.shape[:2])
    angle += np.pi * rng.integers(0, 2, angle.shape)
    quality = np.sort(rng.beta(*QUALITY, angle.shape), axis=1)[:, ::-1]
    rows = np.dstack([chosen, np.mod(angle / (2 * np.pi), 1) * TURN, 100 * quality])
    kept = np.arange(COUNT_MOST) < counts[:, np.newaxis]
    starts = np.concatenate([[0], np.cumsum(counts)])
    return Fingers(np.clip(rows[kept], LOWEST, HIGHEST).astype(np.uint16), starts)


def again(rng: np.random.Generator, rows: Rows) -> Rows:
    """Another impression of a finger: turned, shifted, inexact, some minutiae lost and others found."""
    kept = rows[rng.random(len(rows)) < SEEN_AGAIN].astype(float)
    turn, middle = rng.normal(0, ROTATION), np.array([WIDTH, HEIGHT]) / 2
    x, y = (kept[:, :2] - middle).T
    place = np.stack([np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x], axis=1)
    place += middle + rng.normal(0, SHIFT, 2) + rng.normal(0, PLACE_NOISE, place.shape)
    angle = kept[:, 2] / TURN * 2 * np.pi + turn + rng.normal(0, TURN_NOISE, len(kept))
    seen = np.column_stack([place, np.mod(angle / (2 * np.pi), 1) * TURN, kept[:, 3] + rng.normal(0, 12, len(kept))])
    strangers = fingers(rng, 1).one(0)[: max(2, len(rows) // 8)]
    found = np.clip(np.concatenate([seen, strangers]), LOWEST, HIGHEST).astype(np.uint16)
    best_first: Rows = found[np.argsort(-found[:, 3].astype(int), kind="stable")]
    return best_first


def posed(rng: np.random.Generator, made: Fingers, words: Words) -> tuple[Fingers, Words]:
    """The same fingers put down in another way: turned and shifted as a whole, which no cylinder minds.

    `words` are their packed cylinders (models/finger/packed_cylinders.py), of which only the directions change. A
    hundred times as fast as making and describing as many new fingers: a crowd of poses is a crowd for the search,
    which compares directions, but it has no more different fingers in it.
    """
    number, lengths = len(words), np.diff(made.starts)
    turn = rng.normal(0, ROTATION, number) * TURN / (2 * np.pi)
    turned = np.rint(turn).astype(np.int64) % TURN
    each = np.repeat(turned / TURN * 2 * np.pi, lengths)
    x, y = made.rows[:, 0] - WIDTH / 2, made.rows[:, 1] - HEIGHT / 2
    rows = made.rows.copy()
    for column, place in ((0, np.cos(each) * x + np.sin(each) * y), (1, np.cos(each) * y - np.sin(each) * x)):
        least = np.minimum.reduceat(place, made.starts[:-1])
        rows[:, column] = np.rint(place - np.repeat(least - rng.integers(0, SHIFT, number), lengths))
    rows[:, 2] += np.repeat(turned, lengths).astype(np.uint16)
    other = words.copy()
    directions = (words[:, DIRECTION_WORD] & 0xFFFF) + turned[:, np.newaxis].astype(np.uint32) & 0xFFFF
    there = words[:, -1] != 0
    other[:, DIRECTION_WORD] = np.where(there, words[:, DIRECTION_WORD] & 0xFFFF0000 | directions, 0)
    return Fingers(rows, made.starts), other


def _places(rng: np.random.Generator, number: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The points of a jittered grid of each finger, and in which order they become minutiae: those on skin first."""
    across, down = np.meshgrid(np.arange(0, WIDTH, PITCH), np.arange(0, HEIGHT, PITCH))
    grid = np.stack([across.ravel(), down.ravel()], axis=1)
    place = grid + rng.uniform(0, PITCH, (number, 1, 2)) + rng.uniform(-JITTER, JITTER, (number, len(grid), 2))
    axes = np.array([WIDTH, HEIGHT]) / 2 * rng.uniform(0.75, 1.0, (number, 1, 2))
    outside = (((place - [WIDTH / 2, HEIGHT / 2]) / axes) ** 2).sum(2) > 1
    return place, np.argsort(rng.random(outside.shape) + outside, axis=1)


def _flow(rng: np.random.Generator, place: NDArray[np.float64]) -> NDArray[np.float64]:
    """The direction of the ridges, y up, at each place."""
    number = len(place)
    kind = rng.choice(len(CORES), number, p=list(CORES.values()))  # also how many cores and deltas there are
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
