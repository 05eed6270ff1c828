"""An open video device of the fake kernel (tests/rigs/video_kernel.py): formats, buffers and errors."""

import errno
import os
from collections.abc import Iterator

import numpy as np
import pytest

from drivers.errors import Cancelled, DeviceBusy, LinkLost, PermissionDenied, ProtocolError, SensorError
from drivers.uvc.emitter import MICROSOFT, RECIPES
from drivers.uvc.options import CameraOptions
from drivers.v4l2.abi import FrameLayout
from drivers.v4l2.device import VideoDevice, VideoFrame
from drivers.v4l2.driver import V4l2
from tests.rigs.uvc_bytes import BEFORE_STREAMS, CLASS_DESCRIPTORS, ENDPOINT, d
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


def test_a_damaged_buffer_is_skipped() -> None:
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


def test_a_video_device_without_images_is_refused() -> None:
    with pytest.raises(ProtocolError, match="try the next"):
        sensor_of(VideoCamera(capabilities=0x04A00000)).open()


def test_another_program_holding_the_camera_is_reported() -> None:
    with pytest.raises(DeviceBusy, match="another program uses the camera"):
        sensor_of(VideoCamera(owner=object())).open()


def test_a_rate_is_asked_for_and_an_unknown_one_is_no_reason_to_fail() -> None:
    assert capture_of(VideoCamera(), fps=100.0).shape == (HEIGHT, WIDTH)


# The device alone


class FailingKernel(FakeKernel):
    """Every request fails with one error number."""

    number = 0

    def ioctl(self, fd: int, code: int, data: bytearray) -> None:
        if self.number:
            raise OSError(self.number, os.strerror(self.number))
        super().ioctl(fd, code, data)


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (errno.ENODEV, LinkLost, "unplugged"),
        (errno.EIO, ProtocolError, "VIDIOC_QUERYCAP: the camera is plugged in and does not answer; unplug it and plug"),
        (errno.EPIPE, ProtocolError, "VIDIOC_QUERYCAP: the camera is plugged in and refuses this; choose another size"),
        (
            errno.ENOSPC,
            ProtocolError,
            "not enough USB bandwidth .* a smaller size, fewer frames per second",
        ),
        (errno.ENOTTY, LinkLost, "no video device"),
        (errno.EACCES, PermissionDenied, "put this account in the group video"),
        (errno.EBUSY, DeviceBusy, "another program uses the camera"),
        (errno.EINVAL, ProtocolError, "VIDIOC_QUERYCAP: Invalid argument"),
    ],
)
def test_an_error_of_the_kernel_says_what_to_do(number: int, kind: type[SensorError], message: str) -> None:
    kernel = FailingKernel(VideoCamera())
    device = VideoDevice(kernel, "/dev/video0")
    kernel.number = number
    with pytest.raises(kind, match=message) as caught:
        device.identify()
    assert type(caught.value) is kind
    device.close()


def test_a_list_that_breaks_off_is_an_error() -> None:
    kernel = FailingKernel(VideoCamera())
    device = VideoDevice(kernel, "/dev/video0")
    kernel.number = errno.ENODEV
    with pytest.raises(LinkLost, match="unplugged"):
        device.configure(CameraOptions())
    device.close()


class AnotherSizeKernel(FakeKernel):
    """Changes every requested size, as the interface allows."""

    def _s_fmt(self, data: bytearray) -> None:
        super()._s_fmt(data)
        data[8:12] = (32).to_bytes(4, "little")


def test_a_camera_that_changes_the_requested_size_is_refused() -> None:
    device = VideoDevice(AnotherSizeKernel(VideoCamera()), "/dev/video0")
    with pytest.raises(ProtocolError, match="the camera gives 32x48 in place of 64x48"):
        device.configure(CameraOptions())
    device.close()


def test_a_size_outside_the_range_of_a_camera_is_refused() -> None:
    with pytest.raises(ProtocolError, match="no such size or format"):
        sensor_of(VideoCamera(stepwise=True), size="1600x1200").open()


class WrongBufferKernel(FakeKernel):
    """Names a buffer that was never made."""

    def _dqbuf(self, data: bytearray) -> None:
        super()._dqbuf(data)
        data[0:4] = (9).to_bytes(4, "little")


def started(kernel: FakeKernel) -> tuple[VideoDevice, FrameLayout]:
    device = VideoDevice(kernel, "/dev/video0")
    _, layout = device.configure(CameraOptions())
    device.start()
    return device, layout


