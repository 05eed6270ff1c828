"""Simulated fingerprint readers under the real libusb, for any program: see transports/usb/umockdev.py.

    umockdev-wrapper /usr/bin/python3 -m simulators.transports.usb.umockdev simulators.sensors.touch_plugged:uru4000
    --control PATH -- …

Orders beside those of cable and faults: press (pixels: a file of grey bytes, ridges dark, as many as the sensor has),
lift, finger, counters. Standard library only: Debian's own Python runs it.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from simulators.sensors.nb1010.device import Nb1010Model
from simulators.sensors.uru4000.choice import Choice
from simulators.sensors.uru4000.device import Uru4000Model
from simulators.transports.remote import Answer
from simulators.transports.usb.plugged import Device, PluggedDevices
from simulators.transports.usb.usbip import FULL_SPEED

SETTINGS_VARIABLE = "KIOSK_SIM_TOUCH"  # JSON of a TouchSettings; the process has no arguments for it


@dataclass(frozen=True, slots=True)
class TouchSettings:
    """One unit. `finger`: a file of pixels, on it when it is plugged in; `choice`: fields of a Choice, of a U.are.U."""

    seed: int = 0
    pace: bool = False
    finger: str = ""
    choice: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """As the environment variable carries it."""
        return json.dumps(asdict(self))


def _settings() -> TouchSettings:
    return TouchSettings(**json.loads(os.environ.get(SETTINGS_VARIABLE) or "{}"))


def uru4000() -> PluggedDevices:
    """A reader of the U.are.U family, a 4500 unless told otherwise."""
    settings = _settings()
    model = Uru4000Model(Choice(**settings.choice).settings(), settings.seed)

    def counters() -> Answer:
        seen = model.counters()
        return {
            "images_sent": seen.images_sent,
            "wakings": seen.wakings,
            "mode": f"{model.mode:02x}",
            "registers": dict(seen.registers),
        }

    return reader_and_orders(model, counters, settings)


def nb1010() -> PluggedDevices:
    """An NB-1010-U."""
    settings = _settings()
    model = Nb1010Model(seed=settings.seed)
    return reader_and_orders(
        model, lambda: {"checks": model.commands[0x38], "images_sent": model.commands[0x12]}, settings
    )


def reader_and_orders(
    model: Uru4000Model | Nb1010Model, counters: Callable[[], Answer], settings: TouchSettings
) -> PluggedDevices:
    """A reader and its orders."""

    def press(pixels: str) -> Answer:
        model.press(Path(pixels).read_bytes())
        return finger()

    def lift() -> Answer:
        model.lift()
        return finger()

    def finger() -> Answer:
        return {"finger_on": model.finger_on}

    def clear() -> None:
        model.clear_faults()

    if settings.finger:
        press(settings.finger)
    orders: dict[str, Callable[..., Answer | None]]
    orders = {"press": press, "lift": lift, "finger": finger, "clear": clear, "counters": counters}
    return PluggedDevices((Device(model, bytes_per_s=FULL_SPEED if settings.pace else None),), orders)
