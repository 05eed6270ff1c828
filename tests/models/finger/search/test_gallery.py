"""The gallery of fingerprints: the right person first, the same result with any threads, division or compiler."""

import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.sample import Position
from models import search_threads
from models.calibration import load_calibration
from models.compiled import NUMBA, PLAIN
from models.encoder import Entry
from models.finger.compare.score import compare
from models.finger.compare.score_kernel import compare_compiled
from models.finger.cylinder_kernel import fill, fill_block
from models.finger.minutiae import no_minutiae
from models.finger.search.block import Block, Probe
from models.finger.search.gallery import SHORT_KEYS, FingerGallery, best_ranked
from models.finger.search.prefilter import rank_compiled
from models.finger.search.rerank import rerank_compiled
from models.finger.template import FORMAT, pack
from models.template import Template, TemplateError
from simulators.bench.search_finger import template_of
from simulators.people.finger_minutiae import another_impression, fingers
from tests.conftest import template_of as real_template_of
from tests.rigs.fingers import ROWS, block_of, entries_of, second_impression
from tests.rigs.minutiae import moved, random_minutiae

SEEDS = range(1, 9)
MATED, NON_MATED = 1e-5, 1e-3  # rates: below the first two fingers count as one, above the second they do not

needs_numba = pytest.mark.skipif(NUMBA is None, reason="numba is not installed")


@pytest.fixture(name="gallery", scope="module")
def _gallery() -> FingerGallery:
    return FingerGallery.build(entries_of(range(400)))


def test_the_best_ranked_are_the_first_of_equals_and_never_those_below_zero() -> None:
    ranks = np.array([5, -1, 7, 5, 0, 5], np.int32)
    assert best_ranked(ranks, 2) == [2, 0]
    assert best_ranked(ranks, 3) == [2, 0, 3]
    assert best_ranked(ranks, 99) == [2, 0, 3, 5, 4]


def _short_list(keys: list[str], limit: int) -> list[int]:
    """The short list in a gallery of these keys, in blocks of 70 entries."""
    gallery = FingerGallery(
        tuple(
            Block.of(tuple(keys[at : at + 70]), np.zeros(len(keys[at : at + 70]), np.uint8), ROWS[at : at + 70])
            for at in range(0, len(keys), 70)
        )
    )
    return gallery.short_list(Probe.of(second_impression(3)), Position.UNKNOWN, limit)


def _in_order_of_ranks(count: int) -> list[int]:
    ranks = block_of(ROWS).ranks(Probe.of(second_impression(3)).words, Position.UNKNOWN)
    return best_ranked(ranks, count)


def test_the_short_list_has_as_many_entries_as_persons_where_each_has_one() -> None:
    assert _short_list([str(n) for n in range(400)], 5) == sorted(_in_order_of_ranks(SHORT_KEYS))
    assert _short_list([str(n) for n in range(400)], 50) == sorted(_in_order_of_ranks(100))


