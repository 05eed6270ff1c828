"""What the simulated serial fingerprint modules share: the finger on the sensor and the pending faults.

Standard library only: a device model imports nothing of the drivers.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from simulators.sensors.common.sunlight import Sunlight
from simulators.transports.faults import ANY_OPTIONAL, Faults, Params, Value


class PixelArray(Protocol):
    """An image u8[height, width], such as a numpy array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width."""

    @property
    def dtype(self) -> object:
        """The type of a pixel; its text must be `uint8`."""

    def tobytes(self) -> bytes:
        """The pixels row by row."""


@dataclass(slots=True)
class Touch:
    """The finger on a sensor."""

    sunlight: Sunlight
    finger: bytes | None = None  # row by row; None: no finger
    pressed_at: float = 0.0
    lift_requested: bool = False  # the finger was lifted, but the fault `stuck` keeps it there

    @property
    def pixels(self) -> bytes | None:
        """What the sensor sees, row by row: the finger, or glare; None if it sees neither."""
        return self.sunlight.glare if self.finger is None else self.finger


def lacks(params: Params, command: int, *, optional: bool) -> bool:
    """Whether a module with the fault `refuses` or `ignores` does not have this command."""
    return params["command"] == command or (optional and params["command"] == ANY_OPTIONAL)


class SerialModule:
    """The finger and the faults of one module. Any thread may press, lift and inject.

    A subclass exchanges bytes with the host (simulators.transports.serial.uart.SerialDevice) under `_lock`.
    """

    def __init__(self, width: int, height: int, faults: Faults, clock: Callable[[], float]) -> None:
        self.faults = faults
        self._shape = (height, width)
        self._clock = clock
        self._lock = threading.RLock()
        self._touch = Touch(Sunlight(faults, width, height, clock))

    def press(self, image: PixelArray) -> None:
        """Press a finger on the sensor: u8[height, width] as the sensor would see it, ridges dark."""
        if image.shape != self._shape or str(image.dtype) != "uint8":
            raise ValueError(f"this sensor needs u8{list(self._shape)}, not {image.dtype}{list(image.shape)}")
        with self._lock:
            if self._touch.finger is None:
                self._touch.pressed_at = self._clock()
            self._touch.finger, self._touch.lift_requested = image.tobytes(), False

    def lift(self) -> None:
        """Remove the finger; the fault `stuck` keeps it there."""
        with self._lock:
            self._touch.lift_requested = self.faults.occurs("stuck")
            if not self._touch.lift_requested:
                self._touch.finger = None

    def inject(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Add a pending fault of simulators.transports.faults. ValueError names the faults of this module."""
        self.faults.inject(name, times=times, **params)

    def clear_faults(self) -> None:
        """Remove every pending fault. A finger that was stuck is removed."""
        self.faults.clear()
        with self._lock:
            if self._touch.lift_requested:
                self.lift()

    @property
    def finger_on(self) -> bool:
        """Whether the sensor detects a finger."""
        return self._touch.pixels is not None
