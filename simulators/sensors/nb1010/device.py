"""The device side of the NB-1010-U: its messages and their answers. Standard library only.

Written from ../shared/facts/usb-fingerprint.md.
"""

import threading
from collections import Counter
from collections.abc import Callable

from simulators.sensors.common.sunlight import Sunlight
from simulators.transports.faults import Faults, Value
from simulators.transports.usb.device import Setup, Stall, UsbDescription, UsbModel, UsbWire
from simulators.transports.usb.faults import USB_FAULTS
from simulators.transports.usb.standard import configuration_descriptor, endpoint_descriptor, interface_descriptor

WIDTH, HEIGHT = 256, 180
INTERRUPT_IN, BULK_OUT, BULK_IN = 0x81, 0x02, 0x83
START = 0x80
CHECK, PRE_CAPTURE, CAPTURE = 0x38, 0x0D, 0x12  # commands
NO_FINGER, FINGER = 0x03, 0xF7  # contact levels; the second one as recorded
ANSWER_S = 0.001  # the time that a real sensor takes was not recorded
LINES = 2  # lines of an image in one message

CONFIGURATION = configuration_descriptor(
    interface_descriptor(0, 0, 3, (0, 0, 0)),
    endpoint_descriptor(INTERRUPT_IN, 3, 64, 5),
    endpoint_descriptor(BULK_OUT, 2, 64),
    endpoint_descriptor(BULK_IN, 2, 64),
    attributes=0xA0,
)


def message(command: int, sequence: int, body: bytes, size: int) -> bytes:
    """One message: start, command, sequence, total length, and `body` from byte 8 on, padded with zeros."""
    head = bytes([START, command, sequence, 0]) + size.to_bytes(2, "little") + bytes(2)
    return (head + body).ljust(size, b"\0")


def status(sequence: int, level: int) -> bytes:
    """The answer to CHECK."""
    return message(0x37, sequence, bytes(4) + bytes([level]), 16)


def reply(sequence: int, value: int = 0) -> bytes:
    """The answer to any other command. In the recordings, byte 12 of the answer to CAPTURE is 3."""
    return message(0x20, sequence, bytes(4) + bytes([value]), 16)


def image_messages(pixels: bytes) -> list[bytes]:
    """The messages of an image, two lines each."""
    size = LINES * WIDTH
    return [_image_message(pixels[place : place + size], place // WIDTH + 1) for place in range(0, len(pixels), size)]


def _image_message(lines: bytes, first: int) -> bytes:
    more = first + LINES <= HEIGHT
    head = bytes(4) + bytes([more, 0, 0, 0, first, 0, 0, 0, 0, 1, 0, 0, 1])
    return message(0x21, 0, head + lines, 540)


# The rows of FAULTS that this device supports. `unplug` is not among them: the cable has that one.
NB1010_FAULTS = (*USB_FAULTS, "capture_fail", "stuck", "sunlight")


class Nb1010Model:
    """One sensor. Any thread may press, lift and inject."""

    def __init__(self, serial: str = "", seed: int = 0) -> None:
        self.faults = Faults(seed, NB1010_FAULTS)
        self.description = UsbDescription(
            0x298D, 0x1010, 0x0001, "NEXT Biometrics", "NB-1010-U", serial, (0, 0, 0), CONFIGURATION, "full"
        )
        self.commands = Counter[int]()
        self._lock = threading.Lock()
        self._wire: UsbWire | None = None
        self._finger: bytes | None = None
        self._sunlight = Sunlight(self.faults, WIDTH, HEIGHT, lambda: self._wire.now() if self._wire else 0.0)
        self._stuck = False  # the finger was lifted, but the fault `stuck` keeps it there
        self._answers: dict[int, Callable[[int], list[bytes]]] = {
            CHECK: self._check,
            PRE_CAPTURE: lambda sequence: [reply(sequence)],
            CAPTURE: self._capture,
        }

    # The finger

    def press(self, pixels: bytes) -> None:
        """Press a finger on the sensor: 180 lines of 256 bytes, ridges dark."""
        if len(pixels) != WIDTH * HEIGHT:
            raise ValueError(f"this sensor needs {WIDTH * HEIGHT} pixels, {HEIGHT} lines of {WIDTH}: not {len(pixels)}")
        with self._lock:
            self._finger, self._stuck = bytes(pixels), False

    def lift(self) -> None:
        """Remove the finger; the fault `stuck` keeps it there."""
        with self._lock:
            self._stuck = self._finger is not None and self.faults.occurs("stuck")
            if not self._stuck:
                self._finger = None

    @property
    def finger_on(self) -> bool:
        """Whether the sensor detects a finger."""
        return self._finger is not None

    def inject(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Add a pending fault of simulators.transports.faults. ValueError names the faults of this sensor."""
        self.faults.inject(name, times=times, **params)

    def clear_faults(self) -> None:
        """Remove every pending fault. A finger that was stuck is removed."""
        self.faults.clear()
        with self._lock:
            if self._stuck:
                self._finger, self._stuck = None, False

    # The USB bus

    def attach(self, wire: UsbWire, _now: float) -> None:
        """Plugged in."""
        self._wire = wire

    def detach(self) -> None:
        """Unplugged."""
        self._wire = None

    def control(self, _setup: Setup, _data: bytes) -> bytes:
        """Refuse: the sensor has no control requests of its own."""
        raise Stall

    def read_submitted(self, _endpoint: int, _length: int) -> None:
        """Nothing: the sensor sends after a command, not when the host starts a transfer."""

    def received(self, endpoint: int, data: bytes) -> None:
        """Execute one command. An invalid message or an unknown command is not answered."""
        wire = self._wire
        if wire is None or endpoint != BULK_OUT or not _is_valid(data):
            return
        with self._lock:
            self.commands[data[1]] += 1
            execute = self._answers.get(data[1])
            answers = execute(data[2]) if execute else []
        for answer in answers:
            wire.send(BULK_IN, answer, ANSWER_S)

    def _check(self, sequence: int) -> list[bytes]:
        level = FINGER if self._seen() is not None else NO_FINGER
        return [status(sequence, level)]

    def _seen(self) -> bytes | None:
        return self._sunlight.glare if self._finger is None else self._finger

    def _capture(self, sequence: int) -> list[bytes]:
        pixels = self._seen() or bytes([0xE5]) * (WIDTH * HEIGHT)
        if self.faults.occurs("capture_fail"):
            return [reply(sequence, 3)]
        return [reply(sequence, 3), *image_messages(pixels)]


def _is_valid(data: bytes) -> bool:
    return len(data) >= 8 and data[0] == START and int.from_bytes(data[4:6], "little") == len(data)


_: type[UsbModel] = Nb1010Model
