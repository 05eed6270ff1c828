"""A simulated U.are.U reader ready for use, exported over USB/IP."""

from collections.abc import Callable
from pathlib import Path

from simulators.images import Grey
from simulators.sensors.touch_rig import Kind, TouchRig, View
from simulators.sensors.uru4000.device import HEIGHT, WIDTH, Reader, Uru4000Model, Uru4000Settings
from simulators.transports.remote import Answer
from simulators.transports.usb.usbip import FULL_SPEED, UsbIpServer

PPI = 512  # as the vendor says of the family
VIEW = View(WIDTH, HEIGHT, PPI)


def kind_of(reader: Reader) -> Kind:
    """How an agent reaches it."""
    return Kind(f"{reader.maker} {reader.name}, {WIDTH}x{HEIGHT} at {PPI} ppi", "uru4000", {})


class Uru4000Rig(TouchRig):
    """One reader on a TCP port of this machine."""

    looks_to_notice = 0  # the reader tells it

    def __init__(
        self,
        settings: Uru4000Settings,
        link: Path,
        *,
        port: int = 0,
        pace: bool = False,
        control: Path | None = None,
        seed: int = 0,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.module = Uru4000Model(settings, seed)
        self.server = UsbIpServer(self.module, port, bytes_per_s=FULL_SPEED if pace else None)
        kind = kind_of(self.module.reader)
        super().__init__(kind, VIEW, self.module, self.server, link, control=control, say=say)

    @property
    def url(self) -> str:
        """Where it is exported."""
        return self.server.url

    def show(self, image: Grey) -> None:
        """Lay a picture on the glass."""
        self.module.press(image.tobytes())

    def looks(self) -> int:
        """The reader looks by itself."""
        return 0

    def facts(self) -> Answer:
        """What it has done."""
        counters = self.module.counters()
        return {"images_sent": counters.images_sent, "wakings": counters.wakings, "mode": f"{self.module.mode:02x}"}


def usual(link: Path, *, pace: bool = False) -> Uru4000Rig:
    """A U.are.U 4500."""
    return Uru4000Rig(Uru4000Settings(), link, pace=pace)
