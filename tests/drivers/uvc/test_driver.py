"""The driver of bulk cameras: its stream in virtual time, fault by fault, and the whole of it over USB/IP."""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import drivers
from drivers.errors import Cancelled, LinkLost, ProtocolError
from drivers.sample import Modality, Position
from drivers.usb.connect import open_link
from drivers.usb.link import PendingRead, UsbLink
from drivers.usb.url import AnyUsbUrl
from drivers.uvc.descriptors import streaming_interfaces
from drivers.uvc.driver import Uvc
from drivers.uvc.formats import FORMAT_NAMED
from drivers.uvc.frame_age import CaptureWindow
from drivers.uvc.options import UvcOptions, choose_stream
from drivers.uvc.payload import RawFrame
from drivers.uvc.probe_commit import StreamSettings
from drivers.uvc.stream import FrameReader, Stream
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.sensors.uvc.frames import Mode, encode, looping, numbered
from simulators.transports.usb.usbip import UsbIpServer
from tests.rigs.uvc_rig import noise
from tests.rigs.virtual_usb import VirtualUsb

WIDTH, HEIGHT = 64, 48
MODE = Mode("y800", WIDTH, HEIGHT, 333_333)


class StreamRig:
    """A camera and the stream that the driver makes of it, in virtual time."""

    def __init__(self, options: dict[str, object] | None = None, **facts: object) -> None:
        given_facts = {"sizes": ((WIDTH, HEIGHT),), "max_payload": 1024, **facts}
        self.camera = UvcCamera(UvcSettings(**given_facts), seed=3)  # type: ignore[arg-type]
        self.usb = VirtualUsb(self.camera)
        self.link = self.usb.open_link()
        checked = UvcOptions.model_validate(options or {})
        self.stream = Stream(
            self.link, choose_stream(streaming_interfaces(self.link.configuration), checked), checked.led
        )
        self.stream.start()

    def frames(self, count: int) -> list[RawFrame]:
        """The next frames, each checked to be one that the camera sent."""
        found = list[RawFrame]()
        while len(found) < count:
            found += self.stream.step()
        assert all(frame.data == numbered(interface_number(frame), MODE) for frame in found)
        return found

    def numbers(self, count: int) -> list[int]:
        return [interface_number(frame) for frame in self.frames(count)]


def interface_number(frame: RawFrame) -> int:
    return int.from_bytes(frame.data[:8], "little")


def test_every_frame_comes_in_order_and_at_the_rate_of_the_camera() -> None:
    rig = StreamRig()
    frames = rig.frames(30)
    assert [interface_number(frame) for frame in frames] == list(range(30))
    assert frames[-1].began_at - frames[0].began_at == pytest.approx(29 / 30, abs=0.002)
    assert rig.stream.statistics.damaged == 0


@pytest.mark.parametrize("version", [0x0100, 0x0110, 0x0150])
@pytest.mark.parametrize("place", ["interface", "endpoint"])
@pytest.mark.parametrize(
    "quirk",
    [
        {},
        {"separate_end": True},
        {"timestamps": False},
        {"padding_bytes": 8},
        {"padding_bytes": 1000, "timestamps": False, "separate_end": True},
        {"timestamp_once": True},
        {"timestamp_once": True, "separate_end": True, "max_payload": 3084},
        {"separate_end": True, "max_payload": 3084},
    ],
)
def test_cameras_of_every_version_and_with_every_quirk_stream(
    version: int, place: str, quirk: dict[str, object]
) -> None:
    rig = StreamRig(None, version=version, descriptors_on=place, **quirk)
    assert rig.numbers(5) == list(range(5))


@pytest.mark.parametrize("name", ["y800", "y8", "l8", "l8_ir", "y10", "y12", "y16", "yuy2", "nv12"])
def test_each_format_comes_out_as_the_grey_that_the_camera_saw(name: str) -> None:
    grey = noise(5)
    rig = StreamRig(formats=(name,))
    rig.camera.show(looping([encode(name, grey.tobytes())]))
    found = list[RawFrame]()
    while len(found) < 2:
        found += rig.stream.step()
    assert (rig.stream.choice.pixels.luma(found[1].data, WIDTH, HEIGHT) == grey).all()


