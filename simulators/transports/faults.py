"""The faults of simulated sensors: one table for every device, one row for each fault.

A fault is injected by name and stays pending until the device does what the fault concerns. `times` is how often it
then takes effect: 1 is once, 0 lasts until cleared, None takes the default of its row. All randomness comes from one
seed.
"""

import random
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

Value = int | float | str
Params = Mapping[str, Value]

ALWAYS = 0  # `times` of a fault that lasts until it is cleared
ANYWHERE = -1  # `packet` of a fault that affects a randomly chosen packet
ANY_OPTIONAL = -1  # `command` of a fault that affects every command that some modules of the family do not have
USUAL_CODE = -1  # `code` of a refusal: the one that modules of the family send


@dataclass(frozen=True, slots=True)
class Fault:
    """One row: the help text, the default of `times`, and the parameters with their defaults."""

    help: str
    times: int = 1
    params: Params = field(default_factory=dict)


PLACES = ("data", "answer")
RANGES: Mapping[str, tuple[float, float]] = {  # values that a device accepts
    "packet": (ANYWHERE, 1_000_000),
    "bytes": (1, 1_000_000),
    "bits": (1, 1_000_000),
    "address": (0, 0xFFFFFFFF),
    "seconds": (0, 3600),
    "command": (ANYWHERE, 0xFF),
    "code": (ANYWHERE, 0xFF),
    "after": (0, 1_000_000_000),
    "lit": (1, 1000),
    "of": (1, 1000),
    "percent": (0, 100),
    "depth": (8, 16),
}
IN_DATA: Params = {"at": "data", "packet": ANYWHERE}
IN_ANSWER: Params = {"at": "answer", "packet": ANYWHERE}

