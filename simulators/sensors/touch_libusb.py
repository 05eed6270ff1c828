"""A simulated touch sensor behind the real libusb of one program. The people who touch it are made out here.

The machine, run by Debian's Python, has no numpy: it gets orders, and fingers as pixels.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from simulators.images import Grey
from simulators.sensors.touch_plugged import SETTINGS_VARIABLE, TouchSettings
from simulators.sensors.touch_rig import Kind, TouchRig, View
from simulators.transports.faults import Value
from simulators.transports.remote import Answer, SensorRemote
from simulators.transports.usb.machine import SimulatedUsbHost


@dataclass(frozen=True, slots=True)
class Unit:
    """What is plugged in: its function of touch_plugged.py, what it is, and where a driver finds it."""

    plugged: str
    kind: Kind
    view: View
    url: str
    settings: TouchSettings


class _Faults:
    """Those that wait in there."""

    def __init__(self, usb_host: SimulatedUsbHost) -> None:
        self._usb_host = usb_host

    def waiting(self) -> dict[str, int]:
        faults: dict[str, int] = self._usb_host.remote.status()["faults"]
        return faults

    @property
    def has(self) -> tuple[str, ...]:
        return tuple(self._usb_host.remote.faults())


class _Model:
    """The device, by orders."""

    def __init__(self, usb_host: SimulatedUsbHost) -> None:
        self._usb_host = usb_host
        self.faults = _Faults(usb_host)

    @property
    def finger_on(self) -> bool:
        return self._usb_host.running and bool(self._usb_host.remote.ask("finger")["finger_on"])

    def lift(self) -> None:
        self._usb_host.remote.lift()

    def inject(self, name: str, *, times: int | None = None, **params: Value) -> None:
        self._usb_host.remote.fault(name, times=times, **params)

    def clear_faults(self) -> None:
        self._usb_host.remote.clear()


class _Wire:
    """The cable of the simulated machine; plugged in while that runs."""

    def __init__(self, usb_host: SimulatedUsbHost) -> None:
        self._usb_host = usb_host
        self._unplugged = threading.Event()

    def __enter__(self) -> object:
        return self._usb_host.__enter__()

    def __exit__(self, *why: object) -> None:
        self._usb_host.__exit__(None, None, None)

    @property
    def unplugged(self) -> threading.Event:
        """As it is now."""
        if self._remote.status()["plugged"]:
            self._unplugged.clear()
        else:
            self._unplugged.set()
        return self._unplugged

    @property
    def _remote(self) -> SensorRemote:
        return self._usb_host.remote

    def unplug_after(self, count: int) -> None:
        self._remote.unplug(count)

    def replug(self) -> None:
        self._remote.replug()


class LibusbRig(TouchRig):
    """One sensor on a simulated machine, and the program that runs there. For one use of its context."""

    looks_to_notice = 0

    def __init__(
        self,
        unit: Unit,
        program: list[str],
        link: Path,
        *,
        pressed: bool = False,
        control: Path | None = None,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.usb_host = SimulatedUsbHost(f"simulators.sensors.touch_plugged:{unit.plugged}", program, self._environment)
        self._unit = unit
        self._pressed = pressed
        super().__init__(
            unit.kind, unit.view, _Model(self.usb_host), _Wire(self.usb_host), link, control=control, say=say
        )

    @property
    def url(self) -> str:
        """Where the driver finds it, on that machine."""
        return self._unit.url

    def show(self, image: Grey) -> None:
        """Lay a picture on the sensor."""
        self.usb_host.remote.ask("press", pixels=str(_write(image, self.usb_host.folder)))

    def _environment(self, folder: Path) -> dict[str, str]:
        finger = "" if self.picture is None or not self._pressed else str(_write(self.picture, folder))
        return {SETTINGS_VARIABLE: str(replace(self._unit.settings, finger=finger))}

    def looks(self) -> int:
        """Nobody asks here."""
        return 0

    def facts(self) -> Answer:
        """What the sensor has done."""
        return self.usb_host.remote.ask("counters")


def _write(image: Grey, folder: Path) -> Path:
    path = folder / "finger"
    path.write_bytes(image.tobytes())
    return path
