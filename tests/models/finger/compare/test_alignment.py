"""The geometry of a comparison: partners are found where fingers overlap, and what lacks one there speaks against."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.sample import Position
from models import search_threads
from models.calibration import load_calibration
from models.encoder import Entry
from models.finger.compare.alignment import best_alignment
from models.finger.compare.local_similarity import in_order, local_similarity
from models.finger.compare.score import compare, compared_plain, score
from models.finger.compare.score_kernel import compared
from models.finger.cylinder_kernel import cylinders_of
from models.finger.cylinders import Rows
from models.finger.minutiae import TURN
from models.finger.search.gallery import FingerGallery
from models.finger.template import FORMAT
from simulators.bench.search_finger import template_of
from simulators.people.finger_minutiae import another_impression, fingers

FINGERS = fingers(np.random.default_rng(11), 60)
ROWS = [FINGERS.one(n) for n in range(60)]
FULL = max(ROWS, key=len)


def _half(rows: Rows, *, upper: bool, shared: int) -> Rows:
    """A half of a finger with a band that both halves have, `shared` pixels high."""
    middle = 200
    kept: Rows = rows[rows[:, 1] < middle + shared // 2] if upper else rows[rows[:, 1] >= middle - shared // 2]
    return kept


def _rate(one: Rows, other: Rows) -> float:
    return load_calibration(FORMAT).false_match_rate(compare(template_of(one), template_of(other)))


def test_two_halves_of_a_finger_are_told_from_halves_of_strangers() -> None:
    mates = [_rate(_half(r, upper=True, shared=160), _half(r, upper=False, shared=160)) for r in ROWS if len(r) > 40]
    strangers = [
        _rate(_half(a, upper=True, shared=160), _half(b, upper=False, shared=160))
        for a, b in zip(ROWS[:30], ROWS[30:], strict=True)
    ]
    assert np.median(mates) < 1e-4
    assert min(strangers) > 1e-4


def test_a_finger_on_itself_agrees_wholly_and_lacks_nothing() -> None:
    one = cylinders_of(FULL)
    found = best_alignment(one, one, (np.arange(6), np.arange(6)))
    assert found.unpaired == pytest.approx(0, abs=1e-6)
    assert found.paired == pytest.approx((FULL[:, 3] / 100).sum(), rel=1e-3)


def test_what_only_one_finger_shows_within_the_overlap_speaks_against() -> None:
    one, fewer = cylinders_of(FULL), cylinders_of(FULL[:-8])
    found = best_alignment(one, fewer, (np.arange(6), np.arange(6)))
    assert 0 < found.unpaired <= (FULL[-8:, 3] / 100).sum() + 1e-6


def test_what_lies_beyond_the_other_finger_does_not() -> None:
    half = _half(FULL, upper=True, shared=0)
    seen = cylinders_of(half)
    pairs = seen.which[:6], np.arange(6)
    rows_of_half = np.flatnonzero((FULL[:, np.newaxis] == half).all(2).any(1))
    whole = dataclasses.replace(seen, rows=FULL, which=rows_of_half[seen.which])
    found = best_alignment(whole, seen, (np.arange(6), pairs[1]))
    assert found.unpaired < 0.15 * (FULL[:, 3] / 100).sum()


def test_minutiae_whose_quality_was_not_reported_count() -> None:
    unknown = FULL.copy()
    unknown[:, 3] = 0
    one = cylinders_of(unknown)
    assert best_alignment(one, one, (np.arange(6), np.arange(6))).paired > 0.5 * len(FULL)


def _of_anything(rng: np.random.Generator, count: int, side: int) -> Rows:
    """So many minutiae anywhere in a square, in the order of quality, some of none reported."""
    rows = np.stack([*rng.integers(0, side, (2, count)), rng.integers(0, TURN, count), rng.integers(0, 101, count)], 1)
    return rows[np.argsort(-rows[:, 3], kind="stable")].astype(np.uint16)


@given(st.integers(0, 2**32), st.integers(1, 90), st.integers(1, 90), st.sampled_from([150, 300, 600]))
@settings(max_examples=60, deadline=None)
def test_a_comparison_in_machine_code_is_that_of_numpy(seed: int, count: int, others: int, side: int) -> None:
    rng = np.random.default_rng(seed)
    one = _of_anything(rng, count, side)
    for other in (_of_anything(rng, others, side), another_impression(rng, one), one[: others // 2 + 1]):
        a, b = in_order(cylinders_of(one), cylinders_of(other))
        fast, plain = compared(a, b), compared_plain(a, b)
        assert (fast is None) == (plain is None)
        if fast and plain:
            assert fast[0] == pytest.approx(plain[0], abs=1e-9)
            assert dataclasses.astuple(fast[1]) == pytest.approx(dataclasses.astuple(plain[1]), abs=1e-9)


@given(st.integers(0, 59), st.integers(0, 59), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_a_score_is_symmetric_whatever_is_compared(a: int, b: int, seed: int) -> None:
    one, other = cylinders_of(another_impression(np.random.default_rng(seed), ROWS[a])), cylinders_of(ROWS[b])
    assert score(one, other) == score(other, one)
    assert local_similarity(one, other) == local_similarity(other, one)


def test_ten_fingers_of_a_person_are_searched_by_probes_of_unknown_position() -> None:
    """Forty persons of ten fingers each, positions known to the gallery and not to the traveller."""
    positions = [position for position in Position if position.modality and position.modality.value == "finger"]
    crowd = fingers(np.random.default_rng(5), 400)
    entries = [Entry(f"p{n // 10}", positions[n % 10], template_of(crowd.one(n))) for n in range(400)]
    gallery = FingerGallery.build(entries)
    for number in (7, 123, 250, 399):
        probe = template_of(another_impression(np.random.default_rng(number), crowd.one(number)))
        found = gallery.search(probe, Position.UNKNOWN, 5)
        assert found[0].key == f"p{number // 10}"
        assert len({one.key for one in found}) == 5
        assert gallery.search(probe, positions[number % 10], 1) == found[:1]


def test_a_search_takes_the_threads_that_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    class Counting(ThreadPoolExecutor):
        def __init__(self, threads: int) -> None:
            taken.append(threads)
            super().__init__(threads)

    block = FingerGallery.build([Entry("one", Position.UNKNOWN, template_of(ROWS[0]))]).blocks
    gallery = FingerGallery(block * 3)
    monkeypatch.setattr("models.gallery.ThreadPoolExecutor", Counting)
    monkeypatch.setattr("models.search_threads._granted", 3)
    gallery.search(template_of(ROWS[0]), Position.UNKNOWN, 1)
    search_threads.allow(1)
    gallery.search(template_of(ROWS[0]), Position.UNKNOWN, 1)
    assert set(taken) == {3}
