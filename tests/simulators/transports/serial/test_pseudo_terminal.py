"""The pseudo-terminal: a serial device that the host opens like a real port."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import serial

from simulators.polling import wait_until
from simulators.sensors.ef01.device import Ef01Module, Ef01Settings, frame
from simulators.transports.serial.pseudo_terminal import PortDied, PtyServer
from simulators.transports.serial.uart import Burst

ANYONE = 0xFFFFFFFF

FINGER = np.random.default_rng(5).integers(0, 256, (288, 256), np.uint8)

IMAGE_ON_THE_WIRE = 12 + 288 * (128 + 11)  # acknowledge and 288 packets

DEADLINE_S = 10.0


def asked(code: int, payload: bytes = b"") -> bytes:
    return frame(ANYONE, 0x01, bytes([code]) + payload)


@pytest.fixture
def module() -> Ef01Module:
    module = Ef01Module(Ef01Settings(boot_s=0.0))
    module.press(FINGER)
    return module


@pytest.fixture
def server(module: Ef01Module, tmp_path: Path) -> Iterator[PtyServer]:
    with PtyServer(module, tmp_path / "ttyFP0") as server:
        yield server


def host(server: PtyServer, baud: int = 57600, timeout: float = DEADLINE_S) -> serial.Serial:
    return serial.Serial(str(server.link), baud, timeout=timeout)


def read_until_it_dies(port: serial.Serial) -> bytes:
    got = bytearray()
    try:
        while True:
            got += port.read(min(4096, max(1, port.in_waiting)))
    except OSError:  # of which SerialException is one; in_waiting raises it plain
        return bytes(got)


def test_a_paced_server_is_no_faster_than_the_line(module: Ef01Module, tmp_path: Path) -> None:
    """Real seconds, so only the bound that no load on this machine can break."""
    with PtyServer(module, tmp_path / "ttyFP0", pace=True) as server, host(server) as port:
        started = time.monotonic()
        port.write(asked(0x0F) * 10)  # all must have come in before the last is answered
        assert len(port.read(280)) == 280
        assert time.monotonic() - started >= (120 + 28) * 10 / 57600


def test_the_host_reads_an_image_through_the_link(module: Ef01Module, server: PtyServer) -> None:
    twin = Ef01Module(Ef01Settings(boot_s=0.0))
    twin.press(FINGER)
    expected = b"".join(burst.data for burst in twin.receive(asked(0x01) + asked(0x0A)))
    with host(server) as port:
        port.write(asked(0x01) + asked(0x0A))
        assert port.read(len(expected)) == expected
    server.unplug()  # an order is carried out between two writes, so the count of the last one is in
    assert server.bytes_sent == len(expected)
    assert module.counters().images_sent == 1


def test_another_rate_than_the_modules_hears_nothing_until_it_is_set_right(server: PtyServer) -> None:
    with host(server, 115_200, timeout=0.2) as port:
        port.write(asked(0x0F))
        assert port.read(28) == b""
        port.baudrate = 57600
        port.timeout = DEADLINE_S
        port.write(asked(0x0F))
        assert port.read(28)[:2] == b"\xef\x01"


def test_a_new_rate_is_answered_at_the_old_one_and_spoken_afterwards(server: PtyServer) -> None:
    with host(server) as port:
        port.write(asked(0x0E, b"\x04\x0c"))
        assert port.read(12) == bytes.fromhex("EF01FFFFFFFF07000300000A")
        port.baudrate = 115_200
        port.write(asked(0x0F))
        assert port.read(28)[-4:-2] == b"\x00\x0c"


@pytest.mark.parametrize("count", [1, 11, 12, 13, 20, 5000, IMAGE_ON_THE_WIRE - 1])
def test_unplugging_after_n_bytes_gives_the_host_exactly_those(server: PtyServer, count: int) -> None:
    with host(server) as port:
        port.write(asked(0x01))
        port.read(12)
        server.unplug_after(count)
        port.write(asked(0x0A))
        assert len(read_until_it_dies(port)) == count
    assert server.unplugged.wait(DEADLINE_S)
    assert not server.link.is_symlink()


def test_unplugging_kills_the_port_and_replugging_makes_a_fresh_one(module: Ef01Module, server: PtyServer) -> None:
    with host(server) as port:
        port.write(asked(0x01))
        port.read(12)
        server.unplug()
        assert not server.link.is_symlink()
        assert read_until_it_dies(port) == b""
    with pytest.raises(LookupError, match="is unplugged"):
        _ = server.port
    server.replug()
    assert module.image_buffer is None  # it has been without power
    with host(server) as port:
        port.write(asked(0x01))
        assert port.read(12)[9] == 0
    assert server.port.startswith("/dev/")


def test_the_fault_unplug_wakes_an_idle_server(module: Ef01Module, server: PtyServer) -> None:
    module.inject("unplug")
    assert server.unplugged.wait(DEADLINE_S)


def test_unplugging_twice_and_replugging_twice_does_no_harm(server: PtyServer) -> None:
    for _ in range(2):
        server.unplug()
    for _ in range(2):
        server.replug()
    with host(server) as port:
        port.write(asked(0x53))
        assert port.read(12)[9] == 0x55


def test_a_host_that_reads_nothing_does_not_stop_the_server(server: PtyServer) -> None:
    with host(server) as port:
        port.write(asked(0x01) + asked(0x0A) * 4)  # more than the terminal holds
    server.unplug()
    assert server.unplugged.is_set()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_left_behind(module: Ef01Module, tmp_path: Path) -> None:
    files, threads = open_files(), threading.active_count()
    for pull in (False, True):
        with PtyServer(module, tmp_path / "ttyFP0") as server:
            if pull:
                server.unplug()
    assert list(tmp_path.iterdir()) == []
    assert (open_files(), threading.active_count()) == (files, threads)


def test_a_file_that_is_no_link_is_not_overwritten(module: Ef01Module, tmp_path: Path) -> None:
    precious = tmp_path / "ttyFP0"
    precious.write_text("precious")
    with pytest.raises(FileExistsError, match="choose another --link"), PtyServer(module, precious):
        pass
    assert precious.read_text() == "precious"


def test_a_link_to_something_else_is_not_replaced(module: Ef01Module, tmp_path: Path) -> None:
    precious, link = tmp_path / "precious", tmp_path / "ttyFP0"
    precious.write_text("precious")
    link.symlink_to(precious)
    with pytest.raises(FileExistsError, match="choose another --link"), PtyServer(module, link):
        pass
    assert link.readlink() == precious


def test_a_folder_is_no_link(module: Ef01Module, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="choose another --link"), PtyServer(module, tmp_path):
        pass


def test_a_link_to_a_terminal_that_lives_is_replaced(module: Ef01Module, server: PtyServer, tmp_path: Path) -> None:
    link = tmp_path / "ttyFP1"
    link.symlink_to(server.port)
    with PtyServer(module, link) as second:
        assert second.port != server.port


class Broken(Ef01Module):
    def receive(self, data: bytes, now: float | None = None) -> list[Burst]:  # noqa: ARG002 - as it must be
        raise ZeroDivisionError


def break_it(server: PtyServer) -> None:
    with host(server) as port:
        port.write(b"x")
        assert server.unplugged.wait(DEADLINE_S)


def test_a_bug_in_a_device_is_told_to_whoever_orders_and_whoever_ends(tmp_path: Path) -> None:
    server = PtyServer(Broken(Ef01Settings()), tmp_path / "ttyFP0")
    with pytest.raises(PortDied, match="died: ZeroDivisionError"), server:  # noqa: PT012 - raised at its end
        break_it(server)
        with pytest.raises(PortDied, match="ttyFP0 died: ZeroDivisionError"):
            server.replug()
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_a_killed_sensor_left_is_replaced(module: Ef01Module, tmp_path: Path) -> None:
    link = tmp_path / "ttyFP0"
    link.symlink_to("/dev/pts/99999")
    with PtyServer(module, link) as server:
        assert server.port != "/dev/pts/99999"


def test_a_module_that_restarts_when_its_port_is_opened_is_deaf_for_a_moment(
    module: Ef01Module, server: PtyServer
) -> None:
    module.inject("restarts", seconds=0.3)
    with host(server, timeout=0.1) as port:
        port.write(asked(0x0F))
        assert port.read(28) == b""
        wait_until(lambda: port.write(asked(0x0F)) is not None and len(port.read(28)) == 28, DEADLINE_S)
        commands = module.counters().commands["ReadSysPara"]
    assert commands >= 1


def test_bytes_that_trickle_arrive_one_by_one(module: Ef01Module, server: PtyServer) -> None:
    module.inject("trickle", seconds=0.02)
    with host(server) as port:
        started = time.monotonic()
        port.write(asked(0x0F))
        assert len(port.read(28)) == 28
        assert time.monotonic() - started > 0.02 * 27