@pytest.mark.parametrize("max_payload", [1024, 3 << 20, 16 << 20])
def test_what_is_in_flight_leaves_room_for_other_programs(max_payload: int) -> None:
    asked = list[int]()
    rig = StreamRig(max_payload=max_payload)
    begin_read = rig.link.begin_read

    def begin(endpoint: int, size: int, timeout: float) -> PendingRead:
        asked.append(size)
        return begin_read(endpoint, size, timeout)

    rig.link.begin_read = begin  # type: ignore[method-assign]
    rig.stream.step()
    assert len(asked) >= 8
    assert sum(asked[:8]) <= 8 << 20  # half of what Linux lets all programs have


@pytest.mark.parametrize("max_payload", [1 << 18, 1 << 20, 3_000_000, 16 << 20])
def test_payloads_that_take_several_reads_are_joined(max_payload: int) -> None:
    size = (1600, 1200)  # 3 840 000 bytes a frame
    rig = StreamRig(max_payload=max_payload, sizes=(size,), formats=("y16",))
    found = list[RawFrame]()
    while len(found) < 4:
        found += rig.stream.step()
    mode = Mode("y16", *size, 333_333)
    assert [frame.data for frame in found] == [numbered(number, mode) for number in range(4)]
    assert rig.stream.statistics.damaged == 0


# One fault each: what it costs, and that the stream goes on.

ONE_FRAME_LOST = ["error_bit", "lost", "short", "long", "duplicate"]


@pytest.mark.parametrize("fault", ONE_FRAME_LOST)
def test_a_fault_in_a_payload_costs_its_frame_and_no_other(fault: str) -> None:
    rig = StreamRig()
    rig.numbers(3)
    rig.camera.inject(fault)
    numbers = rig.numbers(10)
    missing = set(range(3, numbers[-1])) - set(numbers)
    assert len(missing) <= 2
    assert numbers == sorted(numbers)
    assert rig.camera.faults.waiting() == {}


@pytest.mark.parametrize("fault", ["no_end", "frame_id_stuck", "max_frame_zero"])
def test_a_habit_of_the_camera_costs_nothing(fault: str) -> None:
    rig = StreamRig()
    rig.camera.inject(fault)
    rig.stream.start()
    numbers = rig.numbers(8)
    assert numbers == list(range(numbers[0], numbers[0] + 8))


def test_a_stall_is_cleared_and_the_stream_begun_anew() -> None:
    rig = StreamRig()
    rig.numbers(3)
    rig.camera.inject("stall")
    commits = rig.camera.counters().commits
    while rig.camera.counters().commits == commits:
        rig.stream.step()
    assert rig.numbers(3)[-1] <= 4  # counted anew from the commit


def test_an_endpoint_that_keeps_stalling_is_a_protocol_error() -> None:
    rig = StreamRig()
    rig.camera.inject("stall", times=0)
    with pytest.raises(ProtocolError, match="keeps halting"):
        rig.frames(3)


@pytest.mark.parametrize(("fault", "times"), [("silent", 0), ("freeze", 0)])
def test_a_stream_that_stops_is_a_protocol_error_soon(fault: str, times: int) -> None:
    rig = StreamRig()
    rig.numbers(3)
    rig.camera.inject(fault, times=times)
    before = rig.link.now()
    with pytest.raises(ProtocolError, match="sent nothing for 1 s"):
        rig.frames(20)
    assert rig.link.now() - before < 1.5


def test_a_camera_that_says_it_takes_minutes_for_a_frame_is_not_waited_for() -> None:
    rig = StreamRig(rates=(0.01,))
    before = rig.link.now()
    with pytest.raises(ProtocolError, match="sent nothing for 4 s"):
        rig.frames(1)
    assert rig.link.now() - before < 4.5


