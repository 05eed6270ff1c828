"""The device side of the U.are.U 4000, 4000B and 4500 and the Microsoft readers: registers, messages, scrambled images.

Written from ../shared/facts/usb-fingerprint.md, sections 1 to 6. It starts no thread: a binding serves it through
simulators.transports.usb.device. simulators.sensors.uru4000.image makes the lines of an image.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from simulators.sensors.common.sunlight import Sunlight
from simulators.sensors.uru4000.image import HEIGHT, WIDTH, Block, image
from simulators.sensors.uru4000.units import (
    ALIVE,
    CHALLENGES,
    DEVICE_INFO,
    HUNG,
    LOW_POWER,
    READERS,
    TELLS,
    Reader,
    Uru4000Settings,
)
from simulators.transports.faults import Faults, Value
from simulators.transports.usb.device import Setup, Stall, UsbDescription, UsbWire
from simulators.transports.usb.faults import USB_FAULTS

__all__ = [
    "ALIVE",
    "CHALLENGES",
    "HEIGHT",
    "READERS",
    "TELLS",
    "WIDTH",
    "Block",
    "Reader",
    "Uru4000Model",
    "Uru4000Settings",
]

INTERRUPT, BULK = 0x81, 0x82
MESSAGE_BYTES = 64

READ, WRITE, REGISTERS = 0xC0, 0x40, 0x04

STATUS, SCRAMBLE_INDEX, SCRAMBLE_KEY, MODE, INFO, RESPONSE, CHALLENGE = 0x07, 0x33, 0x34, 0x4E, 0xF0, 0x2000, 0x2010

FINGER_ON, FINGER_OFF, FAULT, POWER_ON = 0x0101, 0x0200, 0x0800, 0x56AA
AWAIT_ON, AWAIT_OFF, CAPTURE = 0x10, 0x12, 0x20


@dataclass(slots=True)
class _State:
    """The state that is lost at power-off."""

    status: int
    ignored_wakes: int
    key_number: int
    alive_at: float = 0.0  # when the current reboot ends
    mode: int = 0
    seed: int = 0
    challenge: int = 0  # index of the next challenge
    answered: bool = False  # the last challenge, correctly
    scan_power: bool = True  # without it the reader sees no finger


@dataclass(slots=True)
class Counters:
    """Counts of a reader since it was created."""

    registers: Counter[str] = field(default_factory=Counter)  # by access: "w4e=10", "w33", "r07"
    wakings: int = 0
    images_sent: int = 0


# The rows of FAULTS that this device supports. `unplug` is not among them: the cable has that one.
URU4000_FAULTS = (
    *USB_FAULTS, "stuck", "sunlight", "power_loss", "hung", "late_power_on", "no_power_on", "no_finger_off",
    "fault_report", "wrong_key", "bad_header", "bad_table",
)  # fmt: skip


class Uru4000Model:
    """One reader. Any thread may press, lift and inject; a binding serves it."""

    def __init__(self, settings: Uru4000Settings | None = None, seed: int = 0) -> None:
        self.settings = settings or Uru4000Settings()
        self.faults = Faults(seed, URU4000_FAULTS)
        self.reader = READERS[self.settings.reader]
        self._keys = f"keys of unit {seed}"
        self._lock = threading.RLock()
        self._wire: UsbWire | None = None
        self._state = self._initial_state()
        self._finger: bytes | None = None
        self._sunlight = Sunlight(self.faults, WIDTH, HEIGHT, self._now)
        self._lift_requested = False  # the finger was lifted, but the fault `stuck` keeps it there
        self._counters = Counters()
        self._writers: dict[int, Callable[[bytes], None]] = {
            STATUS: self._set_status,
            SCRAMBLE_INDEX: self._set_scramble_index,
            MODE: self._set_mode,
            RESPONSE: self._take_response,
        }
        self._readers: dict[int, Callable[[], bytes]] = {
            STATUS: self._status,
            SCRAMBLE_KEY: self._scramble_key,
            MODE: lambda: bytes([self._state.mode if self.settings.mode_is_readable else 0]),
            INFO: lambda: DEVICE_INFO,
            CHALLENGE: lambda: CHALLENGES[self._state.challenge][0],
        }

    # The finger and the faults

    def press(self, pixels: bytes, width: int = WIDTH, height: int = HEIGHT) -> None:
        """Press a finger on the sensor: one byte per pixel, top row first, ridges dark. ValueError for a wrong size."""
        if (width, height) != (WIDTH, HEIGHT) or len(pixels) != WIDTH * HEIGHT:
            raise ValueError(f"this sensor needs {WIDTH}x{HEIGHT} pixels, not {len(pixels)} as {width}x{height}")
        with self._lock:
            is_new = self._seen() is None
            self._finger, self._lift_requested = bytes(pixels), False
            if is_new and self._state.mode == AWAIT_ON and self._state.scan_power:
                self._send_message(FINGER_ON)

    def lift(self) -> None:
        """Remove the finger; the fault `stuck` keeps it there."""
        with self._lock:
            self._lift_requested = self.faults.occurs("stuck")
            if not self._lift_requested and self._finger is not None:
                self._finger = None
                if self._state.mode == AWAIT_OFF and self._seen() is None:
                    self._send_finger_off()

    def inject(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Add a pending fault of simulators.transports.faults. ValueError names the faults of this reader."""
        self.faults.inject(name, times=times, **params)
        with self._lock:
            if name == "sunlight":
                self._follow_the_sun()
            elif name == "power_loss" and self.faults.occurs(name):
                self._state = self._initial_state()
                self._state.scan_power = False

    def _follow_the_sun(self) -> None:
        """Report that the sun comes and goes, for as long as the fault is pending."""
        with self._lock:
            self._report_finger()
            seconds = self._sunlight.seconds
            if seconds and self._wire:
                self._wire.later(seconds, self._follow_the_sun)

    def clear_faults(self) -> None:
        """Remove every pending fault. A finger that was stuck is removed."""
        self.faults.clear()
        with self._lock:
            if self._lift_requested:
                self.lift()
            self._report_finger()

    @property
    def finger_on(self) -> bool:
        """Whether the sensor detects a finger."""
        return self._finger is not None

    @property
    def mode(self) -> int:
        """The mode register."""
        return self._state.mode

    def counters(self) -> Counters:
        """A copy of the counters."""
        with self._lock:
            seen = self._counters
            return Counters(seen.registers.copy(), seen.wakings, seen.images_sent)

    # The USB bus

    @property
    def description(self) -> UsbDescription:
        """The descriptors of the device."""
        reader = self.reader
        return UsbDescription(
            reader.vendor,
            reader.product,
            0x0103,
            reader.maker,
            reader.name,
            self.settings.serial,
            (0, 0, 0),
            reader.configuration,
        )

    def attach(self, wire: UsbWire, now: float) -> None:  # noqa: ARG002 - the contract of all devices
        """Power on: the state is reset."""
        with self._lock:
            self._wire, self._state = wire, self._initial_state()

    def detach(self) -> None:
        """Unplugged."""
        with self._lock:
            self._wire = None

    def received(self, endpoint: int, data: bytes) -> None:
        """Nothing: the reader has no endpoint that receives data."""

    def read_submitted(self, endpoint: int, length: int) -> None:
        """Nothing: the reader sends without waiting for a transfer of the host."""

    def control(self, setup: Setup, data: bytes) -> bytes:
        """Write or read registers, starting at wValue."""
        if setup.request != REGISTERS or setup.index or setup.request_type not in (READ, WRITE):
            raise Stall
        with self._lock:
            if setup.request_type == READ:
                return self._read(setup.value, setup.length)
            self._write(setup.value, data)
            return b""

    def _initial_state(self) -> _State:
        settings = self.settings
        hung = HUNG if self.faults.occurs("hung") else 0
        return _State(settings.status | hung, settings.ignored_wakes, settings.first_key)

    # Registers

    def _read(self, register: int, length: int) -> bytes:
        self._counters.registers[f"r{register:02x}"] += 1
        answer = self._readers[register]() if register in self._readers else b""
        return answer[:length].ljust(length, b"\x00")

    def _write(self, register: int, data: bytes) -> None:
        value = f"={data.hex()}" if len(data) == 1 else ""
        self._counters.registers[f"w{register:02x}{value}"] += 1
        if writer := self._writers.get(register):
            writer(data)

    def _status(self) -> bytes:
        state = self._state
        if state.alive_at and self._now() >= state.alive_at:
            state.status, state.alive_at = ALIVE, 0.0
        return bytes([state.status])

    def _set_status(self, data: bytes) -> None:
        """Setting bit 7 starts low-power mode. Clearing it ends low-power mode, or restarts a reader that hangs."""
        state, value = self._state, data[0]
        if state.alive_at:
            return
        if state.status & HUNG == HUNG:
            if not value & LOW_POWER:
                state.status, state.alive_at = 0, self._now() + self.settings.reboot_s
        elif value & LOW_POWER:
            state.status, state.ignored_wakes, state.answered = ALIVE | LOW_POWER, self.settings.ignored_wakes, False
        elif state.status & LOW_POWER:
            self._wake()

    def _wake(self) -> None:
        state = self._state
        if state.ignored_wakes or (self.reader.challenges and not state.answered):
            state.ignored_wakes = max(0, state.ignored_wakes - 1)
            return
        state.status, state.scan_power = ALIVE, True
        self._counters.wakings += 1
        if self.faults.occurs("no_power_on"):
            return
        late = self.faults.take("late_power_on")
        start = self.settings.power_on_s + (float(late["seconds"]) if late else 0.0)
        for after in self.settings.power_on_messages:
            self._send_message_later(POWER_ON, start + after)

    def _take_response(self, data: bytes) -> None:
        state = self._state
        state.answered = data == CHALLENGES[state.challenge][1]
        state.challenge = (state.challenge + 1) % len(CHALLENGES)

    def _set_scramble_index(self, data: bytes) -> None:
        self._state.key_number, self._state.seed = data[0], int.from_bytes(data[1:5], "little")

    def _scramble_key(self) -> bytes:
        key = self._key_of(self._state.key_number) ^ self._state.seed
        if self.faults.occurs("wrong_key"):
            key ^= self.faults.random.randrange(1, 1 << 32)
        return key.to_bytes(4, "little")

    def _key_of(self, number: int) -> int:
        return Random(f"{self._keys}, {number}").randrange(1, 1 << 32)

    # Messages and images

    def _set_mode(self, data: bytes) -> None:
        state = self._state
        before = state.mode
        state.mode = data[0] if not state.status & LOW_POWER and not state.alive_at else 0
        if state.mode != CAPTURE and self._wire:
            self._wire.drop(BULK)  # an image that the host has not read
        if state.mode == CAPTURE:
            self._send_image()
        elif TELLS[self.settings.tells][before == state.mode]:
            self._report_finger()

    def _report_finger(self) -> None:
        """Report what the host waits for, if it is already so."""
        if not self._state.scan_power:
            return
        if self._state.mode == AWAIT_ON and self._seen() is not None:
            self._send_message(FINGER_ON)
        elif self._state.mode == AWAIT_OFF and self._seen() is None:
            self._send_finger_off()

    def _seen(self) -> bytes | None:
        return self._sunlight.glare if self._finger is None else self._finger

    def _send_finger_off(self) -> None:
        if not self.faults.occurs("no_finger_off"):
            self._send_message(FINGER_OFF)

    def _send_message_later(self, message: int, after: float) -> None:
        """Send a message after a delay. A finger pressed in the meantime is reported first."""
        if self._wire:
            self._wire.later(after, lambda: self._send_message(message))

    def _send_message(self, message: int) -> None:
        with self._lock:
            if self._wire:
                self._wire.send(INTERRUPT, message.to_bytes(2).ljust(MESSAGE_BYTES, b"\x00"))

    def _send_image(self) -> None:
        if self.faults.occurs("fault_report"):
            self._send_message(FAULT)
            raw = b""
        else:
            raw = self._image()
        self._counters.images_sent += 1
        if self._wire:
            self._wire.send(BULK, raw, self.settings.image_s)

    def _image(self) -> bytes:
        """The image as it is sent: ridges bright. The sensor of a 4500 is mounted upside down in its case."""
        number = (self.settings.first_key + self._counters.images_sent) & 0xFF
        seen = _inverted(self._seen() or b"\xff" * (WIDTH * HEIGHT))
        seen = seen[::-1] if self.reader.upside_down else seen
        raw = image(seen, self.settings.blocks, number, self._key_of, scrambled=self.settings.scrambled)
        if self.faults.occurs("bad_header"):
            raw = raw[:4] + self.faults.random.randrange(HEIGHT, 1 << 16).to_bytes(2, "little") + raw[6:]
        if self.faults.occurs("bad_table"):
            raw = raw[:16] + self.faults.random.randbytes(30) + raw[46:]
        return raw

    def _now(self) -> float:
        return self._wire.now() if self._wire else 0.0


def _inverted(pixels: bytes) -> bytes:
    return pixels.translate(bytes(range(255, -1, -1)))
