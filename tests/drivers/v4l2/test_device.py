"""An open video device of the fake kernel (tests/rigs/video_kernel.py): formats, buffers and errors."""

import numpy as np
import pytest

from drivers.errors import DeviceBusy, ProtocolError
from drivers.v4l2.driver import V4l2
from tests.rigs.uvc_rig import HEIGHT, WIDTH, noise
from tests.rigs.v4l2_rig import URL, capture_of, numbered, sensor_of
from tests.rigs.video_kernel import FakeKernel, VideoCamera


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