FAULTS: Mapping[str, Fault] = {
    # Transmission. at=answer: the acknowledge; at=data: one packet of a transfer (packet=N, else one chosen at random).
    "checksum": Fault("one packet has a wrong checksum", params=IN_DATA),
    "drop": Fault("bytes inside one packet are lost", params={**IN_DATA, "bytes": 1}),
    "double": Fault("bytes inside one packet arrive twice", params={**IN_DATA, "bytes": 1}),
    "flip": Fault("bits inside one packet are inverted", params={**IN_DATA, "bits": 1}),
    "garbage": Fault("noise arrives before one packet", params={**IN_DATA, "bytes": 16}),
    "wrong_address": Fault("one packet has the address of another device", params={**IN_DATA, "address": 0x12345678}),
    "stray55": Fault("a byte 0x55 arrives before one packet", params=IN_ANSWER),
    "late": Fault("one packet and all that follow are late", params={**IN_ANSWER, "seconds": 1.0}),
    "short": Fault("an image ends early, with a correct end marker", params={"bytes": 128}),
    "long": Fault("an image has too many bytes", params={"bytes": 128}),
    # Behaviour of the device.
    "silent": Fault("the device neither receives nor sends", times=ALWAYS),
    "receive_error": Fault("a command is answered with `receive error` and not executed"),
    "capture_fail": Fault("taking an image fails"),
    "messy": Fault("the device reports the image as too messy"),
    "no_upload": Fault("the device refuses to send its image"),
    "stuck": Fault("the device reports a finger after it was lifted", times=ALWAYS),
    "sunlight": Fault(
        "the device reports a finger where there is none, and its image shows glare: all the time, or every other "
        "`seconds`",
        times=ALWAYS,
        params={"seconds": 0.0},
    ),
    "baud_deferred": Fault("a new rate is acknowledged but takes effect only after power-off", times=ALWAYS),
    # Serial modules that lack a command, that restart, or whose line is bad.
    "refuses": Fault(
        "a command is refused as unknown: the one with this code, or every optional one",
        times=ALWAYS,
        params={"command": ANY_OPTIONAL, "code": USUAL_CODE},
    ),
    "ignores": Fault(
        "a command is not answered: the one with this code, or every optional one",
        times=ALWAYS,
        params={"command": ANY_OPTIONAL},
    ),
    "restarts": Fault(
        "the device restarts when its port is opened, unless the host has cleared HUPCL; it is then deaf for `seconds`",
        times=ALWAYS,
        params={"seconds": 1.5},
    ),
    "trickle": Fault("bytes arrive one at a time, `seconds` apart", times=ALWAYS, params={"seconds": 0.4}),
    # Suprema SFM.
    "busy": Fault("the device reports that it is busy with another command"),
    "no_extended": Fault("the device does not support the extended transfer", times=ALWAYS),
    "keeps_format": Fault("the device sends black and white although grey is set", times=ALWAYS),
    "gives_up": Fault("the device does not repeat a packet that arrived damaged", times=ALWAYS),
    "fake_finger": Fault("the device reports the finger as a fake"),
    # U.are.U 4000, 4500.
    "hung": Fault("the device hangs when it is plugged in, until it is restarted"),
    "power_loss": Fault("the device falls back to its power-on state at once, without leaving the bus"),
    "late_power_on": Fault("the message that the scan power is on is late", params={"seconds": 1.0}),
    "no_power_on": Fault("the message that the scan power is on is never sent"),
    "no_finger_off": Fault("the message that the finger was lifted is lost"),
    "fault_report": Fault("the device reports a fault and sends an empty image"),
    "wrong_key": Fault("the device gives a wrong key for its image"),
    "bad_header": Fault("the header of an image gives more lines than there are"),
    "bad_table": Fault("the table of an image holds invalid data"),
    # USB transfers. at=data: bulk; at=answer: interrupt and control. packet=N: the Nth from now.
    "stall": Fault("a transfer is refused: its endpoint halts until the host clears it", params=IN_DATA),
    "lost": Fault("a whole transfer or packet never arrives", params=IN_DATA),
    "duplicate": Fault("a whole transfer or packet arrives twice", params=IN_DATA),
    "slow": Fault("each transfer takes longer by `seconds`", times=ALWAYS, params={"seconds": 0.05}),
    "wrong_device": Fault("a different device with the same USB id: it sends noise and refuses requests", times=ALWAYS),
    # Stream of a camera.
    "error_bit": Fault("a payload of the next frame has the error bit set"),
    "no_end": Fault("frames end without the end bit", times=ALWAYS),
    "frame_id_stuck": Fault("the frame id does not toggle", times=ALWAYS),
    "freeze": Fault("the camera accepts commands but sends no more frames", times=ALWAYS),
    "max_frame_zero": Fault("the camera announces frames of 0 bytes", times=ALWAYS),
    "strobe": Fault(
        "the lamp lights only the first `lit` of `of` frames; the others have `percent` of the light (not in MJPEG)",
        times=ALWAYS,
        params={"lit": 1, "of": 2, "percent": 5},
    ),
    "trailing": Fault("noise follows the pixels or the JPEG of each frame", times=ALWAYS, params={"bytes": 64}),
    "shallow": Fault("16-bit pixels use only the `depth` lowest bits", times=ALWAYS, params={"depth": 10}),
    # Cable.
    "unplug": Fault("the cable is pulled after `after` more bytes", params={"after": 0}),
}


