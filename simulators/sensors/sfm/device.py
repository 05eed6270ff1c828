"""The device side of Suprema's SFM modules: packets in, packets and images out, faults on the way.

    bytes of any split -> Packets -> obey, or wait for a finger -> frames -> faults of the wire -> Bursts

No ports, no threads: simulators.transports.serial.pseudo_terminal serves a module to a host.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from simulators.sensors.sfm.commands import (
    BINARY,
    BUSY,
    CANCEL,
    CANCELLED,
    COMMANDS,
    DATA_ERROR,
    DATA_OK,
    EXTENDED,
    FAKE,
    FORMAT,
    IMAGE_COMMANDS,
    INFINITE,
    ON,
    READ_EXTENDED,
    READ_IMAGE,
    RESET,
    SCAN_FAIL,
    SCANNED,
    SEND_SCANNED,
    SUCCESS,
    TIME_OUT,
    TIMEOUT,
    TRY_AGAIN,
    UNSUPPORTED,
    Answer,
    Picture,
    SfmSettings,
    State,
    image_record,
)
from simulators.sensors.sfm.wire import (
    BROADCAST,
    END,
    NETWORK_SPOILS,
    SFM_FAULTS,
    SFM_SPOILS,
    Request,
    Requests,
    packet,
)
from simulators.transports.faults import Faults, Spoil, Value
from simulators.transports.serial.uart import Burst, strike, struck

__all__ = ["SfmModule", "SfmSettings"]

LEAST_DATA, MOST_DATA = 64, 16_384  # bytes of a data packet that the host may ask for


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A scan that waits for a finger."""

    request: Request
    since: float
    until: float


@dataclass(slots=True)
class _Transfer:
    """An extended transfer: what goes out (faults struck), the same clean, and where it is."""

    bursts: list[Burst]  # times count from the moment that a packet is due
    clean: list[bytes]
    until: float
    index: int = 0


