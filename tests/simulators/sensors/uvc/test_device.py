"""The simulated camera by itself, and what a technician types: kiosk-sim uvc, look and away."""

import struct
from collections.abc import Callable

import pytest

from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import Counters, UvcCamera
from simulators.sensors.uvc.frames import Mode, numbered
from simulators.transports.usb.device import Setup, Stall, UsbWire

SMALL = UvcSettings(sizes=((64, 48),), max_payload=1036)
SET, GET = 0x21, 0xA1
WISH = struct.pack("<HBBI10xII", 1, 1, 1, 333_333, 0, 0) + bytes(8)


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
        camera.asked(0x81, 2048)


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