def test_a_buffer_that_does_not_exist_is_a_protocol_error() -> None:
    device, layout = started(WrongBufferKernel(VideoCamera()))
    with pytest.raises(ProtocolError, match="a buffer that does not exist"):
        device.next_frame(layout, device.kernel.now() + 5.0)
    device.close()


@pytest.fixture(name="streaming")
def _streaming() -> Iterator[tuple[VideoCamera, VideoDevice, FrameLayout]]:
    camera = VideoCamera()
    device, layout = started(FakeKernel(camera))
    yield camera, device, layout
    device.close()


def test_a_cancel_ends_one_wait(streaming: tuple[VideoCamera, VideoDevice, FrameLayout]) -> None:
    camera, device, layout = streaming
    camera.change(silent=True)
    device.cancel()
    with pytest.raises(Cancelled):
        device.next_frame(layout, device.kernel.now() + 5.0)
    camera.change(silent=False)
    device.next_frame(layout, device.kernel.now() + 5.0)


def test_a_camera_without_frames_is_a_protocol_error(
    streaming: tuple[VideoCamera, VideoDevice, FrameLayout],
) -> None:
    camera, device, layout = streaming
    camera.change(silent=True)
    with pytest.raises(ProtocolError, match="the camera sends no frame"):
        device.next_frame(layout, device.kernel.now() + 0.05)


def test_a_frame_that_is_stamped_at_its_end_began_one_interval_earlier() -> None:
    camera = VideoCamera(flags=0x2000, frame=numbered)
    kernel = FakeKernel(camera)
    device, layout = started(kernel)
    frame = device.next_frame(layout, kernel.now() + 5.0)
    assert frame.began_at == pytest.approx(kernel.stream_began(), abs=1e-3)
    device.close()
    device.close()


def test_the_repr_of_a_frame_shows_no_pixels() -> None:
    assert repr(VideoFrame(b"ZZZZ", 1.0)) == "<VideoFrame 4 bytes>"


class UnpluggedKernel(FakeKernel):
    """The camera is unplugged while a request is under way."""

    number = 0

    def _reqbufs(self, data: bytearray) -> None:
        super()._reqbufs(data)
        self.camera.plugged = False
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.EIO, errno.EPIPE, errno.EPROTO])
def test_an_error_of_the_bus_of_a_camera_that_is_gone_is_an_unplugging(number: int) -> None:
    kernel = UnpluggedKernel(VideoCamera())
    kernel.number = number
    device = VideoDevice(kernel, "/dev/video0")
    device.configure(CameraOptions())
    with pytest.raises(LinkLost, match="unplugged"):
        device.start()
    device.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.EPIPE, errno.EINVAL, errno.EPROTO])
@pytest.mark.parametrize(("request_name", "options"), [("g_parm", {}), ("s_parm", {"fps": 15.0})])
def test_a_camera_that_fails_at_its_frame_rate_streams(
    number: int, request_name: str, options: dict[str, float]
) -> None:
    assert capture_of(VideoCamera(fails={request_name: number}), **options).shape == (HEIGHT, WIDTH)


def test_too_little_bandwidth_at_the_start_says_so() -> None:
    with pytest.raises(ProtocolError, match="v4l2 at /dev/video0: not enough USB bandwidth"):
        sensor_of(VideoCamera(fails={"streamon": errno.ENOSPC})).open()


# The emitter: a control of an extension unit


def test_the_emitter_is_switched_on_with_the_stream_and_off_after_it() -> None:
    camera = VideoCamera(controls={(14, 14): bytearray(2)})
    sensor = sensor_of(camera, emitter="chicony")
    sensor.open()
    assert camera.controls[14, 14].hex() == "0219"
    sensor.close()
    assert camera.controls[14, 14].hex() == "0000"


def test_raw_bytes_switch_any_control() -> None:
    camera = VideoCamera(controls={(3, 2): bytearray(3)})
    sensor = sensor_of(camera, emitter="3:2:010203:040506")
    sensor.open()
    assert camera.controls[3, 2].hex() == "010203"
    sensor.close()
    assert camera.controls[3, 2].hex() == "040506"


def usb_of(*units: tuple[int, bytes]) -> bytes:
    """Descriptors of a camera with these units of Microsoft and their bits, on control interface 0."""
    described = [d(f"24 06 {unit:02x} {MICROSOFT.hex()} 04 01 01 01 {bits.hex()} 00") for unit, bits in units]
    return b"".join([*BEFORE_STREAMS[:-1], *described, BEFORE_STREAMS[-1], *CLASS_DESCRIPTORS, ENDPOINT])


