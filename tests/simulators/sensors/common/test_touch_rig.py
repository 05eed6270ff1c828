"""The finger of a touch rig: chosen, pressed, lifted and noticed, on the example of an EF01 module."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drivers.sample import Position
from simulators.people.person import Condition, Person
from simulators.sensors.common.touch_rig import View, describe, render
from simulators.sensors.ef01.device import frame
from simulators.sensors.ef01.rig import Ef01Rig
from simulators.transports.remote import SensorRemote
from tests.rigs.ef01_module import ANYONE, GET_IMAGE, SMALL

VIEW = View(64, 64, 500)


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> Iterator[Ef01Rig]:
    with Ef01Rig(SMALL, tmp_path / "finger") as rig:
        yield rig


def test_a_synthetic_finger_is_drawn_at_the_size_of_the_sensor() -> None:
    drawn = render({"person": 3, "finger": "left_thumb", "impression": 2, "condition": "wet"}, VIEW)
    assert (drawn == Person(3).finger(Position.LEFT_THUMB).impression(2, 64, 64, 500, Condition.WET)).all()


def test_an_image_file_is_what_the_sensor_sees(tmp_path: Path) -> None:
    stripes = np.tile(np.repeat(np.array([0, 255], np.uint8), 5), (64, 7))[:, :64]
    Image.fromarray(stripes).save(tmp_path / "x.png")
    assert render({"image": tmp_path / "x.png"}, VIEW).shape == (64, 64)
    assert describe({"image": tmp_path / "x.png"}) == str(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        ({}, "give one of the two"),
        ({"person": 1, "image": "x.png"}, "give one of the two"),
        ({"person": 1, "eye": "left"}, "there is no argument eye; a press takes image"),
        ({"person": 1, "finger": "thumb"}, "there is no finger 'thumb'; choose one of right_thumb"),
        ({"person": 1, "condition": "soapy"}, "there is no condition 'soapy'; choose one of normal"),
    ],
)
def test_a_finger_that_does_not_exist_is_refused_by_name(shown: Any, message: str) -> None:  # noqa: ANN401 - wrong on purpose
    with pytest.raises(ValueError, match=message):
        render(shown, VIEW)


def test_nothing_can_be_pressed_before_a_finger_is_loaded(rig: Ef01Rig) -> None:
    with pytest.raises(ValueError, match="no finger is loaded: give --image FILE or --person SEED"):
        rig.press()


def test_a_loaded_finger_is_pressed_later_and_one_on_the_sensor_changes_immediately(rig: Ef01Rig) -> None:
    remote = SensorRemote(rig.link)
    assert remote.load(person=1) == {"finger": "person 1, right_index, impression 0"}
    assert not rig.module.finger_on
    remote.press()
    first = rig.image
    remote.load(person=2, condition="dry")
    assert rig.image is not None
    assert first is not None
    assert (rig.image != first).any()
    status = remote.status()
    assert (status["finger_on"], status["finger"]) == (True, "person 2, right_index, impression 0, dry")
    assert (status["size"], status["ppi"]) == ("64x64", 500)


def test_a_lifted_finger_is_gone_unless_it_is_stuck(rig: Ef01Rig) -> None:
    rig.press(person=1)
    rig.fault("stuck")
    assert rig.lift() == {"finger_on": True}
    rig.clear()
    assert rig.lift() == {"finger_on": False}


def test_a_lift_is_noticed_by_the_next_poll_of_the_host(rig: Ef01Rig) -> None:
    assert not rig.wait_until_lift_noticed(0.0)
    before = rig.polls()
    rig.module.receive(frame(ANYONE, 0x01, bytes([GET_IMAGE])))
    assert rig.polls() == before + rig.polls_to_notice
