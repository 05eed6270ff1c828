"""A simulated U.are.U 4500 under the real libusb, for any program that talks to one: see umockdev_binding.py.

    umockdev-wrapper /usr/bin/python3 -m simulators.umockdev_binding simulators.uru4000_bench:usual --control PATH -- …

Orders beside those of the cable: press (pixels: a file of 384 x 290 grey bytes, ridges dark), lift, counters.
Standard library only: Debian's own Python runs it.
"""

from pathlib import Path

from simulators.bench_usb import Bench, Device
from simulators.remote import Answer
from simulators.uru4000 import Uru4000Model, Uru4000Settings


def usual() -> Bench:
    """One U.are.U 4500."""
    return bench_of(Uru4000Model(Uru4000Settings()))


def bench_of(model: Uru4000Model) -> Bench:
    """A reader and its orders."""

    def press(pixels: str) -> Answer:
        model.press(Path(pixels).read_bytes())
        return {"finger_on": model.finger_on}

    def lift() -> Answer:
        model.lift()
        return {"finger_on": model.finger_on}

    def counters() -> Answer:
        seen = model.counters()
        return {"images_sent": seen.images_sent, "registers": dict(seen.registers), "mode": f"{model.mode:02x}"}

    return Bench((Device(model),), {"press": press, "lift": lift, "counters": counters})
