"""Assembles the payloads of a stream into whole frames. Never accesses a device.

offset  size  field (multi-byte fields are little endian)
0       1     length of the header: 2 to 12, or more if the maker adds fields
1       1     bits: 0 frame id, toggles with each frame; 1 end of frame; 2 a presentation time follows (4 bytes);
              3 a source clock follows (6 bytes); 5 still image; 6 error; 7 end of header
2       ...   the fields that the bits name, then the pixels

A payload is one bulk transfer. A frame ends with the end bit or when the frame id changes. It is whole if there is no
error bit, no two different presentation times (some cameras send one only in the first payload of a frame), and the
exact size (or the negotiated one, if the camera pads frames) or, for MJPEG, holds an image: the decoder then judges.

Two kinds of loss are not detected. Payloads are lost inside an MJPEG image, and the decoder conceals it. Or, if a
camera does not send a time in every payload, the end of one frame, all of the next one and the start of the one after
it are lost, and the two remaining parts have the size of one frame.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from drivers.uvc.jpeg import BEGIN

MIN_HEADER, MAX_HEADER = 2, 255
FRAME_ID, END_OF_FRAME, HAS_TIME, HAS_CLOCK, ERROR = 0x01, 0x02, 0x04, 0x08, 0x40
SLACK_BYTES = 65_536  # a compressed frame that exceeds the negotiated size by more is dropped
ALWAYS = 5  # as many frames of one size that is too long are a habit of the camera
WRONG_SIZE = "bytes in place of"
NO_HEADER = "a payload without a valid header"

FindFault = Callable[[bytes], str]
"""The bytes of a frame -> what is wrong with them; empty if nothing."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one payload, before the pixels. `time` in ticks of the camera's clock; None if not sent."""

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
    def from_bytes(cls, payload: bytes) -> "Header | None":
        """The header at the start of a payload; None if it is not valid."""
        if len(payload) < MIN_HEADER:
            return None
        length, flags = payload[0], payload[1]
        needed = MIN_HEADER + 4 * bool(flags & HAS_TIME) + 6 * bool(flags & HAS_CLOCK)
        if not needed <= length <= min(MAX_HEADER, len(payload)):
            return None
        time = struct.unpack_from("<I", payload, 2)[0] if flags & HAS_TIME else None
        return cls(length, flags, time)


@dataclass(frozen=True, slots=True, repr=False)
class RawFrame:
    """One whole frame as the camera sent it. `began_at`: arrival of its first payload, seconds of the link's clock."""

    data: bytes
    began_at: float
    number: int  # counts the whole frames of a stream, from 1

    def __repr__(self) -> str:
        """Size and number, never pixels."""
        return f"<RawFrame {self.number}, {len(self.data)} bytes>"


@dataclass(slots=True)
class StreamStatistics:
    """Counts of a stream so far."""

    payloads: int = 0
    frames: int = 0
    damaged: int = 0
    last_damage: str = ""


def exact_size(size: int, padded: int = 0) -> FindFault:
    """Checks that a frame of raw pixels has `size` bytes, or `padded` bytes: the size the camera negotiated.

    If any size in between were accepted, a frame that has lost a part could pass.
    """
    return lambda data: "" if len(data) in (size, padded) else f"{len(data)} {WRONG_SIZE} {size}"


def begun_jpeg(data: bytes) -> str:
    """Checks that an MJPEG frame holds the beginning of an image. The decoder finds its end, and judges it."""
    return "" if BEGIN in data else "no JPEG in it"


@dataclass(slots=True)
class _Frame:
    """The frame being received."""

    frame_id: int
    began_at: float
    time: int | None = None
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    damage: str = ""


