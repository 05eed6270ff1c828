"""Payloads of a stream in, whole frames out. Never touches a device.

offset  size  field (multi-byte fields are little endian)
0       1     length of the header: 2 to 12, or more where a maker adds fields of his own
1       1     bits: 0 frame id, toggles with each frame; 1 end of frame; 2 a time of presentation follows (4 bytes);
              3 a source clock follows (6 bytes); 5 still image; 6 error; 7 end of header
2       ...   the fields that the bits name, then the pixels

A payload is one bulk transfer. A frame ends with the end bit or where the frame id changes. One is whole when nothing
says that it is not: no error bit, no two times of presentation (some cameras give one in the first payload of a frame
only), the exact size (or the one that the camera has promised: it fills up) or, for MJPEG, both its markers.

What cannot be seen: of a camera that does not give a time in every payload, the loss of the end of one frame, of all
of the next and of as much of the one after it; and payloads lost inside an MJPEG picture that its decoder makes up for.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from drivers.uvc.formats import MJPEG_BEGIN, MJPEG_END

SHORTEST_HEADER, LONGEST_HEADER = 2, 255
FRAME_ID, END_OF_FRAME, HAS_TIME, HAS_CLOCK, ERROR = 0x01, 0x02, 0x04, 0x08, 0x40
SLACK_BYTES = 65_536  # how far a compressed frame may exceed what the camera promised before it is given up
NO_HEADER = "a payload without a sound header"

Sound = Callable[[bytes], str]
"""The bytes of a frame -> what is wrong with them, or nothing."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the pixels of one payload. `time` in the camera's clock ticks; None where it gives none."""

    length: int
    flags: int
    time: int | None

    @property
    def frame_id(self) -> int:
        """0 or 1."""
        return self.flags & FRAME_ID

    @property
    def ends_frame(self) -> bool:
        """Whether this is the last payload of its frame."""
        return bool(self.flags & END_OF_FRAME)

    @classmethod
    def of(cls, payload: bytes) -> "Header | None":
        """The header that a payload begins with; None when there is no sound one."""
        if len(payload) < SHORTEST_HEADER:
            return None
        length, flags = payload[0], payload[1]
        needed = SHORTEST_HEADER + 4 * bool(flags & HAS_TIME) + 6 * bool(flags & HAS_CLOCK)
        if not needed <= length <= min(LONGEST_HEADER, len(payload)):
            return None
        time = struct.unpack_from("<I", payload, 2)[0] if flags & HAS_TIME else None
        return cls(length, flags, time)


@dataclass(frozen=True, slots=True, repr=False)
class RawFrame:
    """One whole frame as the camera sent it. `began_at`: when its first payload came, in the link's seconds."""

    data: bytes
    began_at: float
    number: int  # counts whole frames of a stream, from 1

    def __repr__(self) -> str:
        """Size and number, never pixels."""
        return f"<RawFrame {self.number}, {len(self.data)} bytes>"


@dataclass(slots=True)
class Tally:
    """What a stream has brought so far."""

    payloads: int = 0
    frames: int = 0
    damaged: int = 0
    last_damage: str = ""


def exactly(size: int, filled_up: int = 0) -> Sound:
    """Frames of raw pixels have one size, and with what a camera fills them up one other: that which it promised.

    Any size between would let a frame pass that has lost a part.
    """
    return lambda data: "" if len(data) in (size, filled_up) else f"{len(data)} bytes in place of {size}"


def whole_jpeg(data: bytes) -> str:
    """Frames of MJPEG begin and end with a marker; some cameras fill up with zeros behind it."""
    if not data.startswith(MJPEG_BEGIN):
        return "no JPEG marker at its begin"
    return "" if data.rstrip(b"\0").endswith(MJPEG_END) else "no JPEG marker at its end"


@dataclass(slots=True)
class _Frame:
    """The frame that is coming in."""

    frame_id: int
    began_at: float
    time: int | None = None
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    damage: str = ""


