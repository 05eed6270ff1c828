"""DTR of a pseudo-terminal: rises when the host opens the port, and falls at its last close unless HUPCL is cleared."""

import os
import select
import termios
import tty
from collections.abc import Iterator

import pytest

from simulators.transports.serial import modem_line
from simulators.transports.serial.modem_line import ModemLine


@pytest.fixture(name="slave")
def _slave() -> Iterator[int]:
    master, slave = os.openpty()
    tty.setraw(slave)
    yield slave
    os.close(master)
    os.close(slave)


@pytest.fixture(name="line")
def _line(slave: int) -> Iterator[ModemLine]:
    line = ModemLine(slave)
    yield line
    line.close()


def opened(slave: int) -> int:
    return os.open(os.ttyname(slave), os.O_RDWR | os.O_NOCTTY)


def test_it_rises_at_the_first_opening_only(slave: int, line: ModemLine) -> None:
    assert not line.take_raised()
    first = opened(slave)
    assert line.take_raised()
    second = opened(slave)
    assert not line.take_raised()
    os.close(first)
    assert not line.take_raised()
    os.close(opened(slave))
    assert not line.take_raised()  # the port was open all the time
    os.close(second)


def test_it_rises_again_after_the_last_close(slave: int, line: ModemLine) -> None:
    os.close(opened(slave))
    assert select.select([line.fileno()], [], [], 0)[0]
    assert line.take_raised()
    os.close(opened(slave))
    assert line.take_raised()
    assert not select.select([line.fileno()], [], [], 0)[0]


def test_a_host_that_clears_hupcl_keeps_it_high(slave: int, line: ModemLine) -> None:
    port = opened(slave)
    attributes = termios.tcgetattr(port)
    assert attributes[2] & termios.HUPCL  # as on a real port
    attributes[2] &= ~termios.HUPCL
    termios.tcsetattr(port, termios.TCSANOW, attributes)
    os.close(port)
    assert line.take_raised()
    os.close(opened(slave))
    assert not line.take_raised()


def test_a_kernel_without_inotify_is_named(slave: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modem_line, "IN_OPEN", 0)
    monkeypatch.setattr(modem_line, "IN_CLOSE_WRITE", 0)
    monkeypatch.setattr(modem_line, "IN_CLOSE_NOWRITE", 0)
    with pytest.raises(OSError, match="cannot watch the openings"):
        ModemLine(slave)
