"""The device side of Suprema's SFM modules: receives packets, sends packets and images, applies faults.

    bytes -> RequestReader -> execute, or wait for a finger -> frames -> faults of the line -> Bursts

It opens no port and starts no thread: simulators.transports.serial.pseudo_terminal serves a module to a host.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from simulators.sensors.common.serial_module import PixelArray, SerialModule, lacks
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
    NECESSARY,
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
    SfmSettings,
    State,
    image_record,
)
from simulators.sensors.sfm.wire import (
    BROADCAST,
    END,
    NETWORK_CORRUPTIONS,
    SFM_CORRUPTIONS,
    SFM_FAULTS,
    Request,
    RequestReader,
    packet,
)
from simulators.transports.faults import USUAL_CODE, Corruption, Faults, Params
from simulators.transports.serial.uart import Burst, apply_faults, faulty_bursts

__all__ = ["SfmModule", "SfmSettings"]

MIN_DATA, MAX_DATA = 64, 16_384  # bytes of a data packet that the host may request


@dataclass(frozen=True, slots=True)
class _PendingScan:
    """A scan that waits for a finger."""

    request: Request
    since: float
    until: float


@dataclass(slots=True)
class _Transfer:
    """An extended transfer: its packets with faults applied, the same packets without faults, and the current one."""

    bursts: list[Burst]  # times are relative to the moment when a packet is due
    clean: list[bytes]
    until: float  # then the host is considered gone
    index: int = 0


class SfmModule(SerialModule):
    """One fingerprint module. Any thread may press, lift and inject; one thread passes it the bytes of the host."""

    def __init__(self, settings: SfmSettings, seed: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        has = SFM_FAULTS if settings.terminal is not None else [row for row in SFM_FAULTS if row != "wrong_address"]
        super().__init__(settings.width, settings.height, Faults(seed, has), clock)
        self.settings = settings
        self.commands: Counter[str] = Counter()  # received so far, by name; unknown commands as "0xNN"
        self.images_taken = 0
        self._state = State(settings, self.faults, settings.parameters())
        self._requests = RequestReader()
        self._pending_scan: _PendingScan | None = None
        self._transfer: _Transfer | None = None
        self._ready_at = 0.0
        self._state.power_on()

    def press(self, image: PixelArray) -> None:
        """Press a finger on the sensor: u8[height, width] as the sensor would see it, ridges dark."""
        super().press(image)
        self.faults.announce()

    @property
    def baud(self) -> int:
        """The current baud rate."""
        return self._state.baud

    @property
    def waits_for_finger(self) -> bool:
        """Whether a scan has been requested and has not ended."""
        return self._pending_scan is not None

    def parameter(self, number: int, *, saved: bool = False) -> int:
        """The current value of a parameter, or with `saved` its value in flash."""
        return (self._state.flash if saved else self._state.parameters)[number]

    # The serial line

    def power_on(self, now: float) -> list[Burst]:
        """Reset; the module accepts commands once it has booted."""
        with self._lock:
            self._state.power_on()
            self._requests, self._pending_scan, self._transfer = RequestReader(), None, None
            self._ready_at = now + self.settings.boot_s
            return []

    def receive(self, data: bytes, now: float) -> list[Burst]:
        """Process the bytes of the host, in any pieces; return what the module sends and when."""
        with self._lock:
            if now < self._ready_at:
                return []
            bursts = [burst for request in self._requests.feed(data, now) for burst in self._process(request, now)]
            return bursts + self._end_scan_if_due(now)

    def unsolicited(self, now: float) -> list[Burst]:
        """The answer to a scan, once a finger is there or the timeout has passed."""
        with self._lock:
            return self._end_scan_if_due(now)

    def next_send_at(self) -> float | None:
        """When the pending scan ends: its finger has been scanned, or its timeout has passed."""
        with self._lock:
            if self._pending_scan is None:
                return None
            if self._touch.pixels is not None:
                return self._scanned_at(self._pending_scan)
            again = self._clock() + (self._touch.sunlight.seconds or math.inf)  # the sun may come out
            return min(self._pending_scan.until, again)

    # Commands

    def _process(self, request: Request, now: float) -> list[Burst]:
        addressed = self.settings.terminal is not None and request.terminal in (self.settings.terminal, BROADCAST)
        if not (request.terminal is None if self.settings.terminal is None else addressed):
            return []
        if self.faults.occurs("silent"):
            return []
        bursts = self._acknowledged(request, now) if self._is_acknowledge(request, now) else self._execute(request, now)
        return [] if request.terminal == BROADCAST else bursts

    def _execute(self, request: Request, now: float) -> list[Burst]:
        command = COMMANDS.get(request.command)
        known = IMAGE_COMMANDS.get(request.command, "CA" if request.command == CANCEL else f"0x{request.command:02X}")
        self.commands[known if command is None else command.name] += 1
        if (refused := self._refused(request, now)) is not None:
            return refused
        if request.command == CANCEL:
            return self._cancel(request, now)
        if self._pending_scan is not None or self._transfer is not None or self.faults.occurs("busy"):
            return self._answer(request, Answer(BUSY), now)
        if request.command in IMAGE_COMMANDS:
            return self._image_asked(request, now)
        if command is None:
            return self._answer(request, Answer(UNSUPPORTED), now)
        baud = self.baud  # the answer is still sent at the old rate
        bursts = self._answer(request, command.execute(self._state, request.flag, request.size), now, baud)
        if request.command == RESET:
            self.power_on(now)
        return bursts

    def _refused(self, request: Request, now: float) -> list[Burst] | None:
        """The answer to a command that was damaged on the way, or that the module does not have. None if it has it."""
        if not request.checksum_ok or self.faults.occurs("receive_error"):
            return self._answer(request, Answer(DATA_ERROR), now)
        if self._lacks(self.faults.peek("ignores"), request):
            return []
        params = self.faults.peek("refuses")
        if params is None or not self._lacks(params, request):
            return None
        code = UNSUPPORTED if params["code"] == USUAL_CODE else int(params["code"])
        return self._answer(request, Answer(code), now)

    def _lacks(self, params: Params | None, request: Request) -> bool:
        return params is not None and lacks(params, request.command, optional=request.command not in NECESSARY)

    def _cancel(self, request: Request, now: float) -> list[Burst]:
        """End the pending scan or transfer. A plain transfer has already been sent and cannot be stopped."""
        scan, self._pending_scan, self._transfer = self._pending_scan, None, None
        ended = [] if scan is None else self._answer(scan.request, Answer(CANCELLED), now)
        return ended + self._answer(request, Answer(SUCCESS), now)

    def _image_asked(self, request: Request, now: float) -> list[Burst]:
        if request.command in EXTENDED and self.faults.occurs("no_extended"):
            return self._answer(request, Answer(UNSUPPORTED), now)
        if request.command in (READ_IMAGE, READ_EXTENDED):
            return self._send_image(request, now)
        code = self._state.parameters[TIMEOUT]
        self._pending_scan = _PendingScan(request, now, float("inf") if code == INFINITE else now + code - INFINITE)
        return []

    def _answer(self, request: Request, answer: Answer, now: float, baud: int | None = None) -> list[Burst]:
        raw = packet(request.command, answer.param, answer.size, answer.flag, request.terminal)
        return faulty_bursts(
            [raw], "answer", self.faults, self._corruptions(), now, self.baud if baud is None else baud, 0
        )

    # Scanning

    def _scanned_at(self, scan: _PendingScan) -> float:
        return max(self._touch.pressed_at, scan.since) + self.settings.settle_s

    def _end_scan_if_due(self, now: float) -> list[Burst]:
        """End the pending scan if its finger has been scanned or its timeout has passed."""
        scan, finger = self._pending_scan, self._touch.pixels
        if scan is None:
            return []
        if finger is not None and now >= self._scanned_at(scan):
            self._pending_scan = None
            return self._scan(scan.request, finger, now)
        if now < scan.until:
            return []
        self._pending_scan = None
        return self._answer(scan.request, Answer(TIME_OUT), now)

    def _scan(self, request: Request, finger: bytes, now: float) -> list[Burst]:
        for fault, flag in (("capture_fail", SCAN_FAIL), ("messy", TRY_AGAIN), ("fake_finger", FAKE)):
            if self.faults.occurs(fault):
                return self._answer(request, Answer(flag), now)
        self.images_taken += 1
        image_format = BINARY if self.faults.occurs("keeps_format") else self._state.parameters[FORMAT]
        self._state.record = image_record(self.settings, finger, image_format)
        announced = self._state.parameters[SEND_SCANNED] == ON
        return (self._answer(request, Answer(SCANNED), now) if announced else []) + self._send_image(request, now)

    # Images

    def _send_image(self, request: Request, now: float) -> list[Burst]:
        record = self._state.record
        if record is None or self.faults.occurs("no_upload"):
            return self._answer(request, Answer(SCAN_FAIL), now)
        if params := self.faults.take("short"):
            record = record[: max(1, len(record) - int(params["bytes"]))]
        if params := self.faults.take("long"):
            record += bytes(int(params["bytes"]))
        bursts = self._answer(request, Answer(SUCCESS, size=len(record)), now)
        due = max(now, bursts[-1].at) if bursts else now
        if request.command not in EXTENDED:
            return bursts + faulty_bursts(
                [record + bytes([END])], "data", self.faults, self._corruptions(), due, self.baud, 0
            )
        self._transfer = self._begin_transfer(request, record)
        return bursts + self._send_packet(self._transfer, due)

    def _begin_transfer(self, request: Request, record: bytes) -> _Transfer:
        size = min(max(request.size, MIN_DATA), MAX_DATA)
        parts = [record[at : at + size] for at in range(0, len(record), size)]
        step = 1 << 16 if self.settings.numbers_packets else 0
        heads = [(len(parts) + index * step, len(part)) for index, part in enumerate(parts)]
        clean = [
            packet(request.command, *head, SUCCESS, request.terminal) + part + sum(part).to_bytes(4, "little")
            for head, part in zip(heads, parts, strict=True)
        ]
        bursts = apply_faults(clean, "data", self.faults, self._corruptions(), 0.0, self.baud, 0)
        return _Transfer(_late_once(bursts), clean, until=0.0)

    def _send_packet(self, transfer: _Transfer, now: float) -> list[Burst]:
        burst = transfer.bursts[transfer.index]
        transfer.until = now + burst.at + self.settings.acknowledge_s + 10 * len(burst.data) / self.baud
        return [replace(burst, at=now + burst.at)] if burst.data else []

    def _is_acknowledge(self, request: Request, now: float) -> bool:
        if self._transfer is not None and now > self._transfer.until:
            self._transfer = None  # the host has gone
        return request.command in EXTENDED and request.flag in (DATA_OK, DATA_ERROR)

    def _acknowledged(self, request: Request, now: float) -> list[Burst]:
        """The host acknowledged a packet of a transfer: send the next one, or the same one again."""
        transfer = self._transfer
        if transfer is None or not request.checksum_ok:
            return []
        if request.flag == DATA_ERROR:
            return self._repeat(transfer, now)
        transfer.index += 1
        if transfer.index == len(transfer.clean):
            self._transfer = None
            return []
        return self._send_packet(transfer, now)

    def _repeat(self, transfer: _Transfer, now: float) -> list[Burst]:
        if self.faults.occurs("gives_up"):
            self._transfer = None
            return []
        transfer.bursts[transfer.index] = Burst(0.0, transfer.clean[transfer.index], self.baud)
        return self._send_packet(transfer, now)

    def _corruptions(self) -> Mapping[str, Corruption]:
        return SFM_CORRUPTIONS if self.settings.terminal is None else NETWORK_CORRUPTIONS


def _late_once(bursts: list[Burst]) -> list[Burst]:
    """Only the first late packet is delayed: the packets after it wait for its acknowledge anyway."""
    late = [index for index, burst in enumerate(bursts) if burst.at][1:]
    return [replace(burst, at=0.0) if index in late else burst for index, burst in enumerate(bursts)]