class Assembler:
    """Collects payloads until a frame is whole. What is damaged is counted and dropped; it never raises."""

    def __init__(self, sound: Sound, *, limit: int, packet_bytes: int, keep: int | None = None) -> None:
        """`limit`: the most bytes of a frame; `keep`: those of a whole one that are pixels, all by default."""
        self.tally = Tally()
        self._keep = keep
        self._sound = sound
        self._limit = limit + SLACK_BYTES
        self._packet_bytes = packet_bytes
        self._frame: _Frame | None = None

    def reset(self, why: str) -> None:
        """Payloads were lost: give up the frame that is coming in."""
        if self._frame is not None:
            self._count_damage(why)
        self._frame = None

    def feed(self, payload: bytes, at: float) -> list[RawFrame]:
        """Take one payload that came at `at`; return the frames that it completes: none, one or two."""
        header = Header.of(payload)
        if header is None:
            self._spoil(payload)
            return []
        self.tally.payloads += 1
        done = []
        if self._frame is not None and self._frame.frame_id != header.frame_id:
            done += self._finish()
        self._append(header, payload, at)
        if header.ends_frame or self._ends_inside(header, payload):
            done += self._finish()
        return done

    def _spoil(self, payload: bytes) -> None:
        """A payload without a sound header spoils its frame, once; where there is none yet it counts for one."""
        if not payload:
            return
        if self._frame is None:
            self._count_damage(NO_HEADER)
        else:
            self._frame.damage = self._frame.damage or NO_HEADER

    def _append(self, header: Header, payload: bytes, at: float) -> None:
        body = payload[header.length :]
        frame = self._frame
        if frame is None:
            if not body:
                return  # nothing but a header between two frames
            frame = self._frame = _Frame(header.frame_id, at, header.time)
        frame.damage = frame.damage or self._damage(frame, header, len(body))
        frame.time = header.time if frame.time is None else frame.time
        if not frame.damage:
            frame.parts.append(body)
            frame.size += len(body)

    def _damage(self, frame: _Frame, header: Header, more: int) -> str:
        """Why a payload cannot belong to a whole frame, or nothing."""
        if header.flags & ERROR:
            return "the camera marked an error"
        if _differ(header.time, frame.time):
            return "payloads of two frames under one frame id"
        return "more bytes than a frame has" if frame.size + more > self._limit else ""

    def _ends_inside(self, header: Header, payload: bytes) -> bool:
        """Whether the header that ends the frame came in the same transfer, and is now cut off.

        A payload that fills its last packet needs an empty one behind it. Some cameras leave that out, so what follows
        (a header without pixels) looks like the payload's end.
        """
        frame = self._frame
        tail = len(payload) % self._packet_bytes
        if frame is None or frame.damage or not SHORTEST_HEADER <= tail <= LONGEST_HEADER or len(payload) == tail:
            return False
        end = Header.of(payload[-tail:])
        if end is None or end.length != tail or not end.ends_frame:
            return False
        if end.frame_id != header.frame_id or _differ(end.time, frame.time):
            return False
        cut = [*frame.parts[:-1], frame.parts[-1][:-tail]]
        if self._sound(b"".join(cut)):
            return False  # the pixels only look like a header
        frame.parts, frame.size = cut, frame.size - tail
        return True

    def _finish(self) -> list[RawFrame]:
        frame, self._frame = self._frame, None
        if frame is None:
            return []
        data = b"".join(frame.parts)
        if damage := frame.damage or self._sound(data):
            self._count_damage(damage)
            return []
        self.tally.frames += 1
        return [RawFrame(data[: self._keep], frame.began_at, self.tally.frames)]

    def _count_damage(self, why: str) -> None:
        self.tally.damaged += 1
        self.tally.last_damage = why


def _differ(time: int | None, other: int | None) -> bool:
    """Whether two times are of two frames. A payload without one is of any."""
    return None not in (time, other) and time != other
