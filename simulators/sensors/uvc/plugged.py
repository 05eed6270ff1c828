"""A simulated camera behind the real libusb, for any program: see transports/usb/umockdev.py.

    umockdev-wrapper /usr/bin/python3 -m simulators.transports.usb.umockdev simulators.sensors.uvc.plugged:camera
    --control PATH -- PROGRAM

Requests in addition to those of the cable and the faults: show (frames: a file that write_frames() has written),
test_card, counters. Standard library only: Debian's own Python runs it.
"""

import json
import os
import struct
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.sensors.uvc.frames import looping, numbered
from simulators.transports.remote import Answer
from simulators.transports.usb.plugged import Device, PluggedDevices

# The process has no command line arguments for these.
FRAMES_VARIABLE = "KIOSK_SIM_UVC_FRAMES"  # a file of write_frames(); if not set, numbered frames
SETTINGS_VARIABLE = "KIOSK_SIM_UVC"  # JSON of the settings that differ from the defaults


def write_frames(path: Path, frames: Sequence[bytes]) -> None:
    """Write frames as the camera sends them, each after its length."""
    path.write_bytes(b"".join(struct.pack("<I", len(frame)) + frame for frame in frames))


def read_frames(path: Path) -> list[bytes]:
    """Read the file of write_frames(). ValueError if it holds no frames."""
    data, frames, at = path.read_bytes(), list[bytes](), 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        frames.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    if not frames:
        raise ValueError(f"{path} holds no frames")
    return frames


def settings_text(settings: UvcSettings) -> str:
    """The settings as text for the environment variable."""
    return json.dumps(asdict(settings))


def settings_from(text: str) -> UvcSettings:
    """The settings from the text of settings_text()."""
    facts = json.loads(text or "{}")
    for name in ("formats", "rates"):
        facts[name] = tuple(facts[name]) if name in facts else getattr(UvcSettings(), name)
    facts["sends"] = tuple(facts["sends"]) if facts.get("sends") else None
    facts["sizes"] = tuple((width, height) for width, height in facts.get("sizes", UvcSettings().sizes))
    return UvcSettings(**facts)


def camera() -> PluggedDevices:
    """One camera, with the settings of the environment."""
    model = UvcCamera(settings_from(os.environ.get(SETTINGS_VARIABLE, "")))
    if FRAMES_VARIABLE in os.environ:
        model.show(looping(read_frames(Path(os.environ[FRAMES_VARIABLE]))))

    def show(frames: str) -> None:
        model.show(looping(read_frames(Path(frames))))

    def test_card() -> None:
        model.show(numbered)

    def clear() -> None:
        model.clear_faults()

    def counters() -> Answer:
        return {**asdict(model.counters()), "streaming": model.mode is not None, "lamp": model.lamp_on}

    return PluggedDevices(
        (Device(model),), {"show": show, "test_card": test_card, "clear": clear, "counters": counters}
    )
