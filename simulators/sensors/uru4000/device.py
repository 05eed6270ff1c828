"""The device side of the U.are.U 4000, 4000B and 4500 and the Microsoft readers: registers, messages, scrambled images.

Written from ../shared/facts/usb-fingerprint.md, sections 1 to 6. No wire, no threads: a binding serves it through
simulators.transports.usb.device. The lines of an image are made in simulators.sensors.uru4000.image.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

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
    """What power-off forgets."""

    status: int
    naps: int
    key_number: int
    alive_at: float = 0.0  # a reboot ends
    mode: int = 0
    seed: int = 0
    challenge: int = 0  # which one is asked
    answered: bool = False


@dataclass(slots=True)
class Counters:
    """What a reader has seen and done since it was made."""

    registers: Counter[str] = field(default_factory=Counter)  # by what was done: "w4e=10", "w33", "r07"
    wakings: int = 0
    images_sent: int = 0


# The rows of FAULTS that this device can carry out; `unplug` is of the plug.
URU4000_FAULTS = (
    *USB_FAULTS, "stuck", "hung", "late_power_on", "no_power_on", "no_finger_off", "fault_report", "wrong_key",
    "bad_header", "bad_table",
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
        self._state = self._fresh()
        self._finger: bytes | None = None
        self._lift_asked = False
        self._counters = Counters()
        self._orders: dict[int, Callable[[bytes], None]] = {
            STATUS: self._set_status,
            SCRAMBLE_INDEX: self._set_scramble_index,
            MODE: self._set_mode,
            RESPONSE: self._take_response,
        }
        self._answers: dict[int, Callable[[], bytes]] = {
            STATUS: self._status,
            SCRAMBLE_KEY: self._scramble_key,
            INFO: lambda: DEVICE_INFO,
            CHALLENGE: lambda: CHALLENGES[self._state.challenge][0],
        }

    # The finger and the faults

    def press(self, pixels: bytes, width: int = WIDTH, height: int = HEIGHT) -> None:
        """Lay a finger on the glass: one byte a pixel, top row first, ridges dark. ValueError: not of this size."""
        if (width, height) != (WIDTH, HEIGHT) or len(pixels) != WIDTH * HEIGHT:
            raise ValueError(f"this sensor needs {WIDTH}x{HEIGHT} pixels, not {len(pixels)} as {width}x{height}")
        with self._lock:
            comes = self._finger is None
            self._finger, self._lift_asked = bytes(pixels), False
            if comes and self._state.mode == AWAIT_ON:
                self._say(FINGER_ON)

    def lift(self) -> None:
        """Take the finger away; the fault `stuck` keeps it there."""
        with self._lock:
            self._lift_asked = self.faults.strikes("stuck")
            if not self._lift_asked and self._finger is not None:
                self._finger = None
                if self._state.mode == AWAIT_OFF:
                    self._say_finger_off()

    def inject(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Let a fault of simulators.transports.faults wait in this reader. ValueError names what there is."""
        self.faults.inject(name, times=times, **params)

    def clear_faults(self) -> None:
        """Forget every waiting fault; a finger that was stuck leaves."""
        self.faults.clear()
        with self._lock:
            if self._lift_asked:
                self.lift()

    @property
    def finger_on(self) -> bool:
        """Whether the sensor feels a finger."""
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

    # The plug

    @property
    def description(self) -> UsbDescription:
        """What the device says of itself."""
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
        """Power on afresh."""
        with self._lock:
            self._wire, self._state = wire, self._fresh()

    def detach(self) -> None:
        """Unplugged."""
        with self._lock:
            self._wire = None

    def received(self, endpoint: int, data: bytes) -> None:
        """It has no endpoint that takes data."""

    def asked(self, endpoint: int, length: int) -> None:
        """What it sends does not wait for being asked."""

    def control(self, setup: Setup, data: bytes) -> bytes:
        """Write or read registers, from wValue on."""
        if setup.request != REGISTERS or setup.index or setup.request_type not in (READ, WRITE):
            raise Stall
        with self._lock:
            if setup.request_type == READ:
                return self._read(setup.value, setup.length)
            self._write(setup.value, data)
            return b""

    def _fresh(self) -> _State:
        settings = self.settings
        hung = HUNG if self.faults.strikes("hung") else 0
        return _State(settings.status | hung, settings.naps, settings.first_key)

    # Registers

    def _read(self, register: int, length: int) -> bytes:
        self._counters.registers[f"r{register:02x}"] += 1
        answer = self._answers[register]() if register in self._answers else b""
        return answer[:length].ljust(length, b"\x00")

    def _write(self, register: int, data: bytes) -> None:
        value = f"={data.hex()}" if len(data) == 1 else ""
        self._counters.registers[f"w{register:02x}{value}"] += 1
        if order := self._orders.get(register):
            order(data)

    def _status(self) -> bytes:
        state = self._state
        if state.alive_at and self._now() >= state.alive_at:
            state.status, state.alive_at = ALIVE, 0.0
        return bytes([state.status])

    def _set_status(self, data: bytes) -> None:
        """Bit 7 puts it to sleep; clearing the bit wakes it up, or starts it again where it hung."""
        state, value = self._state, data[0]
        if state.alive_at:
            return
        if state.status & HUNG == HUNG:
            if not value & LOW_POWER:
                state.status, state.alive_at = 0, self._now() + self.settings.reboot_s
        elif value & LOW_POWER:
            state.status, state.naps, state.answered = ALIVE | LOW_POWER, self.settings.naps, False
        elif state.status & LOW_POWER:
            self._wake()

    def _wake(self) -> None:
        state = self._state
        if state.naps or (self.reader.challenges and not state.answered):
            state.naps = max(0, state.naps - 1)
            return
        state.status = ALIVE
        self._counters.wakings += 1
        if self.faults.strikes("no_power_on"):
            return
        late = self.faults.take("late_power_on")
        start = self.settings.power_on_s + (float(late["seconds"]) if late else 0.0)
        for after in self.settings.power_on_messages:
            self._say_later(POWER_ON, start + after)

    def _take_response(self, data: bytes) -> None:
        state = self._state
        state.answered = data == CHALLENGES[state.challenge][1]
        state.challenge = (state.challenge + 1) % len(CHALLENGES)

    def _set_scramble_index(self, data: bytes) -> None:
        self._state.key_number, self._state.seed = data[0], int.from_bytes(data[1:5], "little")

    def _scramble_key(self) -> bytes:
        key = self._key_of(self._state.key_number) ^ self._state.seed
        if self.faults.strikes("wrong_key"):
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
            self._wire.drop(BULK)  # a picture that nobody fetched
        if state.mode == CAPTURE:
            self._send_image()
        elif TELLS[self.settings.tells][before == state.mode]:
            self._tell_what_is()

    def _tell_what_is(self) -> None:
        """What is waited for is so already."""
        if self._state.mode == AWAIT_ON and self._finger is not None:
            self._say(FINGER_ON)
        elif self._state.mode == AWAIT_OFF and self._finger is None:
            self._say_finger_off()

    def _say_finger_off(self) -> None:
        if not self.faults.strikes("no_finger_off"):
            self._say(FINGER_OFF)

    def _say_later(self, message: int, after: float) -> None:
        """A finger that comes until then is told before."""
        if self._wire:
            self._wire.later(after, lambda: self._say(message))

    def _say(self, message: int) -> None:
        with self._lock:
            if self._wire:
                self._wire.send(INTERRUPT, message.to_bytes(2).ljust(MESSAGE_BYTES, b"\x00"))

    def _send_image(self) -> None:
        if self.faults.strikes("fault_report"):
            self._say(FAULT)
            raw = b""
        else:
            raw = self._image()
        self._counters.images_sent += 1
        if self._wire:
            self._wire.send(BULK, raw, self.settings.image_s)

    def _image(self) -> bytes:
        """What the sensor sees: ridges bright, and the 4500 sits the other way round in its case."""
        number = (self.settings.first_key + self._counters.images_sent) & 0xFF
        seen = _inverted(self._finger or b"\xff" * (WIDTH * HEIGHT))
        seen = seen[::-1] if self.reader.upside_down else seen
        raw = image(seen, self.settings.blocks, number, self._key_of, scrambled=self.settings.scrambled)
        if self.faults.strikes("bad_header"):
            raw = raw[:4] + self.faults.random.randrange(HEIGHT, 1 << 16).to_bytes(2, "little") + raw[6:]
        if self.faults.strikes("bad_table"):
            raw = raw[:16] + self.faults.random.randbytes(30) + raw[46:]
        return raw

    def _now(self) -> float:
        return self._wire.now() if self._wire else 0.0


def _inverted(pixels: bytes) -> bytes:
    return pixels.translate(bytes(range(255, -1, -1)))
