"""The simulated camera alone: requests, payloads, frames at a rate and faults of the stream; no driver of ours."""

import struct
import threading
from collections.abc import Callable

import pytest

from simulators.sensors.uvc.descriptors import UvcSettings, configuration
from simulators.sensors.uvc.device import Counters, UvcCamera
from simulators.sensors.uvc.frames import Mode, looping, numbered
from simulators.transports.usb.device import Setup, Stall, UsbWire

SMALL = UvcSettings(sizes=((64, 48),), max_payload=1036)
SET, GET = 0x21, 0xA1
WISH = struct.pack("<HBBI10xII", 1, 1, 1, 333_333, 0, 0) + bytes(8)
DEADLINE_S = 10.0


class Wire:
    """A host that asks one transfer after another, at a time of the test's."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.sent: list[tuple[bytes, float]] = []
        self.dropped = 0
        self.waiting = 0  # transfers that were asked for before

    def now(self) -> float:
        return self.seconds

    def send(self, endpoint: int, data: bytes, after: float = 0.0) -> None:
        assert endpoint == 0x81
        self.sent.append((data, self.seconds + after))

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        raise AssertionError(seconds, action)

    def stall(self, endpoint: int) -> None:
        raise AssertionError(endpoint)

    def drop(self, endpoint: int) -> None:
        assert endpoint == 0x81
        self.dropped += 1

    def pending(self, endpoint: int) -> int:
        assert endpoint == 0x81
        return self.waiting

    def unplug(self) -> None:
        raise AssertionError


_: type[UsbWire] = Wire


def plugged(settings: UvcSettings = SMALL, *, commit: bool = True) -> tuple[UvcCamera, Wire]:
    camera, wire = UvcCamera(settings), Wire()
    camera.attach(wire, 0.0)
    if commit:
        camera.control(Setup(SET, 0x01, 0x0100, 1, 34), WISH)
        camera.control(Setup(SET, 0x01, 0x0200, 1, 34), WISH)
    return camera, wire


def ask(camera: UvcCamera, count: int) -> None:
    for _ in range(count):
        camera.read_submitted(0x81, 2048)


def test_nothing_streams_before_a_commit_and_what_was_asked_comes_then() -> None:
    camera, wire = plugged(commit=False)
    ask(camera, 2)
    assert wire.sent == []
    assert camera.mode is None
    wire.waiting = 2
    camera.control(Setup(SET, 0x01, 0x0200, 1, 34), WISH)
    assert len(wire.sent) == 2


def test_a_frame_is_payloads_with_headers_and_the_last_one_says_so() -> None:
    camera, wire = plugged()
    ask(camera, 3)
    first, second, third = (payload for payload, _ in wire.sent)
    assert (len(first), len(second), len(third)) == (1036, 1036, 1036)
    assert {payload[0] for payload in (first, second, third)} == {12}
    assert [payload[1] & 0x02 for payload in (first, second, third)] == [0, 0, 2]
    assert first[1] & 0x8D == 0x8D  # end of header, clock, time, frame id 1
    assert first[2:6] == second[2:6] == third[2:6]
    assert first[12:] + second[12:] + third[12:] == numbered(0, Mode("y800", 64, 48, 333_333))


def test_frames_come_at_their_rate_and_the_frame_id_toggles() -> None:
    camera, wire = plugged()
    ask(camera, 9)
    assert [due for _, due in wire.sent[::3]] == pytest.approx([0, 1 / 30, 2 / 30], abs=1e-6)
    assert [payload[1] & 1 for payload, _ in wire.sent[::3]] == [1, 0, 1]


def test_a_sensor_does_not_wait_for_a_host_that_does_not_ask() -> None:
    camera, wire = plugged()
    ask(camera, 1)
    wire.seconds = 1.0
    ask(camera, 3)
    numbers = [int.from_bytes(payload[12:20], "little") for payload, _ in wire.sent[1:2]]
    assert numbers == [30]
    assert wire.dropped == 2  # at the commit, and what was left of the old frame
    assert camera.counters() == Counters(commits=1, frames_begun=2, frames_sent=1, frames_skipped=30)


def test_the_readout_takes_its_share_of_the_interval() -> None:
    camera, wire = plugged(UvcSettings(sizes=((64, 48),), max_payload=1036, readout=0.9))
    ask(camera, 3)
    assert [due for _, due in wire.sent] == pytest.approx([0.0, 0.01, 0.02], abs=1e-5)


@pytest.mark.parametrize(
    ("request_", "value", "index", "length"),
    [
        (0x01, 0x0100, 0, 34),
        (0x01, 0x0300, 1, 34),
        (0x01, 0x0100, 1, 26),
        (0x05, 0x0100, 1, 34),
        (0x01, 0x0200, 0x0300, 1),
    ],
)
def test_what_is_no_request_of_ours_is_refused(request_: int, value: int, index: int, length: int) -> None:
    camera, _ = plugged(commit=False)
    with pytest.raises(Stall):
        camera.control(Setup(SET, request_, value, index, length), WISH[:length])


def test_a_wish_out_of_reach_is_answered_with_what_there_is() -> None:
    camera, _ = plugged(commit=False)
    camera.control(Setup(SET, 0x01, 0x0100, 1, 34), struct.pack("<HBBI10xII", 1, 9, 9, 1, 0, 0) + bytes(8))
    answer = camera.control(Setup(GET, 0x81, 0x0100, 1, 34), b"")
    assert struct.unpack_from("<xxBBI10xII", answer) == (1, 1, 333_333, 64 * 48, 1036)
    assert camera.control(Setup(GET, 0x85, 0x0100, 1, 2), b"") == b"\x22\x00"


# What is before the camera


def test_the_descriptors_are_those_of_the_settings() -> None:
    description = UvcCamera(UvcSettings(vendor=0x1234, serial="X", speed="super")).description
    assert (description.vendor, description.serial, description.speed) == (0x1234, "X", "super")
    assert description.configuration == configuration(UvcSettings(speed="super"))


def test_what_the_camera_sees_changes_with_the_next_frame() -> None:
    camera, wire = plugged()
    ask(camera, 1)
    camera.show(looping([b"\x07" * 64 * 48]))
    ask(camera, 3)
    assert set(wire.sent[1][0][12:]) != {7}
    assert set(wire.sent[3][0][12:]) == {7}


def test_frames_that_begin_can_be_waited_for() -> None:
    camera, _ = plugged()
    assert not camera.wait_for_frames(1, 0.0)
    waiting = threading.Thread(target=lambda: waited.append(camera.wait_for_frames(1, DEADLINE_S)))
    waited: list[bool] = []
    waiting.start()
    while waiting.is_alive():
        ask(camera, 3)
    assert waited == [True]


def test_a_frozen_stream_continues_when_the_fault_is_cleared() -> None:
    camera, wire = plugged()
    camera.inject("freeze")
    ask(camera, 2)
    assert wire.sent == []
    camera.clear_faults()
    assert len(wire.sent) == 2


def test_an_unplugged_camera_sends_nothing_and_forgets_its_mode() -> None:
    camera, wire = plugged()
    camera.detach()
    ask(camera, 1)
    camera.received(0x02, b"x")
    camera.read_submitted(0x82, 2048)
    assert (wire.sent, camera.mode) == ([], None)


def test_the_light_is_switched_by_the_extension_unit() -> None:
    camera, _ = plugged()
    assert not camera.lamp_on
    assert camera.control(Setup(SET, 0x01, 0x0100, 0x0300, 1), b"\x01") == b""
    assert camera.lamp_on
    assert camera.control(Setup(GET, 0x81, 0x0100, 0x0300, 1), b"") == b"\x01"
    assert camera.control(Setup(GET, 0x85, 0x0100, 0x0300, 2), b"") == b"\x01\x00"
    for request in (Setup(GET, 0x82, 0x0100, 0x0300, 1), Setup(SET, 0x01, 0x0100, 0x0300, 2)):
        with pytest.raises(Stall):
            camera.control(request, bytes(2))


def test_a_camera_can_promise_frames_of_no_bytes() -> None:
    camera, _ = plugged(commit=False)
    camera.inject("max_frame_zero")
    camera.control(Setup(SET, 0x01, 0x0100, 1, 34), WISH)
    answer = camera.control(Setup(GET, 0x81, 0x0100, 1, 34), b"")
    assert struct.unpack_from("<18xI", answer) == (0,)


@pytest.mark.parametrize(
    ("size", "lengths"),
    [((64, 48), [1036, 1036, 1036, 12]), ((50, 10), [512 + 12])],
    ids=["in a transfer of its own", "in the same transfer after a full packet"],
)
def test_the_end_of_a_frame_can_be_a_header_without_data(size: tuple[int, int], lengths: list[int]) -> None:
    camera, wire = plugged(UvcSettings(sizes=(size,), max_payload=1036, separate_end=True))
    ask(camera, len(lengths))
    payloads = [payload for payload, _ in wire.sent]
    assert [len(payload) for payload in payloads] == lengths
    assert [payload[1] & 0x02 for payload in payloads[:-1]] == [0] * (len(lengths) - 1)
    end = payloads[-1][-12:]
    assert (end[0], end[1] & 0x02) == (12, 2)
    assert camera.counters().frames_sent == 1


def test_a_damaged_payload_has_the_error_bit_once() -> None:
    camera, wire = plugged()
    camera.inject("error_bit")
    ask(camera, 6)
    assert [payload[1] & 0x40 for payload, _ in wire.sent] == [0x40, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("changes", "lengths"), [({"timestamps": False}, [2, 2, 2]), ({"timestamp_once": True}, [12, 2, 2])]
)
def test_headers_can_have_no_time_or_only_the_first_one(changes: dict[str, bool], lengths: list[int]) -> None:
    camera, wire = plugged(UvcSettings(sizes=((64, 48),), max_payload=1036, **changes))  # type: ignore[arg-type]
    ask(camera, 3)
    assert [payload[0] for payload, _ in wire.sent] == lengths


def test_a_lamp_can_strobe() -> None:
    camera, wire = plugged(UvcSettings(sizes=((8, 4),), max_payload=1036))
    camera.show(lambda _number, _mode: bytes([200] * 32))
    camera.inject("strobe", lit=1, of=3, percent=10)
    ask(camera, 6)
    assert [payload[-1] for payload, _ in wire.sent] == [200, 20, 20, 200, 20, 20]


def test_noise_can_follow_each_frame() -> None:
    camera, wire = plugged(UvcSettings(sizes=((8, 4),), max_payload=1036))
    camera.inject("trailing", bytes=5)
    ask(camera, 2)
    assert [len(payload) for payload, _ in wire.sent] == [12 + 32 + 5] * 2


def test_deep_pixels_can_be_shallow() -> None:
    camera, wire = plugged(UvcSettings(sizes=((8, 4),), formats=("y16",), max_payload=1036))
    camera.show(lambda _number, _mode: b"\xff" * 64)
    camera.inject("shallow", depth=12)
    ask(camera, 1)
    assert wire.sent[0][0][-2:] == b"\xff\x0f"
