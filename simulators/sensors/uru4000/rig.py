"""A simulated U.are.U reader ready for use, exported over USB/IP."""

from pathlib import Path
from typing import Unpack

from simulators.pictures.levels import Grey
from simulators.sensors.common.rig import RigOptions
from simulators.sensors.common.touch_rig import Kind, TouchRig, View
from simulators.sensors.uru4000.device import HEIGHT, WIDTH, Reader, Uru4000Model, Uru4000Settings
from simulators.transports.remote import Answer
from simulators.transports.usb.usbip import FULL_SPEED, UsbIpServer

PPI = 512  # from the vendor's data sheet of the family
VIEW = View(WIDTH, HEIGHT, PPI)


def kind_of(reader: Reader) -> Kind:
    """The title of a reader and its driver."""
    return Kind(f"{reader.maker} {reader.name}, {WIDTH}x{HEIGHT} at {PPI} ppi", "uru4000", {})


class Uru4000Rig(TouchRig):
    """One reader on a TCP port of this computer. With `pace` its transfers take as long as on a real bus."""

    polls_to_notice = 0  # the reader reports a lift

    def __init__(
        self,
        settings: Uru4000Settings,
        link: Path,
        *,
        port: int = 0,
        pace: bool = False,
        seed: int = 0,
        **options: Unpack[RigOptions],
    ) -> None:
        self.module = Uru4000Model(settings, seed)
        self.server = UsbIpServer(self.module, port, bytes_per_s=FULL_SPEED if pace else None)
        super().__init__(kind_of(self.module.reader), VIEW, self.module, self.server, link, **options)

    @property
    def url(self) -> str:
        """The USB/IP server and device."""
        return self.server.url

    def show(self, image: Grey) -> None:
        """Press an image on the sensor."""
        self.module.press(image.tobytes())

    def polls(self) -> int:
        """0: the host does not poll, the reader reports a finger."""
        return 0

    def facts(self) -> Answer:
        """Counters and the mode register."""
        counters = self.module.counters()
        return {"images_sent": counters.images_sent, "wakings": counters.wakings, "mode": f"{self.module.mode:02x}"}


def default_rig(link: Path, *, pace: bool = False) -> Uru4000Rig:
    """A U.are.U 4500."""
    return Uru4000Rig(Uru4000Settings(), link, pace=pace)
