"""Rows of synthetic fingers for a gallery, and rows that are unusual."""

import functools

import numpy as np

from drivers.sample import Position
from models.encoder import Entry
from models.finger.cylinders import Rows
from models.finger.search.block import Block
from simulators.bench.search_finger import template_of
from simulators.people.finger_minutiae import another_impression, fingers


@functools.cache
def finger_rows(seed: int, count: int) -> list[Rows]:
    """The minutiae of this many synthetic fingers."""
    made = fingers(np.random.default_rng(seed), count)
    return [made.one(number) for number in range(count)]


ROWS = finger_rows(3, 400)
UNUSUAL: dict[str, Rows] = {
    "none": np.zeros((0, 4), np.uint16),
    "one": np.array([[5, 5, 5, 9]], np.uint16),
    "two": np.array([[5, 5, 5, 9], [40, 40, 9, 0]], np.uint16),
    "all on one spot": np.zeros((40, 4), np.uint16),
    "all on one line": np.array([[9 * n, 0, 1000 * n, 50] for n in range(40)], np.uint16),
    "far apart": np.array([[0, 0, 0, 9], [65_535, 65_535, 65_535, 9], [0, 65_535, 7, 9], [103, 0, 7, 9]], np.uint16),
    "as many as possible": np.concatenate(ROWS[:8])[:255],
}


def second_impression(number: int, seed: int = 0) -> Rows:
    """Another impression of a finger of ROWS."""
    return another_impression(np.random.default_rng(seed), ROWS[number])


def half_of(rows: Rows, *, upper: bool, shared: int) -> Rows:
    """A half of a finger, with a band `shared` pixels high that both halves have."""
    middle = 200
    kept: Rows = rows[rows[:, 1] < middle + shared // 2] if upper else rows[rows[:, 1] >= middle - shared // 2]
    return kept


def entries_of(numbers: range) -> list[Entry]:
    """Entries ref-0, ref-1 and so on, of fingers of ROWS."""
    return [Entry(f"ref-{n}", Position.RIGHT_INDEX, template_of(ROWS[n])) for n in numbers]


def block_of(rows: list[Rows]) -> Block:
    """A block whose keys are 0, 1 and so on, of unknown positions."""
    return Block.of(tuple(map(str, range(len(rows)))), np.zeros(len(rows), np.uint8), rows)