class Assembler:
    """Collects payloads until a frame is whole. Damaged frames are counted and dropped; it never raises."""

    def __init__(self, find_fault: FindFault, *, limit: int, packet_bytes: int, keep: int | None = None) -> None:
        """`limit`: the maximum size of a frame in bytes; `keep`: how many bytes of it are pixels (None: all)."""
        self.statistics = StreamStatistics()
        self._keep = keep
        self._find_fault = find_fault
        self._limit = limit + SLACK_BYTES
        self._packet_bytes = packet_bytes
        self._frame: _Frame | None = None
        self._last_size = self._same_size = 0  # of frames that are too long

    def reset(self, why: str) -> None:
        """Drops the frame being received, because payloads were lost."""
        if self._frame is not None:
            self._count_damage(why)
        self._frame = None

    def feed(self, payload: bytes, at: float) -> list[RawFrame]:
        """Takes one payload that arrived at `at`; returns the frames that it completes: none, one or two."""
        header = Header.from_bytes(payload)
        if header is None:
            self._mark_damaged(payload)
            return []
        self.statistics.payloads += 1
        done = []
        if self._frame is not None and self._frame.frame_id != header.frame_id:
            done += self._finish()
        self._append(header, payload, at)
        if header.ends_frame or self._ends_inside(header, payload):
            done += self._finish()
        return done

    def _mark_damaged(self, payload: bytes) -> None:
        """A payload without a valid header damages the current frame, once; if there is none, it counts as a frame."""
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
                return  # only a header, between two frames
            frame = self._frame = _Frame(header.frame_id, at, header.time)
        frame.damage = frame.damage or self._damage(frame, header, len(body))
        frame.time = header.time if frame.time is None else frame.time
        if not frame.damage:
            frame.parts.append(body)
            frame.size += len(body)

    def _damage(self, frame: _Frame, header: Header, more: int) -> str:
        """Why the frame is damaged by this payload; empty if it is not."""
        if header.flags & ERROR:
            return "the camera marked an error"
        if _differ(header.time, frame.time):
            return "payloads of two frames under one frame id"
        return "more bytes than a frame has" if frame.size + more > self._limit else ""

    def _ends_inside(self, header: Header, payload: bytes) -> bool:
        """Cuts off the header that ends the frame if it came in the same transfer. Returns whether it did.

        A payload that fills its last packet must be followed by an empty packet. Some cameras leave that out, so the
        next payload (a header without pixels) looks like the end of this one.
        """
        frame = self._frame
        tail = len(payload) % self._packet_bytes
        if frame is None or frame.damage or not MIN_HEADER <= tail <= MAX_HEADER or len(payload) == tail:
            return False
        end = Header.from_bytes(payload[-tail:])
        if end is None or end.length != tail or not end.ends_frame:
            return False
        if end.frame_id != header.frame_id or _differ(end.time, frame.time):
            return False
        cut = [*frame.parts[:-1], frame.parts[-1][:-tail]]
        if self._find_fault(b"".join(cut)):
            return False  # the pixels only look like a header
        frame.parts, frame.size = cut, frame.size - tail
        return True

    def _finish(self) -> list[RawFrame]:
        frame, self._frame = self._frame, None
        if frame is None:
            return []
        data = b"".join(frame.parts)
        damage = frame.damage or self._find_fault(data)
        if frame.damage or (damage and not self._always_padded(len(data))):
            self._count_damage(damage)
            return []
        self.statistics.frames += 1
        return [RawFrame(data[: self._keep], frame.began_at, self.statistics.frames)]

    def _always_padded(self, size: int) -> bool:
        """Whether a camera sends the same bytes too many in every frame: a line of its own, or padding."""
        if self._keep is None or not self._keep < size < 2 * self._keep:
            return False
        self._same_size = self._same_size + 1 if size == self._last_size else 1
        self._last_size = size
        return self._same_size >= ALWAYS

    def _count_damage(self, why: str) -> None:
        self.statistics.damaged += 1
        self.statistics.last_damage = why


def _differ(time: int | None, other: int | None) -> bool:
    """Whether two times belong to two frames. A payload without a time can belong to any frame."""
    return None not in (time, other) and time != other
