"""A simulated NB-1010-U ready for use, exported over USB/IP."""

from collections.abc import Callable
from pathlib import Path

from simulators.images import Grey
from simulators.sensors.nb1010.device import HEIGHT, WIDTH, Nb1010Model
from simulators.sensors.touch_rig import Kind, TouchRig, View
from simulators.transports.remote import Answer
from simulators.transports.usb.usbip import FULL_SPEED, UsbIpServer

PPI = 385  # the vendor's figure
KIND = Kind(f"NEXT Biometrics NB-1010-U, {WIDTH}x{HEIGHT} at {PPI} ppi", "nb1010", {})
VIEW = View(WIDTH, HEIGHT, PPI)
CHECK, CAPTURE = 0x38, 0x12


class Nb1010Rig(TouchRig):
    """One sensor on a TCP port of this machine."""

    def __init__(
        self,
        link: Path,
        *,
        port: int = 0,
        pace: bool = False,
        control: Path | None = None,
        seed: int = 0,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.module = Nb1010Model(seed=seed)
        self.server = UsbIpServer(self.module, port, bytes_per_s=FULL_SPEED if pace else None)
        super().__init__(KIND, VIEW, self.module, self.server, link, control=control, say=say)

    @property
    def url(self) -> str:
        """Where it is exported."""
        return self.server.url

    def show(self, image: Grey) -> None:
        """Lay a picture on the sensor."""
        self.module.press(image.tobytes())

    def looks(self) -> int:
        """How often the host has asked for the contact level."""
        return self.module.commands[CHECK]

    def facts(self) -> Answer:
        """What it has been asked."""
        return {"checks": self.module.commands[CHECK], "images_sent": self.module.commands[CAPTURE]}


def usual(link: Path, *, pace: bool = False) -> Nb1010Rig:
    """The one that there is."""
    return Nb1010Rig(link, pace=pace)
