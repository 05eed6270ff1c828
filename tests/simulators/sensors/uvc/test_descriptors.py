"""The descriptors of the simulated camera."""

import pytest

from simulators.sensors.uvc.descriptors import UvcSettings, configuration


@pytest.mark.parametrize("place", ["interface", "endpoint"])
def test_the_lengths_in_the_descriptors_are_true(place: str) -> None:
    data = configuration(UvcSettings(("mjpeg", "y16"), ((64, 48), (32, 24)), (30.0, 5.0), descriptors_on=place))
    assert int.from_bytes(data[2:4], "little") == len(data)
    at, kinds = 0, list[int]()
    while at < len(data):
        kinds.append(data[at + 1])
        if data[at + 1 : at + 3] == b"\x24\x01" and data[at] == 15:  # input header of two formats
            rest = data[at : at + int.from_bytes(data[at + 4 : at + 6], "little")]
            assert rest.endswith(bytes([6, 0x24, 0x0D, 1, 1, 4]))
        at += data[at]
    assert at == len(data)
    assert (kinds[-1] == 5) == (place == "interface")


WRONG: list[dict[str, object]] = [
    {"formats": ("h264",)},
    {"sizes": ((0, 480),)},
    {"rates": (0.0,)},
    {"max_payload": 12},
    {"descriptors_on": "string"},
    {"version": 0x0200},
]


@pytest.mark.parametrize("facts", WRONG)
def test_a_camera_that_cannot_be_is_refused_by_name(facts: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"no camera has {next(iter(facts))} = "):
        UvcSettings(**facts)  # type: ignore[arg-type]


def test_a_super_speed_endpoint_has_a_companion_descriptor() -> None:
    fast, slow = (configuration(UvcSettings(speed=speed)) for speed in ("super", "high"))
    assert bytes([6, 0x30, 0, 0, 0, 0]) in fast
    assert len(fast) == len(slow) + 6


def test_descriptors_can_be_damaged() -> None:
    whole = configuration(UvcSettings())
    assert configuration(UvcSettings(damage="short")) == whole[:-1]
    damaged = configuration(UvcSettings(damage="guid"))
    at = whole.index(b"Y800")
    assert (damaged[: at + 11], damaged[at + 11], damaged[at + 12 :]) == (whole[: at + 11], 0, whole[at + 12 :])


def test_a_camera_draws_what_it_sends() -> None:
    assert UvcSettings().pictured == ("y800", 640, 480)
    assert UvcSettings(sends=("y16", 64, 48)).pictured == ("y16", 64, 48)
