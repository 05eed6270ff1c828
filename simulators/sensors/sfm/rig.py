"""A simulated Suprema SFM module ready for use, on a pseudo-terminal."""

from pathlib import Path
from typing import Unpack

from simulators.pictures.levels import Grey
from simulators.sensors.common.rig import RigOptions
from simulators.sensors.common.touch_rig import Kind, TouchRig, View
from simulators.sensors.sfm.device import SfmModule, SfmSettings
from simulators.transports.remote import Answer
from simulators.transports.serial.pseudo_terminal import PtyServer

SCANS = ("SI", "SIX")


class SfmRig(TouchRig):
    """One SFM module whose port is `link`. With `pace` its bytes take as long as on a real line."""

    polls_to_notice = 2  # the current scan may have detected the finger before it was lifted

    def __init__(
        self, settings: SfmSettings, link: Path, *, pace: bool = False, seed: int = 0, **options: Unpack[RigOptions]
    ) -> None:
        self.settings = settings
        self.module = SfmModule(settings, seed)
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
        """How often the host has requested a scan."""
        return sum(self.module.commands[name] for name in SCANS)

    def facts(self) -> Answer:
        """The baud rate of the serial line and the commands received."""
        return {"bytes_sent": self.server.bytes_sent, "baud": self.module.baud, "commands": dict(self.module.commands)}


def _kind(settings: SfmSettings) -> Kind:
    """The title of the module, and the driver options for what the module does not report."""
    options: dict[str, str | int | float] = {"width": settings.width, "height": settings.height, "look_s": 0.15}
    if settings.terminal is not None:
        options["terminal"] = settings.terminal
    return Kind(f"Suprema SFM, {settings.width}x{settings.height} at {settings.ppi} ppi", "sfm", options)


def default_rig(link: Path, *, pace: bool = False) -> SfmRig:
    """An SFM module with its factory settings."""
    return SfmRig(SfmSettings(), link, pace=pace)
