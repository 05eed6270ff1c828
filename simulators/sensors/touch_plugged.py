"""Simulated fingerprint readers behind the real libusb, for any program: see transports/usb/umockdev.py.

    umockdev-wrapper /usr/bin/python3 -m simulators.transports.usb.umockdev simulators.sensors.touch_plugged:uru4000
    --control PATH -- …

Requests in addition to those of the cable and the faults: press (pixels: a file with one grey byte per pixel of the
sensor, ridges dark), lift, finger, counters. Standard library only: Debian's own Python runs it.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from simulators.sensors.nb1010.device import CAPTURE, CHECK, Nb1010Model
from simulators.sensors.uru4000.choice import Choice
from simulators.sensors.uru4000.device import Uru4000Model
from simulators.transports.remote import Answer
from simulators.transports.usb.plugged import Device, PluggedDevices
from simulators.transports.usb.usbip import FULL_SPEED

SETTINGS_VARIABLE = "KIOSK_SIM_TOUCH"  # JSON of a TouchSettings; the process has no command line arguments for it


@dataclass(frozen=True, slots=True)
class TouchSettings:
    """One reader."""

    seed: int = 0
    pace: bool = False
    finger: str = ""  # a file of pixels: the finger on the reader when it is plugged in
    choice: dict[str, Any] = field(default_factory=dict)  # for a U.are.U reader: the fields of a Choice

    def __str__(self) -> str:
        """The text for the environment variable."""
        return json.dumps(asdict(self))


def _settings() -> TouchSettings:
    return TouchSettings(**json.loads(os.environ.get(SETTINGS_VARIABLE) or "{}"))


def uru4000() -> PluggedDevices:
    """A reader of the U.are.U family; the default is a 4500."""
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

    return reader_and_handlers(model, counters, settings)


def nb1010() -> PluggedDevices:
    """An NB-1010-U."""
    settings = _settings()
    model = Nb1010Model(seed=settings.seed)
    return reader_and_handlers(
        model, lambda: {"checks": model.commands[CHECK], "images_sent": model.commands[CAPTURE]}, settings
    )


def reader_and_handlers(
    model: Uru4000Model | Nb1010Model, counters: Callable[[], Answer], settings: TouchSettings
) -> PluggedDevices:
    """The reader, and the handlers of its requests."""

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
    handlers: dict[str, Callable[..., Answer | None]]
    handlers = {"press": press, "lift": lift, "finger": finger, "clear": clear, "counters": counters}
    return PluggedDevices((Device(model, bytes_per_s=FULL_SPEED if settings.pace else None),), handlers)
