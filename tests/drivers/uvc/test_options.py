"""The options of the uvc driver, and the stream that they choose."""

from dataclasses import replace
from pathlib import Path

import pytest

import drivers
from drivers.errors import ProtocolError
from drivers.uvc.descriptors import streaming_interfaces
from drivers.uvc.driver import Uvc
from drivers.uvc.emitter import Led
from drivers.uvc.formats import FORMAT_NAMED
from drivers.uvc.options import UvcOptions, choose_stream, frame_timeout
from tests.rigs.uvc_bytes import BEHIND_ENDPOINT, ENDPOINT, d, stream_of

WRONG: dict[str, tuple[str | float, str]] = {
    "size": ("large", "must be WIDTHxHEIGHT"),
    "fps": (0, "greater than 0"),
    "format": ("h264", "must be one of y8, y16"),
    "led": ("on", "must be UNIT:SELECTOR:ON"),
    "emitter": ("infrared", "must be UNIT:SELECTOR:ON"),
    "interface": (True, "not true or false"),
    "contains": ("y8", "must be WIDTHxHEIGHT"),
    "ppi": (-1, "greater than or equal to 0"),
}


@pytest.mark.parametrize("option", WRONG)
def test_a_wrong_option_is_refused_by_name(option: str) -> None:
    value, said = WRONG[option]
    with pytest.raises(ValueError, match=f"driver uvc: option '{option}': .*{said}"):
        Uvc("usb:1209:0001", {option: value})


def test_every_option_and_every_format_is_in_the_readme() -> None:
    text = (Path(drivers.__file__).parent / "README.md").read_text(encoding="utf-8")
    rows = text.partition("## uvc")[2].partition("## v4l2")[0]
    for name in [*UvcOptions.model_fields, *FORMAT_NAMED]:
        assert f"`{name}`" in rows


CAMERA = {"formats": ("mjpeg", "yuy2", "y800"), "sizes": ((320, 240), (640, 480), (1280, 720)), "rates": (30.0, 15.0)}


@pytest.mark.parametrize(
    ("options", "name", "size", "interval"),
    [
        ({}, "y8", (640, 480), 333_333),
        ({"size": "1280x720"}, "y8", (1280, 720), 333_333),
        ({"format": "mjpeg"}, "mjpeg", (640, 480), 333_333),
        ({"fps": 15}, "y8", (640, 480), 666_667),
        ({"fps": 16.9, "format": "yuy2", "size": "320x240"}, "yuy2", (320, 240), 666_667),
    ],
)
def test_options_choose_what_to_stream(
    options: dict[str, object], name: str, size: tuple[int, int], interval: int
) -> None:
    choice = choose_stream(stream_of(**CAMERA), UvcOptions.model_validate(options))
    assert (choice.pixels.name, (choice.frame.width, choice.frame.height), choice.interval) == (name, size, interval)


def test_a_camera_of_small_images_gives_its_largest() -> None:
    choice = choose_stream(stream_of(sizes=((160, 120), (320, 240), (176, 144))), UvcOptions())
    assert (choice.frame.width, choice.frame.height) == (320, 240)


@pytest.mark.parametrize("options", [{"size": "800x600"}, {"format": "nv12"}])
def test_what_a_camera_does_not_have_is_refused_with_what_it_has(options: dict[str, object]) -> None:
    with pytest.raises(ProtocolError, match=r"it has: mjpeg 320x240, .*y8 1280x720"):
        choose_stream(stream_of(**CAMERA), UvcOptions.model_validate(options))


def test_an_isochronous_camera_is_sent_to_the_other_driver() -> None:
    isochronous = BEHIND_ENDPOINT.replace(ENDPOINT, d("05 81 05 0014 01"))
    with pytest.raises(ProtocolError, match="use the driver v4l2"):
        choose_stream(streaming_interfaces(isochronous), UvcOptions())


