"""The search of many fingerprints: every fast path gives what the plain one gives, by any threads and any division."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from drivers.sample import Position
from models.compiled import NUMBA, PLAIN
from models.encoder import Entry
from models.finger.compare.local_similarity import local_similarity
from models.finger.compare.score import compare
from models.finger.compare.score_kernel import compare_compiled
from models.finger.cylinder_kernel import cylinders_of, fill, fill_block, packed_cylinders_of
from models.finger.cylinders import Rows, cylinders_plain, rows_of
from models.finger.packed_cylinders import LANES, packed, unpacked
from models.finger.search.block import Block, Probe
from models.finger.search.gallery import SHORT_KEYS, FingerGallery, best_ranked
from models.finger.search.prefilter import rank, rank_compiled, rank_plain
from models.finger.search.rerank import rerank_compiled
from models.finger.template import unpack
from models.gallery import BLOCK, merged, without
from simulators.bench.command import app
from simulators.bench.mates import people_of, spread
from simulators.bench.search_finger import found, template_of
from simulators.people.finger_minutiae import another_impression, fingers
from tests.conftest import SHARED, touch
from tests.conftest import template_of as real_template_of

FINGERS = fingers(np.random.default_rng(3), 400)
ROWS = [FINGERS.one(n) for n in range(400)]

needs_numba = pytest.mark.skipif(NUMBA is None, reason="numba is not there")
ODD: dict[str, Rows] = {
    "none": np.zeros((0, 4), np.uint16),
    "one": np.array([[5, 5, 5, 9]], np.uint16),
    "two": np.array([[5, 5, 5, 9], [40, 40, 9, 0]], np.uint16),
    "all on one spot": np.zeros((40, 4), np.uint16),
    "all on one line": np.array([[9 * n, 0, 1000 * n, 50] for n in range(40)], np.uint16),
    "far apart": np.array([[0, 0, 0, 9], [65_535, 65_535, 65_535, 9], [0, 65_535, 7, 9], [103, 0, 7, 9]], np.uint16),
    "as many as there may be": np.concatenate(ROWS[:8])[:255],
}


def _again(number: int, seed: int = 0) -> Rows:
    return another_impression(np.random.default_rng(seed), ROWS[number])


def _entries(numbers: range) -> list[Entry]:
    return [Entry(f"ref-{n}", Position.RIGHT_INDEX, template_of(ROWS[n])) for n in numbers]


def _block(rows: list[Rows]) -> Block:
    return Block.of(tuple(map(str, range(len(rows)))), np.zeros(len(rows), np.uint8), rows)


@pytest.fixture(name="gallery", scope="module")
def _gallery() -> FingerGallery:
    return FingerGallery.build(_entries(range(400)))


# --- each step against its plain form ----------------------------------------------------------------------


@pytest.mark.parametrize("rows", [*ROWS[:40], *ODD.values()], ids=[*map(str, range(40)), *ODD])
def test_cylinders_in_machine_code_have_the_same_bits(rows: Rows) -> None:
    plain = cylinders_plain(rows)
    which = plain.which
    fast = cylinders_of(rows)
    for name in ("bits", "valid", "x", "y", "angle"):
        assert (getattr(plain, name) == getattr(fast, name)).all(), name
    words, of = packed_cylinders_of(rows, np.array([0, len(rows)]))
    assert (words[0] == packed(plain.bits, plain.valid, rows[which, 2])).all()
    assert (of[0, : min(LANES, len(which))] == which[:LANES]).all()


@given(st.integers(0, 2**32), st.integers(0, 60), st.sampled_from([30, 300, 1000]))
@settings(max_examples=40, deadline=None)
def test_cylinders_are_the_same_for_minutiae_anywhere(seed: int, count: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.integers(0, spread, (count, 2))
    rows = np.column_stack([places, rng.integers(0, 65_536, count), np.zeros(count)]).astype(np.uint16)
    plain, fast = cylinders_plain(rows), cylinders_of(rows)
    assert plain.bits.tobytes() == fast.bits.tobytes()
    assert plain.valid.tobytes() == fast.valid.tobytes()


def test_packed_cylinders_can_be_unpacked() -> None:
    found = cylinders_plain(ROWS[1])
    bits, valid = unpacked(packed(found.bits, found.valid, ROWS[1][found.which, 2]))
    assert len(bits) == min(LANES, len(found))
    assert (bits == found.bits[:LANES]).all()
    assert (valid == found.valid[:LANES]).all()


@pytest.mark.parametrize("probe", [_again(3), *ODD.values()], ids=["mate", *ODD])
def test_ranks_in_machine_code_are_those_of_numpy(probe: Rows) -> None:
    block = _block([*ROWS, *ODD.values()])
    words = Probe.of(probe).words
    allowed = np.arange(len(block)) % 3 != 1
    ranks = rank(words, block.words, allowed)
    assert (ranks == rank_plain(words, block.words, allowed)).all()
    assert ((ranks >= 0) == allowed).all()


@pytest.mark.parametrize("probe", [_again(3), *ODD.values()], ids=["mate", *ODD])
def test_a_reranked_score_is_that_of_compare_over_the_best_cylinders(probe: Rows) -> None:
    rows = [*ROWS[:60], *ODD.values()]
    scores = _block(rows).rerank(Probe.of(probe), np.arange(len(rows)))
    own = cylinders_plain(probe).first(LANES)
    expected = [local_similarity(own, cylinders_plain(one).first(LANES)) for one in rows]
    assert np.allclose(scores, expected, rtol=0, atol=1e-9)


def test_a_reranked_score_of_synthetic_impressions_is_that_of_compare() -> None:
    rows = [_rows_of(seed, 1) for seed in range(1, 9)]
    block = _block(rows)
    for seed in range(1, 9):
        probe = Probe.of(_rows_of(seed, 2))
        expected = [local_similarity(probe.cylinders.first(LANES), cylinders_plain(one).first(LANES)) for one in rows]
        assert np.allclose(block.rerank(probe, np.arange(8)), expected, rtol=0, atol=1e-9)


def _rows_of(seed: int, impression: int) -> Rows:
    return rows_of(unpack(real_template_of(seed, impression)))


def test_the_best_ranked_are_the_first_of_equals_and_never_those_below_zero() -> None:
    ranks = np.array([5, -1, 7, 5, 0, 5], np.int32)
    assert best_ranked(ranks, 2) == [2, 0]
    assert best_ranked(ranks, 3) == [2, 0, 3]
    assert best_ranked(ranks, 99) == [2, 0, 3, 5, 4]


def _short_list(keys: list[str], limit: int) -> list[int]:
    """Of the fingers of these persons, one after another."""
    gallery = FingerGallery(
        tuple(
            Block.of(tuple(keys[at : at + 70]), np.zeros(len(keys[at : at + 70]), np.uint8), ROWS[at : at + 70])
            for at in range(0, len(keys), 70)
        )
    )
    return gallery.short_list(Probe.of(_again(3)), Position.UNKNOWN, limit)


def _in_order_of_ranks(count: int) -> list[int]:
    ranks = _block(ROWS).ranks(Probe.of(_again(3)).words, Position.UNKNOWN)
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


# --- the whole search --------------------------------------------------------------------------------------


def test_the_result_is_the_same_for_any_threads_and_any_division(gallery: FingerGallery) -> None:
    pieces = tuple(
        Block.of(tuple(f"ref-{n}" for n in part), np.full(len(part), 2, np.uint8), [ROWS[n] for n in part])
        for part in (range(7), range(7, 8), range(8, 301), range(301, 400))
    )
    divided = [FingerGallery(pieces, threads) for threads in (1, 2, 5)]
    for number in (0, 7, 299, 399):
        probe = template_of(_again(number))
        expected = gallery.search(probe, Position.UNKNOWN, 20)
        assert expected[0].key == f"ref-{number}"
        assert all(one.search(probe, Position.UNKNOWN, 20) == expected for one in divided)


def test_a_search_without_machine_code_gives_the_same() -> None:
    program = (
        "from tests.models.finger.search.test_gallery import NUMBA, FingerGallery, Position\n"
        "from tests.models.finger.search.test_gallery import _again, _entries, template_of\n"
        "gallery = FingerGallery.build(_entries(range(100)))\n"
        "print([NUMBA is None, [gallery.search(template_of(_again(n)), Position.UNKNOWN, 9) for n in (3, 50)]])"
    )
    environment = {PLAIN: "1", "PATH": "", "PYTHONPATH": str(Path(__file__).parents[4])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    gallery = FingerGallery.build(_entries(range(100)))
    found = [gallery.search(template_of(_again(n)), Position.UNKNOWN, 9) for n in (3, 50)]
    assert done.stdout.strip() == str([True, found])


def test_what_is_returned_has_the_score_of_compare_over_all_cylinders(gallery: FingerGallery) -> None:
    probe = template_of(_again(9))
    for key, value in gallery.search(probe, Position.RIGHT_INDEX, 9):
        assert value == compare(probe, template_of(ROWS[int(key.removeprefix("ref-"))]))


def test_growing_and_shrinking_share_what_does_not_change() -> None:
    one, other = _block(ROWS[:5]), _block(ROWS[5:9])
    assert without(one, frozenset({"nobody"})) is one
    assert len(merged([one, other])) == 1
    full = Block(one.keys * BLOCK, *(getattr(one, n) for n in ("positions", "starts", "rows", "words", "which")))
    assert merged([full, other])[0] is full
    assert merged([without(one, frozenset(one.keys)), other]) == (other,)


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=12))
@settings(max_examples=25, deadline=None)
def test_after_any_changes_a_gallery_is_as_if_newly_built(changes: list[tuple[int, bool]]) -> None:
    gallery = FingerGallery.build([])
    expected: list[int] = []
    for number, added in changes:
        expected = [n for n in expected if n != number] + ([number] if added else [])
        new = [Entry(f"ref-{number}", Position.RIGHT_INDEX, template_of(ROWS[number]))] if added else []
        gallery = gallery.changed(new, frozenset({f"ref-{number}"}))
    built = FingerGallery.build([_entries(range(n, n + 1))[0] for n in expected])
    probe = template_of(_again(4))
    assert len(gallery) == len(expected)
    assert gallery.search(probe, Position.UNKNOWN, 5) == built.search(probe, Position.UNKNOWN, 5)


@needs_numba
def test_the_first_traveller_waits_for_no_compiler(gallery: FingerGallery) -> None:
    """Whatever a gallery went through, its arrays are of the types that the warm-up compiled for."""
    FingerGallery.warm_up()
    kernels = [rank_compiled, rerank_compiled, fill, fill_block, compare_compiled]
    before = [len(kernel.signatures) for kernel in kernels]  # type: ignore[attr-defined]
    changed = gallery.changed(_entries(range(3)), frozenset({"ref-5"}))
    changed.search(template_of(_again(2)), Position.RIGHT_INDEX, 3)
    changed.search(real_template_of(1, 1), Position.UNKNOWN, 3)
    assert [len(kernel.signatures) for kernel in kernels] == before == [1] * len(kernels)  # type: ignore[attr-defined]


def test_a_finger_of_40_to_60_minutiae_takes_at_most_2_kb_with_its_key() -> None:
    """Two fingers a person, whose key is as long as those that an enrolment makes and kept once."""
    most = np.concatenate(ROWS[:2])
    rows = [most[: 40 + n % 21] for n in range(210)]
    keys = tuple(key for _ in range(105) for key in [uuid.uuid4().hex] * 2)
    gallery = FingerGallery((Block.of(keys, np.zeros(len(keys), np.uint8), rows),))
    names = sum(sys.getsizeof(key) for key in {id(key): key for key in keys}.values()) + sys.getsizeof(keys)
    assert np.mean([len(one) for one in rows]) == 50
    assert len(most) >= 60
    assert sum(block.nbytes for block in gallery.blocks) + names <= 2048 * len(gallery)


# --- the bench ---------------------------------------------------------------------------------------------


def test_the_bench_reports_what_the_issue_asks_for(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = CliRunner().invoke(
        app, ["search", "finger", "--size", "60", "--fingers", "2", "--threads", "2", "--json", str(file)]
    )
    assert done.exit_code == 0, done.output
    figures = json.loads(file.read_text())
    wanted = {"prefilter_per_s_core", "outside_top1_pct", "rerank_us", "search_s", "open_s", "bytes_per_template"}
    assert figures.keys() >= wanted | {"found_pct", "yardstick_ratio"}
    assert figures["found_pct"] is None
    assert figures["yardstick_ratio"] > 1 or NUMBA is None
    assert figures["short_list"] == 60  # of sixty persons none is left out
    assert figures["rerank_us"] > figures["exact_us"] / 2  # most of the sixty are scored exactly


def test_who_shares_the_first_place_is_not_found() -> None:
    assert found("a", {"a": 1e-7, "b": 1e-6})
    assert not found("a", {"a": 1e-7, "b": 1e-7})
    assert not found("a", {"a": 1e-6, "b": 1e-7})
    assert not found("a", {"b": 1.0})
    assert not found("a", {})


def test_travellers_stand_in_the_middle_of_equal_parts_of_the_gallery() -> None:
    assert spread(100, 2) == [25, 75]
    assert spread(3, 3) == [0, 1, 2]


def _picture(path: Path, seed: int, impression: int) -> None:
    Image.fromarray(touch(seed, impression)).save(path)


def test_real_people_are_hidden_and_found_whatever_the_depth_of_their_pictures(tmp_path: Path) -> None:
    _picture(tmp_path / "a_1.png", 1, 1)
    deep = touch(1, 2).astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "a_2.png")
    _picture(tmp_path / "b_1.png", 2, 1)  # of whom there is nothing to search with
    file = tmp_path / "figures.json"
    options = ["--size", "80", "--mates", str(tmp_path), "--json", str(file)]
    done = CliRunner().invoke(app, ["search", "finger", *options])
    assert done.exit_code == 0, done.output
    figures = json.loads(file.read_text())
    assert (figures["probes"], figures["found_pct"], figures["outside_top1_pct"]) == (1, 100, 0)
    people = list(people_of(tmp_path, 1, 500.0, 80))
    assert [(one.number, len(one.probes)) for one in people] == [(20, 1), (60, 0)]
    shallow = tmp_path / "shallow"
    shallow.mkdir()
    _picture(shallow / "a_1.png", 1, 1)
    _picture(shallow / "a_2.png", 1, 2)
    (same,) = people_of(shallow, 1, 500.0, 80)
    assert (same.probes[0][0] == people[0].probes[0][0]).all()


@pytest.mark.parametrize(
    ("names", "options", "complaint"),
    [
        ([], [], "holds no picture FINGER_IMPRESSION.png"),
        (["thumb.png"], [], "thumb.png: a picture is named FINGER_IMPRESSION.png"),
        (["a_1.png", "a_01.png"], [], "a_1.png and a_01.png are the same impression"),
        (["a_1.png", "b_1.png"], [], "nobody has a second impression"),
        (["a_1.png", "b_2.png"], ["--fingers", "2"], "a and b make a person, and have no impression of the same"),
        (["a_1.png", "a_2.png"], ["--fingers", "2"], "has 0 persons of 2 fingers"),
        (["a_1.png", "a_2.png", "text_1.png"], [], "text_1.png is not a readable image"),
    ],
)
def test_a_folder_that_cannot_be_used_is_named_with_what_is_expected(
    tmp_path: Path, names: list[str], options: list[str], complaint: str
) -> None:
    for name in names:
        if name.startswith("text"):
            (tmp_path / name).write_text("not a picture")
        else:
            _picture(tmp_path / name, 1, 1)
    arguments = ["search", "finger", "--size", "9", "--mates", str(tmp_path), *options]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})
    assert done.exit_code == 2
    assert complaint in done.output


@pytest.mark.shared
@needs_numba
def test_real_scores_in_machine_code_are_those_of_compare(tmp_path: Path) -> None:
    """Templates are made of real images here and leave no trace."""
    for picture in (SHARED / "data/fingerprint/FVC2002_DB1_B").glob("10[1-4]_[1-3].png"):
        (tmp_path / picture.name).symlink_to(picture)
    people = list(people_of(tmp_path, fingers_each=1, source_ppi=500.0, size=10))
    rows = [person.references[0] for person in people]
    block = _block(rows)
    assert len(rows) == 4
    for person in people:
        for (one,) in person.probes:
            probe = Probe.of(one)
            expected = [local_similarity(probe.cylinders.first(LANES), cylinders_plain(r).first(LANES)) for r in rows]
            assert np.allclose(block.rerank(probe, np.arange(len(rows))), expected, rtol=0, atol=1e-9)
