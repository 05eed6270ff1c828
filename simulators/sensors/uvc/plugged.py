"""A simulated camera under the real libusb, for any program that talks to one: see transports/usb/umockdev.py.

    umockdev-wrapper /usr/bin/python3 -m simulators.transports.usb.umockdev simulators.sensors.uvc.plugged:usual
    --control PATH -- CHILD

Orders beside those of the cable: show (frames: a file that write_frames() has written), test_card, counters.
Standard library only: Debian's own Python runs it.
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

FRAMES_VARIABLE = (
    "KIOSK_SIM_UVC_FRAMES"  # a file of write_frames(): what is before the camera; else frames with numbers
)
SETTINGS_VARIABLE = "KIOSK_SIM_UVC"  # JSON of what differs from the usual camera; the process has no arguments for it


def write_frames(path: Path, frames: Sequence[bytes]) -> None:
    """Frames as the camera is to send them, each behind its length."""
    path.write_bytes(b"".join(struct.pack("<I", len(frame)) + frame for frame in frames))


def read_frames(path: Path) -> list[bytes]:
    """What write_frames() wrote. ValueError: nothing in it."""
    data, frames, at = path.read_bytes(), list[bytes](), 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        frames.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    if not frames:
        raise ValueError(f"{path} holds no frames")
    return frames


def settings_text(settings: UvcSettings) -> str:
    """Settings as the environment variable carries them."""
    return json.dumps(asdict(settings))


def settings_from(text: str) -> UvcSettings:
    """What settings_text() made."""
    facts = json.loads(text or "{}")
    for name in ("formats", "rates"):
        facts[name] = tuple(facts[name]) if name in facts else getattr(UvcSettings(), name)
    facts["sizes"] = tuple((width, height) for width, height in facts.get("sizes", UvcSettings().sizes))
    return UvcSettings(**facts)


def usual() -> PluggedDevices:
    """One camera, with the settings of the environment."""
    camera = UvcCamera(settings_from(os.environ.get(SETTINGS_VARIABLE, "")))
    if FRAMES_VARIABLE in os.environ:
        camera.show(looping(read_frames(Path(os.environ[FRAMES_VARIABLE]))))

    def show(frames: str) -> None:
        camera.show(looping(read_frames(Path(frames))))

    def test_card() -> None:
        camera.show(numbered)

    def clear() -> None:
        camera.clear_faults()

    def counters() -> Answer:
        return {**asdict(camera.counters()), "streaming": camera.mode is not None, "lamp": camera.lamp_on}

    return PluggedDevices(
        (Device(camera),), {"show": show, "test_card": test_card, "clear": clear, "counters": counters}
    )
