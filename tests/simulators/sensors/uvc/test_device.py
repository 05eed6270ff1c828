"""The simulated camera by itself, and what a technician types: kiosk-sim uvc, look and away."""

import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from drivers.uvc.driver import Uvc
from simulators.sensors.uvc import cli as uvc_cli
from simulators.sensors.uvc.descriptors import UvcSettings, configuration
from simulators.sensors.uvc.device import Counters, UvcCamera
from simulators.sensors.uvc.frames import Mode, encode, numbered
from simulators.sensors.uvc.plugged import read_frames, settings_from, settings_text, write_frames
from simulators.sensors.uvc.rig import UvcRig
from simulators.sensors.uvc.scene import camera_bytes, empty_room, frames_of, letterbox
from simulators.transports.remote import RemoteError, SensorRemote
from simulators.transports.usb.device import Setup, Stall, UsbWire
from tests.rigs.umockdev import needs_umockdev
from tests.rigs.uvc_rig import noise

SMALL = UvcSettings(sizes=((64, 48),), max_payload=1036)
SET, GET = 0x21, 0xA1
WISH = struct.pack("<HBBI10xII", 1, 1, 1, 333_333, 0, 0) + bytes(8)
DEADLINE_S = 20.0


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


@pytest.mark.parametrize("place", ["interface", "endpoint"])
def test_the_lengths_in_the_descriptors_are_true(place: str) -> None:
    data = configuration(UvcSettings(("mjpeg", "y16"), ((64, 48), (32, 24)), (30.0, 5.0), descriptors_on=place))
    assert int.from_bytes(data[2:4], "little") == len(data)
    at, kinds = 0, list[int]()
    while at < len(data):
        kinds.append(data[at + 1])
        if data[at + 1 : at + 3] == b"\x24\x01" and data[at] == 15:  # input header of two formats
            rest = data[at : at + int.from_bytes(data[at + 4 : at + 6], "little")]
            assert rest.endswith(bytes([6, 0x24, 0x0D, 1, 1, 4]))
        at += data[at]
    assert at == len(data)
    assert (kinds[-1] == 5) == (place == "interface")


WRONG: list[dict[str, object]] = [
    {"formats": ("h264",)},
    {"sizes": ((0, 480),)},
    {"rates": (0.0,)},
    {"max_payload": 12},
    {"descriptors_on": "string"},
    {"version": 0x0200},
]


@pytest.mark.parametrize("facts", WRONG)
def test_a_camera_that_cannot_be_is_refused_by_name(facts: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"no camera has {next(iter(facts))} = "):
        UvcSettings(**facts)  # type: ignore[arg-type]


def test_grey_fills_the_range_of_every_format() -> None:
    assert encode("y10", b"\x00\xff") == b"\x00\x00\xff\x03"
    assert encode("y16", b"\x00\x80\xff") == b"\x00\x00\x80\x80\xff\xff"
    assert encode("yuy2", b"\x07\x08") == b"\x07\x80\x08\x80"
    assert encode("nv12", bytes(4)) == bytes(4) + b"\x80\x80"
    with pytest.raises(ValueError, match="JPEG files"):
        encode("mjpeg", b"")


