"""The driver v4l2 against a kernel made for tests (tests/rigs/video_kernel.py): none of this was tried on hardware."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from drivers.errors import ProtocolError
from drivers.sample import Modality, Position
from drivers.uvc.frame_age import MAX_AGE_FRAMES
from drivers.v4l2.driver import V4l2
from tests.rigs.uvc_bytes import jpeg
from tests.rigs.uvc_rig import HEIGHT, WIDTH, noise
from tests.rigs.v4l2_rig import URL, capture_of, numbered, sensor_of
from tests.rigs.video_kernel import FakeKernel, VideoCamera


def test_open_says_what_was_agreed_on_and_that_nobody_has_tried_it() -> None:
    camera = VideoCamera(fourccs=(b"YUYV", b"Y10 "), frame=lambda _number: bytes(WIDTH * HEIGHT * 2))
    sensor = sensor_of(camera, ppi=600.0)
    info = sensor.open()
    assert (info.driver, info.width, info.height, info.depth_bits) == ("v4l2", WIDTH, HEIGHT, 10)
    assert info.model == "Fake eye camera y10 (driver untested on hardware)"
    sample = sensor.capture(1.0, Position.RIGHT_EYE)
    sensor.close()
    assert (sample.modality, sample.position, sample.pixels_per_inch) == (Modality.IRIS, Position.RIGHT_EYE, 600.0)


def test_mjpeg_is_decoded_and_a_broken_image_skipped() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((HEIGHT, WIDTH), 90, np.uint8)).save(stream, "JPEG")
    frames = [b"\xff\xd8 broken \xff\xd9", stream.getvalue()]
    camera = VideoCamera(fourccs=(b"MJPG",), frame=lambda number: frames[number % 2])
    assert np.abs(capture_of(camera).astype(int) - 90).max() <= 2


@pytest.mark.parametrize("flags", [0x2000 | 0x10000, 0x2000, 0x0000])
def test_frames_that_the_kernel_kept_from_before_the_call_are_skipped(flags: int) -> None:
    """Stamped at their start, at their end, or by a clock that is not ours."""
    camera = VideoCamera(frame=numbered, flags=flags, fps=100.0)
    kernel = FakeKernel(camera)
    sensor = V4l2(URL, {}, kernel=kernel)
    sensor.open()
    with camera.news:
        camera.news.wait(0.1)  # nobody fetches: the buffers fill up
    sensor.capture(1.0)
    for _ in range(3):
        sensor.begin_window()
        called = time.monotonic()
        number = int.from_bytes(sensor.capture(1.0).image.tobytes()[:4], "little")
        began = kernel.stream_began() + number / camera.fps
        assert began > called or flags == 0
        assert began > called - 1 / camera.fps
    sensor.close()


def test_a_capture_window_takes_frames_that_the_kernel_has_kept_for_a_moment_and_none_twice() -> None:
    camera = VideoCamera(frame=numbered, fps=100.0)
    kernel = FakeKernel(camera)
    sensor = V4l2(URL, {}, kernel=kernel)
    sensor.open()
    last = -1
    for _ in range(20):
        called = time.monotonic()
        number = int.from_bytes(sensor.capture(1.0).image.tobytes()[:4], "little")
        assert number > last
        assert kernel.stream_began() + number / camera.fps > called - MAX_AGE_FRAMES / camera.fps - 0.002
        last = number
    sensor.close()


@pytest.mark.parametrize("url", ["serial:/dev/ttyUSB0?baud=9600", "usb:1209:0001"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="only at: v4l2"):
        V4l2(url, {})


def test_a_url_names_a_device_file() -> None:
    with pytest.raises(ValueError, match="v4l2:/dev/video0"):
        V4l2("v4l2:video0", {})


def test_an_option_of_bulk_cameras_only_is_unknown() -> None:
    with pytest.raises(ValueError, match="unknown option 'led'"):
        V4l2(URL, {"led": "3:1:01"})


class BusyKernel(FakeKernel):
    """A frame is always ready in time."""

    def wait(self, fd: int, seconds: float) -> bool:
        return super().wait(fd, max(seconds, 5.0))


@pytest.mark.parametrize("kernel", [FakeKernel, BusyKernel])
def test_a_stream_of_unreadable_images_says_what_is_wrong_with_them(
    kernel: type[FakeKernel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.v4l2.driver.FRAME_S", 0.1)
    small = jpeg(WIDTH, HEIGHT // 2)
    camera = VideoCamera(fourccs=(b"MJPG",), frame=lambda number: small if number else jpeg(WIDTH, HEIGHT))
    sensor = V4l2(URL, {}, kernel=kernel(camera))
    sensor.open()
    with pytest.raises(ProtocolError, match=r"no readable frame; the last one: an image of 64x24.*option 'contains'"):
        sensor.capture(1.0)
    sensor.close()


def test_a_camera_that_falls_silent_behind_an_unreadable_image_says_what_was_wrong_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("drivers.v4l2.driver.FRAME_S", 0.1)
    camera = VideoCamera(fourccs=(b"MJPG",))

    def frame(number: int) -> bytes:
        camera.silent = number > 5
        return b"no JPEG"

    camera.frame = frame
    sensor = sensor_of(camera)
    sensor.open()
    with pytest.raises(ProtocolError, match="no readable frame; the last one: no JPEG in it"):
        sensor.capture(1.0)
    sensor.close()


def test_a_camera_that_falls_silent_is_a_protocol_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.v4l2.driver.FRAME_S", 0.1)
    camera = VideoCamera()
    sensor = sensor_of(camera)
    sensor.open()
    camera.change(silent=True)
    with pytest.raises(ProtocolError, match="the camera sends no frame"):
        sensor.capture(1.0)
    sensor.close()


def test_the_option_emitter_switches_it_on_before_the_stream() -> None:
    camera = VideoCamera(controls={(14, 14): bytearray(2)})
    camera.frame = lambda _number: bytes(WIDTH * HEIGHT) if any(camera.controls[14, 14]) else b""
    assert capture_of(camera, emitter="chicony").shape == (HEIGHT, WIDTH)


def test_what_frames_hold_replaces_what_the_kernel_says_of_them() -> None:
    grey = noise(4, 2 * WIDTH, HEIGHT)
    camera = VideoCamera(fourccs=(b"YUYV",), frame=lambda _number: grey.tobytes())
    assert (capture_of(camera, contains=f"y8 {2 * WIDTH}x{HEIGHT}") == grey).all()


@pytest.mark.parametrize(("fourcc", "shift"), [(b"Y16 ", 6), (b"Y16 ", 4), (b"Y10 ", 6)])
def test_the_depth_of_words_is_measured(fourcc: bytes, shift: int) -> None:
    words = np.random.default_rng(1).integers(0, 65_536, (HEIGHT, WIDTH)).astype("<u2") >> shift
    sensor = sensor_of(VideoCamera(fourccs=(fourcc,), frame=lambda _number: words.tobytes()))
    sensor.open()
    sample = sensor.capture(1.0)
    sensor.close()
    assert (sample.image == words >> (8 - shift)).all()
    assert sample.depth_bits == 16 - shift


def test_a_format_that_is_not_known_can_be_stated() -> None:
    grey = noise(4)
    camera = VideoCamera(fourccs=(b"Q8  ",), frame=lambda _number: grey.tobytes())
    assert (capture_of(camera, contains=f"y8 {WIDTH}x{HEIGHT}") == grey).all()
    with pytest.raises(ProtocolError, match="no such size or format"):
        sensor_of(camera).open()


def test_a_camera_that_seems_to_send_grey_in_place_of_colours_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    eye = np.add.outer(np.arange(HEIGHT), np.arange(2 * WIDTH)).astype(np.uint8)
    capture_of(VideoCamera(fourccs=(b"YUYV",), frame=lambda _number: eye.tobytes()))
    assert "set the option contains = 'y8 128x48'" in caplog.text
