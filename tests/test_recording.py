"""What a driver and its sensor said, written down and played back to the driver."""

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.ef01 import Ef01
from drivers.errors import CaptureRetry, ProtocolError, Stalled, TransferTimeout
from drivers.playback import Player
from drivers.recording import TITLE, Line, Recorder
from drivers.transport import open_transport
from tests.sensor_rigs import RIGS, Rig

PERSON_S = 5.0


def nobody(sensor: Ef01) -> None:
    with pytest.raises(CaptureRetry):
        sensor.capture(0.0)


def recorded(rig: Rig, seeds: range) -> tuple[str, list[np.ndarray]]:
    """The text of a session of one capture a seed, and the images that it gave."""
    file = io.StringIO()
    recorder = Recorder(file, "ef01", rig.url, rig.options)
    sensor = Ef01(rig.url, rig.options, connect=lambda url: recorder.transport(open_transport(url)))
    sensor.open()
    images = []
    for seed in seeds:
        rig.present(seed)
        images.append(sensor.capture(PERSON_S).image)
        rig.remove()
        nobody(sensor)
    sensor.close()
    return file.getvalue(), images


def played(text: str) -> tuple[Player, Ef01]:
    player = Player(text.splitlines())
    sensor = Ef01(player.url, player.options, clock=player.now, connect=lambda _: player.transport())
    return player, sensor


def test_a_recorded_session_plays_back_pixel_by_pixel(tmp_path: Path) -> None:
    with RIGS["ef01"](tmp_path, False) as rig:
        text, images = recorded(rig, range(2))
    player, sensor = played(text)
    sensor.open()
    for image in images:
        assert (sensor.capture(PERSON_S).image == image).all()
        nobody(sensor)
    assert player.driver == "ef01"


def test_a_driver_that_does_something_else_is_told_what_the_recording_has(tmp_path: Path) -> None:
    with RIGS["ef01"](tmp_path, False) as rig:
        text, _ = recorded(rig, range(1))
    _, sensor = played(text.replace(" write ef01", " write ee01"))
    with pytest.raises(
        ProtocolError, match=r"recording: the driver does 'write ef01.*', the recording has 'write ee01"
    ):
        sensor.open()


def test_a_file_that_is_no_recording_is_refused() -> None:
    with pytest.raises(ValueError, match="not a recording of this version"):
        Player(["some text"])


def test_a_damaged_line_is_refused_by_what_it_says() -> None:
    with pytest.raises(ValueError, match=r"no line of a recording: '0\.1 nonsense'"):
        Player([TITLE, "driver ef01", "url socket://127.0.0.1:1", "0.1 nonsense"])


@pytest.mark.parametrize("error", [TransferTimeout, Stalled])
def test_a_recorded_error_comes_again(error: type[ProtocolError]) -> None:
    lines = [TITLE, "driver x", "url y", "0.0 identity vendor=1 product=2 bcd_device=3 =", "0.0 configuration = 0902"]
    link = Player([*lines, f"0.5 read 82 64 ! {error.__name__}"]).link()
    assert (link.identity.vendor, link.identity.bcd_device, link.configuration) == (1, 3, b"\x09\x02")
    with pytest.raises(error):
        link.read(0x82, 64, 1.0)
    assert link.now() == 0.5


@given(st.floats(0, 1e6), st.sampled_from(["read", "write 00ff", "read 82 64"]), st.binary(max_size=40))
def test_any_line_can_be_read_again(at: float, call: str, answer: bytes) -> None:
    line = Line(round(at, 6), call, answer.hex())
    assert Line.parse(str(line)) == line


@given(st.text(max_size=60))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with suppress(ValueError):
        Line.parse(text)
