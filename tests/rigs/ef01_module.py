"""A small simulated EF01 module, and its answers to the commands of a host."""

import numpy as np

from simulators.sensors.ef01.device import Ef01Module, Ef01Settings, frame
from simulators.transports.serial.uart import Burst

ANYONE = 0xFFFFFFFF


SMALL = Ef01Settings(width=64, height=64, boot_s=0.0)


TOUCH = np.random.default_rng(6).integers(0, 256, (64, 64), np.uint8)


GET_IMAGE, TO_TEMPLATE, UP_CHAR, DOWN_CHAR, UP_IMAGE, DOWN_IMAGE = 0x01, 0x02, 0x08, 0x09, 0x0A, 0x0B


SET_PARAMETER, READ_PARAMETERS, SET_PASSWORD, VERIFY, SET_ADDRESS = 0x0E, 0x0F, 0x12, 0x13, 0x15


def small(seed: int = 0, *, touched: bool = True) -> Ef01Module:
    module = Ef01Module(SMALL, seed, clock=lambda: 0.0)
    if touched:
        module.press(TOUCH)
    return module


def bursts(module: Ef01Module, code: int, payload: bytes = b"", *, address: int = ANYONE) -> list[Burst]:
    return module.receive(frame(address, 0x01, bytes([code]) + payload), 0.0)


def frames(module: Ef01Module, code: int, payload: bytes = b"") -> list[bytes]:
    return [burst.data for burst in bursts(module, code, payload)]


def answer(module: Ef01Module, code: int, payload: bytes = b"", *, address: int = ANYONE) -> bytes:
    """The payload of the one acknowledge, cut out by hand."""
    (only,) = bursts(module, code, payload, address=address)
    assert only.data[:2] == b"\xef\x01"
    assert only.data[6] == 0x07
    assert int.from_bytes(only.data[7:9]) == len(only.data) - 9
    return only.data[9:-2]
