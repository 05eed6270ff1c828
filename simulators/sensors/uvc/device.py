"""The device side of a USB camera on a bulk endpoint: probe and commit, payloads with headers, frames at a rate.

The host pulls: each transfer that it asks for is answered with the next payload, when its time has come. A host that
does not ask misses frames, as with the real thing: the sensor goes on, and a frame half sent is given up.

No ports, no threads: simulators.transports.usb.port serves a model to any binding.
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
from simulators.sensors.uvc.frames import Mode, Source, numbered
from simulators.transports.faults import Faults, Value
from simulators.transports.usb.device import Setup, Stall, UsbDescription, UsbModel, UsbWire
from simulators.transports.usb.faults import USB_FAULTS

FRAME_ID, END, HAS_TIME, HAS_CLOCK, ERROR, END_OF_HEADER = 0x01, 0x02, 0x04, 0x08, 0x40, 0x80
SET_CUR, GET_CUR, GET_MIN, GET_MAX, GET_LEN, GET_INFO, GET_DEF = 0x01, 0x81, 0x82, 0x83, 0x85, 0x86, 0x87
PROBE, COMMIT, LAMP = 0x01, 0x02, 0x01
FROM_INTERFACE, TO_INTERFACE = 0xA1, 0x21
LATE_FRAMES = 2  # a host that is later than this has lost the frame
LAYOUT = "<HBBI10xII"


@dataclass(slots=True)
class Counters:
    """What a camera has done since it was made."""

    commits: int = 0
    frames_begun: int = 0
    frames_sent: int = 0
    frames_skipped: int = 0  # for want of a host that asks


@dataclass(slots=True)
class _Sending:
    """The frame that is going out."""

    data: bytes
    due: float
    flags: int
    time: int
    at: int = 0
    parts_sent: int = 0
    bad_part: bool = False


@dataclass(slots=True)
class _State:
    """What a power cut forgets."""

    wire: UsbWire | None = None
    probe: bytes = b""
    mode: Mode | None = None
    frame: _Sending | None = None
    number: int = -1
    next_due: float = 0.0
    frame_id: int = 0
    owed: int = 0  # transfers asked for while nothing could be sent; below 0: a payload goes on in those to come
    transfer_bytes: int = 0  # of one; a payload may take several
    lamp: bytes = field(default=b"\0")


# The rows of FAULTS that this device can carry out; `unplug` is of the plug.
UVC_FAULTS = (*USB_FAULTS, "error_bit", "no_end", "frame_id_stuck", "freeze", "max_frame_zero")


class UvcCamera:
    """One camera. Any thread may show it something else and inject faults."""

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
        """What the camera says of itself."""
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
        """From the next frame on, what the camera sees."""
        with self._lock:
            self._source = source

    def wait_for_frames(self, count: int, timeout: float) -> bool:
        """Wait until so many more frames have begun; False when they do not in time."""
        with self._begun:
            goal = self._counters.frames_begun + count
            return self._begun.wait_for(lambda: self._counters.frames_begun >= goal, timeout)

    def inject(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Let a fault of simulators.transports.faults wait in this camera. ValueError names what there is."""
        self.faults.inject(name, times=times, **params)

    def clear_faults(self) -> None:
        """Forget every waiting fault; a frozen stream goes on."""
        self.faults.clear()
        self._resume()

    @property
    def lamp_on(self) -> bool:
        """Whether the host has switched the light on."""
        return any(self._state.lamp)

    @property
    def mode(self) -> Mode | None:
        """What it streams; None while no host has committed to anything."""
        return self._state.mode

    def counters(self) -> Counters:
        """A copy of the counters."""
        with self._lock:
            seen = self._counters
            return Counters(seen.commits, seen.frames_begun, seen.frames_sent, seen.frames_skipped)

    def attach(self, wire: UsbWire, now: float) -> None:
        """Plugged in: nothing is committed to."""
        with self._lock:
            self._state = _State(wire=wire, next_due=now)
            self._state.probe = self._answer(bytes(LONGEST_BLOCK))

    def detach(self) -> None:
        """Unplugged."""
        with self._lock:
            self._state = _State()

    def received(self, endpoint: int, data: bytes) -> None:
        """A camera has no endpoint that takes anything."""

    def control(self, setup: Setup, data: bytes) -> bytes:
        """Class requests to the streaming interface and to the extension unit."""
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

    def _answer(self, wish: bytes) -> bytes:
        """The nearest that the camera can do."""
        settings = self.settings
        hint, kind, size, interval, _, _ = struct.unpack_from(LAYOUT, wish)
        kind = kind if 1 <= kind <= len(settings.formats) else 1
        size = size if 1 <= size <= len(settings.sizes) else 1
        offered = [settings.interval(rate) for rate in settings.rates]
        interval = min(offered, key=lambda each: abs(each - interval)) if interval else offered[0]
        most = settings.frame_bytes(settings.formats[kind - 1], settings.sizes[size - 1])
        if self.faults.strikes("max_frame_zero"):
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
        state.owed = state.wire.pending(self.settings.endpoint)
        self._counters.commits += 1
        self._resume()

    def _light(self, setup: Setup, data: bytes) -> bytes:
        if (setup.request_type, setup.request) == (TO_INTERFACE, SET_CUR) and len(data) == 1:
            self._state.lamp = data
            return b""
        answers = {GET_CUR: self._state.lamp, GET_LEN: b"\x01\x00", GET_INFO: b"\x03"}
        if setup.request_type != FROM_INTERFACE or setup.request not in answers:
            raise Stall
        return answers[setup.request]

    # The stream

    def asked(self, endpoint: int, length: int) -> None:
        """The host can take one payload more, or the next part of one."""
        with self._lock:
            if endpoint == self.settings.endpoint:
                self._state.owed += 1
                self._state.transfer_bytes = length
                self._resume()

    def _resume(self) -> None:
        with self._lock:
            state = self._state
            while state.owed > 0 and state.mode is not None and state.wire is not None and not self._frozen():
                sent = self._send_payload(state, state.mode, state.wire)
                state.owed -= max(1, -(-sent // (state.transfer_bytes or sent)))

    def _frozen(self) -> bool:
        return self.faults.strikes("freeze")

    def _send_payload(self, state: _State, mode: Mode, wire: UsbWire) -> int:
        """Send the next one; its bytes."""
        now = wire.now()
        if state.frame is not None and now - state.frame.due > LATE_FRAMES * mode.seconds:
            state.frame = None  # overwritten before the host came for it
            wire.drop(self.settings.endpoint)
            self._counters.frames_skipped += 1
        if state.frame is None:
            state.frame = self._begin(state, mode, now)
        frame = state.frame
        share = frame.at / max(len(frame.data), 1) * self.settings.readout
        payload = self._payload(frame)
        if frame.flags & END:
            self._counters.frames_sent += 1
            state.frame = None
        wire.send(self.settings.endpoint, payload, max(0.0, frame.due + share * mode.seconds - now))
        return len(payload)

    def _begin(self, state: _State, mode: Mode, now: float) -> _Sending:
        """The next frame: the sensor's, which does not wait."""
        missed = max(0, int((now - state.next_due) / mode.seconds))
        self._counters.frames_skipped += missed
        due = state.next_due + missed * mode.seconds
        state.number += 1 + missed
        state.next_due = due + mode.seconds
        if not self.faults.strikes("frame_id_stuck"):
            state.frame_id ^= FRAME_ID
        flags = END_OF_HEADER | state.frame_id
        self._counters.frames_begun += 1
        self._begun.notify_all()
        data = self._source(state.number, mode) + bytes(self.settings.fill_up)
        frame = _Sending(data, due, flags, int(due * CLOCK_HZ) & 0xFFFFFFFF)
        frame.bad_part = self.faults.strikes("error_bit")
        return frame

    def _payload(self, frame: _Sending) -> bytes:
        """The next part of a frame behind its header; it marks `frame` as ended with the last one."""
        room = self.settings.max_payload - self.settings.header_bytes
        part = frame.data[frame.at : frame.at + room]
        header_only = self.settings.glued_end and not part
        frame.at += len(part)
        last = frame.at >= len(frame.data)
        if not last or (self.settings.glued_end and not header_only):
            payload = self._header(frame) + part
            if last and len(payload) % self.settings.packet_bytes == 0:
                return payload + self._end(frame)
            return payload
        return self._end(frame, part)

    def _end(self, frame: _Sending, part: bytes = b"") -> bytes:
        frame.flags |= END
        return self._header(frame, hide_end=self.faults.strikes("no_end")) + part

    def _header(self, frame: _Sending, *, hide_end: bool = False) -> bytes:
        flags = frame.flags & ~END if hide_end else frame.flags
        if frame.bad_part:
            flags, frame.bad_part = flags | ERROR, False
        first, frame.parts_sent = not frame.parts_sent, frame.parts_sent + 1
        if not self.settings.times or (self.settings.times_once and not first):
            return bytes([2, flags])
        return struct.pack("<BBIIH", 12, flags | HAS_TIME | HAS_CLOCK, frame.time, frame.time, 0)


LONGEST_BLOCK = max(BLOCK_BYTES.values())

_: type[UsbModel] = UvcCamera
