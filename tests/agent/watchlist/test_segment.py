"""A segment: what it hides, what a change shares with the one before, and that the old one stays as it was."""

from datetime import timedelta

import pytest

from agent.watchlist.reference import ListedReference
from agent.watchlist.segment import LOCAL, Segment
from agent.watchlist.table import Confirmation, seconds_of
from drivers.sample import Position
from models.template import Template, TemplateError
from tests.conftest import template_of
from tests.rigs.listed import INDEX, START, agreement, person, reference

NOW = seconds_of(START)
DAY = 86_400
ALICE, BOB = 101, 102
FINGER = "finger-minutiae/2"


def segment(*references: ListedReference) -> Segment:
    return Segment.empty("partner", NOW).changed(1, references, agreements={"a-1": agreement()})


def found(known: Segment, seed: int) -> list[str]:
    gallery = known.searched.get(FINGER)
    scored = gallery.search(template_of(seed, 1), INDEX, 5) if gallery is not None else []
    return [one.key for one in scored if one.score > 0.4]


def test_an_empty_segment_finds_nobody() -> None:
    empty = Segment.empty(LOCAL, NOW)
    assert (len(empty), empty.references, found(empty, ALICE), empty.nbytes) == (0, 0, [], 0)
    assert empty.at(NOW + DAY) is empty


def test_its_references_are_found() -> None:
    known = segment(person(ALICE), person(BOB))
    assert (found(known, ALICE), found(known, BOB), found(known, 103)) == (["r101"], ["r102"], [])
    assert (len(known), known.references) == (2, 2)
    assert known.nbytes > 2 * 1536


def test_what_is_hidden_is_not_found_and_is_found_again_when_it_is_confirmed() -> None:
    templates = person(ALICE).templates
    known = segment(reference("a", templates, review_by=START + timedelta(days=1)), person(BOB))
    later = known.at(NOW + DAY)
    assert (found(known, ALICE), found(later, ALICE), found(later, BOB)) == (["a"], [], ["r102"])
    assert (known.references, later.references, len(later)) == (2, 1, 2)
    confirmed = later.changed(2, confirmed={"a": Confirmation(START + timedelta(days=5))})
    assert found(confirmed, ALICE) == ["a"]
    assert confirmed.galleries[FINGER].blocks[0] is known.galleries[FINGER].blocks[0]


def test_a_time_at_which_nothing_changes_gives_the_same_segment() -> None:
    known = segment(person(ALICE))
    assert known.at(known.until - 1) is known
    assert known.at(known.until) is not known


def test_a_change_leaves_the_old_segment_as_it_was() -> None:
    old = segment(person(ALICE))
    new = old.changed(2, [person(BOB)], frozenset({"r101"}))
    assert (found(old, ALICE), found(old, BOB)) == (["r101"], [])
    assert (found(new, ALICE), found(new, BOB)) == ([], ["r102"])
    assert (old.revision, new.revision) == (1, 2)


def test_a_reference_that_is_put_again_replaces_the_one_before() -> None:
    known = segment(person(ALICE)).changed(2, [person(BOB, name="r101")])
    assert (len(known), found(known, ALICE), found(known, BOB)) == (1, [], ["r101"])


def test_the_gallery_of_a_format_that_nobody_has_any_more_is_gone() -> None:
    assert segment(person(ALICE)).changed(2, removed=frozenset({"r101"})).galleries == {}


def test_a_template_that_cannot_be_read_changes_nothing() -> None:
    bad = reference("bad", ((Position.RIGHT_INDEX, Template(FINGER, b"no template")),))
    with pytest.raises(TemplateError, match="bad"):
        segment(person(ALICE)).changed(2, [bad])
