"""What is searched: several segments as one list, and a second try with left and right exchanged."""

from datetime import timedelta

import pytest

from agent.events.event import Category
from agent.watchlist.candidate import Candidate
from agent.watchlist.reference import ListedReference, Terms
from agent.watchlist.segment import LOCAL, Segment
from agent.watchlist.store import StoredSegment
from agent.watchlist.table import seconds_of
from agent.watchlist.trusted_time import TrustedClock
from agent.watchlist.view import ListInMemory, View, local_segment
from drivers.sample import Position
from models.calibration import any_of
from tests.conftest import FakeClock, template_of
from tests.rigs.listed import INDEX, START, THUMB, agreement, person, reference

NOW = seconds_of(START)
ALICE, BOB = 101, 102
LEFT = Position.LEFT_INDEX


def stored(name: str, *references: ListedReference) -> StoredSegment:
    agreements = {"a-1": agreement(provider=name)}
    return StoredSegment(Segment.empty(name, NOW).changed(1, references, agreements=agreements), 0, {})


def view(*segments: StoredSegment, swapped: bool = False) -> View:
    return View({one.segment.name: one for one in segments}, swapped_positions=swapped)


def search(known: View, seed: int, *positions: Position, at: Position | None = None) -> tuple[Candidate, ...]:
    """Search with another impression of some fingers; `at`: presented as another finger than it is."""
    probes = {at or position: template_of(seed, 1, position) for position in positions or (INDEX,)}
    hits = {position: known.hits(position, probe) for position, probe in probes.items()}
    return known.candidates(probes, hits, 5, START)


def test_the_lists_of_all_providers_are_searched_and_say_whose_they_are() -> None:
    terms = Terms("a-1", Category.CHILD_AT_RISK, "H-3")
    both = view(
        stored("police", person(ALICE)), stored("border", reference("r101", person(ALICE).templates, terms=terms))
    )
    found = search(both, ALICE)
    assert [(one.reference_id, one.provider) for one in found] == [("r101", "border"), ("r101", "police")]
    assert (found[0].category, found[0].instruction) == (Category.CHILD_AT_RISK, "H-3")
    assert found[0].recipients == {"hub", "police"}
    assert both.references == 2
    assert [segment.name for segment, _ in both.find("r101")] == ["police", "border"]
    assert list(both.find("nobody")) == []


def test_left_and_right_exchanged_is_found_only_where_the_policy_allows_a_second_try() -> None:
    listed = person(ALICE)  # the right index finger
    strict, second = view(stored("p", listed)), view(stored("p", listed), swapped=True)
    assert search(strict, ALICE, at=LEFT) == ()
    (found,) = search(second, ALICE, at=LEFT)
    assert found.positions_swapped
    assert list(found.scores) == [LEFT]
    (straight,) = search(second, ALICE)
    assert not straight.positions_swapped


def test_the_second_try_is_counted_in_the_rate() -> None:
    (one,), (two,) = (
        search(view(stored("p", person(ALICE))), ALICE),
        search(view(stored("p", person(ALICE)), swapped=True), ALICE),
    )
    assert two.false_match_rate == pytest.approx(any_of(one.false_match_rate, 2))
    (swapped,) = search(view(stored("p", person(ALICE)), swapped=True), ALICE, at=LEFT)
    assert swapped.false_match_rate == pytest.approx(two.false_match_rate)


def test_the_sides_are_exchanged_for_all_fingers_or_for_none() -> None:
    """One finger as listed and one of the other hand are not both evidence."""
    both = person(ALICE, INDEX, THUMB)
    known = view(stored("p", both), swapped=True)
    probes = {INDEX: template_of(ALICE, 1, INDEX), Position.LEFT_THUMB: template_of(ALICE, 1, THUMB)}
    hits = {position: known.hits(position, probe) for position, probe in probes.items()}
    (found,) = known.candidates(probes, hits, 5, START)
    assert len(found.scores) == 1


def test_a_finger_of_unknown_position_has_no_other_side() -> None:
    known = view(stored("p", person(ALICE)), swapped=True)
    (found,) = search(known, ALICE, at=Position.UNKNOWN)
    assert not found.positions_swapped


def test_a_view_is_the_same_until_something_is_hidden() -> None:
    soon = reference("a", person(ALICE).templates, expires_at=START + timedelta(hours=1))
    known = view(stored("p", soon, person(BOB)))
    assert known.at(START + timedelta(minutes=59)) is known
    later = known.at(START + timedelta(hours=1))
    assert (known.references, later.references) == (2, 1)
    assert search(later, ALICE) == () or search(later, ALICE)[0].reference_id != "a"


def test_what_has_just_expired_is_no_candidate_even_before_the_view_hides_it() -> None:
    soon = reference("a", person(ALICE).templates, expires_at=START + timedelta(hours=1))
    known = view(stored("p", soon))
    probes = {INDEX: template_of(ALICE, 1)}
    hits = {INDEX: known.hits(INDEX, probes[INDEX])}
    times = (START, START + timedelta(hours=1))
    assert [len(known.candidates(probes, hits, 5, now)) for now in times] == [1, 0]


def test_what_is_in_memory_is_exchanged_as_a_whole() -> None:
    clock = FakeClock()
    clock.wall = START
    memory = ListInMemory(TrustedClock(clock), view(stored("p", person(ALICE)), stored("q")))
    before = memory.view
    with memory.changing:
        memory.replace([stored("p", person(BOB))], 7, dropped=["q", "unknown"], confirmed_at=START, missing=("z",))
    assert (memory.view.revision, memory.view.confirmed_at, memory.view.missing) == (7, START, ("z",))
    assert [segment.table.ids for segment in before] == [("r101",), ()]
    assert [segment.table.ids for segment in memory.view] == [("r102",)]
    with memory.changing:
        memory.replace([], 8)
    assert (memory.view.confirmed_at, memory.view.missing) == (START, ("z",))


def test_trusted_time_hides_what_has_expired() -> None:
    clock = FakeClock()
    clock.wall = START
    soon = reference("a", person(ALICE).templates, expires_at=START + timedelta(hours=1))
    memory = ListInMemory(TrustedClock(clock), view(stored("p", soon)))
    memory.advance()
    assert memory.view.references == 1
    clock.advance(3600)
    memory.advance()
    assert memory.view.references == 0


def test_the_local_list_begins_empty() -> None:
    assert local_segment(view(), START).segment.name == LOCAL
    known = stored(LOCAL, person(ALICE))
    assert local_segment(view(known), START) is known