@pytest.mark.parametrize(("interface", "said"), [(5, "video streams at: 1"), (None, "not a UVC camera")])
def test_no_stream_is_reported(interface: int | None, said: str) -> None:
    found = streaming_interfaces(BEHIND_ENDPOINT) if interface else ()
    with pytest.raises(ProtocolError, match=said):
        choose_stream(found, UvcOptions(interface=interface))


@pytest.mark.parametrize(
    ("name", "promised", "limit"),
    [
        ("y8", 0, 64 * 48),
        ("y8", 64 * 48 + 8, 64 * 48 + 8),
        ("y8", 2 * 64 * 48, 64 * 48),  # that of another format: two frames must not pass for one
        ("y8", 100, 64 * 48),
        ("y8", 0xFFFFFFFF, 64 * 48),
        ("mjpeg", 1500, 1500),
        ("mjpeg", 0, 2 * 64 * 48),
        ("mjpeg", 0xFFFFFFFF, 2 * 64 * 48),
    ],
)
def test_no_promise_makes_a_frame_larger_than_it_can_be(name: str, promised: int, limit: int) -> None:
    formats = ("y800", "mjpeg")
    choice = choose_stream(stream_of(formats=formats, sizes=((64, 48),)), UvcOptions.model_validate({"format": name}))
    assert choice.frame_limit(promised) == limit


def test_the_light_is_named_by_either_option() -> None:
    led = Led(3, 1, b"\x01", b"\0")
    assert UvcOptions().light is None
    for option in ("emitter", "led"):
        assert UvcOptions.model_validate({option: "3:1:01:00"}).light == (option, led)
    with pytest.raises(ValueError, match="driver uvc: options 'emitter' and 'led' are the same: give one of them"):
        Uvc("usb:1209:0001", {"emitter": "chicony", "led": "3:1:01:00"})


def test_a_size_beyond_every_sensor_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 16384 pixels a side"):
        UvcOptions.model_validate({"size": "99999x480"})


def test_a_choice_knows_its_rate_timeout_and_request() -> None:
    choice = choose_stream(stream_of(**CAMERA), UvcOptions(fps=15))
    assert (choice.frame_interval_s, choice.fps) == pytest.approx((1 / 15, 15), rel=1e-5)
    assert choice.frame_timeout_s == pytest.approx(4 / 15, rel=1e-5)
    assert (choice.requested.interval, choice.frame_bytes) == (666_667, 640 * 480)


def test_a_camera_that_does_not_report_its_interval_is_taken_for_ten_frames_a_second() -> None:
    choice = replace(choose_stream(stream_of(**CAMERA), UvcOptions()), interval=0)
    assert (choice.frame_interval_s, choice.frame_timeout_s) == (0.1, 0.4)


def test_a_frame_is_never_waited_for_longer_than_four_seconds() -> None:
    assert frame_timeout(60.0) == 4.0


@pytest.mark.parametrize("value", ["752x480", "y9 752x480", 5, "y8,752x480"])
def test_contents_are_a_format_and_a_size(value: object) -> None:
    with pytest.raises(ValueError, match="must be FORMAT WIDTHxHEIGHT, such as y8 752x480; formats: y8, y16"):
        UvcOptions.model_validate({"contains": value})


def test_what_frames_hold_replaces_what_the_camera_says_of_them() -> None:
    streams = stream_of(formats=("mjpeg", "yuy2"), sizes=((640, 480), (376, 480)))
    choice = choose_stream(streams, UvcOptions.model_validate({"contains": "y8 752x480"}))
    assert (choice.frame.width, choice.requested.format_index, choice.requested.frame_index) == (376, 2, 2)
    assert (str(choice.contents), choice.frame_bytes) == ("y8 752x480", 752 * 480)


def test_frames_of_another_number_of_bytes_can_be_stated_too() -> None:
    choice = choose_stream(stream_of(formats=("yuy2",)), UvcOptions.model_validate({"contains": "y8 640x480"}))
    assert (choice.requested.format_index, choice.frame_bytes, choice.frame_limit(2 * 640 * 480)) == (
        1, 640 * 480, 640 * 480
    )  # fmt: skip