def test_the_short_list_goes_on_until_it_has_enough_persons_and_no_further() -> None:
    """Ten fingers a person, position unknown: forty persons, of whom the list is to have all but few."""
    persons = [n // 10 for n in range(400)]
    wanted = _in_order_of_ranks(400)
    assert _short_list([str(n) for n in persons], 5) == list(range(400))  # fewer persons than there are to be
    three_each = [n // 3 for n in range(400)]
    seen = [len({three_each[entry] for entry in wanted[:count]}) for count in range(401)]
    assert _short_list([str(n) for n in three_each], 5) == sorted(wanted[: seen.index(SHORT_KEYS)])


def test_the_short_list_has_a_share_of_the_entries_not_of_the_persons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.finger.search.gallery.SHORT_SHARE", 0.5)
    for each in (1, 2):
        assert _short_list([str(n // each) for n in range(400)], 5) == sorted(_in_order_of_ranks(200))


def test_the_result_is_the_same_for_any_threads_and_any_division(gallery: FingerGallery) -> None:
    pieces = tuple(
        Block.of(tuple(f"ref-{n}" for n in part), np.full(len(part), 2, np.uint8), [ROWS[n] for n in part])
        for part in (range(7), range(7, 8), range(8, 301), range(301, 400))
    )
    divided = [FingerGallery(pieces, threads) for threads in (1, 2, 5)]
    for number in (0, 7, 299, 399):
        probe = template_of(second_impression(number))
        expected = gallery.search(probe, Position.UNKNOWN, 20)
        assert expected[0].key == f"ref-{number}"
        assert all(one.search(probe, Position.UNKNOWN, 20) == expected for one in divided)


def test_a_search_without_compiled_code_gives_the_same() -> None:
    program = (
        "from tests.models.finger.search.test_gallery import NUMBA, FingerGallery, Position\n"
        "from tests.models.finger.search.test_gallery import entries_of, second_impression, template_of\n"
        "gallery = FingerGallery.build(entries_of(range(100)))\n"
        "probes = [template_of(second_impression(number)) for number in (3, 50)]\n"
        "print([NUMBA is None, [gallery.search(probe, Position.UNKNOWN, 9) for probe in probes]])"
    )
    environment = {PLAIN: "1", "PATH": "", "PYTHONPATH": str(Path(__file__).parents[4])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    gallery = FingerGallery.build(entries_of(range(100)))
    found = [gallery.search(template_of(second_impression(n)), Position.UNKNOWN, 9) for n in (3, 50)]
    assert done.stdout.strip() == str([True, found])


def test_what_is_returned_has_the_score_of_compare_over_all_cylinders(gallery: FingerGallery) -> None:
    probe = template_of(second_impression(9))
    for key, value in gallery.search(probe, Position.RIGHT_INDEX, 9):
        assert value == compare(probe, template_of(ROWS[int(key.removeprefix("ref-"))]))


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=12))
@settings(max_examples=25, deadline=None)
def test_after_any_changes_a_gallery_is_as_if_newly_built(changes: list[tuple[int, bool]]) -> None:
    gallery = FingerGallery.build([])
    expected: list[int] = []
    for number, added in changes:
        expected = [n for n in expected if n != number] + ([number] if added else [])
        new = [Entry(f"ref-{number}", Position.RIGHT_INDEX, template_of(ROWS[number]))] if added else []
        gallery = gallery.changed(new, frozenset({f"ref-{number}"}))
    built = FingerGallery.build([entries_of(range(n, n + 1))[0] for n in expected])
    probe = template_of(second_impression(4))
    assert len(gallery) == len(expected)
    assert gallery.search(probe, Position.UNKNOWN, 5) == built.search(probe, Position.UNKNOWN, 5)


@needs_numba
def test_the_first_traveller_waits_for_no_compiler(gallery: FingerGallery) -> None:
    """Whatever a gallery went through, its arrays are of the types that the warm-up compiled for."""
    FingerGallery.warm_up()
    kernels = [rank_compiled, rerank_compiled, fill, fill_block, compare_compiled]
    before = [len(kernel.signatures) for kernel in kernels]  # type: ignore[attr-defined]
    changed = gallery.changed(entries_of(range(3)), frozenset({"ref-5"}))
    changed.search(template_of(second_impression(2)), Position.RIGHT_INDEX, 3)
    changed.search(real_template_of(1, 1), Position.UNKNOWN, 3)
    assert [len(kernel.signatures) for kernel in kernels] == before == [1] * len(kernels)  # type: ignore[attr-defined]


def _rate(score: float) -> float:
    """The share of different fingers that reach this score."""
    return load_calibration(FORMAT).false_match_rate(score)


def _entries(seeds: Iterable[int], position: Position = Position.RIGHT_INDEX) -> list[Entry]:
    return [Entry(f"ref-{seed}", position, pack(random_minutiae(seed))) for seed in seeds]


def _probe_of(seed: int) -> Template:
    return pack(moved(random_minutiae(seed), 12, (10, -20), noise=2, seed=seed))


@pytest.fixture(name="random_gallery", scope="module")
def _random_gallery() -> FingerGallery:
    return FingerGallery.build(_entries(range(300)))


@pytest.mark.parametrize("seed", [0, 77, 299])
def test_the_mated_entry_comes_first(random_gallery: FingerGallery, seed: int) -> None:
    candidates = random_gallery.search(_probe_of(seed), Position.RIGHT_INDEX, 5)
    assert candidates[0].key == f"ref-{seed}"
    assert _rate(candidates[0].score) < MATED
    assert _rate(candidates[1].score) > NON_MATED
    assert [one.score for one in candidates] == sorted((one.score for one in candidates), reverse=True)


def test_a_search_gives_the_scores_of_compare(random_gallery: FingerGallery) -> None:
    probe = _probe_of(5)
    for key, score in random_gallery.search(probe, Position.UNKNOWN, 5):
        assert score == compare(probe, pack(random_minutiae(int(key.removeprefix("ref-")))))


def test_a_limit_beyond_the_short_list_is_kept(random_gallery: FingerGallery) -> None:
    assert len(random_gallery.search(_probe_of(5), Position.UNKNOWN, 2 * SHORT_KEYS)) == 2 * SHORT_KEYS
    assert len(random_gallery.search(_probe_of(5), Position.UNKNOWN, 1000)) == 300


def test_entries_of_another_known_position_are_skipped() -> None:
    gallery = FingerGallery.build(
        [*_entries([1], Position.RIGHT_INDEX), *_entries([2], Position.LEFT_INDEX), *_entries([3], Position.UNKNOWN)]
    )

    def found(position: Position) -> set[str]:
        return {one.key for one in gallery.search(_probe_of(1), position, 5)}

    assert found(Position.RIGHT_INDEX) == {"ref-1", "ref-3"}
    assert found(Position.LEFT_THUMB) == {"ref-3"}
    assert found(Position.UNKNOWN) == {"ref-1", "ref-2", "ref-3"}


def test_a_key_with_several_fingers_appears_once_with_its_best() -> None:
    gallery = FingerGallery.build([Entry("one", Position.UNKNOWN, pack(random_minutiae(seed))) for seed in (1, 2, 3)])
    (only,) = gallery.search(_probe_of(2), Position.UNKNOWN, 5)
    assert only == ("one", compare(_probe_of(2), pack(random_minutiae(2))))


def test_a_key_with_many_fingers_does_not_crowd_out_others() -> None:
    crowd = [Entry("crowd", Position.UNKNOWN, _probe_of(1))] * (SHORT_KEYS + 30)
    gallery = FingerGallery.build([*crowd, *_entries([1], Position.UNKNOWN)])
    assert {one.key for one in gallery.search(_probe_of(1), Position.UNKNOWN, 2)} == {"crowd", "ref-1"}


def test_ties_are_in_the_order_of_the_gallery() -> None:
    same = pack(random_minutiae(1))
    gallery = FingerGallery.build([Entry(key, Position.UNKNOWN, same) for key in ("b", "a", "c")])
    assert [one.key for one in gallery.search(_probe_of(1), Position.UNKNOWN, 3)] == ["b", "a", "c"]


def test_a_change_equals_a_new_build_and_leaves_the_old_gallery(random_gallery: FingerGallery) -> None:
    removed = frozenset({"ref-5", "ref-7", "nobody"})
    changed = random_gallery.changed(_entries([500, 501]), removed)
    kept = [seed for seed in range(300) if f"ref-{seed}" not in removed]
    built = FingerGallery.build(_entries([*kept, 500, 501]))
    assert (len(random_gallery), len(changed)) == (300, 300)
    for seed in (5, 6, 500):
        probe = _probe_of(seed)
        assert changed.search(probe, Position.UNKNOWN, 9) == built.search(probe, Position.UNKNOWN, 9)
    assert changed.search(_probe_of(5), Position.UNKNOWN, 1)[0].key != "ref-5"
    assert random_gallery.search(_probe_of(5), Position.UNKNOWN, 1)[0].key == "ref-5"


def test_a_replaced_entry_is_the_new_one() -> None:
    gallery = FingerGallery.build([Entry("one", Position.UNKNOWN, pack(random_minutiae(1)))])
    new = gallery.changed([Entry("one", Position.UNKNOWN, pack(random_minutiae(2)))], frozenset({"one"}))
    assert len(new) == 1
    assert new.search(_probe_of(2), Position.UNKNOWN, 1)[0].score > 0.9


def test_an_empty_gallery_and_an_empty_probe_find_nothing_similar(random_gallery: FingerGallery) -> None:
    empty = FingerGallery.build([])
    assert len(empty) == 0
    assert empty.search(_probe_of(1), Position.UNKNOWN, 5) == []
    assert empty.changed([], frozenset({"x"})).search(_probe_of(1), Position.UNKNOWN, 5) == []
    nothing = random_gallery.search(pack(no_minutiae(256, 288)), Position.UNKNOWN, 3)
    assert all(one.score == 0 for one in nothing)


def test_an_entry_that_cannot_be_read_is_named() -> None:
    broken = Entry("ref-x", Position.UNKNOWN, Template(FORMAT, b"KFM"))
    with pytest.raises(TemplateError, match="ref-x"):
        FingerGallery.build([*_entries([1]), broken])


def test_encoded_images_are_found_among_random_entries() -> None:
    references = [Entry(f"person-{seed}", Position.RIGHT_INDEX, real_template_of(seed, 1)) for seed in SEEDS]
    gallery = FingerGallery.build([*_entries(range(100)), *references])
    found = [gallery.search(real_template_of(seed, 2), Position.RIGHT_INDEX, 1)[0].key for seed in SEEDS]
    assert sum(key == f"person-{seed}" for key, seed in zip(found, SEEDS, strict=True)) >= len(SEEDS) - 1


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
    monkeypatch.setattr("models.search_threads._thread_count", 3)
    gallery.search(template_of(ROWS[0]), Position.UNKNOWN, 1)
    search_threads.set_thread_count(1)
    gallery.search(template_of(ROWS[0]), Position.UNKNOWN, 1)
    assert set(taken) == {3}
