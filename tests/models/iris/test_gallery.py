"""The search of many irises: the result is the same for any threads, any division into blocks, and in plain numpy."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.sample import Position
from models import gallery_class, packed_arrays, search_threads
from models.compiled import NUMBA, PLAIN
from models.encoder import Entry
from models.gallery import BLOCK, merged
from models.iris.gallery import PACKED, IrisBlock, IrisGallery, best_entries
from models.iris.score import compare, score
from models.iris.search_layout import HEAD, NOT_ALLOWED, STOPPED, TAIL, ShiftedProbe
from models.iris.template import pack
from models.template import Template, TemplateError
from tests.rigs.iris_codes import noisy, some_code

CODES = [some_code(seed) for seed in range(300)]
EYES = (Position.RIGHT_EYE, Position.LEFT_EYE)

needs_numba = pytest.mark.skipif(NUMBA is None, reason="numba is not there")


def _entries(count: int) -> list[Entry]:
    """Two eyes of each person."""
    return [Entry(f"ref-{n // 2}", EYES[n % 2], pack(CODES[n])) for n in range(count)]


@pytest.fixture(name="gallery", scope="module")
def _gallery() -> IrisGallery:
    return IrisGallery.build(_entries(300))


def test_the_best_entries_are_the_first_of_equal_ones_and_none_that_were_stopped() -> None:
    found = np.array([0.1, STOPPED, 0.3, 0.1, NOT_ALLOWED, 0.1, -0.2])
    assert best_entries(found, 2) == [0, 2]
    assert best_entries(found, 3) == [0, 2, 3]
    assert best_entries(found, 99) == [0, 2, 3, 5, 6]
    assert best_entries(np.zeros(0), 5) == []


@pytest.mark.parametrize("number", [0, 1, 150, 299])
def test_the_mated_reference_is_first_with_the_score_of_compare(gallery: IrisGallery, number: int) -> None:
    probe = pack(noisy(CODES[number], 7, 0.2, shift=-5))
    best = gallery.search(probe, EYES[number % 2], 5)[0]
    assert best.key == f"ref-{number // 2}"
    assert best.score == compare(probe, pack(CODES[number]))


def test_the_other_eye_is_skipped_and_an_unknown_position_is_not(gallery: IrisGallery) -> None:
    probe = pack(noisy(CODES[10], 7, 0.2))
    assert gallery.search(probe, Position.RIGHT_EYE, 5)[0].key == "ref-5"
    assert gallery.search(probe, Position.UNKNOWN, 5)[0].key == "ref-5"
    assert "ref-5" not in [one.key for one in gallery.search(probe, Position.LEFT_EYE, 5) if one.score > 0.6]


def test_a_key_is_returned_once_with_its_best_score() -> None:
    probe = noisy(CODES[0], 1, 0.1)
    worse = [Entry("same", Position.UNKNOWN, pack(noisy(CODES[0], n, 0.25))) for n in range(2, 30)]
    gallery = IrisGallery.build([*worse, Entry("same", Position.UNKNOWN, pack(CODES[0])), *worse[:3]])
    found = gallery.search(pack(probe), Position.UNKNOWN, 10)
    assert [(one.key, one.score) for one in found] == [("same", score(probe, CODES[0]))]


def test_ties_keep_the_order_of_the_gallery() -> None:
    twins = [Entry(name, Position.UNKNOWN, pack(CODES[0])) for name in ("c", "a", "b")]
    found = IrisGallery.build(twins).search(pack(noisy(CODES[0], 1, 0.1)), Position.UNKNOWN, 2)
    assert [one.key for one in found] == ["c", "a"]


def test_a_search_takes_no_more_threads_than_the_configuration_allows(
    gallery: IrisGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = tuple(block for part in gallery.blocks for block in (part, part))
    made: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, threads: int) -> None:
            made.append(threads)
            super().__init__(threads)

    monkeypatch.setattr("models.gallery.ThreadPoolExecutor", Pool)
    monkeypatch.setattr(search_threads, "_thread_count", 3)
    IrisGallery(pieces).similarities(ShiftedProbe.of(CODES[0]), Position.UNKNOWN)
    assert made == [3]


def test_the_result_is_the_same_for_any_threads_and_any_division(gallery: IrisGallery) -> None:
    entries = _entries(300)
    pieces = tuple(IrisBlock.of(entries[a:b]) for a, b in ((0, 7), (7, 8), (8, 201), (201, 300)))
    for number in (0, 7, 250):
        probe = pack(noisy(CODES[number], 3, 0.3))
        expected = gallery.search(probe, Position.UNKNOWN, 20)
        assert expected[0].key == f"ref-{number // 2}"
        for threads in (1, 2, 5):
            assert IrisGallery(pieces, threads).search(probe, Position.UNKNOWN, 20) == expected


def test_a_gallery_grows_and_shrinks_and_the_old_one_stays(gallery: IrisGallery) -> None:
    probe = pack(noisy(CODES[4], 3, 0.2))
    less = gallery.changed((), frozenset({"ref-2", "nobody"}))
    assert (len(gallery), len(less)) == (300, 298)
    assert "ref-2" not in [one.key for one in less.search(probe, Position.UNKNOWN, 50)]
    more = less.changed([Entry("again", Position.RIGHT_EYE, pack(CODES[4]))], frozenset())
    assert more.search(probe, Position.RIGHT_EYE, 1)[0].key == "again"
    assert gallery.search(probe, Position.RIGHT_EYE, 1)[0].key == "ref-2"
    assert len(more.changed((), frozenset(f"ref-{n}" for n in range(150)))) == 1


def test_a_change_leaves_the_blocks_of_others_as_they_are() -> None:
    template = pack(CODES[0])
    full = IrisGallery.build(Entry(str(n), Position.UNKNOWN, template) for n in range(BLOCK + 5))
    assert [len(block) for block in full.blocks] == [BLOCK, 5]
    changed = full.changed([Entry("new", Position.UNKNOWN, template)], frozenset({str(BLOCK + 1)}))
    assert changed.blocks[0] is full.blocks[0]
    assert [len(block) for block in changed.blocks] == [BLOCK, 5]
    assert full.blocks[0].nbytes == BLOCK * 1025


def test_blocks_are_joined_in_order_and_empty_ones_left_out() -> None:
    blocks = [IrisBlock.of(_entries(300)[a:b]) for a, b in ((0, 3), (3, 3), (3, 9))]
    (one,) = merged(blocks)
    assert one.keys == ("ref-0", "ref-0", "ref-1", "ref-1", "ref-2", "ref-2", "ref-3", "ref-3", "ref-4")
    assert merged([]) == ()


def test_an_empty_gallery_has_no_candidates() -> None:
    empty = IrisGallery.build(())
    assert len(empty) == 0
    assert empty.search(pack(CODES[0]), Position.UNKNOWN, 5) == []


def test_an_entry_that_cannot_be_read_is_named(gallery: IrisGallery) -> None:
    bad = Entry("ref-x", Position.RIGHT_EYE, Template("iris-code/1", b"KIC"))
    with pytest.raises(TemplateError, match="ref-x: iris-code/1: 3 bytes"):
        IrisGallery.build([bad])
    with pytest.raises(TemplateError):
        gallery.changed([bad], frozenset())
    with pytest.raises(TemplateError):
        gallery.search(bad.template, Position.RIGHT_EYE, 1)


def test_the_gallery_of_the_format_is_known() -> None:
    assert gallery_class("iris-code/1") is IrisGallery


@needs_numba
def test_plain_search_gives_the_same_candidates(gallery: IrisGallery) -> None:
    probe = noisy(CODES[20], 5, 0.3)
    program = (
        "import json\n"
        "from drivers.sample import Position\n"
        "from models.compiled import NUMBA\n"
        "from models.iris.template import pack\n"
        "from models.iris.gallery import IrisGallery\n"
        "from tests.models.iris import test_gallery as t\n"
        "gallery = IrisGallery.build(t._entries(300))\n"
        "found = gallery.search(pack(t.noisy(t.CODES[20], 5, 0.3)), Position.UNKNOWN, 30)\n"
        "print(json.dumps([NUMBA is None, [list(one) for one in found]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={PLAIN: "1"})
    plain, found = json.loads(done.stdout)
    assert plain
    assert found == [list(one) for one in gallery.search(pack(probe), Position.UNKNOWN, 30)]


def test_a_block_is_the_same_after_it_was_packed(gallery: IrisGallery) -> None:
    (block,) = gallery.blocks
    again = IrisGallery.unpacked_block(block.packed())
    assert again.keys == block.keys
    assert again.nbytes == block.nbytes
    for name in ("positions", "heads", "tails"):
        assert np.array_equal(getattr(again, name), getattr(block, name))
    probe = pack(noisy(CODES[10], 7, 0.2))
    for position in (Position.UNKNOWN, *EYES):
        assert IrisGallery.of_blocks([again]).search(probe, position, 9) == gallery.search(probe, position, 9)
    assert len(IrisBlock.unpacked(IrisBlock.of([]).packed())) == 0


def test_a_hidden_reference_is_not_found(gallery: IrisGallery) -> None:
    probe = pack(noisy(CODES[10], 7, 0.2))
    for position in (Position.UNKNOWN, *EYES):
        hidden = gallery.hiding(frozenset({"ref-5"})).search(probe, position, 999)
        assert hidden == [one for one in gallery.search(probe, position, 999) if one.key != "ref-5"]


@pytest.mark.parametrize(
    "change",
    [
        {"positions": np.full(4, 13, np.uint8)},
        {"positions": np.zeros(5, np.uint8)},
        {"heads": np.zeros((3, 2, HEAD), np.uint64)},
        {"tails": np.zeros((4, 2, TAIL + 1), np.uint64)},
        {"heads": np.zeros((4, 2, HEAD), np.int64)},
    ],
)
def test_a_block_whose_arrays_do_not_fit_together_is_refused(change: dict[str, NDArray[np.generic]]) -> None:
    block = IrisBlock.of(_entries(4))
    arrays = {name: getattr(block, name) for name in ("positions", "heads", "tails")} | change
    with pytest.raises(TemplateError, match="iris block 1: the block is damaged"):
        IrisBlock.unpacked(packed_arrays.pack(PACKED, block.keys, arrays))


@needs_numba
def test_the_search_of_an_unpacked_block_is_not_compiled_again(gallery: IrisGallery) -> None:
    """It would be if the arrays of one were read-only and those of the other not: on the way of a traveller."""
    from models.iris.vectors import search_compiled  # noqa: PLC0415 - needs numba

    IrisGallery.warm_up()
    search: Any = search_compiled
    compiled_for = list(search.signatures)
    for block in (gallery.blocks[0], IrisBlock.unpacked(gallery.blocks[0].packed())):
        block.search(ShiftedProbe.of(CODES[0]), Position.UNKNOWN)
    assert list(search.signatures) == compiled_for
