"""The timing of a UART line, on a clock that the test sets."""

import numpy as np
import pytest

from simulators.sensors.ef01.device import Ef01Module, Ef01Settings, frame
from simulators.transports.faults import Faults
from simulators.transports.serial.uart import Burst, Line

ANYONE = 0xFFFFFFFF


FINGER = np.random.default_rng(5).integers(0, 256, (288, 256), np.uint8)


def asked(code: int, payload: bytes = b"") -> bytes:
    return frame(ANYONE, 0x01, bytes([code]) + payload)


@pytest.fixture
def module() -> Ef01Module:
    module = Ef01Module(Ef01Settings(boot_s=0.0))
    module.press(FINGER)
    return module


TABLE = [  # seconds an image, from the facts
    (256, 288, 128, 9600, 41.7),
    (256, 288, 128, 57600, 6.95),
    (256, 288, 128, 115_200, 3.48),
    (256, 288, 256, 9600, 40.1),
    (256, 288, 256, 57600, 6.67),
    (256, 288, 256, 115_200, 3.34),
    (192, 192, 128, 9600, 20.9),
    (192, 192, 128, 57600, 3.48),
    (192, 192, 128, 115_200, 1.74),
]


def run_line(line: Line) -> list[tuple[float, bytes]]:
    """Turn the clock to each moment that the line names; what arrived then."""
    runs = []
    while (now := line.wake_at()) is not None:
        runs.append((now, b"".join(data for data, _ in line.arrived(now))))
    return runs


@pytest.mark.parametrize(("width", "height", "packet_size", "baud", "seconds"), TABLE)
def test_a_paced_image_takes_the_seconds_of_the_facts(
    width: int, height: int, packet_size: int, baud: int, seconds: float
) -> None:
    settings = Ef01Settings(width=width, height=height, packet_size=packet_size, baud=baud, boot_s=0.0)
    module = Ef01Module(settings, clock=lambda: 0.0)
    module.press(np.zeros((height, width), np.uint8))
    module.receive(asked(0x01), 0.0)
    line = Line(pace=True)
    bursts = module.receive(asked(0x0A), line.receive(12, 0.0, baud))
    line.queue(bursts)
    runs = run_line(line)
    assert b"".join(data for _, data in runs) == b"".join(burst.data for burst in bursts)
    total = 12 + sum(len(burst.data) for burst in bursts)
    assert runs[-1][0] == pytest.approx(total * 10 / baud)
    assert runs[-1][0] == pytest.approx(seconds, rel=0.003)


def test_no_byte_arrives_before_its_time() -> None:
    line = Line(pace=True)
    line.queue([Burst(1.0, bytes(100), 9600), Burst(1.0, bytes(100), 19200)])
    moments = [0.5, 1.0, 1.0005, 1.0011, 1.05, 1.1042, 1.13, 1.1563]
    got = [sum(len(data) for data, _ in line.arrived(now)) for now in moments]
    assert np.cumsum(got).tolist() == [0, 0, 0, 1, 48, 100, 149, 200]
    assert line.wake_at() is None


def test_without_pace_only_what_is_late_waits() -> None:
    line = Line(pace=False)
    line.queue([Burst(1.0, b"ab", 9600), Burst(3.0, b"cd", 9600)])
    assert line.arrived(1.0) == [(b"ab", 9600)]
    assert line.wake_at() == 3.0
    assert line.arrived(2.9) == []
    assert line.arrived(3.0) == [(b"cd", 9600)]


def test_what_the_host_says_takes_its_time_too() -> None:
    line = Line(pace=True)
    assert line.receive(96, 0.0, 9600) == pytest.approx(0.1)
    assert line.receive(96, 0.0, 9600) == pytest.approx(0.2)
    assert line.receive(96, 1.0, 9600) == pytest.approx(1.1)


def test_a_line_that_trickles_sends_byte_by_byte_until_the_fault_is_cleared() -> None:
    faults = Faults(0, ["trickle"])
    faults.inject("trickle", seconds=1.0)
    line = Line(pace=False, faults=faults)
    line.queue([Burst(5.0, b"ab", 9600), Burst(5.5, b"cd", 9600)])
    assert [line.arrived(at) for at in (4.9, 5.0, 5.9, 6.0)] == [[], [(b"a", 9600)], [], [(b"b", 9600)]]
    assert line.wake_at() == 7.0
    assert line.arrived(7.0) == [(b"c", 9600)]
    faults.clear()
    assert line.arrived(7.1) == [(b"d", 9600)]


def test_a_line_whose_cable_is_out_has_nothing_to_send() -> None:
    line = Line(pace=False)
    line.queue([Burst(5.0, b"ab", 9600)])
    line.clear()
    assert (line.arrived(6.0), line.wake_at()) == ([], None)
