"""A simulated camera behind the real libusb of one program. Who looks into it is drawn out here.

The machine, run by Debian's Python, has no numpy: it gets orders, and frames as the camera sends them.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.sensors.uvc.plugged import FRAMES_VARIABLE, SETTINGS_VARIABLE, settings_text, write_frames
from simulators.sensors.uvc.rig import Projector
from simulators.sensors.uvc.scene import Look, describe, frames_of, nobody, on_the_wire
from simulators.transports.remote import Answer, RemoteControl, control_path
from simulators.transports.usb.machine import SimulatedUsbHost

AT_START = 4  # frames of a look that are drawn before the program starts
PASSED_ON = ("fault", "faults", "clear", "unplug", "replug")  # orders that the machine obeys


class LibusbCamera:
    """One camera on a simulated machine, and the program that runs there. For one use of its context."""

    def __init__(
        self, settings: UvcSettings, look: Look, program: list[str], link: Path, control: Path | None = None
    ) -> None:
        self.link = link
        self.usb_host = SimulatedUsbHost("simulators.sensors.uvc.plugged:usual", program, self._environment)
        self._control = control_path(link) if control is None else control
        self._settings = settings
        self._at_start = look
        self._seen = describe(look) if look else "nobody"
        self._projector = Projector(settings, self._show)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(RemoteControl(self._control, self._handlers()))  # first: it refuses a second sensor
            stack.enter_context(self.usb_host)
            stack.callback(self._projector.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Where the driver finds it, on that machine."""
        about = UvcCamera(self._settings).description
        return f"usb:{about.vendor:04x}:{about.product:04x}"

    def look(self, **look: Unpack[Look]) -> Answer:
        """Somebody looks into the camera, or a picture is held before it."""
        self._projector.look(look)
        self._seen = describe(look)
        return {"seen": self._seen}

    def away(self) -> Answer:
        """Nobody is there any more."""
        self._projector.away()
        self._seen = "nobody"
        return {"seen": self._seen}

    def status(self) -> Answer:
        """What the camera is, what is before it and what it has counted: JSON types only."""
        about = {"sensor": "UVC camera", "link": str(self.link), "url": self.url, "seen": self._seen}
        return {**about, **self.usb_host.remote.status(), **self.usb_host.remote.ask("counters")}

    def _handlers(self) -> dict[str, Callable[..., Answer | None]]:
        own: dict[str, Callable[..., Answer | None]] = {"look": self.look, "away": self.away, "status": self.status}
        return own | {do: self._passing(do) for do in PASSED_ON}

    def _passing(self, do: str) -> Callable[..., Answer]:
        return lambda **details: self.usb_host.remote.ask(do, **details)

    def _show(self, frames: Sequence[bytes]) -> None:
        path = self.usb_host.folder / "shown"
        write_frames(path, frames)
        self.usb_host.remote.ask("show", frames=str(path))

    def _environment(self, folder: Path) -> dict[str, str]:
        width, height = self._settings.sizes[0]
        greys = frames_of(self._at_start, width, height) if self._at_start else iter([nobody(width, height)])
        kind = self._settings.formats[0]
        frames = [on_the_wire(kind, grey) for grey, _ in zip(greys, range(AT_START), strict=False)]
        write_frames(folder / "frames", frames)
        return {SETTINGS_VARIABLE: settings_text(self._settings), FRAMES_VARIABLE: str(folder / "frames")}