def test_the_unit_of_microsoft_is_found_in_the_descriptors_by_its_control() -> None:
    """As a real one: two units of this kind, of which only the second has the control. Its interface is kept."""
    camera = VideoCamera(
        controls={(8, 3): bytearray(9), (14, 6): bytearray.fromhex("010401000000000000")},
        usb=(usb_of((8, b"\x06"), (14, b"\x26")), 0),
    )
    sensor = sensor_of(camera, emitter="microsoft")
    sensor.open()
    assert camera.controls[14, 6].hex() == "010402000000000000"
    sensor.close()
    assert camera.controls[14, 6].hex() == "010401000000000000"


@pytest.mark.parametrize("unit", [7, 14])
def test_the_unit_of_microsoft_can_be_named(unit: int) -> None:
    camera = VideoCamera(controls={(unit, 6): bytearray(9)})  # it says nothing of its interface
    sensor = sensor_of(camera, emitter=f"microsoft-{unit}")
    sensor.open()
    assert camera.controls[unit, 6].hex() == "010302000000000000"
    sensor.close()


@pytest.mark.parametrize(
    ("controls", "errors", "said"),
    [
        ({}, {}, r"its extension units: 14 \(there is no such unit or control\)"),
        ({(14, 14): 3}, {}, "this control has 3 bytes, the option gives 2 .the control has another length"),
        ({(14, 14): 2}, {1: errno.EPIPE}, "the camera refuses the request"),
        ({(14, 14): 2}, {1: errno.EBADRQC}, "the control cannot be read or written"),
        ({(14, 14): 2}, {1: errno.ENOTTY}, "the kernel's driver of this camera has no extension units"),
    ],
)
def test_an_emitter_that_the_camera_does_not_have_is_an_error_of_the_option(
    controls: dict[tuple[int, int], int], errors: dict[int, int], said: str
) -> None:
    camera = VideoCamera(
        controls={key: bytearray(size) for key, size in controls.items()},
        control_errors=errors,
        usb=(usb_of((14, b"\x26")), 0),
    )
    with pytest.raises(ProtocolError, match=f"option 'emitter': the camera refuses it; .*{said}"):
        sensor_of(camera, emitter="chicony").open()


def test_a_camera_without_the_unit_of_a_recipe_says_which_it_has() -> None:
    for usb, said in (((usb_of((9, b"\x06")), 0), "extension units: 9"), ((b"", 0), "no extension unit")):
        with pytest.raises(ProtocolError, match=f"option 'emitter': the camera has no such unit; .*{said}; see UNIT"):
            sensor_of(VideoCamera(usb=usb), emitter="microsoft").open()


def test_a_camera_unplugged_while_its_emitter_is_switched_is_a_lost_link() -> None:
    camera = VideoCamera(controls={(14, 14): bytearray(2)}, control_errors={1: errno.EIO})
    device = VideoDevice(FakeKernel(camera), "/dev/video0")
    with pytest.raises(ProtocolError, match="plugged in"):
        device.switch_on(RECIPES["chicony"])
    camera.plugged = False
    with pytest.raises(LinkLost, match="unplugged"):
        device.switch_on(RECIPES["chicony"])
    device.close()


def test_a_camera_that_sends_no_frame_may_need_its_emitter(
    streaming: tuple[VideoCamera, VideoDevice, FrameLayout],
) -> None:
    camera, device, layout = streaming
    camera.change(silent=True)
    with pytest.raises(ProtocolError, match="may need the option 'emitter'"):
        device.next_frame(layout, device.kernel.now() + 0.05)


def test_a_camera_that_fails_while_it_is_opened_is_plugged_in() -> None:
    class FailsToOpen(FakeKernel):
        def open(self, path: str) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    with pytest.raises(ProtocolError, match="open: the camera is plugged in and does not answer"):
        VideoDevice(FailsToOpen(VideoCamera()), "/dev/video0")


def test_the_rows_of_a_format_that_is_not_known_are_left_as_they_are() -> None:
    grey = noise(4)
    camera = VideoCamera(fourccs=(b"Q8  ",), frame=lambda _number: grey.tobytes(), padding=7)
    assert (capture_of(camera, contains=f"y8 {WIDTH}x{HEIGHT}") == grey).all()
