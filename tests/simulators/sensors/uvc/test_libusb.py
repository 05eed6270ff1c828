"""The simulated camera behind the real libusb of one program."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from simulators.sensors.uvc import cli as uvc_cli
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.libusb import LibusbCamera
from simulators.sensors.uvc.scene import Look
from simulators.transports.remote import SensorRemote
from tests.rigs.umockdev import needs_umockdev
from tests.rigs.uvc_rig import noise

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


DEADLINE_S = 20.0


SMALL = UvcSettings(sizes=((64, 48),))


@needs_umockdev
def test_who_looks_is_changed_in_this_process_while_a_program_runs(tmp_path: Path) -> None:
    Image.fromarray(noise(9)).save(tmp_path / "eye.png")
    camera = LibusbCamera(SMALL, Look(image=tmp_path / "eye.png"), ["sleep", "60"], tmp_path / "eye")
    with camera:
        remote = SensorRemote(camera.link)
        status = remote.status()
        assert (status["sensor"], status["url"]) == ("UVC camera", "usb:1209:0001")
        assert (status["seen"], status["plugged"], status["streaming"]) == (str(tmp_path / "eye.png"), True, False)
        assert remote.ask("away") == {"seen": "nobody"}
        remote.fault("freeze")
        assert remote.status()["faults"] == {"freeze": 0}
        remote.clear()
        assert remote.status()["faults"] == {}


@needs_umockdev
def test_without_a_look_nobody_is_in_front_of_the_camera(tmp_path: Path) -> None:
    with LibusbCamera(SMALL, Look(), ["sleep", "60"], tmp_path / "eye") as camera:
        assert SensorRemote(camera.link).status()["seen"] == "nobody"
