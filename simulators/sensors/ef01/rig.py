"""A simulated EF01 sensor ready for use, on a pseudo-terminal."""

from collections.abc import Callable
from pathlib import Path

from simulators.images import Grey
from simulators.sensors.ef01.device import Ef01Module, Ef01Settings
from simulators.sensors.touch_rig import Kind, TouchRig, View
from simulators.transports.remote import Answer
from simulators.transports.serial.pseudo_terminal import PtyServer

USUAL = (256, 288)  # the window of the optical modules


class Ef01Rig(TouchRig):
    """One EF01 module at `link`."""

    def __init__(
        self,
        settings: Ef01Settings,
        link: Path,
        *,
        pace: bool = False,
        control: Path | None = None,
        seed: int = 0,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.settings = settings
        self.module = Ef01Module(settings, seed)
        self.server = PtyServer(self.module, link, pace=pace)
        view = View(settings.width, settings.height, settings.ppi)
        super().__init__(_kind(settings), view, self.module, self.server, link, control=control, say=say)

    @property
    def url(self) -> str:
        """The port, at the rate of power-on."""
        return f"serial:{self.server.link}?baud={self.settings.baud}"

    def show(self, image: Grey) -> None:
        """Lay a picture on the sensor."""
        self.module.press(image)

    def looks(self) -> int:
        """How often the host has asked for an image to be taken."""
        return self.module.counters().commands["GetImage"]

    def facts(self) -> Answer:
        """The state of its line and what it has done."""
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
    """What to call it, and how the driver is told what the module does not say."""
    width, height = settings.width, settings.height
    usual = (width, height) == USUAL
    model: dict[str, str | int | float] = {"model": "R307"} if usual else {"width": width, "height": height}
    title = f"{'R307' if usual else 'EF01 module'}, {width}x{height} at {settings.ppi} ppi, 16 grey levels"
    return Kind(title, "ef01", {"poll_s": 0.05, **model})


def usual(link: Path, *, pace: bool = False) -> Ef01Rig:
    """The R307 of the demo."""
    return Ef01Rig(Ef01Settings(), link, pace=pace)
