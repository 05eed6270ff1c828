"""The driver of bulk cameras over USB/IP: what open and capture return, errors, cancel and close."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from drivers.errors import Cancelled, ProtocolError
from drivers.sample import Modality, Position
from drivers.usb.configuration import WantedInterface
from drivers.usb.connect import open_link
from drivers.usb.link import UsbLink
from drivers.usb.url import AnyUsbUrl
from drivers.uvc.driver import Uvc, _Streaming
from drivers.uvc.formats import MJPEG, Y8, FrameDecoder
from drivers.uvc.options import Contents
from drivers.uvc.payload import RawFrame
from drivers.uvc.stream import FrameReader
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.sensors.uvc.frames import Mode, looping, numbered
from simulators.transports.usb.usbip import UsbIpServer
from tests.rigs.uvc_bytes import jpeg
from tests.rigs.uvc_stream import HEIGHT, MODE, WIDTH, StreamRig


@contextmanager
def attached(
    options: dict[str, str | int | float | bool] | None = None, **facts: object
) -> Iterator[tuple[UvcCamera, Uvc]]:
    wanted = {"sizes": ((WIDTH, HEIGHT),), "rates": (100.0,), "max_payload": 1024, **facts}
    camera = UvcCamera(UvcSettings(**wanted), seed=1)  # type: ignore[arg-type]
    with UsbIpServer(camera) as server:
        sensor = Uvc(server.url, options or {})
        try:
            yield camera, sensor
        finally:
            sensor.close()


def capture_on(sensor: Uvc) -> None:
    """Capture until something ends it."""
    while True:
        sensor.capture(1.0)


def test_open_says_what_was_agreed_on() -> None:
    with attached({"fps": 50, "ppi": 600}, formats=("y10",), rates=(100.0, 50.0)) as (camera, sensor):
        info = sensor.open()
        assert (info.driver, info.width, info.height, info.depth_bits) == ("uvc", WIDTH, HEIGHT, 10)
        assert info.pixels_per_inch == 600
        assert info.model == "1209:0001 y10 50 fps"
        assert camera.mode == Mode("y10", WIDTH, HEIGHT, 200_000)
        sample = sensor.capture(1.0, Position.LEFT_EYE)
        assert (sample.modality, sample.position) == (Modality.IRIS, Position.LEFT_EYE)
        assert (sample.depth_bits, sample.pixels_per_inch) == (10, 600)


def test_a_capture_window_begins_with_a_frame_that_began_after_the_call() -> None:
    with attached() as (camera, sensor):
        sensor.open()
        last = -1
        for _ in range(20):
            sensor.begin_window()
            begun = camera.counters().frames_begun
            number = int.from_bytes(sensor.capture(1.0).image.tobytes()[:8], "little")
            # The reads in flight may have been given the two next small frames already.
            assert number >= begun - 3
            assert number > last
            last = number


def test_no_frame_of_a_capture_window_is_given_twice() -> None:
    with attached() as (_, sensor):
        sensor.open()
        numbers = [int.from_bytes(sensor.capture(1.0).image.tobytes()[:8], "little") for _ in range(30)]
        assert all(earlier < later for earlier, later in pairwise(numbers))


def test_the_next_frame_of_a_capture_window_may_be_under_way_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = StreamRig()
    clock, reader, sensor = rig.usb.time, FrameReader(rig.link), Uvc("usb:1209:0001", {})
    asked_for = list[float]()

    def frame_after(moment: float, _deadline: float) -> RawFrame:
        asked_for.append(moment)
        began_at, clock.seconds = clock.seconds - 0.007, clock.seconds + 0.023  # thirty times a second, ...
        return RawFrame(numbered(0, MODE), began_at, 1)

    monkeypatch.setattr(reader, "frame_after", frame_after)
    streaming = _Streaming(reader, rig.stream.choice, FrameDecoder(Y8, WIDTH, HEIGHT))
    clock.seconds = 5.0
    for _ in range(3):
        sensor._next_image(streaming, Position.LEFT_EYE)
        clock.seconds += 0.01  # ... and looked at for a third of that
    sensor.begin_window()
    sensor._next_image(streaming, Position.LEFT_EYE)
    assert asked_for == pytest.approx([5.0, 4.993, 5.026, 5.099])


def test_a_image_that_cannot_be_decoded_is_skipped() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((HEIGHT, WIDTH), 90, np.uint8)).save(stream, "JPEG")
    broken = b"\xff\xd8 this is not a JPEG \xff\xd9"
    with attached(formats=("mjpeg",)) as (camera, sensor):
        camera.show(looping([broken, broken, stream.getvalue()]))
        sensor.open()
        for _ in range(3):
            assert np.abs(sensor.capture(1.0).image.astype(int) - 90).max() <= 2


def test_streams_at_another_interface_than_usual_are_opened_there() -> None:
    asked = list[WantedInterface]()
    with attached() as (_, sensor):

        def connect(url: AnyUsbUrl, interface: WantedInterface) -> UsbLink:
            asked.append(interface)
            return open_link(url, interface)

        sensor._connect, sensor._interface = connect, 0
        sensor.open()
        sensor.close()
        sensor.open()
    assert asked == [0, 1, 1]


def test_a_bug_in_the_thread_that_reads_comes_out_of_capture() -> None:
    with attached() as (_, sensor):

        def broken(_frame: RawFrame) -> None:
            raise ZeroDivisionError

        sensor._on_frame = broken
        sensor.open()
        with pytest.raises(ZeroDivisionError):
            capture_on(sensor)


def test_a_cancel_that_came_too_late_for_the_start_ends_the_next_wait() -> None:
    with attached() as (_, sensor):
        sensor.open()
        assert sensor._streaming is not None
        sensor._streaming.reader.link.cancel()  # what cancel() does while open() has not got so far as to stream
        with pytest.raises(Cancelled):
            capture_on(sensor)
        sensor.capture(1.0)


def test_closing_ends_stream_thread_and_light() -> None:
    before = threading.active_count()
    with attached({"led": "3:1:01"}) as (camera, sensor):
        sensor.open()
        assert camera.lamp_on
        sensor.close()
        assert not camera.lamp_on
    assert threading.active_count() == before


def test_the_light_goes_out_when_the_stream_has_failed() -> None:
    with attached({"led": "3:1:01"}) as (camera, sensor):
        sensor.open()
        sensor.capture(1.0)
        camera.inject("freeze")
        with pytest.raises(ProtocolError, match="sent nothing"):
            capture_on(sensor)
        sensor.close()
        assert not camera.lamp_on


@pytest.mark.parametrize("url", ["serial:/dev/ttyUSB0?baud=57600", "v4l2:/dev/video0"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="only at: usb, usbip"):
        Uvc(url, {})


def test_a_stream_of_unreadable_images_says_what_is_wrong_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.uvc.driver.START_S", 0.2)
    with attached(formats=("mjpeg",)) as (camera, sensor):
        camera.show(looping([jpeg(WIDTH, HEIGHT // 2)]))
        sensor.open()
        with pytest.raises(ProtocolError, match=r"the last one: an image of 64x24, of another .*option 'contains'"):
            sensor.capture(1.0)
        sensor._options = sensor._options.model_copy(update={"contains": Contents(MJPEG, WIDTH, HEIGHT // 2)})
        sensor.close()
        assert sensor.open().height == HEIGHT // 2
        assert sensor.capture(1.0).image.shape == (HEIGHT // 2, WIDTH)


def test_damaged_descriptors_are_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), attached(damage="short") as (_, sensor):
        sensor.open()
    assert "damaged descriptors (the descriptor at byte" in caplog.text


def test_a_camera_that_seems_to_send_grey_in_place_of_colours_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wide = np.add.outer(np.arange(HEIGHT), np.arange(2 * WIDTH)).astype(np.uint8).tobytes()
    with attached(formats=("yuy2",)) as (camera, sensor):
        camera.show(looping([wide]))
        sensor.open()
        sensor.capture(1.0)
        sensor.capture(1.0)
    assert caplog.text.count("set the option contains = 'y8 128x48'") == 1
