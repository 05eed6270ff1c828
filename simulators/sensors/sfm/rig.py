"""A simulated Suprema SFM module ready for use, on a pseudo-terminal."""

from collections.abc import Callable
from pathlib import Path

from simulators.images import Grey
from simulators.sensors.sfm.device import SfmModule, SfmSettings
from simulators.sensors.touch_rig import Kind, TouchRig, View
from simulators.transports.remote import Answer
from simulators.transports.serial.pseudo_terminal import PtyServer

SCANS = ("SI", "SIX")


class SfmRig(TouchRig):
    """One module at `link`."""

    looks_to_notice = 2  # the scan that runs may have felt the finger before it went

    def __init__(
        self,
        settings: SfmSettings,
        link: Path,
        *,
        pace: bool = False,
        control: Path | None = None,
        seed: int = 0,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.settings = settings
        self.module = SfmModule(settings, seed)
        self.server = PtyServer(self.module, link, pace=pace)
        size = f"{settings.width}x{settings.height} at {settings.ppi} ppi"
        options: dict[str, str | int | float] = {"width": settings.width, "height": settings.height, "look_s": 0.15}
        if settings.terminal is not None:
            options["terminal"] = settings.terminal
        view = View(settings.width, settings.height, settings.ppi)
        super().__init__(
            Kind(f"Suprema SFM, {size}", "sfm", options), view, self.module, self.server, link, control=control, say=say
        )

    @property
    def url(self) -> str:
        """The port, at the rate of power-on."""
        return f"serial:{self.server.link}?baud={self.settings.baud}"

    def show(self, image: Grey) -> None:
        """Lay a picture on the sensor."""
        self.module.press(image)

    def looks(self) -> int:
        """How often the host has asked for a scan."""
        return sum(self.module.commands[name] for name in SCANS)

    def facts(self) -> Answer:
        """The rate of its line and what it has heard."""
        return {"bytes_sent": self.server.bytes_sent, "baud": self.module.baud, "commands": dict(self.module.commands)}


def usual(link: Path, *, pace: bool = False) -> SfmRig:
    """An SFM module as it leaves the factory."""
    return SfmRig(SfmSettings(), link, pace=pace)