class Faults:
    """The pending faults of one device. Any thread may inject faults; the device takes them."""

    def __init__(self, seed: int = 0, has: Iterable[str] = ()) -> None:
        """`has`: the faults that the device supports in addition to `unplug`; empty: all of the table."""
        self.random = random.Random(seed)
        self.has = tuple(dict.fromkeys((*(has or FAULTS), "unplug")))
        self._lock = threading.Lock()
        self._pending: dict[str, tuple[int, Params]] = {}
        self._watchers: list[Callable[[], None]] = []

    def inject(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Make `name` take effect `times` times. ValueError names the faults and parameters that this device has."""
        fault = _named(name, self.has)
        if times is not None and times < 0:
            raise ValueError(f"times must be 0 (until cleared) or more, not {times}")
        merged = _merged(name, fault, params)
        with self._lock:
            self._pending[name] = (fault.times if times is None else times, merged)
        self.announce()

    def announce(self) -> None:
        """Notify the watchers that something about the device has changed: a fault, or a finger that came."""
        for watcher in tuple(self._watchers):
            watcher()

    def clear(self) -> None:
        """Remove every pending fault."""
        with self._lock:
            self._pending.clear()

    def peek(self, name: str, **where: Value) -> Params | None:
        """The parameters of a fault pending for `where` (at="data"), without using it up; None if there is none."""
        with self._lock:
            return self._find(name, where)

    def _find(self, name: str, where: Params) -> Params | None:
        _, params = self._pending.get(name, (0, None))
        if params is None or any(params.get(key, value) != value for key, value in where.items()):
            return None
        return params

    def take(self, name: str, **where: Value) -> Params | None:
        """The parameters of a fault pending for `where` (at="data"), used up once; None if there is none."""
        with self._lock:
            params = self._find(name, where)
            if params is None:
                return None
            times, _ = self._pending[name]
            if times == 1:
                del self._pending[name]
            elif times != ALWAYS:
                self._pending[name] = (times - 1, params)
            return params

    def occurs(self, name: str) -> bool:
        """True if the fault is pending; it is used up once. For faults that have no parameters."""
        return self.take(name) is not None

    def pending(self) -> dict[str, int]:
        """The name and the remaining times (0 = until cleared) of each pending fault."""
        with self._lock:
            return {name: times for name, (times, _) in self._pending.items()}

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call `watcher` after each injection and announcement. Returns a function that stops this."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)


def _named(name: str, has: tuple[str, ...]) -> Fault:
    if name not in FAULTS:
        raise ValueError(f"there is no fault {name!r}; choose one of {', '.join(has)}")
    if name not in has:
        raise ValueError(f"this sensor has no fault {name!r}; it has: {', '.join(has)}")
    return FAULTS[name]


def _merged(name: str, fault: Fault, params: Params) -> Params:
    """The defaults of a fault overlaid with `params`, each converted to the type of its default."""
    unknown = sorted(set(params) - set(fault.params))
    if unknown:
        known = ", ".join(f"{key}={value}" for key, value in fault.params.items()) or "none"
        raise ValueError(f"fault {name} has no parameter {', '.join(unknown)}; it has {known}")
    return {key: _read(name, key, params.get(key, default), default) for key, default in fault.params.items()}


def _read(name: str, key: str, value: Value, default: Value) -> Value:
    if key == "at" and value not in PLACES:
        raise ValueError(f"at={value} of fault {name} must be {' or '.join(PLACES)}")
    try:
        read = int(value, 0) if isinstance(default, int) and isinstance(value, str) else type(default)(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{key}={value} of fault {name} must be a number, as in {key}={default}") from None
    if not isinstance(read, str) and not RANGES[key][0] <= read <= RANGES[key][1]:
        raise ValueError(f"{key}={value} of fault {name} must be {RANGES[key][0]} to {RANGES[key][1]}")
    return read


Corruption = Callable[[bytes, int, random.Random, Params], bytes]
"""(frame, length of its header, random generator, parameters) -> the bytes that are really sent."""


def _drop(frame: bytes, head: int, rng: random.Random, params: Params) -> bytes:
    lost = set(rng.sample(range(head, len(frame)), min(int(params["bytes"]), len(frame) - head)))
    return bytes(byte for index, byte in enumerate(frame) if index not in lost)


def _double(frame: bytes, head: int, rng: random.Random, params: Params) -> bytes:
    twice = set(rng.sample(range(head, len(frame)), min(int(params["bytes"]), len(frame) - head)))
    return b"".join(bytes([byte]) * (1 + (index in twice)) for index, byte in enumerate(frame))


def _flip(frame: bytes, head: int, rng: random.Random, params: Params) -> bytes:
    corrupted = bytearray(frame)
    for bit in rng.sample(range(8 * head, 8 * len(frame)), min(int(params["bits"]), 8 * (len(frame) - head))):
        corrupted[bit // 8] ^= 1 << bit % 8
    return bytes(corrupted)


def _garbage(frame: bytes, _head: int, rng: random.Random, params: Params) -> bytes:
    return rng.randbytes(int(params["bytes"])) + frame


def _lost(_frame: bytes, _head: int, _rng: random.Random, _params: Params) -> bytes:
    return b""


def _duplicate(frame: bytes, _head: int, _rng: random.Random, _params: Params) -> bytes:
    return frame + frame


def _stray55(frame: bytes, _head: int, _rng: random.Random, _params: Params) -> bytes:
    return b"\x55" + frame


CORRUPTIONS: Mapping[str, Corruption] = {
    "drop": _drop,
    "double": _double,
    "flip": _flip,
    "garbage": _garbage,
    "stray55": _stray55,
    "lost": _lost,
    "duplicate": _duplicate,
}
"""Transmission faults that need no knowledge of the protocol; a device adds its own (checksum, wrong_address)."""
