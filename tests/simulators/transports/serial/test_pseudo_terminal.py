"""The pseudo-terminal, its pace on a clock that the test turns, the control socket and the commands of a technician."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import serial
from PIL import Image

from simulators.sensors.ef01.device import Ef01Module, Ef01Settings, frame
from simulators.sensors.ef01.rig import Ef01Rig
from simulators.transports.faults import FAULTS
from simulators.transports.remote import RemoteControl, RemoteError, SensorRemote, default_link
from simulators.transports.serial.pseudo_terminal import PortDied, PtyServer
from simulators.transports.serial.uart import Burst, Line

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


# Pace

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


def test_a_paced_server_is_no_faster_than_the_line(module: Ef01Module, tmp_path: Path) -> None:
    """Real seconds, so only the bound that no load on this machine can break."""
    with PtyServer(module, tmp_path / "ttyFP0", pace=True) as server, host(server) as port:
        started = time.monotonic()
        port.write(asked(0x0F) * 10)  # all must have come in before the last is answered
        assert len(port.read(280)) == 280
        assert time.monotonic() - started >= (120 + 28) * 10 / 57600


# The port


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


# The control socket


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "finger.png"
    Image.fromarray(FINGER).save(path)
    return path


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Ef01Rig]:
    with Ef01Rig(Ef01Settings(boot_s=0.0), tmp_path / "ttyFP0") as rig:
        yield rig


@pytest.fixture
def remote(rig: Ef01Rig) -> SensorRemote:
    return SensorRemote(rig.server.link)


def test_a_picture_is_pressed_lifted_and_pressed_again(rig: Ef01Rig, remote: SensorRemote, picture: Path) -> None:
    assert remote.press(image=picture) == {"finger": str(picture)}
    assert rig.module.finger_on
    assert remote.lift() == {"finger_on": False}
    remote.press()
    assert rig.module.finger_on


def test_a_relative_path_is_that_of_the_caller(
    remote: SensorRemote, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture.parent)
    assert remote.press(image=Path(picture.name)) == {"finger": str(picture)}


def test_a_synthetic_finger_is_pressed_by_seed(rig: Ef01Rig, remote: SensorRemote) -> None:
    shown = remote.press(person=3, finger="left_thumb", impression=2)
    assert shown == {"finger": "person 3, left_thumb, impression 2"}
    assert remote.status()["finger_on"]
    rig.module.receive(asked(0x01))
    first = rig.module.image_buffer
    remote.load(person=3, finger="left_thumb", impression=1)  # a finger that is down changes at once
    rig.module.receive(asked(0x01))
    assert None not in (first, rig.module.image_buffer)
    assert rig.module.image_buffer != first


def test_status_says_what_the_sensor_is_and_has_done(remote: SensorRemote, rig: Ef01Rig) -> None:
    with host(rig.server) as port:
        port.write(asked(0x01))
        port.read(12)
    status = remote.status()
    expected = {"plugged": True, "size": "256x288", "baud": 57600, "packet_size": 128, "finger_on": False, "faults": {}}
    assert status | expected == status
    assert status["commands"] == {"GetImage": 1}


def test_faults_and_the_plug_are_worked_from_outside(remote: SensorRemote, rig: Ef01Rig) -> None:
    remote.fault("drop", times=2, bytes="3")
    remote.fault("silent")
    assert remote.status()["faults"] == {"drop": 2, "silent": 0}
    remote.clear()
    assert remote.status()["faults"] == {}
    remote.unplug()
    assert rig.server.unplugged.wait(DEADLINE_S)
    remote.replug()
    assert remote.status()["plugged"]


@pytest.mark.parametrize(
    ("do", "details", "said"),
    [
        ("press", {}, "no finger is loaded: give --image FILE or --person SEED"),
        ("press", {"person": 1, "image": "x.png"}, "give one of the two"),
        ("press", {"person": 1, "finger": "thumb"}, "there is no finger 'thumb'; choose one of right_thumb"),
        ("press", {"person": 1, "toe": 2}, "a finger has no toe"),
        ("press", {"image": "/nowhere/x.png"}, "there is no file /nowhere/x.png: check the path"),
        ("fault", {"name": "drp"}, "there is no fault 'drp'"),
        ("dance", {}, "commands are press, load, lift"),
    ],
)
def test_a_refusal_says_why(remote: SensorRemote, do: str, details: dict[str, object], said: str) -> None:
    with pytest.raises(RemoteError, match=said):
        remote.ask(do, **details)


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b"no json\n", b'{"do": "lift", "x": 1}\n', b""])
def test_a_line_that_is_no_request_is_refused_and_the_next_is_served(remote: SensorRemote, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(DEADLINE_S)
        wire.connect(str(remote.control))
        wire.sendall(line)
        wire.shutdown(socket.SHUT_WR)
        assert wire.recv(4096).startswith(b'{"ok": false')
    assert remote.status()["plugged"]


def test_a_sensor_that_is_not_there_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=f"kiosk-sim ef01 --link {tmp_path}/none"):
        SensorRemote(tmp_path / "none").lift()


def test_a_second_sensor_at_the_same_link_is_refused(rig: Ef01Rig) -> None:
    second = Ef01Rig(Ef01Settings(), rig.server.link)
    with pytest.raises(FileExistsError, match="already runs"), second:
        pass
    assert rig.server.link.is_symlink()


def test_a_socket_that_a_killed_sensor_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "dead.control"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with RemoteControl(path, {"ping": lambda: {"pong": 1}}):
        assert SensorRemote(control=path).ask("ping") == {"pong": 1}
    assert not path.exists()


def test_the_link_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIOSK_SIM_LINK", "/tmp/other")  # noqa: S108 - only a name
    assert SensorRemote().control == Path("/tmp/other.control")  # noqa: S108
    monkeypatch.delenv("KIOSK_SIM_LINK")
    assert default_link() == Path("/tmp/kiosk-ef01")  # noqa: S108


# The commands of a technician, as processes


def kiosk_sim(*arguments: str, link: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulators", *arguments],
        env=os.environ | {"KIOSK_SIM_LINK": str(link)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def sensor_process(link: Path, ending: signal.Signals) -> Iterator[list[str]]:
    """A sensor in a process of its own; its opening lines, and after the context all that it said."""
    command = [sys.executable, "-m", "simulators", "ef01", "--link", str(link), "--size", "192x192"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sensor:
        assert sensor.stdout is not None
        said = [line for _, line in zip(range(5), sensor.stdout, strict=False)]
        try:
            yield said
        finally:
            sensor.send_signal(ending)
            said += sensor.stdout
            assert sensor.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_sensor_says_how_to_use_it_and_ends_on_a_signal_leaving_nothing(
    tmp_path: Path, ending: signal.Signals
) -> None:
    with sensor_process(tmp_path / "ttyFP0", ending) as said:
        assert "simulated EF01 sensor, 192x192 at 508 ppi" in said[0]
        assert "Ctrl-C ends" in said[-1]
        assert (tmp_path / "ttyFP0").is_symlink()
    assert "sensor stopped" in said[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_technician_presses_disturbs_and_clears_from_another_terminal(tmp_path: Path, picture: Path) -> None:
    link = tmp_path / "ttyFP0"
    with sensor_process(link, signal.SIGTERM) as said:
        pressed = kiosk_sim("press", "--image", str(picture), "--hold", "0", link=link)
        assert pressed.stdout == f"on the sensor: {picture}\nlifted\n"
        kiosk_sim("fault", "stuck", link=link)
        assert "still detects it (fault stuck)" in kiosk_sim("press", "--hold", "0", link=link).stdout
        assert kiosk_sim("fault", "clear", link=link).stdout == "clear: done\n"
    assert "finger on the sensor" in "".join(said)


def test_a_command_without_a_sensor_says_what_to_do_and_fails(tmp_path: Path) -> None:
    done = kiosk_sim("lift", link=tmp_path / "none")
    assert done.returncode == 1
    assert "no simulated sensor answers" in done.stderr
    assert f"kiosk-sim ef01 --link {tmp_path}/none" in done.stderr


def test_the_list_of_faults_needs_no_sensor_and_says_which_have_each(tmp_path: Path) -> None:
    listed = kiosk_sim("fault", "list", link=tmp_path / "none").stdout
    assert any(line.startswith("hung ") and " uru4000 " in line and "sfm" not in line for line in listed.splitlines())
    assert {line.split()[0] for line in listed.splitlines()} == {*FAULTS, "clear", "replug"}
