"""The device side of a USB camera on a bulk endpoint: probe and commit, payloads with headers, frames at a rate.

The host requests transfers: each one receives the next payload when that is due. A host that does not request transfers
misses frames, as with a real camera: the sensor continues, and a frame that is only partly sent is dropped.

It opens no port and starts no thread: simulators.transports.usb.port serves a model to any binding.
"""

import struct
import threading
from dataclasses import dataclass, field

from simulators.sensors.uvc.descriptors import (
    BLOCK_BYTES,
    CLOCK_HZ,
    CONTROL_INTERFACE,
    EXTENSION_UNIT,
    STREAMING_INTERFACE,
    UvcSettings,
    configuration,
)
from simulators.sensors.uvc.frames import Mode, Source, dimmed, numbered, shallow
from simulators.transports.faults import Faults, Value
from simulators.transports.usb.device import Setup, Stall, UsbDescription, UsbModel, UsbWire
from simulators.transports.usb.faults import USB_FAULTS

FRAME_ID, END, HAS_TIME, HAS_CLOCK, ERROR, END_OF_HEADER = 0x01, 0x02, 0x04, 0x08, 0x40, 0x80
SET_CUR, GET_CUR, GET_MIN, GET_MAX, GET_LEN, GET_INFO, GET_DEF = 0x01, 0x81, 0x82, 0x83, 0x85, 0x86, 0x87
PROBE, COMMIT, LAMP = 0x01, 0x02, 0x01
FROM_INTERFACE, TO_INTERFACE = 0xA1, 0x21
LATE_FRAMES = 2  # frame intervals; a frame that the host has not read by then is lost
LAYOUT = "<HBBI10xII"


@dataclass(slots=True)
class Counters:
    """Counts of a camera since it was created."""

    commits: int = 0
    frames_begun: int = 0
    frames_sent: int = 0
    frames_skipped: int = 0  # because the host requested no transfer


@dataclass(slots=True)
class _Frame:
    """The frame that is being sent."""

    data: bytes
    due: float
    flags: int
    time: int
    at: int = 0
    parts_sent: int = 0
    bad_part: bool = False


@dataclass(slots=True)
class _State:
    """The state that is lost at power-off."""

    wire: UsbWire | None = None
    probe: bytes = b""
    mode: Mode | None = None
    frame: _Frame | None = None
    number: int = -1
    next_due: float = 0.0
    frame_id: int = 0
    open_transfers: int = 0  # requested and not answered; below 0: a payload continues in the next transfers
    transfer_bytes: int = 0  # size of one transfer; a payload may take several
    lamp: bytes = field(default=b"\0")


# The rows of FAULTS that this device supports. `unplug` is not among them: the cable has that one.
UVC_FAULTS = (
    *USB_FAULTS, "error_bit", "no_end", "frame_id_stuck", "freeze", "max_frame_zero", "strobe", "trailing", "shallow"
)  # fmt: skip


