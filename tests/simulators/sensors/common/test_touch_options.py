"""The options that choose a finger, and running a touch sensor with it."""

from pathlib import Path
from typing import get_args

import pytest

from simulators.people.person import Condition
from simulators.sensors.common import touch_options
from simulators.sensors.common.touch_options import serve, shown_finger
from simulators.sensors.ef01.rig import Ef01Rig
from tests.rigs.ef01_module import SMALL


def test_every_condition_is_in_the_help() -> None:
    (option,) = get_args(touch_options.Skin)[1:]
    assert all(condition in option.help for condition in Condition)


def test_options_that_choose_nothing_give_an_empty_description() -> None:
    assert shown_finger(None, 500, None, "right_index", 0, None) == {}


def test_a_person_or_an_image_is_described_with_its_details() -> None:
    person = {"person": 7, "finger": "left_thumb", "impression": 2, "condition": "wet"}
    assert shown_finger(None, 500, 7, "left_thumb", 2, "wet") == person
    assert shown_finger(Path("x.png"), 1000, None, "right_index", 0, None) == {
        "image": Path("x.png"),
        "source_ppi": 1000,
    }


@pytest.mark.parametrize(
    ("finger", "condition", "message"),
    [
        ("thumb", None, "there is no finger 'thumb'; choose one of right_thumb"),
        ("right_index", "wet", "--condition is only for a synthetic finger: give --person SEED too"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(finger: str, condition: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shown_finger(None, 500, None, finger, 0, condition)


@pytest.mark.usefixtures("stopped")
def test_a_sensor_introduces_itself_presses_its_finger_and_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "finger"
    rig = Ef01Rig(SMALL, link)
    serve(rig, ["simulated EF01"], {"rate": lambda: 1}, {"person": 7}, pressed=True)
    assert rig.module.finger_on
    assert [line[10:] for line in capsys.readouterr().out.splitlines()] == [
        "simulated EF01",
        f"press a finger from another terminal:  kiosk-sim press --link {link} --person 7",
        "Ctrl-C ends",
        "sensor stopped",
    ]