def test_frames_and_settings_cross_to_another_process(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames", [b"one", b"", b"three"])
    assert read_frames(tmp_path / "frames") == [b"one", b"", b"three"]
    settings = UvcSettings(("y16",), ((64, 48),), (5.0,), version=0x0150)
    assert settings_from(settings_text(settings)) == settings
    assert settings_from("") == UvcSettings()


# What is before the camera


def test_a_picture_is_shown_whole_in_the_middle() -> None:
    frame = letterbox(np.full((50, 100), 200, np.uint8), 64, 48)
    assert frame.shape == (48, 64)
    assert (frame[8:40] == 200).all()
    assert not frame[:8].any()
    assert not frame[40:].any()


def test_nobody_is_a_dark_room() -> None:
    empty = empty_room(64, 48)
    assert 15 < empty.mean() < 35
    assert empty.std() < 5


def test_mjpeg_is_made_of_the_picture() -> None:
    smooth = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
    data = camera_bytes("mjpeg", smooth)
    assert data.startswith(b"\xff\xd8")
    assert data.endswith(b"\xff\xd9")


@pytest.mark.parametrize(
    ("look", "said"),
    [
        ({}, "give one of the two"),
        ({"person": 1, "image": "x.png"}, "give one of the two"),
        ({"person": 1, "eye": "third"}, "choose one of left, right"),
        ({"person": 1, "condition": "angry"}, "choose one of normal"),
        ({"person": 1, "finger": "x"}, "a look has no finger"),
        ({"image": "no_such.png"}, "there is no file"),
    ],
)
def test_a_look_that_cannot_be_says_why(look: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        next(frames_of(look, 64, 48))  # type: ignore[arg-type]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[UvcRig]:
    with UvcRig(UvcSettings(sizes=((64, 48),), rates=(100.0,)), tmp_path / "eye") as rig:
        yield rig


def seen(rig: UvcRig, sensor: Uvc) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    assert rig.camera.wait_for_frames(12, DEADLINE_S)  # those that the reads in flight were given before
    return sensor.capture(1.0).image


def test_who_looks_and_who_goes_away_is_what_the_driver_sees(rig: UvcRig, tmp_path: Path) -> None:
    Image.fromarray(noise(9)).save(tmp_path / "eye.png")
    sensor = Uvc(rig.url, {})
    sensor.open()
    remote = SensorRemote(rig.link)
    assert (seen(rig, sensor) < 60).all()
    assert remote.ask("look", image=str(tmp_path / "eye.png")) == {"seen": str(tmp_path / "eye.png")}
    assert (seen(rig, sensor) == noise(9)).all()
    assert remote.ask("away") == {"seen": "nobody"}
    assert (seen(rig, sensor) < 60).all()
    sensor.close()


def test_orders_reach_cable_faults_and_status(rig: UvcRig) -> None:
    remote = SensorRemote(rig.link)
    remote.fault("error_bit", times=3)
    assert remote.status()["faults"] == {"error_bit": 3}
    remote.clear()
    remote.unplug()
    assert rig.server.unplugged.wait(DEADLINE_S)
    assert not remote.status()["plugged"]
    remote.replug()
    assert remote.status()["plugged"]
    with pytest.raises(RemoteError, match="give one of the two"):
        remote.ask("look")


def test_a_frozen_stream_goes_on_when_the_fault_is_cleared(rig: UvcRig) -> None:
    sensor = Uvc(rig.url, {})
    sensor.open()
    sensor.capture(1.0)
    rig.fault("freeze")
    rig.clear()
    sensor.capture(1.0)
    sensor.close()


BAD_COMMANDS: list[tuple[Callable[[], None], str]] = [
    (lambda: uvc_cli.uvc(size="large"), "--size is like 640x480"),
    (lambda: uvc_cli.uvc(kind="h264"), "no camera has formats = ('h264',)"),
    (lambda: uvc_cli.uvc(version="2.0"), "--uvc is one of 1.0, 1.1, 1.5"),
    (lambda: uvc_cli.uvc(via="libusb"), "needs a program behind --"),
    (lambda: uvc_cli.uvc(port=99_999), "--port is from 0 to 65535, not 99999"),
    (lambda: uvc_cli.uvc(port=-1), "--port is from 0 to 65535, not -1"),
    (lambda: uvc_cli.uvc(condition="closed"), "give --person SEED too"),
    (lambda: uvc_cli.look(link=Path("nowhere")), "who looks? give --person SEED"),
    (lambda: uvc_cli.away(link=Path("nowhere")), "no simulated sensor answers"),
    (lambda: uvc_cli.away(link=Path("nowhere")), "Start one in another terminal:  kiosk-sim uvc --link nowhere\n"),
    (lambda: uvc_cli.look(link=Path("nowhere"), person=7), "kiosk-sim uvc --link nowhere\n"),
    (lambda: uvc_cli.uvc(via="pty"), "--via must be usbip or libusb, not 'pty': this sensor is on USB; ef01 and sfm are"),
    (lambda: uvc_cli.uvc(program=["look"]), "a program (look) runs only with --via libusb"),
]


@pytest.mark.parametrize(("command", "said"), BAD_COMMANDS)
def test_a_command_that_cannot_be_says_why(
    command: Callable[[], None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        command()
    assert said in capsys.readouterr().err


def test_look_and_away_as_commands(rig: UvcRig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(noise(9)).save(tmp_path / "eye.png")
    uvc_cli.look(link=rig.link, image=tmp_path / "eye.png")
    uvc_cli.away(link=rig.link)
    assert capsys.readouterr().out.splitlines() == [
        f"in front of the camera: {tmp_path / 'eye.png'}",
        f"go away with:  kiosk-sim away --link {rig.link}",
        "in front of the camera: nobody",
    ]


def test_a_camera_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulators", "uvc", "--size", "64x48", "--link", str(tmp_path / "eye")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C ends" not in said:
            line = process.stdout.readline()
            assert line
            said += line
        sensor = Uvc(said.partition("finds it at: ")[2].split()[0], {})
        sensor.open()
        assert sensor.capture(1.0).image.shape == (48, 64)
        sensor.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    assert list(tmp_path.iterdir()) == []


CAPTURE = """
from drivers.uvc.driver import Uvc
sensor = Uvc("usb:1209:0001", {})
info = sensor.open()
print(info.model, sensor.capture(1.0).image.max() < 60)
sensor.close()
"""


def behind_libusb(link: Path, program: str) -> list[str]:
    camera = [sys.executable, "-m", "simulators", "uvc", "--link", str(link), "--via", "libusb", "--size", "64x48"]
    return [*camera, "--", sys.executable, "-c", program]


@needs_umockdev
def test_a_program_sees_the_camera_through_the_real_libusb(tmp_path: Path) -> None:
    command = behind_libusb(tmp_path / "eye", CAPTURE)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "1209:0001 y8 30 fps True\n"
    assert done.returncode == 0


LIGHT = """
import sys
from pathlib import Path
import usb.core
from drivers.uvc.driver import Uvc
from simulators.transports.remote import SensorRemote
remote = SensorRemote(Path(sys.argv[1]))
def say():
    device = usb.core.find(idVendor=0x1209, idProduct=1)
    kernel = [device.is_kernel_driver_active(interface) for interface in (0, 1)]
    print(kernel, remote.status()["lamp"])
sensor = Uvc("usb:1209:0001", {"led": "3:1:01:00"})
for _ in range(2):
    say()
    sensor.open()
    sensor.capture(1.0)
    say()
    sensor.close()
say()
"""


@needs_umockdev
def test_a_light_is_switched_though_the_kernel_serves_the_camera_which_then_gets_it_back(tmp_path: Path) -> None:
    command = [*behind_libusb(tmp_path / "eye", LIGHT), str(tmp_path / "eye")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.count("Traceback") == 0, done.stderr
    kernels, ours = "[True, True] False", "[False, False] True"
    assert done.stdout.splitlines() == [kernels, ours, kernels, ours, kernels]


WATCH = """
from drivers.uvc.driver import Uvc
sensor = Uvc("usb:1209:0001", {})
sensor.open()
for somebody in (False, True, False):
    while (sensor.capture(1.0).image.max() >= 60) != somebody:
        pass
    print("somebody" if somebody else "nobody", flush=True)
sensor.close()
"""


@needs_umockdev
def test_who_looks_from_another_terminal_is_what_a_program_behind_libusb_sees(tmp_path: Path) -> None:
    Image.fromarray(noise(9)).save(tmp_path / "eye.png")
    link = tmp_path / "eye"
    remote = SensorRemote(link)
    orders: tuple[tuple[str, Callable[[], None]], ...] = (
        ("nobody", lambda: uvc_cli.look(link=link, image=tmp_path / "eye.png")),
        ("somebody", lambda: uvc_cli.away(link=link)),
        ("nobody", lambda: None),
    )
    with subprocess.Popen(behind_libusb(link, WATCH), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for seen, order in orders:
            assert process.stdout.readline() == f"{seen}\n"
            if seen == "somebody":
                status = remote.status()
                assert (status["seen"], status["plugged"]) == (str(tmp_path / "eye.png"), True)
                assert status["frames_sent"] > 0
                remote.fault("error_bit", times=3)
            order()
        assert process.wait(DEADLINE_S) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["eye.png"]
