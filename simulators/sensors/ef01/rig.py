"""A simulated EF01 sensor ready for use, on a pseudo-terminal."""

from pathlib import Path
from typing import Unpack

from simulators.pictures.levels import Grey
from simulators.sensors.common.rig import RigOptions
from simulators.sensors.common.touch_rig import Kind, TouchRig, View
from simulators.sensors.ef01.device import Ef01Module, Ef01Settings
from simulators.transports.remote import Answer
from simulators.transports.serial.pseudo_terminal import PtyServer

R307_SIZE = (256, 288)  # the image size of the optical modules


class Ef01Rig(TouchRig):
    """One EF01 module whose port is `link`. With `pace` its bytes take as long as on a real line."""

    def __init__(
        self, settings: Ef01Settings, link: Path, *, pace: bool = False, seed: int = 0, **options: Unpack[RigOptions]
    ) -> None:
        self.settings = settings
        self.module = Ef01Module(settings, seed)
        self.server = PtyServer(self.module, link, pace=pace)
        view = View(settings.width, settings.height, settings.ppi)
        super().__init__(_kind(settings), view, self.module, self.server, link, **options)

    @property
    def url(self) -> str:
        """The port, at the baud rate of power-on."""
        return f"serial:{self.server.link}?baud={self.settings.baud}"

    def show(self, image: Grey) -> None:
        """Press an image on the sensor."""
        self.module.press(image)

    def polls(self) -> int:
        """How often the host has sent GetImage."""
        return self.module.counters().commands["GetImage"]

    def facts(self) -> Answer:
        """The state of the serial line and the counters."""
        counters = self.module.counters()
        return {
            "bytes_sent": self.server.bytes_sent,
            "baud": self.module.baud,
            "packet_size": self.module.packet_size,
            "images_taken": counters.images_taken,
            "images_sent": counters.images_sent,
            "commands": dict(counters.commands),
        }


def _kind(settings: Ef01Settings) -> Kind:
    """The title of the module, and the driver options for what the module does not report."""
    width, height = settings.width, settings.height
    is_r307 = (width, height) == R307_SIZE
    model: dict[str, str | int | float] = {"model": "R307"} if is_r307 else {"width": width, "height": height}
    title = f"{'R307' if is_r307 else 'EF01 module'}, {width}x{height} at {settings.ppi} ppi, 16 grey levels"
    return Kind(title, "ef01", {"poll_s": 0.05, **model})


def default_rig(link: Path, *, pace: bool = False) -> Ef01Rig:
    """The R307 of the demo."""
    return Ef01Rig(Ef01Settings(), link, pace=pace)
