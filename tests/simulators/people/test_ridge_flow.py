"""The ridge flow: singular points of each class, and frequencies of the classes as in real people."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from simulators.people.person import FINGERS, Pattern, Person
from simulators.people.ridge_flow import Flow, Grid, draw_flow

GRID = Grid.of(9.5, 12.6, 0.1)
SINGULAR = {  # cores and deltas of each class
    Pattern.ARCH: (0, 0),
    Pattern.TENTED_ARCH: (1, 1),
    Pattern.LEFT_LOOP: (1, 1),
    Pattern.RIGHT_LOOP: (1, 1),
    Pattern.WHORL: (2, 2),
    Pattern.DOUBLE_LOOP: (2, 2),
}
PEOPLE = 400


def flow_of(pattern: Pattern, seed: int) -> Flow:
    return draw_flow(np.random.default_rng(seed), GRID, pattern, 0.46)


def half_turns(orientation: NDArray[np.float32]) -> NDArray[np.int_]:
    """The number of half turns of the ridges around each cell of the grid: 1 at a core, -1 at a delta."""
    around = (orientation[:-1, :-1], orientation[1:, :-1], orientation[1:, 1:], orientation[:-1, 1:])
    steps = (after - before for before, after in zip(around, around[1:] + around[:1], strict=True))
    return np.rint(sum((step + np.pi / 2) % np.pi - np.pi / 2 for step in steps) / np.pi).astype(int)


def patterns() -> Counter[Pattern]:
    return Counter(finger.pattern for seed in range(PEOPLE) for finger in Person(seed).fingers)


@pytest.mark.parametrize("pattern", list(Pattern))
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_each_class_has_its_cores_and_deltas_on_the_finger(pattern: Pattern, seed: int) -> None:
    turns = half_turns(flow_of(pattern, seed).orientation)
    assert ((turns == 1).sum(), (turns == -1).sum()) == SINGULAR[pattern]


@given(seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_ridges_stay_as_far_apart_as_on_fingers(seed: int) -> None:
    period = flow_of(Pattern.WHORL, seed).period
    assert 0.32 < period.min() < period.max() < 0.70
    assert 0.42 < period.mean() < 0.54


@given(seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_ridges_are_wider_apart_at_the_joint_than_at_the_tip(seed: int) -> None:
    period = flow_of(Pattern.RIGHT_LOOP, seed).period
    assert period[-20:].mean() > period[:20].mean()


@given(seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_a_loop_opens_to_its_side(seed: int) -> None:
    """Its delta lies on the other side of its core."""
    for pattern, side in ((Pattern.LEFT_LOOP, 1), (Pattern.RIGHT_LOOP, -1)):
        turns = half_turns(flow_of(pattern, seed).orientation)
        core, delta = (np.argwhere(turns == kind)[0][1] for kind in (1, -1))
        assert (delta - core) * side > 0


def test_classes_are_as_common_as_in_people() -> None:
    found = patterns()
    shares = {pattern: found[pattern] / found.total() for pattern in Pattern}
    assert 0.60 < shares[Pattern.LEFT_LOOP] + shares[Pattern.RIGHT_LOOP] < 0.70
    assert 0.25 < shares[Pattern.WHORL] + shares[Pattern.DOUBLE_LOOP] < 0.36
    assert 0.03 < shares[Pattern.ARCH] + shares[Pattern.TENTED_ARCH] < 0.08


def test_loops_mostly_open_towards_the_little_finger() -> None:
    for hand, ulnar, radial in (
        ("right", Pattern.RIGHT_LOOP, Pattern.LEFT_LOOP),
        ("left", Pattern.LEFT_LOOP, Pattern.RIGHT_LOOP),
    ):
        positions = [position for position in FINGERS if position.value.startswith(hand)]
        found = Counter(Person(seed).finger(position).pattern for seed in range(PEOPLE) for position in positions)
        assert found[ulnar] > 8 * found[radial] > 0
