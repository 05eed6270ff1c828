"""A simulated camera behind the real libusb of one program. Synthetic eyes are drawn in this process.

The simulated USB host runs under Debian's Python, which has no numpy: it receives requests, and frames as the camera
sends them.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Unpack

from simulators.sensors.common.rig import RigOptions
from simulators.sensors.common.usb_host import RemoteConnection, RemoteModel
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.sensors.uvc.plugged import FRAMES_VARIABLE, SETTINGS_VARIABLE, settings_text, write_frames
from simulators.sensors.uvc.rig import CameraRig
from simulators.sensors.uvc.scene import Look, camera_bytes, describe, empty_room, frames_of
from simulators.transports.remote import Answer
from simulators.transports.usb.machine import SimulatedUsbHost

FRAMES_AT_START = 4  # drawn before the program starts


class LibusbCamera(CameraRig):
    """One camera on a simulated USB host, and the program that runs there. Its context can be used once.

    `look` is in front of the camera at the start; if empty, nobody is.
    """

    def __init__(
        self, settings: UvcSettings, look: Look, program: list[str], link: Path, **options: Unpack[RigOptions]
    ) -> None:
        self.usb_host = SimulatedUsbHost("simulators.sensors.uvc.plugged:camera", program, self._environment)
        super().__init__(settings, RemoteModel(self.usb_host), RemoteConnection(self.usb_host), link, **options)
        self._at_start = look
        if look:
            self._seen = describe(look)

    def _start(self, stack: ExitStack) -> None:
        super()._start(stack)
        stack.callback(self._player.stop)

    @property
    def title(self) -> str:
        """What the sensor is, for people."""
        return "UVC camera"

    @property
    def url(self) -> str:
        """The URL that a driver opens on the simulated host."""
        description = UvcCamera(self.settings).description
        return f"usb:{description.vendor:04x}:{description.product:04x}"

    def facts(self) -> Answer:
        """The state of the simulated USB host and the counters of the camera."""
        return {**self.usb_host.remote.status(), **self.usb_host.remote.ask("counters")}

    def _show(self, frames: Sequence[bytes]) -> None:
        path = self.usb_host.folder / "shown"
        write_frames(path, frames)
        self.usb_host.remote.ask("show", frames=str(path))

    def _environment(self, folder: Path) -> dict[str, str]:
        kind, width, height = self.settings.pictured
        greys = frames_of(self._at_start, width, height) if self._at_start else iter([empty_room(width, height)])
        frames = [camera_bytes(kind, grey) for grey in islice(greys, FRAMES_AT_START)]
        write_frames(folder / "frames", frames)
        return {SETTINGS_VARIABLE: settings_text(self.settings), FRAMES_VARIABLE: str(folder / "frames")}
