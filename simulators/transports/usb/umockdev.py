"""Simulated USB devices under the real libusb of a child process, by umockdev (Linux; no root, no kernel module).

    umockdev-wrapper /usr/bin/python3 -m simulators.transports.usb.umockdev MODULE:FUNCTION [--control PATH] -- COMMAND
    ...

MODULE:FUNCTION returns PluggedDevices: the devices, and handlers for the control socket in addition to those for cable
and faults (simulators/transports/remote.py is the client). Ends with the exit status of COMMAND.

Debian's Python runs this, not that of a virtual environment: umockdev's bindings (packages umockdev,
gir1.2-umockdev-1.0, python3-gi) are only there. Apart from them it uses the standard library only. The child's system
calls on the file of a device arrive here as calls to the kernel's usbfs (usbfs.py).
"""

import argparse
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulators.transports.faults import Value
from simulators.transports.remote import Answer, RemoteControl
from simulators.transports.ticker import Ticker
from simulators.transports.usb.plugged import Device, PluggedDevices
from simulators.transports.usb.port import UsbPort
from simulators.transports.usb.standard import device_descriptor
from simulators.transports.usb.usbfs import Usbfs

if TYPE_CHECKING:
    GLib: Any
    UMockdev: Any
else:
    import gi

    gi.require_version("UMockdev", "1.0")
    from gi.repository import GLib, UMockdev

CONTROLLER = "/devices/pci0000:00/0000:00:14.0/usb1"
FIRST_ADDRESS, LAST_ADDRESS = 2, 127  # as Linux assigns them

# The root hub: programs that identify a device by its ports (libgusb, and therefore libfprint) need it.
ROOT_HUB = f"""\
P: {CONTROLLER}
N: bus/usb/001/001=12010002090001406B1D020000060302010109021900010100E0000904000001090000000705810304000C
E: SUBSYSTEM=usb
E: DEVTYPE=usb_device
E: DEVNAME=/dev/bus/usb/001/001
E: BUSNUM=001
E: DEVNUM=001
E: MAJOR=189
E: MINOR=0
E: PRODUCT=1d6b/2/600
A: bConfigurationValue=1\\n
A: bDeviceClass=09\\n
A: bNumConfigurations=1\\n
A: bNumInterfaces= 1\\n
A: bcdDevice=0600\\n
A: busnum=1\\n
A: devnum=1\\n
A: devpath=0\\n
A: idProduct=0002\\n
A: idVendor=1d6b\\n
A: maxchild=15\\n
A: speed=480\\n
H: descriptors=12010002090001406B1D020000060302010109021900010100E0000904000001090000000705810304000C

"""
NOT_FOUND, NOT_EXECUTABLE = 127, 126  # exit statuses as in shells
CALL_S = 5.0  # a call into the loop that takes longer is a bug
SPEEDS = {"low": "1.5", "full": "12", "high": "480", "super": "5000"}  # as sysfs writes them