class UvcCamera:
    """One camera. Any thread may change what it sees and inject faults."""

    def __init__(self, settings: UvcSettings | None = None, source: Source = numbered, seed: int = 0) -> None:
        self.settings = settings or UvcSettings()
        self.faults = Faults(seed, UVC_FAULTS)
        self._source = source
        self._lock = threading.RLock()
        self._begun = threading.Condition(self._lock)
        self._counters = Counters()
        self._state = _State()

    @property
    def description(self) -> UsbDescription:
        """The descriptors of the camera."""
        settings = self.settings
        return UsbDescription(
            vendor=settings.vendor,
            product=settings.product,
            bcd_device=0x0100,
            manufacturer="Kiosk simulators",
            name="Eye camera",
            serial=settings.serial,
            device_class=(0xEF, 0x02, 0x01),
            configuration=configuration(settings),
            speed=settings.speed,
        )

    # The scene and the faults

    def show(self, source: Source) -> None:
        """Change what the camera sees, starting with the next frame."""
        with self._lock:
            self._source = source

    def wait_for_frames(self, count: int, timeout: float) -> bool:
        """Wait until `count` more frames have begun. False if they do not within `timeout` seconds."""
        with self._begun:
            goal = self._counters.frames_begun + count
            return self._begun.wait_for(lambda: self._counters.frames_begun >= goal, timeout)

    def inject(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Add a pending fault of simulators.transports.faults. ValueError names the faults of this camera."""
        self.faults.inject(name, times=times, **params)

    def clear_faults(self) -> None:
        """Remove every pending fault. A frozen stream continues."""
        self.faults.clear()
        self._send_payloads()

    @property
    def lamp_on(self) -> bool:
        """Whether the host has switched the light on."""
        return any(self._state.lamp)

    @property
    def mode(self) -> Mode | None:
        """The current stream format; None until a host has committed one."""
        return self._state.mode

    def counters(self) -> Counters:
        """A copy of the counters."""
        with self._lock:
            seen = self._counters
            return Counters(seen.commits, seen.frames_begun, seen.frames_sent, seen.frames_skipped)

    def attach(self, wire: UsbWire, now: float) -> None:
        """Plugged in: no stream format is committed."""
        with self._lock:
            self._state = _State(wire=wire, next_due=now)
            self._state.probe = self._answer(bytes(LONGEST_BLOCK))

    def detach(self) -> None:
        """Unplugged."""
        with self._lock:
            self._state = _State()

    def received(self, endpoint: int, data: bytes) -> None:
        """Nothing: a camera has no endpoint that receives data."""

    def control(self, setup: Setup, data: bytes) -> bytes:
        """Answer class requests to the streaming interface and to the extension unit."""
        with self._lock:
            key = setup.index >> 8, setup.index & 0xFF, setup.value >> 8
            if key in ((0, STREAMING_INTERFACE, PROBE), (0, STREAMING_INTERFACE, COMMIT)):
                return self._negotiate(setup, data)
            if key == (EXTENSION_UNIT, CONTROL_INTERFACE, LAMP):
                return self._light(setup, data)
        raise Stall

    def _negotiate(self, setup: Setup, data: bytes) -> bytes:
        length = BLOCK_BYTES[self.settings.version]
        if (setup.request_type, setup.request) == (TO_INTERFACE, SET_CUR):
            if len(data) != length:
                raise Stall
            self._state.probe = self._answer(data)
            if setup.value >> 8 == COMMIT:
                self._commit()
            return b""
        answers = {
            GET_CUR: self._state.probe,
            GET_MIN: self._answer(bytes(LONGEST_BLOCK)),
            GET_MAX: self._answer(bytes(LONGEST_BLOCK)),
            GET_DEF: self._answer(bytes(LONGEST_BLOCK)),
            GET_LEN: struct.pack("<H", length),
            GET_INFO: b"\x03",
        }
        if setup.request_type != FROM_INTERFACE or setup.request not in answers:
            raise Stall
        return answers[setup.request]

    def _answer(self, requested: bytes) -> bytes:
        """The supported parameters that are nearest to the requested ones."""
        settings = self.settings
        hint, kind, size, interval, _, _ = struct.unpack_from(LAYOUT, requested)
        kind = kind if 1 <= kind <= len(settings.formats) else 1
        size = size if 1 <= size <= len(settings.sizes) else 1
        offered = [settings.interval(rate) for rate in settings.rates]
        interval = min(offered, key=lambda each: abs(each - interval)) if interval else offered[0]
        most = settings.frame_bytes(settings.formats[kind - 1], settings.sizes[size - 1])
        if self.faults.occurs("max_frame_zero"):
            most = 0
        block = struct.pack(LAYOUT, hint, kind, size, interval, most, settings.max_payload)
        block += struct.pack("<IBBBB", CLOCK_HZ, 3, 0, 0, 0) + bytes(14)
        return block[: BLOCK_BYTES[settings.version]]

    def _commit(self) -> None:
        state = self._state
        assert state.wire is not None
        _, kind, size, interval, _, _ = struct.unpack_from(LAYOUT, state.probe)
        width, height = self.settings.sizes[size - 1]
        state.mode = Mode(self.settings.formats[kind - 1], width, height, interval)
        state.frame, state.number, state.next_due = None, -1, state.wire.now()
        state.wire.drop(self.settings.endpoint)
        state.open_transfers = state.wire.pending(self.settings.endpoint)
        self._counters.commits += 1
        self._send_payloads()

    def _light(self, setup: Setup, data: bytes) -> bytes:
        if (setup.request_type, setup.request) == (TO_INTERFACE, SET_CUR) and len(data) == 1:
            self._state.lamp = data
            return b""
        answers = {GET_CUR: self._state.lamp, GET_LEN: b"\x01\x00", GET_INFO: b"\x03"}
        if setup.request_type != FROM_INTERFACE or setup.request not in answers:
            raise Stall
        return answers[setup.request]

    # The stream

    def read_submitted(self, endpoint: int, length: int) -> None:
        """The host requested a transfer: it receives the next payload or the next part of one."""
        with self._lock:
            if endpoint == self.settings.endpoint:
                self._state.open_transfers += 1
                self._state.transfer_bytes = length
                self._send_payloads()

    def _send_payloads(self) -> None:
        with self._lock:
            state = self._state
            while state.open_transfers > 0 and state.mode is not None and state.wire is not None and not self._frozen():
                sent = self._send_payload(state, state.mode, state.wire)
                state.open_transfers -= max(1, -(-sent // (state.transfer_bytes or sent)))

    def _frozen(self) -> bool:
        return self.faults.occurs("freeze")

    def _send_payload(self, state: _State, mode: Mode, wire: UsbWire) -> int:
        """Send the next payload. Returns its size in bytes."""
        now = wire.now()
        if state.frame is not None and now - state.frame.due > LATE_FRAMES * mode.seconds:
            state.frame = None  # overwritten before the host read it
            wire.drop(self.settings.endpoint)
            self._counters.frames_skipped += 1
        if state.frame is None:
            state.frame = self._begin_frame(state, mode, now)
        frame = state.frame
        share = frame.at / max(len(frame.data), 1) * self.settings.readout
        payload = self._payload(frame)
        if frame.flags & END:
            self._counters.frames_sent += 1
            state.frame = None
        wire.send(self.settings.endpoint, payload, max(0.0, frame.due + share * mode.seconds - now))
        return len(payload)

    def _begin_frame(self, state: _State, mode: Mode, now: float) -> _Frame:
        """The frame that the sensor takes now: it does not wait for the host."""
        missed = max(0, int((now - state.next_due) / mode.seconds))
        self._counters.frames_skipped += missed
        due = state.next_due + missed * mode.seconds
        state.number += 1 + missed
        state.next_due = due + mode.seconds
        if not self.faults.occurs("frame_id_stuck"):
            state.frame_id ^= FRAME_ID
        flags = END_OF_HEADER | state.frame_id
        self._counters.frames_begun += 1
        self._begun.notify_all()
        data = self._taken(state.number, mode) + bytes(self.settings.padding_bytes)
        frame = _Frame(data, due, flags, int(due * CLOCK_HZ) & 0xFFFFFFFF)
        frame.bad_part = self.faults.occurs("error_bit")
        return frame

    def _taken(self, number: int, mode: Mode) -> bytes:
        """The bytes of a frame, with the faults of lamp, sensor and firmware."""
        data = self._source(number, mode)
        strobe, depth, more = (self.faults.take(name) for name in ("strobe", "shallow", "trailing"))
        if strobe is not None and number % int(strobe["of"]) >= int(strobe["lit"]):
            data = dimmed(mode.kind, data, int(strobe["percent"]))
        if depth is not None and mode.kind == "y16":
            data = shallow(data, int(depth["depth"]))
        return data if more is None else data + self.faults.random.randbytes(int(more["bytes"]))

    def _payload(self, frame: _Frame) -> bytes:
        """The header and the next part of a frame. Sets the end flag of `frame` with the last part."""
        room = self.settings.max_payload - self.settings.header_bytes
        part = frame.data[frame.at : frame.at + room]
        header_only = self.settings.separate_end and not part
        frame.at += len(part)
        last = frame.at >= len(frame.data)
        if not last or (self.settings.separate_end and not header_only):
            payload = self._header(frame) + part
            if last and len(payload) % self.settings.packet_bytes == 0:
                return payload + self._end(frame)
            return payload
        return self._end(frame, part)

    def _end(self, frame: _Frame, part: bytes = b"") -> bytes:
        frame.flags |= END
        return self._header(frame, hide_end=self.faults.occurs("no_end")) + part

    def _header(self, frame: _Frame, *, hide_end: bool = False) -> bytes:
        flags = frame.flags & ~END if hide_end else frame.flags
        if frame.bad_part:
            flags, frame.bad_part = flags | ERROR, False
        first, frame.parts_sent = not frame.parts_sent, frame.parts_sent + 1
        if not self.settings.timestamps or (self.settings.timestamp_once and not first):
            return bytes([2, flags])
        return struct.pack("<BBIIH", 12, flags | HAS_TIME | HAS_CLOCK, frame.time, frame.time, 0)


LONGEST_BLOCK = max(BLOCK_BYTES.values())

_: type[UsbModel] = UvcCamera
