"""The frames of a simulated camera as bytes in its pixel format."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simulators.sensors.uvc.descriptors import TICKS_PER_S

NUMBER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Mode:
    """A committed stream format."""

    kind: str
    width: int
    height: int
    interval: int  # 100 ns

    @property
    def seconds(self) -> float:
        """The frame interval in seconds."""
        return self.interval / TICKS_PER_S


Source = Callable[[int, Mode], bytes]
"""(number of the frame since the stream began, mode) -> the bytes to send (for MJPEG: a JPEG file)."""


def numbered(number: int, mode: Mode) -> bytes:
    """Moving grey stripes; the first eight bytes of a frame are its number. ValueError for MJPEG."""
    row = bytes((column + 8 * number) & 0xFF for column in range(mode.width))
    return number.to_bytes(NUMBER_BYTES, "little") + encode(mode.kind, row * mode.height)[NUMBER_BYTES:]


def dimmed(kind: str, frame: bytes, percent: int) -> bytes:
    """A frame with less light. One of MJPEG stays as it is: changing it needs an encoder."""
    levels = bytes(level * percent // 100 for level in range(256))
    pixels = bytearray(frame)
    if kind in _WIDE:
        luma = 0 if kind == "yuy2" else 1
        pixels[luma::2] = frame[luma::2].translate(levels)
        if luma:
            pixels[0::2] = bytes(len(frame) // 2)
    elif kind == "nv12":
        end = len(frame) * 2 // 3
        pixels[:end] = frame[:end].translate(levels)
    elif kind != "mjpeg":
        return frame.translate(levels)
    return bytes(pixels)


def shallow(frame: bytes, depth: int) -> bytes:
    """16-bit pixels moved to their lowest `depth` bits."""
    kept = int.from_bytes((0xFFFF >> (16 - depth)).to_bytes(2, "little") * (len(frame) // 2), "little")
    return (int.from_bytes(frame, "little") >> (16 - depth) & kept).to_bytes(len(frame), "little")


def looping(frames: Sequence[bytes]) -> Source:
    """A source that repeats the same frames."""
    return lambda number, _mode: frames[number % len(frames)]


def encode(kind: str, grey: bytes) -> bytes:
    """Grey pixels in a pixel format. ValueError for MJPEG, which needs an encoder."""
    if kind == "mjpeg":
        raise ValueError("grey pixels cannot be sent as MJPEG: give the camera JPEG files")
    if kind == "nv12":
        return grey + b"\x80" * (len(grey) // 2)
    if kind not in _WIDE:
        return grey
    low, high = _WIDE[kind]
    words = bytearray(2 * len(grey))
    words[0::2], words[1::2] = grey.translate(low), grey.translate(high)
    return bytes(words)


def _word_tables(bits: int) -> tuple[bytes, bytes]:
    """Tables from a grey level to the low and the high byte of a word that uses `bits` bits over the full range."""
    words = [level << (bits - 8) | level >> (16 - bits) for level in range(256)]
    return bytes(word & 0xFF for word in words), bytes(word >> 8 for word in words)


_WIDE = {
    "y10": _word_tables(10),
    "y12": _word_tables(12),
    "y16": _word_tables(16),
    "yuy2": (bytes(range(256)), b"\x80" * 256),
}
