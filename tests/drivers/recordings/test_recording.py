"""The traffic of a driver and its sensor, recorded and played back to the driver."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import open_sensor
from drivers.errors import CaptureRetry, LinkLost, ProtocolError
from drivers.recordings.playback import PlayedLink, PlayedTransport, Player
from drivers.recordings.recording import TITLE, Line, Recorder
from drivers.sensor import Sensor
from drivers.session import LimitedTransport, TimeLimit
from drivers.usb.link import UsbIdentity
from drivers.usb.url import UsbUrl
from drivers.uvc.driver import Uvc
from tests.rigs.sensor_rigs import RIGS
from tests.rigs.simulated_rig import Rig

PERSON_S = 5.0

# What each needs, beyond its rig's options, for a recording to play back: the key of the image is drawn at random.
DRIVERS: dict[str, dict[str, object]] = {"ef01": {}, "nb1010": {}, "sfm": {}, "uru4000": {"seed": 0x51EA2124}}


def nobody(sensor: Sensor) -> None:
    with pytest.raises(CaptureRetry):
        sensor.capture(0.0)


def recorded(driver: str, rig: Rig, seeds: range) -> tuple[str, list[np.ndarray]]:
    """The text of a session of one capture a seed, and the images that it gave."""
    file = io.StringIO()
    options = {**rig.options, **DRIVERS[driver]}
    recorder = Recorder(file, driver, rig.url, options)
    sensor = open_sensor(driver, rig.url, options, connect=recorder.connect)  # type: ignore[arg-type]
    sensor.open()
    images = []
    for seed in seeds:
        rig.present(seed)
        images.append(sensor.capture(PERSON_S).image)
        rig.remove()
        nobody(sensor)
    sensor.close()
    return file.getvalue(), images


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_recorded_session_plays_back_pixel_by_pixel(driver: str, tmp_path: Path) -> None:
    with RIGS[driver](tmp_path, False) as rig:
        text, images = recorded(driver, rig, range(2))
    player = Player(text.splitlines())
    sensor = player.sensor()
    sensor.open()
    for image in images:
        assert (sensor.capture(PERSON_S).image == image).all()
        nobody(sensor)
    sensor.close()
    assert (player.driver, player.remaining) == (driver, 0)


def test_the_captured_frame_of_a_camera_is_among_those_that_are_played(tmp_path: Path) -> None:
    file = io.StringIO()
    with RIGS["uvc"](tmp_path, False) as rig:
        recorder = Recorder(file, "uvc", rig.url, {})
        live = open_sensor("uvc", rig.url, {}, connect=recorder.connect)
        live.open()
        rig.present(1)
        image = live.capture(PERSON_S).image
        live.close()
    player = Player(file.getvalue().splitlines())
    frames = list[bytes]()
    played = Uvc(player.url, player.options, connect=player.connect, on_frame=lambda frame: frames.append(frame.data))
    played.open()
    assert played._streaming is not None
    reader = played._streaming.reader
    assert reader._thread is not None
    reader._thread.join(PERSON_S)  # it reads on to the end of the recording, whoever captures
    played.close()
    assert image.tobytes() in frames


def test_a_driver_that_calls_something_else_gets_an_error_that_names_the_recorded_call(tmp_path: Path) -> None:
    with RIGS["ef01"](tmp_path, False) as rig:
        text, _ = recorded("ef01", rig, range(1))
    sensor = Player(text.replace(" write ef01", " write ee01").splitlines()).sensor()
    with pytest.raises(
        ProtocolError, match=r"recording: the driver calls 'write ef01.*', the recording has 'write ee01"
    ):
        sensor.open()


def test_a_serial_number_with_anything_in_it_is_played_back() -> None:
    file, serial = io.StringIO(), "A B=1 = ! \n%20"
    recorder = Recorder(file, "nb1010", "usb:298d:1010", {})
    recorder.write_line("open")
    recorder.link(PlayedLink(Player([TITLE, "driver x", "url y"]), UsbIdentity(0x298D, 0x1010, serial), b"\x09\x02"))
    link = Player(file.getvalue().splitlines()).connect()
    assert isinstance(link, PlayedLink)
    assert link.identity.serial == "A B=1 = ! \\x0a%20"


def test_a_driver_without_connect_cannot_be_recorded() -> None:
    with pytest.raises(ValueError, match="driver 'v4l2' takes no `connect`"):
        open_sensor("v4l2", "v4l2:/dev/video0", connect=lambda *_: None)


@given(st.floats(0, 1e6), st.sampled_from(["read", "write 00ff", "read 82 64"]), st.binary(max_size=40))
def test_any_line_can_be_read_again(at: float, call: str, answer: bytes) -> None:
    line = Line(round(at, 6), call, answer.hex())
    assert Line.parse(str(line)) == line


def test_a_device_that_cannot_be_opened_is_recorded_as_such() -> None:
    file = io.StringIO()
    recorder = Recorder(file, "nb1010", "usb:1209:fffe", {})
    with pytest.raises(LinkLost):
        recorder.connect(UsbUrl(0x1209, 0xFFFE))
    assert (recorder.opened, recorder.lines) == (False, 1)
    assert file.getvalue().splitlines()[-1].endswith(" open ! LinkLost")


def test_a_text_that_is_no_line_is_refused() -> None:
    with pytest.raises(ValueError, match="not a line of a recording"):
        Line.parse("0.1 nonsense")


def test_a_rate_that_is_changed_on_the_open_port_is_recorded_and_played(tmp_path: Path) -> None:
    file = io.StringIO()
    with RIGS["ef01"](tmp_path, False) as rig:
        url, options = rig.url.replace("57600", "9600"), {**rig.options, "probe_bauds": 57_600}
        recorder = Recorder(file, "ef01", url, options)
        sensor = open_sensor("ef01", url, options, connect=recorder.connect)
        sensor.open()
        sensor.close()
    assert " baud 57600 =" in file.getvalue()
    player = Player(file.getvalue().splitlines())
    player.sensor().open()
    assert player.remaining == 0


def test_a_recorded_transport_without_a_rate_has_none_to_change() -> None:
    recorder = Recorder(io.StringIO(), "ef01", "socket://192.0.2.7:4001", {})
    played = PlayedTransport(Player([TITLE, "driver x", "url y"]))
    recorder.transport(LimitedTransport(played, TimeLimit("", float))).set_baud(9600)
    assert recorder.lines == 0
