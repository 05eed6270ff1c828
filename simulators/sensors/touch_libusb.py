"""A simulated touch sensor behind the real libusb of one program. Synthetic fingers are drawn in this process.

The simulated USB host runs under Debian's Python, which has no numpy: it receives requests, and fingers as pixels.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from simulators.pictures.levels import Grey
from simulators.sensors.common.rig import RigOptions
from simulators.sensors.common.touch_rig import Kind, TouchRig, View
from simulators.sensors.common.usb_host import RemoteConnection, RemoteModel
from simulators.sensors.touch_plugged import SETTINGS_VARIABLE, TouchSettings
from simulators.transports.remote import Answer
from simulators.transports.usb.machine import SimulatedUsbHost


@dataclass(frozen=True, slots=True)
class PluggedReader:
    """The reader to plug in: its function in touch_plugged.py, its title and image size, and the URL for a driver."""

    function: str
    kind: Kind
    view: View
    url: str
    settings: TouchSettings


class _RemoteTouchModel(RemoteModel):
    @property
    def finger_on(self) -> bool:
        return self.usb_host.running and bool(self.usb_host.remote.ask("finger")["finger_on"])

    def lift(self) -> None:
        self.usb_host.remote.lift()


class LibusbRig(TouchRig):
    """One touch sensor on a simulated USB host, and the program that runs there. Its context can be used once."""

    polls_to_notice = 0

    def __init__(
        self,
        reader: PluggedReader,
        program: list[str],
        link: Path,
        *,
        pressed: bool = False,
        **options: Unpack[RigOptions],
    ) -> None:
        devices = f"simulators.sensors.touch_plugged:{reader.function}"
        self.usb_host = SimulatedUsbHost(devices, program, self._environment)
        self._reader = reader
        self._pressed = pressed
        model, connection = _RemoteTouchModel(self.usb_host), RemoteConnection(self.usb_host)
        super().__init__(reader.kind, reader.view, model, connection, link, **options)

    @property
    def url(self) -> str:
        """The URL that a driver opens on the simulated host."""
        return self._reader.url

    def show(self, image: Grey) -> None:
        """Press an image on the sensor."""
        self.usb_host.remote.ask("press", pixels=str(_write(image, self.usb_host.folder)))

    def _environment(self, folder: Path) -> dict[str, str]:
        finger = "" if self.image is None or not self._pressed else str(_write(self.image, folder))
        return {SETTINGS_VARIABLE: str(replace(self._reader.settings, finger=finger))}

    def polls(self) -> int:
        """0: polls on the simulated host are not counted here."""
        return 0

    def facts(self) -> Answer:
        """The counters of the device."""
        return self.usb_host.remote.ask("counters")


def _write(image: Grey, folder: Path) -> Path:
    path = folder / "finger"
    path.write_bytes(image.tobytes())
    return path
