"""A simulated NB-1010-U ready for use, exported over USB/IP."""

from pathlib import Path
from typing import Unpack

from simulators.pictures.levels import Grey
from simulators.sensors.common.rig import RigOptions
from simulators.sensors.common.touch_rig import Kind, TouchRig, View
from simulators.sensors.nb1010.device import CAPTURE, CHECK, HEIGHT, WIDTH, Nb1010Model
from simulators.transports.remote import Answer
from simulators.transports.usb.usbip import FULL_SPEED, UsbIpServer

PPI = 385  # from the vendor's data sheet
KIND = Kind(f"NEXT Biometrics NB-1010-U, {WIDTH}x{HEIGHT} at {PPI} ppi", "nb1010", {})
VIEW = View(WIDTH, HEIGHT, PPI)


class Nb1010Rig(TouchRig):
    """One sensor on a TCP port of this computer. With `pace` its transfers take as long as on a real bus."""

    def __init__(
        self, link: Path, *, port: int = 0, pace: bool = False, seed: int = 0, **options: Unpack[RigOptions]
    ) -> None:
        self.module = Nb1010Model(seed=seed)
        self.server = UsbIpServer(self.module, port, bytes_per_s=FULL_SPEED if pace else None)
        super().__init__(KIND, VIEW, self.module, self.server, link, **options)

    @property
    def url(self) -> str:
        """The USB/IP server and device."""
        return self.server.url

    def show(self, image: Grey) -> None:
        """Press an image on the sensor."""
        self.module.press(image.tobytes())

    def polls(self) -> int:
        """How often the host has asked for the contact level."""
        return self.module.commands[CHECK]

    def facts(self) -> Answer:
        """Counters."""
        return {"checks": self.module.commands[CHECK], "images_sent": self.module.commands[CAPTURE]}


def default_rig(link: Path, *, pace: bool = False) -> Nb1010Rig:
    """The only model."""
    return Nb1010Rig(link, pace=pace)
