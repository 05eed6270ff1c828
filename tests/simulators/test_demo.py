"""The demo plays its four travellers, compares the results with what must come out, and ends when it is told to."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest
import typer

from simulators import demo
from simulators.kiosk_rig import KioskRig
from simulators.people.person import Condition

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """The demo sets handlers of signals, for the whole process."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_four_travellers_have_the_results_that_they_must_have(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one finger and one eye in the plan; ended by SIGTERM while the demo waits after the last traveller.

    tests/whole/test_quiet.py plays them with two of each.
    """
    monkeypatch.setattr(demo, "FINGERS", demo.FINGERS[:1])
    monkeypatch.setattr(demo, "EYES", demo.EYES[:1])
    stay = demo._stay

    def stay_and_end(rig: KioskRig) -> None:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        stay(rig)

    monkeypatch.setattr(demo, "_stay", stay_and_end)
    demo.command()
    shown = capsys.readouterr().out
    assert "All results are correct: lead, clear, refer, clear; the hub has stored the events of 4 encounters" in shown
    for traveller in demo.SCENARIOS:
        assert traveller.title in shown
    assert "ministry: revision 1, 2 references: 2 new, 0 removed" in shown
    assert "ministry: revision 2, 1 references: 0 new, 1 removed" in shown
    assert "kiosk-sim look --link" in shown
    assert shown.endswith("ended\n")


def test_a_wrong_result_is_exit_status_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = demo.Scenario("A traveller who is not on the list", demo.UNLISTED, "lead", Condition.NORMAL)
    monkeypatch.setattr(demo, "SCENARIOS", (wrong,))
    with pytest.raises(typer.Exit) as ended:
        demo.command(once=True, camera=False)
    assert ended.value.exit_code == 1
    assert "The results are WRONG: clear; the hub has stored the events of 1 encounters" in capsys.readouterr().out


def test_a_hub_that_does_not_get_the_event_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "HUB_S", 0.01)
    monkeypatch.setattr(demo, "_holds", lambda *_: False)
    monkeypatch.setattr(demo, "FINGERS", demo.FINGERS[:1])
    with pytest.raises(RuntimeError, match="the hub did not get the event"):
        demo.command(once=True, camera=False)
