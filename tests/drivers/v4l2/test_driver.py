"""The driver v4l2 against a kernel made for tests (tests/rigs/video_kernel.py): none of this was tried on hardware."""

import io
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivers.errors import DeviceBusy, LinkLost, ProtocolError
from drivers.sample import Modality, Position
from drivers.uvc.frame_age import MAX_AGE_FRAMES
from drivers.v4l2.abi import Buffer, Capability
from drivers.v4l2.driver import V4l2
from drivers.v4l2.kernel import LinuxKernel
from tests.rigs.uvc_rig import HEIGHT, WIDTH, noise
from tests.rigs.video_kernel import FakeKernel, VideoCamera

URL = "v4l2:/dev/video0"


def sensor_of(camera: VideoCamera, **options: str | float) -> V4l2:
    return V4l2(URL, options, kernel=FakeKernel(camera))


def capture_of(camera: VideoCamera, **options: str | float) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    sensor = sensor_of(camera, **options)
    sensor.open()
    try:
        return sensor.capture(1.0).image
    finally:
        sensor.close()


def numbered(number: int) -> bytes:
    return struct.pack("<I", number) + bytes(WIDTH * HEIGHT - 4)


def test_open_says_what_was_agreed_on_and_that_nobody_has_tried_it() -> None:
    camera = VideoCamera(fourccs=(b"YUYV", b"Y10 "), frame=lambda _number: bytes(WIDTH * HEIGHT * 2))
    sensor = sensor_of(camera, ppi=600.0)
    info = sensor.open()
    assert (info.driver, info.width, info.height, info.depth_bits) == ("v4l2", WIDTH, HEIGHT, 10)
    assert info.model == "Fake eye camera y10 (driver untested on hardware)"
    sample = sensor.capture(1.0, Position.RIGHT_EYE)
    sensor.close()
    assert (sample.modality, sample.position, sample.pixels_per_inch) == (Modality.IRIS, Position.RIGHT_EYE, 600.0)


def test_closing_unmaps_and_closes_everything() -> None:
    kernel = FakeKernel(VideoCamera())
    sensor = V4l2(URL, {}, kernel=kernel)
    sensor.open()
    assert (len(kernel.open_files), kernel.mapped) == (1, 4)
    sensor.close()
    assert (kernel.open_files, kernel.mapped) == ([], 0)


@pytest.mark.parametrize("padding", [0, 7, 64])
@pytest.mark.parametrize(("fourcc", "wide"), [(b"GREY", 1), (b"Y16 ", 2), (b"YUYV", 2), (b"NV12", 1)])
def test_padding_behind_the_rows_is_left_out(fourcc: bytes, wide: int, padding: int) -> None:
    grey = noise(4)
    rows = np.zeros((HEIGHT * 3 // 2 if fourcc == b"NV12" else HEIGHT, WIDTH * wide + padding), np.uint8)
    rows[:HEIGHT, (1 if fourcc == b"Y16 " else 0) : WIDTH * wide : wide] = grey
    camera = VideoCamera(fourccs=(fourcc,), padding=padding, frame=lambda _number: rows.tobytes())
    assert (capture_of(camera) == grey).all()


def test_mjpeg_is_decoded_and_a_broken_picture_let_by() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((HEIGHT, WIDTH), 90, np.uint8)).save(stream, "JPEG")
    frames = [b"\xff\xd8 broken \xff\xd9", stream.getvalue()]
    camera = VideoCamera(fourccs=(b"MJPG",), frame=lambda number: frames[number % 2])
    assert np.abs(capture_of(camera).astype(int) - 90).max() <= 2


@pytest.mark.parametrize("flags", [0x2000 | 0x10000, 0x2000, 0x0000])
def test_frames_that_the_kernel_kept_from_before_the_call_are_let_by(flags: int) -> None:
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


def test_a_look_takes_frames_that_the_kernel_has_kept_for_a_moment_and_none_twice() -> None:
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


def test_a_damaged_buffer_is_let_by() -> None:
    camera = VideoCamera(frame=numbered, damaged=set(range(1, 200)) - {60, 61, 62})
    assert int.from_bytes(capture_of(camera).tobytes()[:4], "little") in (60, 61, 62)


def test_a_camera_of_any_size_gives_the_usual_one() -> None:
    camera = VideoCamera(stepwise=True, frame=lambda _number: bytes(640 * 480 // 8), fourccs=(b"GREY",))
    sensor = sensor_of(camera, size="320x240")
    info = sensor.open()
    sensor.close()
    assert (info.width, info.height) == (320, 240)


@pytest.mark.parametrize("options", [{"size": "800x600"}, {"format": "mjpeg"}])
def test_what_the_camera_does_not_have_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(ProtocolError, match="no such size or format"):
        sensor_of(VideoCamera(), **options).open()


def test_a_video_device_without_pictures_is_refused() -> None:
    with pytest.raises(ProtocolError, match="try the next"):
        sensor_of(VideoCamera(capabilities=0x04A00000)).open()


def test_another_program_holding_the_camera_is_said_so() -> None:
    with pytest.raises(DeviceBusy, match="another program uses the camera"):
        sensor_of(VideoCamera(owner=object())).open()


def test_a_rate_is_asked_for_and_an_unknown_one_is_no_reason_to_fail() -> None:
    assert capture_of(VideoCamera(), fps=100.0).shape == (HEIGHT, WIDTH)


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


# The real kernel's end, as far as it can be tried without a camera


def test_what_is_no_video_device_is_a_lost_link(tmp_path: Path) -> None:
    file = tmp_path / "video0"
    for text in ("no such device", "no video device"):
        with pytest.raises(LinkLost, match=text):
            V4l2(f"v4l2:{file}", {}).open()
        file.touch()


def test_a_wake_ends_one_wait_of_the_real_kernel_and_is_remembered(tmp_path: Path) -> None:
    kernel = LinuxKernel()
    kernel.wake()  # nothing is open: nobody to wake
    (tmp_path / "pipe").touch()
    fd = kernel.open(str(tmp_path / "pipe"))
    kernel.wake()
    assert not kernel.wait(fd, 5.0)
    assert kernel.wait(fd, 5.0)  # a file is always ready
    kernel.close(fd)


def test_the_structures_are_those_of_the_header() -> None:
    buffer = bytearray(88)
    struct.pack_into("<IIIII", buffer, 0, 2, 1, 3072, 0x2000 | 0x10000 | 0x40, 1)
    struct.pack_into("<qq", buffer, 24, 12, 500_000)
    struct.pack_into("<I4xI", buffer, 64, 8192, 4096)
    assert Buffer.from_bytes(bytes(buffer)) == Buffer(2, 3072, True, 12.5, True, 8192, 4096)
    whole = struct.pack("<16s32s32sIII12x", b"uvcvideo", b"Camera", b"usb-1", 0, 0x84A00001, 0x04200001)
    assert Capability.from_bytes(whole) == Capability("uvcvideo", "Camera", "usb-1", True)
