"""The options that choose a finger."""

from typing import get_args

from simulators.people.person import Condition
from simulators.sensors.common import touch_options


def test_every_condition_is_in_the_help() -> None:
    (option,) = get_args(touch_options.Skin)[1:]
    assert all(condition in option.help for condition in Condition)
