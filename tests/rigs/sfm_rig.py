"""A simulated SFM module on a virtual line and clock, and its driver. A test controls every byte and second."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from drivers.errors import CaptureRetry, Retry
from drivers.options import OptionValue
from drivers.sfm.driver import Sfm
from drivers.transport import Transport, Url
from simulators.sensors.sfm.commands import Answer
from simulators.sensors.sfm.device import SfmModule, SfmSettings
from simulators.sensors.sfm.wire import Request
from simulators.transports.serial.uart import Burst
from tests.rigs.virtual_serial import VirtualPort
from tests.rigs.virtual_usb import VirtualTime

WIDTH, HEIGHT = 48, 64


GREY = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH), np.uint8)


SIXTEEN = np.random.default_rng(4).integers(0, 16, (HEIGHT, WIDTH), np.uint8) * np.uint8(17)


FORMAT, RATE = 0x6C, 0x71


@dataclass
class SfmRig:
    """A module on a virtual line, and what the driver wrote to it."""

    settings: SfmSettings = field(default_factory=lambda: SfmSettings(width=WIDTH, height=HEIGHT, boot_s=0.0))
    wrote: list[bytes] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)  # URLs, and the rates that were set on the open port

    def __post_init__(self) -> None:
        self.time = VirtualTime()
        self.module = SfmModule(self.settings, seed=1, clock=self.time.now)
        self.port = VirtualPort(self.module, self.time)

    def connect(self, url: Url) -> Transport:
        self.opened.append(str(url))
        transport = self.port.connect(url)
        send = transport.write

        def write(data: bytes) -> None:
            self.wrote.append(data)
            send(data)

        change_rate = transport.set_baud

        def set_baud(baud: int) -> None:
            self.opened.append(f"baud={baud}")
            change_rate(baud)

        transport.write = write  # type: ignore[method-assign]
        transport.set_baud = set_baud  # type: ignore[method-assign]
        return transport

    def sensor(self, baud_of_url: int = 115_200, /, **options: OptionValue) -> Sfm:
        url = f"serial:/dev/ttyFP0?baud={baud_of_url}"
        size: dict[str, OptionValue] = {"width": WIDTH, "height": HEIGHT}
        return Sfm(url, size | options, clock=self.time.now, connect=self.connect)

    def opened_sensor(self, **options: OptionValue) -> Sfm:
        sensor = self.sensor(115_200, **options)
        sensor.open()
        return sensor


def settings_of(**changes: object) -> SfmSettings:
    return SfmSettings(width=WIDTH, height=HEIGHT, boot_s=0.0, **changes)  # type: ignore[arg-type]


def retry_of(sensor: Sfm, timeout: float = 1.0) -> Retry:
    with pytest.raises(CaptureRetry) as caught:
        sensor.capture(timeout)
    return caught.value.reason


def flags(rig: SfmRig, command: int, *results: int, param: int | None = None) -> None:
    """The next answers to a command are these result flags, instead of what the module would answer."""
    answers(rig, command, *map(Answer, results), param=param)


def answers(rig: SfmRig, command: int, *instead: Answer, param: int | None = None) -> None:
    """Like flags(), with complete answers."""
    queue = list(instead)
    execute = rig.module._execute

    def answer(request: Request, now: float) -> list[Burst]:
        if request.command == command and queue and param in (None, request.flag):
            return rig.module._answer(request, queue.pop(0), now)
        return execute(request, now)

    rig.module._execute = answer  # type: ignore[method-assign]


FULL = np.random.default_rng(3).integers(0, 256, (320, 272), np.uint8)