def test_a_stream_of_damaged_frames_is_a_protocol_error_that_says_so() -> None:
    rig = StreamRig()
    rig.camera.inject("error_bit", times=0)
    before = rig.link.now()
    with pytest.raises(ProtocolError, match=r"no whole frame \([0-9]+ damaged frames, the last one: the camera marked"):
        rig.frames(1)
    assert rig.link.now() - before < 4.5


def test_unplugged_in_the_middle_of_a_frame_is_a_lost_link() -> None:
    rig = StreamRig()
    rig.numbers(2)
    rig.usb.port.unplug_after(1500)
    with pytest.raises(LinkLost):
        rig.frames(2)
    rig.stream.stop()
    rig.link.close()
    assert rig.usb.links == 0


# Those that take away. With others that add in the same frame, its size may come out right by accident.
TAKE_AWAY = ["lost", "short", "error_bit", "stall", "late"]
Script = st.lists(st.tuples(st.sampled_from(TAKE_AWAY), st.integers(0, 4)), max_size=6)


@settings(max_examples=50, deadline=None)
@given(Script, st.sampled_from([1024, 512, 4096]), st.booleans())
def test_no_script_of_faults_yields_a_frame_that_was_not_sent(
    script: list[tuple[str, int]],
    payload: int,
    glued: bool,  # noqa: FBT001 - hypothesis
) -> None:
    rig = StreamRig(max_payload=payload, separate_end=glued)
    for fault, pause in script:
        rig.camera.inject(fault)
        rig.frames(pause)  # checks each
    rig.camera.clear_faults()
    last = rig.numbers(16)  # of the first ones the reads in flight may have been struck already
    assert last[-4:] == list(range(last[-4], last[-4] + 4))


def test_the_light_is_switched_on_with_the_stream_and_off_after_it() -> None:
    rig = StreamRig({"led": "3:1:01:00"})
    assert rig.camera.lamp_on
    rig.stream.stop()
    assert not rig.camera.lamp_on


@pytest.mark.parametrize("led", ["4:1:01:00", "3:2:01:00", "3:1:0101:0000"])
def test_a_light_that_the_camera_does_not_have_is_an_error_of_the_option(led: str) -> None:
    with pytest.raises(ProtocolError, match="option 'led': the camera refuses it; its extension units: 3"):
        StreamRig({"led": led})


def answering(block: bytes) -> Callable[[bytes], bytes]:
    """A camera that answers every wish with one block."""

    def answer(wish: bytes) -> bytes:
        assert wish
        return block

    return answer


def test_a_camera_that_wants_endless_payloads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = StreamRig()
    greedy = StreamSettings(1, 1, 333_333, WIDTH * HEIGHT, 0xFFFFFFFF).to_bytes(34)
    monkeypatch.setattr(rig.camera, "_answer", answering(greedy))
    with pytest.raises(ProtocolError, match="wants payloads of 4294967295 bytes"):
        rig.stream.start()


def test_a_camera_that_answers_with_another_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = StreamRig()
    other = StreamSettings(1, 2, 333_333, WIDTH * HEIGHT, 1024).to_bytes(34)
    monkeypatch.setattr(rig.camera, "_answer", answering(other))
    with pytest.raises(ProtocolError, match="offers format 1, frame 2 in place of 1, 1"):
        rig.stream.start()


# The whole driver


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


def test_a_look_begins_with_a_frame_that_began_after_the_call() -> None:
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


def test_no_frame_of_a_look_is_given_twice() -> None:
    with attached() as (_, sensor):
        sensor.open()
        numbers = [int.from_bytes(sensor.capture(1.0).image.tobytes()[:8], "little") for _ in range(30)]
        assert all(earlier < later for earlier, later in pairwise(numbers))


