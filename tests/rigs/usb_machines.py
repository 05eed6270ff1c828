"""Simulated USB devices for tests under umockdev. Standard library only: Debian's own Python runs it too."""

from simulators.sensors.nb1010.device import HEIGHT, WIDTH, Nb1010Model
from simulators.transports.usb.plugged import Device, PluggedDevices
from tests.rigs.usb_echo import Echo

PORTS = ("1-1", "1-2")
SERIALS = ("LEFT", "RIGHT")
LEVELS = (0x40, 0xC0)  # the grey of each reader's finger


def echoes() -> PluggedDevices:
    """Two echoes of one kind."""
    left, right = (Echo(serial, 0.0) for serial in SERIALS)
    return PluggedDevices(
        (Device(left, PORTS[0]), Device(right, PORTS[1])),
        {"ring": lambda text, port=PORTS[0]: {PORTS[0]: left, PORTS[1]: right}[port].ring(text.encode())},
    )


def readers() -> PluggedDevices:
    """Two fingerprint readers of one kind, each with a finger of its own grey on it."""
    models = [Nb1010Model(serial) for serial in SERIALS]
    for model, level in zip(models, LEVELS, strict=True):
        model.press(bytes([level]) * (WIDTH * HEIGHT))
    return PluggedDevices(tuple(Device(model, port) for model, port in zip(models, PORTS, strict=True)))
