"""The stream of a bulk camera in virtual time, fault by fault."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import Cancelled, LinkLost, ProtocolError, UsbMemoryFull
from drivers.transport import parse_usb_url
from drivers.usb.connect import open_link
from drivers.usb.link import PendingRead
from drivers.uvc.descriptors import streaming_interfaces
from drivers.uvc.options import UvcOptions, choose_stream
from drivers.uvc.payload import RawFrame
from drivers.uvc.stream import FrameReader, OnFrame, Stream, ignore_frame
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.sensors.uvc.frames import Mode, encode, looping, numbered
from simulators.transports.usb.usbip import UsbIpServer
from tests.rigs.uvc_rig import noise
from tests.rigs.uvc_stream import HEIGHT, WIDTH, StreamRig, frame_number
from tests.rigs.virtual_usb import UsbMemory, VirtualUsb


def test_every_frame_comes_in_order_and_at_the_rate_of_the_camera() -> None:
    rig = StreamRig()
    frames = rig.frames(30)
    assert [frame_number(frame) for frame in frames] == list(range(30))
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
    assert rig.camera.faults.pending() == {}


@pytest.mark.parametrize("fault", ["no_end", "frame_id_stuck", "max_frame_zero"])
def test_a_habit_of_the_camera_costs_nothing(fault: str) -> None:
    rig = StreamRig()
    rig.camera.inject(fault)
    rig.stream.start()
    numbers = rig.numbers(8)
    assert numbers == list(range(numbers[0], numbers[0] + 8))


def test_a_stall_is_cleared_and_the_stream_started_again() -> None:
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
    assert rig.usb.claims == 0


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


def test_a_cancel_left_over_does_not_keep_the_light_on() -> None:
    rig = StreamRig({"led": "3:1:01:00"})
    rig.link.cancel()
    rig.stream.stop()
    assert not rig.camera.lamp_on


# The thread that reads


@contextmanager
def reading(on_frame: OnFrame = ignore_frame) -> Iterator[FrameReader]:
    camera = UvcCamera(UvcSettings(sizes=((WIDTH, HEIGHT),), rates=(100.0,), max_payload=1024), seed=1)
    with UsbIpServer(camera) as server:
        reader = FrameReader(open_link(parse_usb_url(server.url), 1), on_frame)
        choice = choose_stream(streaming_interfaces(reader.link.configuration), UvcOptions())
        reader.start(Stream(reader.link, choice))
        try:
            yield reader
        finally:
            reader.close()


def test_the_newest_frame_that_began_after_a_moment_is_returned() -> None:
    with reading() as reader:
        moment = reader.link.now()
        for _ in range(3):
            frame = reader.frame_after(moment, moment + 5.0)
            assert frame.began_at > moment
            moment = frame.began_at
        assert reader.statistics.frames >= 3


def test_a_deadline_without_a_new_frame_is_a_protocol_error() -> None:
    with reading() as reader:
        now = reader.link.now()
        with pytest.raises(ProtocolError, match="no readable frame in time; 0 damaged ones"):
            reader.frame_after(now + 60.0, now + 0.05)


@pytest.mark.parametrize("cancel", [FrameReader.cancel, lambda reader: reader.link.cancel()], ids=["cancel", "open"])
def test_a_cancel_ends_one_wait_and_the_stream_continues(cancel: Callable[[FrameReader], None]) -> None:
    """Also one that was meant for open() and came too late for it."""
    with reading() as reader:
        cancel(reader)
        with pytest.raises(Cancelled):
            reader.frame_after(reader.link.now() + 60.0, reader.link.now() + 5.0)
        reader.frame_after(reader.link.now(), reader.link.now() + 5.0)


def test_a_cancel_before_the_start_reaches_the_link() -> None:
    link = VirtualUsb(UvcCamera(UvcSettings(), seed=1)).open_link()
    reader = FrameReader(link)
    reader.cancel()
    with pytest.raises(Cancelled):
        link.pause(1.0)
    assert reader.statistics.payloads == 0


def test_an_error_of_the_receiver_ends_the_stream_and_is_raised_by_the_next_wait() -> None:
    def broken(_frame: RawFrame) -> None:
        raise ZeroDivisionError

    with reading(broken) as reader, pytest.raises(ZeroDivisionError):
        reader.frame_after(reader.link.now() + 60.0, reader.link.now() + 5.0)


def test_a_closed_reader_has_no_frames_and_closes_twice() -> None:
    with reading() as reader:
        reader.close()
        with pytest.raises(LinkLost, match="closed"):
            reader.frame_after(0.0, 5.0)


def test_frames_of_another_size_than_announced_say_how_to_state_it() -> None:
    rig = StreamRig()
    rig.camera.show(lambda _number, _mode: bytes(WIDTH * HEIGHT // 2))
    with pytest.raises(ProtocolError, match=r"1536 bytes in place of 3072.*option 'contains', such as y8 752x480"):
        rig.frames(1)


BIG: dict[str, object] = {"sizes": ((2592, 1944),), "formats": ("y800",), "rates": (10.0,)}


@pytest.mark.parametrize("max_payload", [1024, 16_384, 65_536, 1 << 20, 16 << 20])
@pytest.mark.parametrize("facts", [{}, {"sizes": ((640, 480),)}, BIG], ids=["small", "usual", "big"])
def test_four_cameras_fit_into_the_memory_that_linux_allows(max_payload: int, facts: dict[str, object]) -> None:
    memory = UsbMemory()
    rigs = [StreamRig(None, memory=memory, max_payload=max_payload, **facts) for _ in range(4)]
    for rig in rigs:
        rig.stream.step()
    assert memory.used <= memory.limit * 3 // 4


@pytest.mark.parametrize("limit", [20_000, 100_000, 1 << 20])
@pytest.mark.parametrize("max_payload", [16_384, 65_536, 16 << 20])
def test_with_little_memory_left_there_are_fewer_and_smaller_reads_and_the_same_frames(
    limit: int, max_payload: int
) -> None:
    memory = UsbMemory(limit)
    rig = StreamRig(memory=memory, max_payload=max_payload, sizes=((640, 480),))
    found = list[RawFrame]()
    while len(found) < 4:
        found += rig.stream.step()
    mode = Mode("y800", 640, 480, 333_333)
    assert [frame.data for frame in found] == [numbered(frame_number(frame), mode) for frame in found]
    rig.stream.stop()
    assert memory.used == 0


def test_without_memory_for_a_single_read_the_error_names_the_limit_and_the_setting() -> None:
    rig = StreamRig(memory=UsbMemory(5000), max_payload=16_384)
    with pytest.raises(UsbMemoryFull, match=r"in flight \(/sys/module/usbcore/parameters/usbfs_memory_mb\).*sudo tee"):
        rig.stream.step()


def test_the_emitter_is_the_light_by_its_other_name() -> None:
    rig = StreamRig({"emitter": "3:1:01:00"})
    assert rig.camera.lamp_on
    rig.stream.stop()
    assert not rig.camera.lamp_on
    with pytest.raises(ProtocolError, match=r"option 'emitter': .* this control has 1 bytes, the option gives 2"):
        StreamRig({"emitter": "3:1:0101:0000"})
    with pytest.raises(ProtocolError, match="option 'emitter': the camera has no such unit; its extension units: 3"):
        StreamRig({"emitter": "microsoft"})
