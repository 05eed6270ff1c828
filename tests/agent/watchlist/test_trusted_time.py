"""Trusted time never goes back, passes no limit of a signature, and says when the wall clock is in doubt."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.watchlist.trusted_time import RELEASED, TOLERANCE, StoredTime, TrustedClock
from tests.conftest import FakeClock

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)


def clock_at(wall: datetime, *, synchronised: bool = False) -> FakeClock:
    clock = FakeClock()
    clock.wall, clock.is_synchronised = wall, synchronised
    return clock


def signed(clock: FakeClock, until: timedelta = DAY) -> TrustedClock:
    """A trusted clock that has seen a signature of now."""
    trusted = TrustedClock(clock)
    trusted.observe(clock.now(), clock.now() + until)
    return trusted


def test_it_is_carried_on_by_the_monotonic_clock() -> None:
    clock = clock_at(NOON)
    trusted = signed(clock)
    clock.advance(90)
    assert trusted.now() == NOON + timedelta(seconds=90)
    assert trusted.doubt == ""


@pytest.mark.parametrize("jump", [10 * YEAR, -10 * YEAR, -YEAR, HOUR, -HOUR])
def test_a_jump_of_the_wall_clock_moves_nothing_and_is_said_until_it_is_undone(jump: timedelta) -> None:
    clock = clock_at(NOON)
    trusted = signed(clock)
    clock.wall += jump
    assert trusted.now() == NOON
    assert "the clock" in trusted.doubt
    clock.wall -= jump
    assert trusted.doubt == ""


def test_a_small_difference_is_no_doubt() -> None:
    clock = clock_at(NOON)
    trusted = signed(clock)
    clock.wall += TOLERANCE
    assert trusted.doubt == ""


def test_a_cold_boot_without_a_clock_goes_on_from_what_is_stored() -> None:
    stored = signed(clock_at(NOON)).state()
    again = TrustedClock(clock_at(datetime(1970, 1, 1, tzinfo=UTC)), stored)
    assert again.now() == NOON
    assert "before the trusted time 2027-03-01T12:00 UTC: set the clock" in again.doubt


def test_a_first_start_without_a_clock_begins_with_the_release() -> None:
    trusted = TrustedClock(clock_at(datetime(1970, 1, 1, tzinfo=UTC)))
    assert trusted.now() == RELEASED
    assert trusted.reference == RELEASED
    assert trusted.doubt


def test_a_kiosk_that_was_off_is_behind_without_doubt_until_something_is_signed_again() -> None:
    stored = signed(clock_at(NOON), 3 * DAY).state()
    clock = clock_at(NOON + DAY)
    again = TrustedClock(clock, stored)
    assert (again.now(), again.doubt) == (NOON, "")
    again.observe(NOON + DAY, NOON + 4 * DAY)
    assert (again.now(), again.doubt) == (NOON + DAY, "")


def test_a_clock_after_the_end_of_all_signatures_is_in_doubt() -> None:
    stored = signed(clock_at(NOON)).state()
    assert "after the end of all signatures" in TrustedClock(clock_at(NOON + 10 * YEAR), stored).doubt


def test_a_synchronised_clock_is_followed_but_not_past_the_end_of_the_signatures() -> None:
    clock = clock_at(NOON, synchronised=True)
    trusted = signed(clock, DAY)
    clock.wall += HOUR
    trusted.tick()
    assert trusted.now() == NOON + HOUR
    clock.wall += 10 * YEAR
    trusted.tick()
    assert trusted.now() == NOON + DAY
    assert trusted.doubt
    clock.wall = NOON
    trusted.tick()
    assert trusted.now() == NOON + DAY


def test_a_clock_that_is_not_synchronised_is_not_followed() -> None:
    clock = clock_at(NOON)
    trusted = signed(clock)
    clock.wall += HOUR
    trusted.tick()
    assert trusted.now() == NOON


def test_an_older_signature_moves_nothing_back() -> None:
    trusted = signed(clock_at(NOON), 2 * DAY)
    trusted.observe(NOON - DAY, NOON + DAY)
    assert trusted.now() == NOON
    assert trusted.state().valid_until == NOON + DAY  # that of the newest signature: it may be shorter


def test_a_signature_without_its_time_counts_as_one() -> None:
    clock = clock_at(NOON, synchronised=True)
    trusted = TrustedClock(clock)
    trusted.observe(None, NOON + DAY)
    clock.wall += YEAR
    trusted.tick()
    assert trusted.now() == NOON + DAY


def test_a_new_signature_does_not_end_the_doubt_about_a_clock_that_was_moved() -> None:
    clock = clock_at(NOON)
    trusted = signed(clock, 30 * DAY)
    clock.wall += 3 * DAY
    assert trusted.doubt
    clock.advance(3600)
    trusted.observe(NOON + HOUR, NOON + 31 * DAY)
    assert trusted.doubt
    clock.wall -= 3 * DAY
    assert trusted.doubt == ""


def test_a_clock_that_agrees_with_trusted_time_is_in_no_doubt_even_if_it_was_believed_to_be_ahead() -> None:
    clock = clock_at(NOON)
    trusted = signed(clock)
    clock.wall += DAY
    trusted = TrustedClock(clock, trusted.state())  # a gap with a harmless reason: the kiosk may have been off
    assert trusted.doubt == ""
    clock.wall -= DAY
    assert trusted.doubt == ""
    trusted.observe(NOON, NOON + DAY)
    assert trusted.doubt == ""


def test_a_monotonic_clock_that_steps_back_takes_nothing_back() -> None:
    clock = clock_at(NOON)
    trusted = signed(clock)
    clock.advance(3600)
    later = trusted.now()
    clock.seconds -= 1800
    assert trusted.now() == later


def test_the_end_of_time_does_no_harm() -> None:
    clock = clock_at(NOON)
    trusted = signed(clock)
    trusted.observe(datetime(9999, 12, 31, 23, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC))
    clock.advance(86_400)
    assert trusted.now().year == 9000
    assert trusted.doubt


def test_a_kiosk_set_up_with_a_clock_that_was_ahead_takes_the_first_signed_time() -> None:
    clock = clock_at(NOON + 10 * YEAR)
    trusted = TrustedClock(clock)
    clock.wall = NOON
    assert trusted.reference == NOON  # else the signatures would seem to have expired
    trusted.observe(NOON, NOON + DAY)
    assert (trusted.now(), trusted.doubt) == (NOON, "")
    assert trusted.reference == NOON


def test_without_any_signature_a_synchronised_clock_is_followed() -> None:
    clock = clock_at(NOON, synchronised=True)
    trusted = TrustedClock(clock)
    clock.wall += YEAR
    trusted.tick()
    assert trusted.now() == NOON + YEAR


@pytest.mark.parametrize("restarted", [False, True])
def test_a_forged_time_server_prevents_the_next_list_only_as_long_as_it_is_believed(*, restarted: bool) -> None:
    clock = clock_at(NOON, synchronised=True)
    trusted = signed(clock, 2 * DAY)
    clock.wall += 10 * YEAR
    trusted.tick()
    assert trusted.reference == NOON + 2 * DAY
    clock.wall = NOON
    clock.advance(3600)
    if restarted:
        trusted = TrustedClock(clock, StoredTime.of_text(trusted.state().text()))
    assert trusted.now() == NOON + 2 * DAY + HOUR  # it does not go back
    assert trusted.reference == NOON + HOUR  # what is signed now is still valid by this time
    trusted.observe(NOON + HOUR, NOON + HOUR + 2 * DAY)
    assert trusted.now() == NOON + 2 * DAY + HOUR
    clock.wall = NOON - YEAR
    assert trusted.reference == NOON + HOUR


@pytest.mark.parametrize("stored", [StoredTime(NOON), StoredTime(NOON, NOON + DAY), StoredTime(NOON, NOON, 7.5)])
def test_it_is_stored_as_text(stored: StoredTime) -> None:
    assert StoredTime.of_text(stored.text()) == stored


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"trusted": 7, "valid_until": null}', '{"trusted": "x", "valid_until": null}']
)
def test_a_text_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        StoredTime.of_text(text)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wall"), st.integers(-4000, 4000)),  # jump by days
        st.tuples(st.just("pass"), st.integers(0, 40)),  # hours pass
        st.tuples(st.just("sync"), st.integers(0, 1)),
        st.tuples(st.just("sign"), st.integers(0, 1)),
        st.tuples(st.just("boot"), st.integers(0, 1)),
        st.tuples(st.just("tick"), st.just(0)),
    ),
    max_size=30,
)


@given(STEPS)
def test_it_never_goes_back_and_never_passes_real_time_by_more_than_signatures_allow(
    steps: list[tuple[str, int]],
) -> None:
    """`real` is the time outside, by which the operator signs; the kiosk's clocks do what they like."""
    clock, real, passed = clock_at(NOON), NOON, timedelta(0)
    trusted = signed(clock)
    until = NOON + DAY
    last = trusted.now()
    for step, amount in steps:
        if step == "wall":
            clock.wall = max(datetime(1970, 1, 1, tzinfo=UTC), clock.wall + amount * DAY)
        elif step == "pass":
            clock.advance(amount * 3600)
            real, passed = real + amount * HOUR, passed + amount * HOUR
        elif step == "sync":
            clock.is_synchronised = bool(amount)
        elif step == "sign":
            trusted.observe(real, real + DAY)
            until = real + DAY
        elif step == "boot":
            trusted = TrustedClock(clock, trusted.state())
        trusted.tick()
        now = trusted.now()
        assert now >= last
        assert now <= max(real, until + passed)
        last = now
    clock.wall, clock.is_synchronised = real, True
    trusted.observe(real, real + DAY)
    assert trusted.now() >= real
    if trusted.now() <= real + TOLERANCE:
        assert trusted.doubt == ""
