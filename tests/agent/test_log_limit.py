"""A flood of events is counted, and logged in few lines."""

import logging

import pytest

from agent.log_limit import EVERY_S, LimitedLog

log = logging.getLogger("flood")


class Rig:
    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.now = 0.0
        self.limited = LimitedLog(log, lambda: self.now)
        self._caplog = caplog

    def lines(self) -> list[str]:
        lines = [record.getMessage() for record in self._caplog.records]
        self._caplog.clear()
        return lines


@pytest.fixture(name="rig")
def _rig(caplog: pytest.LogCaptureFixture) -> Rig:
    return Rig(caplog)


def test_33000_events_of_a_kind_are_one_line_and_a_number(rig: Rig) -> None:
    for number in range(33_000):
        rig.limited.warning("bad", f"bad message {number}")
    assert rig.lines() == ["bad message 0"]
    assert rig.limited.counts == {"bad": 33_000}


def test_the_next_line_of_a_kind_says_how_many_were_left_out(rig: Rig) -> None:
    for text in ("first", "second", "third"):
        rig.limited.warning("bad", text)
    rig.now += EVERY_S
    rig.limited.warning("bad", "fourth")
    assert rig.lines() == ["first", "fourth (and 2 times more before)"]
    rig.now += EVERY_S
    rig.limited.warning("bad", "fifth")
    assert rig.lines() == ["fifth"]


def test_the_number_is_said_though_the_flood_has_ended(rig: Rig) -> None:
    for _ in range(5):
        rig.limited.warning("bad messages", "a bad message")
    rig.limited.flush()
    assert rig.lines() == ["a bad message"]
    rig.now += EVERY_S
    rig.limited.flush()
    rig.limited.flush()
    assert rig.lines() == ["bad messages: 4 times more"]


def test_each_kind_has_its_own_line(rig: Rig) -> None:
    rig.limited.warning("bad", "bad one")
    rig.limited.warning("large", "large one")
    assert rig.lines() == ["bad one", "large one"]
    assert rig.limited.counts == {"bad": 1, "large": 1}
