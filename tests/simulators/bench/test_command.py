"""The bench presses when it is asked to and only then, and says what it lacks in one line."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from agent.encounter.messages import MessageKey
from drivers.errors import Retry
from models.encoder import Flaw
from simulators.bench.command import PathBench, Touch, app, measure_path
from simulators.kiosk_rig import Watcher
from simulators.sensors.ef01.commands import Ef01Settings
from tests.conftest import impression_of

TOUCH = Touch("a", 1, impression_of(1, 0))


def told(key: str) -> dict[str, Any]:
    return {"kind": "told", "key": key}


def step(*, usable: bool) -> dict[str, Any]:
    return {"kind": "step", "usable": usable}


DECIDED = {"kind": "decided", "outcome": "clear", "event": "k/e/encounter/1", "timings_ms": {}}


class ScriptedKiosk:
    """Says what a kiosk says, each line only after what must come before it; counts what the bench does."""

    def __init__(self, *said: dict[str, Any], stale: tuple[dict[str, Any], ...] = ()) -> None:
        self._waiting = [*stale]
        self._said: Iterator[dict[str, Any]] = iter(said)
        self.answered = threading.Event()
        self.did: list[str] = []
        self.sensor = self.client = self

    def show(self, _: object) -> None:
        self.did.append("press")

    def lift(self) -> None:
        self.did.append("lift")

    def ask(self, _: str, __: object) -> dict[str, Any]:
        assert self.answered.wait(5)
        return {}

    def discard_pending(self) -> None:
        self._waiting.clear()

    def next(self, _: float) -> dict[str, Any]:
        if self._waiting:
            return self._waiting.pop(0)
        if (heard := next(self._said, None)) is not None:
            return heard
        self.answered.set()
        raise TimeoutError


def bench_of(kiosk: ScriptedKiosk) -> PathBench:
    made = PathBench(kiosk, kiosk)  # type: ignore[arg-type]
    made._lead = lambda key: {"k/e/lead/1": ["fa"]}.get(key, [])  # type: ignore[method-assign]
    return made


def test_an_enrolment_is_pressed_when_the_kiosk_asks_and_not_again_while_it_thinks() -> None:
    kiosk = ScriptedKiosk(told(MessageKey.PRESENT), told(MessageKey.WORKING), step(usable=True))
    assert bench_of(kiosk).enrol(TOUCH)
    assert kiosk.did == ["lift", "press", "lift"]


def test_an_unusable_step_is_pressed_again_as_often_as_the_kiosk_asks() -> None:
    again = [told(MessageKey.WORKING), step(usable=False)]
    kiosk = ScriptedKiosk(told(MessageKey.PRESENT), *again, told(Flaw.TOO_DRY), *again, told(Retry.MOVED), *again)
    bench_of(kiosk).enrol(TOUCH)
    assert kiosk.did == ["lift", "press"] * 3 + ["lift"]


def test_a_probe_is_pressed_once_and_again_only_when_asked() -> None:
    kiosk = ScriptedKiosk(
        {"kind": "started"}, told(MessageKey.WORKING), step(usable=False), told(Flaw.TOO_WET), told(MessageKey.WORKING),
        step(usable=True), told(MessageKey.PROCEED), DECIDED,
    )  # fmt: skip
    assert bench_of(kiosk).identify(TOUCH)[0] == "clear"
    assert kiosk.did == ["press", "lift", "press", "lift"]


def test_what_an_earlier_traveller_was_told_is_not_taken_for_the_answer() -> None:
    kiosk = ScriptedKiosk({**DECIDED, "outcome": "lead", "event": "k/e/lead/1"}, stale=(DECIDED,))
    assert bench_of(kiosk).identify(TOUCH)[:2] == ("lead", ["fa"])


def test_the_real_watcher_forgets_what_nobody_asked_for() -> None:
    watcher = Watcher(ScriptedKiosk())  # type: ignore[arg-type]
    for _ in range(3):
        watcher._queue.put(DECIDED)
    watcher.discard_pending()
    with pytest.raises(TimeoutError):
        watcher.next(0)


@pytest.mark.parametrize("touches", [[], [TOUCH], [TOUCH, Touch("b", 1, TOUCH.image)]])
def test_without_a_second_impression_there_is_nothing_to_measure(touches: list[Touch]) -> None:
    with pytest.raises(ValueError, match="no finger has a second"):
        measure_path(touches, Ef01Settings(), pace=False)


def test_one_picture_of_each_finger_is_a_mistake_in_the_command(tmp_path: Path) -> None:
    for finger in ("101", "102"):
        Image.fromarray(TOUCH.image).save(tmp_path / f"{finger}_1.png")
    done = CliRunner().invoke(app, ["path", "--images", str(tmp_path)])
    assert done.exit_code == 2
    assert "no finger" in done.output


@pytest.mark.parametrize(
    ("module", "arguments"),
    [("simulators.bench.command", ["path"]), ("simulators.__main__", ["hub"])],
    ids=["bench", "sim"],
)
def test_without_the_extra_one_line_says_what_to_install(module: str, arguments: list[str]) -> None:
    script = (
        "import sys, importlib; sys.modules['jsonschema'] = None\n"
        f"sys.argv = ['x', *{arguments}]\n"
        f"importlib.import_module({module!r}).main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == "jsonschema is not installed: pip install 'kiosk-agent[simulators]'\n"


def test_a_sensor_is_simulated_without_the_extra() -> None:
    script = (
        "import sys; sys.modules['jsonschema'] = sys.modules['iotcore'] = None\n"
        "sys.argv = ['kiosk-sim', 'ef01', '--help']\n"
        "from simulators.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