class SfmModule:
    """One fingerprint module. Any thread may press, lift and inject; one thread gives it the bytes of the host."""

    def __init__(self, settings: SfmSettings, seed: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        has = SFM_FAULTS if settings.terminal is not None else [row for row in SFM_FAULTS if row != "wrong_address"]
        self.faults = Faults(seed, has)
        self.commands: Counter[str] = Counter()  # heard so far, by name; unknown ones by "0xNN"
        self.images_taken = 0
        self._clock = clock
        self._lock = threading.RLock()
        self._state = State(settings, self.faults, settings.parameters())
        self._requests = Requests()
        self._waiting: _Waiting | None = None
        self._transfer: _Transfer | None = None
        self._ready_at = 0.0
        self._state.power_on()

    # The finger and the faults

    def press(self, image: Picture) -> None:
        """Lay a finger on the sensor: u8[height, width] as the sensor would see it, ridges dark."""
        shape = (self.settings.height, self.settings.width)
        if image.shape != shape or str(image.dtype) != "uint8":
            raise ValueError(f"this sensor needs u8{list(shape)}, not {image.dtype}{list(image.shape)}")
        with self._lock:
            if self._state.finger is None:
                self._state.pressed_at = self._clock()
            self._state.finger, self._state.lift_asked = image.tobytes(), False
        self.faults.announce()

    def lift(self) -> None:
        """Take the finger away; the fault `stuck` keeps it there."""
        with self._lock:
            self._state.lift_asked = self.faults.strikes("stuck")
            if not self._state.lift_asked:
                self._state.finger = None

    def inject(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Let a fault of simulators.transports.faults wait in this module. ValueError names what there is."""
        self.faults.inject(name, times=times, **params)

    def clear_faults(self) -> None:
        """Forget every waiting fault; a finger that was stuck leaves."""
        self.faults.clear()
        with self._lock:
            if self._state.lift_asked:
                self.lift()

    @property
    def finger_on(self) -> bool:
        """Whether the sensor feels a finger."""
        return self._state.finger is not None

    @property
    def baud(self) -> int:
        """The rate in force."""
        return self._state.baud

    @property
    def waits_for_finger(self) -> bool:
        """Whether a scan has been asked for and has not ended."""
        return self._waiting is not None

    def parameter(self, number: int, *, saved: bool = False) -> int:
        """A parameter as it holds now, or as it stands in flash."""
        return (self._state.flash if saved else self._state.parameters)[number]

    # The wire

    def power_on(self, now: float) -> list[Burst]:
        """Start afresh; commands are heard once the module has booted."""
        with self._lock:
            self._state.power_on()
            self._requests, self._waiting, self._transfer = Requests(), None, None
            self._ready_at = now + self.settings.boot_s
            return []

    def receive(self, data: bytes, now: float) -> list[Burst]:
        """Take what the host sent, in any split; return what the module sends and when."""
        with self._lock:
            if now < self._ready_at:
                return []
            bursts = [burst for request in self._requests.feed(data, now) for burst in self._hear(request, now)]
            return bursts + self._look(now)

    def unasked(self, now: float) -> list[Burst]:
        """The answer to a scan, once a finger came or the time is up."""
        with self._lock:
            return self._look(now)

    def speaks_at(self) -> float | None:
        """When a waiting scan ends: its finger has been scanned, or its time is up."""
        with self._lock:
            if self._waiting is None:
                return None
            return self._waiting.until if self._state.finger is None else self._scanned_at(self._waiting)

    # Commands

    def _hear(self, request: Request, now: float) -> list[Burst]:
        addressed = self.settings.terminal is not None and request.terminal in (self.settings.terminal, BROADCAST)
        if not (request.terminal is None if self.settings.terminal is None else addressed):
            return []
        if self.faults.strikes("silent"):
            return []
        bursts = self._acknowledged(request, now) if self._is_acknowledge(request, now) else self._obey(request, now)
        return [] if request.terminal == BROADCAST else bursts

    def _obey(self, request: Request, now: float) -> list[Burst]:
        command = COMMANDS.get(request.command)
        known = IMAGE_COMMANDS.get(request.command, "CA" if request.command == CANCEL else f"0x{request.command:02X}")
        self.commands[known if command is None else command.name] += 1
        if not request.sound or self.faults.strikes("receive_error"):
            return self._answer(request, Answer(DATA_ERROR), now)
        if request.command == CANCEL:
            return self._cancel(request, now)
        if self._waiting is not None or self._transfer is not None or self.faults.strikes("busy"):
            return self._answer(request, Answer(BUSY), now)
        if request.command in IMAGE_COMMANDS:
            return self._image_asked(request, now)
        if command is None:
            return self._answer(request, Answer(UNSUPPORTED), now)
        baud = self.baud  # a new rate holds after the answer
        bursts = self._answer(request, command.obey(self._state, request.flag, request.size), now, baud)
        if request.command == RESET:
            self.power_on(now)
        return bursts

    def _cancel(self, request: Request, now: float) -> list[Burst]:
        """End what runs. A plain transfer is on its way already and cannot be stopped."""
        waiting, self._waiting, self._transfer = self._waiting, None, None
        ended = [] if waiting is None else self._answer(waiting.request, Answer(CANCELLED), now)
        return ended + self._answer(request, Answer(SUCCESS), now)

    def _image_asked(self, request: Request, now: float) -> list[Burst]:
        if request.command in EXTENDED and self.faults.strikes("no_extended"):
            return self._answer(request, Answer(UNSUPPORTED), now)
        if request.command in (READ_IMAGE, READ_EXTENDED):
            return self._send_image(request, now)
        code = self._state.parameters[TIMEOUT]
        self._waiting = _Waiting(request, now, float("inf") if code == INFINITE else now + code - INFINITE)
        return []

    def _answer(self, request: Request, answer: Answer, now: float, baud: int | None = None) -> list[Burst]:
        raw = packet(request.command, answer.param, answer.size, answer.flag, request.terminal)
        return struck([raw], "answer", self.faults, self._spoils(), now, self.baud if baud is None else baud, 0)

    # Scanning

    def _scanned_at(self, waiting: _Waiting) -> float:
        return max(self._state.pressed_at, waiting.since) + self.settings.settle_s

    def _look(self, now: float) -> list[Burst]:
        """End the scan that waits, if its finger is there or its time is up."""
        waiting, finger = self._waiting, self._state.finger
        if waiting is None:
            return []
        if finger is not None and now >= self._scanned_at(waiting):
            self._waiting = None
            return self._scan(waiting.request, finger, now)
        if now < waiting.until:
            return []
        self._waiting = None
        return self._answer(waiting.request, Answer(TIME_OUT), now)

    def _scan(self, request: Request, finger: bytes, now: float) -> list[Burst]:
        for fault, flag in (("capture_fail", SCAN_FAIL), ("messy", TRY_AGAIN), ("fake_finger", FAKE)):
            if self.faults.strikes(fault):
                return self._answer(request, Answer(flag), now)
        self.images_taken += 1
        image_format = BINARY if self.faults.strikes("keeps_format") else self._state.parameters[FORMAT]
        self._state.record = image_record(self.settings, finger, image_format)
        told = self._state.parameters[SEND_SCANNED] == ON
        return (self._answer(request, Answer(SCANNED), now) if told else []) + self._send_image(request, now)

    # Images

    def _send_image(self, request: Request, now: float) -> list[Burst]:
        record = self._state.record
        if record is None or self.faults.strikes("no_upload"):
            return self._answer(request, Answer(SCAN_FAIL), now)
        if params := self.faults.take("short"):
            record = record[: max(1, len(record) - int(params["bytes"]))]
        if params := self.faults.take("long"):
            record += bytes(int(params["bytes"]))
        bursts = self._answer(request, Answer(SUCCESS, size=len(record)), now)
        due = max(now, bursts[-1].at) if bursts else now
        if request.command not in EXTENDED:
            return bursts + struck([record + bytes([END])], "data", self.faults, self._spoils(), due, self.baud, 0)
        self._transfer = self._begin_transfer(request, record)
        return bursts + self._send_packet(self._transfer, due)

    def _begin_transfer(self, request: Request, record: bytes) -> _Transfer:
        size = min(max(request.size, LEAST_DATA), MOST_DATA)
        parts = [record[at : at + size] for at in range(0, len(record), size)]
        step = 1 << 16 if self.settings.numbers_packets else 0
        heads = [(len(parts) + index * step, len(part)) for index, part in enumerate(parts)]
        clean = [
            packet(request.command, *head, SUCCESS, request.terminal) + part + sum(part).to_bytes(4, "little")
            for head, part in zip(heads, parts, strict=True)
        ]
        bursts = strike(clean, "data", self.faults, self._spoils(), 0.0, self.baud, 0)
        return _Transfer(_once_late(bursts), clean, until=0.0)

    def _send_packet(self, transfer: _Transfer, now: float) -> list[Burst]:
        burst = transfer.bursts[transfer.index]
        transfer.until = now + burst.at + self.settings.acknowledge_s + 10 * len(burst.data) / self.baud
        return [replace(burst, at=now + burst.at)] if burst.data else []

    def _is_acknowledge(self, request: Request, now: float) -> bool:
        if self._transfer is not None and now > self._transfer.until:
            self._transfer = None  # the host has gone
        return request.command in EXTENDED and request.flag in (DATA_OK, DATA_ERROR)

    def _acknowledged(self, request: Request, now: float) -> list[Burst]:
        """The host had a packet of a transfer: the next one, or the same again. Nothing when none runs."""
        transfer = self._transfer
        if transfer is None or not request.sound:
            return []
        if request.flag == DATA_ERROR:
            return self._repeat(transfer, now)
        transfer.index += 1
        if transfer.index == len(transfer.clean):
            self._transfer = None
            return []
        return self._send_packet(transfer, now)

    def _repeat(self, transfer: _Transfer, now: float) -> list[Burst]:
        if self.faults.strikes("gives_up"):
            self._transfer = None
            return []
        transfer.bursts[transfer.index] = Burst(0.0, transfer.clean[transfer.index], self.baud)
        return self._send_packet(transfer, now)

    def _spoils(self) -> Mapping[str, Spoil]:
        return SFM_SPOILS if self.settings.terminal is None else NETWORK_SPOILS


def _once_late(bursts: list[Burst]) -> list[Burst]:
    """The first late packet holds up those behind it by itself: they wait for its acknowledge."""
    late = [index for index, burst in enumerate(bursts) if burst.at][1:]
    return [replace(burst, at=0.0) if index in late else burst for index, burst in enumerate(bursts)]