class Loop:
    """GLib's main loop, in the main thread. Other threads hand actions to it."""

    def __init__(self) -> None:
        self._loop = GLib.MainLoop()

    def run(self) -> None:
        """Run until stop()."""
        self._loop.run()

    def stop(self) -> None:
        """End run()."""
        GLib.idle_add(self._loop.quit)

    def call_soon(self, action: Callable[[], None]) -> None:
        """Run `action` in the loop's thread."""
        GLib.idle_add(_once, action)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` in the loop's thread after `seconds`."""
        GLib.timeout_add(max(1, round(1000 * seconds)), _once, action)

    def call_and_wait(self, action: Callable[[], None]) -> None:
        """Run `action` in the loop's thread and wait until it is done."""
        done = threading.Event()

        def act() -> None:
            action()
            done.set()

        self.call_soon(act)
        if not done.wait(CALL_S):
            raise RuntimeError("the simulated USB host does not respond")


def _once(action: Callable[[], None]) -> bool:
    action()
    return False  # tells GLib not to call it again


class UsbfsHandler(UMockdev.IoctlBase):  # type: ignore[misc]
    """The usbfs file of a device, from plugging in to unplugging."""

    def __init__(self, usbfs: Usbfs) -> None:
        super().__init__()
        self._usbfs = usbfs

    def do_handle_ioctl(self, client: Any) -> bool:  # noqa: ANN401 - of gi
        """Handle one system call of the child. It returns when the reply is given."""
        self._usbfs.handle(client, client.get_request(), client.get_arg(), client.complete)
        return True

    def do_client_vanished(self, client: Any) -> None:  # noqa: ANN401 - of gi
        """The child has closed the file."""
        self._usbfs.closed(client)


class TestbedDevice:
    """One device of the simulated USB host, plugged in or not."""

    def __init__(self, testbed: Any, loop: Loop, ticker: Ticker, device: Device, usb_host: "UsbHost") -> None:  # noqa: ANN401 - of gi
        self.spec = device
        self.port = UsbPort(
            device.model,
            time.monotonic,
            ticker.later,
            bytes_per_s=device.bytes_per_s,
            on_unplug=lambda: loop.call_soon(self._vanish),
        )
        self._testbed = testbed
        self._loop = loop
        self._usb_host = usb_host
        self._at = device.port
        self._handlers: list[UsbfsHandler] = []  # earlier ones too: the child may still have their files open
        self._node = ""
        self.address = 0  # 0: not plugged in

    @property
    def _path(self) -> str:
        return f"{CONTROLLER}/{self._at}"

    def occupies(self, port: str) -> bool:
        """True if the device is plugged into this port."""
        return self.port.plugged and self._at == port

    def plug(self, at: str) -> None:
        """In the loop's thread: make the device appear, with a new address."""
        if self.port.plugged:
            return
        self._vanish()
        self._at = at
        self.port.plug()
        address = self.address = self._usb_host.next_address()
        self._node = f"/dev/bus/usb/001/{address:03d}"
        self._testbed.add_from_string(self._describe(address))
        handler = UsbfsHandler(Usbfs(self.port, self.spec.model.description.configuration, self._loop))
        self._handlers.append(handler)
        self._testbed.attach_ioctl(self._node, handler)
        self._testbed.uevent(f"/sys{self._path}", "add")

    def _vanish(self) -> None:
        """In the loop's thread: remove the device from the host."""
        if self._node and not self.port.plugged:
            self._testbed.uevent(f"/sys{self._path}", "remove")
            self._testbed.remove_device(f"/sys{self._path}")
            self._testbed.detach_ioctl(self._node)
            (Path(self._testbed.get_root_dir()) / self._node.lstrip("/")).unlink(missing_ok=True)
            self._node = ""
            self.address = 0

    def _describe(self, address: int) -> str:
        about = self.spec.model.description
        configuration = about.configuration
        blob = (device_descriptor(about) + configuration).hex().upper()
        attributes = {
            "bConfigurationValue": "1",
            "bDeviceClass": f"{about.device_class[0]:02x}",
            "bNumConfigurations": "1",
            "bNumInterfaces": f" {configuration[4]}",
            "bcdDevice": f"{about.bcd_device:04x}",
            "busnum": "1",
            "devnum": str(address),
            "devpath": self._at.partition("-")[2],
            "idProduct": f"{about.product:04x}",
            "idVendor": f"{about.vendor:04x}",
            "manufacturer": about.manufacturer,
            "product": about.name,
            "serial": about.serial,
            "speed": SPEEDS[about.speed],
        }
        return "\n".join(
            [
                f"P: {self._path}",
                f"N: {self._node.removeprefix('/dev/')}={blob}",
                "E: SUBSYSTEM=usb",
                "E: DEVTYPE=usb_device",
                f"E: DEVNAME={self._node}",
                "E: BUSNUM=001",
                f"E: DEVNUM={address:03d}",
                "E: MAJOR=189",
                f"E: MINOR={address - 1}",
                f"E: ID_VENDOR_ID={about.vendor:04x}",
                f"E: ID_MODEL_ID={about.product:04x}",
                f"E: PRODUCT={about.vendor:x}/{about.product:x}/{about.bcd_device:x}",
                *(f"A: {name}={value}" for name, value in attributes.items() if value),
                f"H: descriptors={blob}",
                "",
                "",
            ]
        )


class UsbHost:
    """A simulated USB host with its devices, and the handlers of its control socket."""

    def __init__(self, plugged: PluggedDevices, loop: Loop, ticker: Ticker) -> None:
        self._loop = loop
        self._testbed = UMockdev.Testbed.new()
        self._testbed.add_from_string(ROOT_HUB)
        self._address = FIRST_ADDRESS - 1
        self._handlers = plugged.handlers
        self._devices = {
            device.port: TestbedDevice(self._testbed, loop, ticker, device, self) for device in plugged.devices
        }

    def next_address(self) -> int:
        """A new, unused address for each plugging in, as on a real host."""
        taken = {device.address for device in self._devices.values()}
        while True:
            self._address = self._address + 1 if self._address < LAST_ADDRESS else FIRST_ADDRESS
            if self._address not in taken:
                return self._address

    def plug_all(self) -> None:
        """Plug in every device. In the loop's thread, or before it runs."""
        for device in self._devices.values():
            device.plug(device.spec.port)

    def handlers(self) -> dict[str, Callable[..., Answer | None]]:
        """The handlers of the control socket."""
        own: dict[str, Callable[..., Answer | None]] = {
            "fault": self._fault,
            "faults": self._faults,
            "clear": self._clear,
            "unplug": self._unplug,
            "replug": self._replug,
            "status": self._status,
        }
        return {**own, **self._handlers}

    def _device(self, port: str | None) -> TestbedDevice:
        if port is None:
            return next(iter(self._devices.values()))
        if port not in self._devices:
            raise ValueError(f"there is no port {port!r}; there are: {', '.join(self._devices)}")
        return self._devices[port]

    def _fault(
        self, name: str, times: int | None = None, params: dict[str, Value] | None = None, port: str | None = None
    ) -> None:
        device = self._device(port)
        device.spec.model.faults.inject(name, times=times, **(params or {}))
        device.port.notice_faults()
        self._loop.call_and_wait(lambda: None)  # until the loop has handled the pulled cable

    def _faults(self, port: str | None = None) -> Answer:
        return {"has": self._device(port).spec.model.faults.has}

    def _clear(self, port: str | None = None) -> None:
        self._device(port).spec.model.faults.clear()

    def _unplug(self, after: int = 0, port: str | None = None) -> None:
        device = self._device(port)
        device.port.unplug_after(after)
        self._loop.call_and_wait(lambda: None)  # until the loop has handled the pulled cable

    def _replug(self, port: str | None = None, to: str | None = None) -> None:
        """Plug the device that belongs to `port` in again, at that port or at the free port `to`."""
        device = self._device(port)
        at = to or device.spec.port
        if any(other.occupies(at) for other in self._devices.values() if other is not device):
            raise ValueError(f"another device is plugged into {at}")
        self._loop.call_and_wait(lambda: device.plug(at))

    def _status(self, port: str | None = None) -> Answer:
        device = self._device(port)
        return {
            "port": device.spec.port,
            "plugged": device.port.plugged,
            "bytes_sent": device.port.bytes_sent,
            "faults": device.spec.model.faults.pending(),
        }


def make_devices(target: str) -> PluggedDevices:
    """Call MODULE:FUNCTION, which returns the devices."""
    module, _, function = target.partition(":")
    plugged = getattr(importlib.import_module(module), function)()
    if not isinstance(plugged, PluggedDevices):
        raise TypeError(f"{target} makes {type(plugged).__name__}, not PluggedDevices")
    return plugged


class Child:
    """The command that runs on the host. It is started in a thread, because the main thread runs the loop."""

    def __init__(self, command: Sequence[str], loop: Loop) -> None:
        self._command = command
        self._loop = loop
        self._process: subprocess.Popen[bytes] | None = None
        self._over = False
        self.status = 1

    def run(self) -> None:
        """Run the command to its end, then stop the loop."""
        try:
            self._process = subprocess.Popen(self._command)
            if self._over:
                self._process.terminate()
            self.status = self._process.wait()
        except OSError as error:
            self.status = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
            print(f"{self._command[0]}: {error.strerror}", file=sys.stderr)
        finally:
            self._loop.stop()

    def terminate(self, *_signal: object) -> None:
        """End the command, also while it is being started."""
        self._over = True
        if self._process is not None:
            self._process.terminate()


def run(plugged: PluggedDevices, control: Path | None, command: Sequence[str]) -> int:
    """Run `command` on the simulated USB host; returns its exit status."""
    loop, ticker = Loop(), Ticker()
    usb_host = UsbHost(plugged, loop, ticker)
    usb_host.plug_all()
    child = Child(command, loop)
    signal.signal(signal.SIGINT, lambda *_: None)  # the terminal sends it to the child too
    signal.signal(signal.SIGTERM, child.terminate)
    with ExitStack() as stack:
        stack.callback(ticker.close)
        if control is not None:
            stack.enter_context(RemoteControl(control, usb_host.handlers()))
        thread = threading.Thread(target=child.run, name="child")
        thread.start()
        loop.run()
        thread.join()
    return child.status if child.status >= 0 else 128 - child.status


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "devices",
        metavar="MODULE:FUNCTION",
        help="returns the devices: simulators.transports.usb.plugged.PluggedDevices",
    )
    parser.add_argument("--control", type=Path, help="Unix socket that takes commands")
    parser.add_argument("command", nargs="+", help="program to run on the simulated USB host, after --")
    asked = parser.parse_args()
    if "UMOCKDEV_DIR" not in os.environ and "umockdev" not in os.environ.get("LD_PRELOAD", ""):
        parser.error("not under umockdev: start this with umockdev-wrapper (Debian package umockdev)")
    return run(make_devices(asked.devices), asked.control, asked.command)


if __name__ == "__main__":
    sys.exit(main())