def test_the_next_frame_of_a_look_may_be_under_way_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = StreamRig()
    clock, reader, sensor = rig.usb.time, FrameReader(rig.link), Uvc("usb:1209:0001", {})
    asked_for = list[float]()

    def frame_after(moment: float, _deadline: float) -> RawFrame:
        asked_for.append(moment)
        began_at, clock.seconds = clock.seconds - 0.007, clock.seconds + 0.023  # thirty times a second, ...
        return RawFrame(numbered(0, MODE), began_at, 1)

    monkeypatch.setattr(reader, "frame_after", frame_after)
    clock.seconds = 5.0
    for _ in range(3):
        sensor._next_image(reader, rig.stream.choice, Position.LEFT_EYE)
        clock.seconds += 0.01  # ... and looked at for a third of that
    sensor.begin_window()
    sensor._next_image(reader, rig.stream.choice, Position.LEFT_EYE)
    assert asked_for == pytest.approx([5.0, 4.993, 5.026, 5.099])


GIVEN_S, FRAME_S = 7.0, 1 / 30


@pytest.mark.parametrize(
    ("now", "position", "interval", "moment"),
    [
        (GIVEN_S + 0.04, Position.LEFT_EYE, FRAME_S, GIVEN_S),
        (GIVEN_S + 0.08, Position.LEFT_EYE, FRAME_S, GIVEN_S + 0.03),  # the one that waited is let by
        (GIVEN_S + 0.12, Position.LEFT_EYE, 1.0, GIVEN_S + 0.02),
        (GIVEN_S + 0.14, Position.LEFT_EYE, FRAME_S, GIVEN_S + 0.14),  # too late for this look
        (GIVEN_S + 0.04, Position.RIGHT_EYE, FRAME_S, GIVEN_S + 0.04),  # that was the other eye
    ],
)
def test_a_look_goes_on_for_who_asks_again_soon(now: float, position: Position, interval: float, moment: float) -> None:
    window = CaptureWindow()
    assert window.must_begin_after(Position.LEFT_EYE, GIVEN_S, FRAME_S) == GIVEN_S
    window.delivered(Position.LEFT_EYE, GIVEN_S, GIVEN_S + 0.03)
    assert window.must_begin_after(position, now, interval) == pytest.approx(moment)
    window.begin()
    assert window.must_begin_after(position, now, interval) == now


def test_a_picture_that_cannot_be_decoded_is_let_by() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((HEIGHT, WIDTH), 90, np.uint8)).save(stream, "JPEG")
    broken = b"\xff\xd8 this is not a JPEG \xff\xd9"
    with attached(formats=("mjpeg",)) as (camera, sensor):
        camera.show(looping([broken, broken, stream.getvalue()]))
        sensor.open()
        for _ in range(3):
            assert np.abs(sensor.capture(1.0).image.astype(int) - 90).max() <= 2


def test_streams_at_another_interface_than_usual_are_opened_there() -> None:
    asked = list[int]()
    with attached() as (_, sensor):

        def connect(url: AnyUsbUrl, interface: int) -> UsbLink:
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
        reader, _ = sensor._streaming
        reader.link.cancel()  # what cancel() does while open() has not got so far as to stream
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


WRONG: dict[str, tuple[str | float, str]] = {
    "size": ("large", "must be WIDTHxHEIGHT"),
    "fps": (0, "greater than 0"),
    "format": ("h264", "must be one of y8, y16"),
    "led": ("on", "must be UNIT:SELECTOR:ON"),
    "interface": (True, "not true or false"),
    "ppi": (-1, "greater than or equal to 0"),
}


@pytest.mark.parametrize("option", WRONG)
def test_a_wrong_option_is_refused_by_name(option: str) -> None:
    value, said = WRONG[option]
    with pytest.raises(ValueError, match=f"driver uvc: option '{option}': .*{said}"):
        Uvc("usb:1209:0001", {option: value})


@pytest.mark.parametrize("url", ["serial:/dev/ttyUSB0?baud=57600", "v4l2:/dev/video0"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="only at: usb, usbip"):
        Uvc(url, {})


def test_every_option_and_every_format_is_in_the_readme() -> None:
    text = (Path(drivers.__file__).parent / "README.md").read_text(encoding="utf-8")
    rows = text.partition("## uvc")[2].partition("## v4l2")[0]
    for name in [*UvcOptions.model_fields, *FORMAT_NAMED]:
        assert f"`{name}`" in rows
