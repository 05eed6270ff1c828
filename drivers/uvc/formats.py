"""Pixel formats of cameras as rows of a table: each converts the bytes of one frame to luma u8[h, w].

UVC names a format by a GUID, V4L2 by four characters (FourCC). Both tables use the same rows.
"""

import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.uint8]
Decode = Callable[[bytes, int, int], Grey]

MJPEG_BEGIN, MJPEG_END, MJPEG_SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
PADDING = bytes(16)  # libjpeg reads at most eight bytes ahead
_TAIL = bytes.fromhex("00001000800000aa00389b71")  # what follows the four characters in nearly every GUID
_INFRARED_TAIL = bytes.fromhex("02001000800000aa00389b71")


class BadFrame(ValueError):
    """The bytes are not a whole frame of their format. The message never contains them."""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """One encoding of pixels: `bits` per pixel on the wire (0: compressed), `depth_bits` per pixel of the sensor."""

    name: str
    bits: int
    depth_bits: int
    decode: Decode

    def frame_bytes(self, width: int, height: int) -> int:
        """The exact size of a frame; 0 if it varies."""
        return width * height * self.bits // 8

    def luma(self, data: bytes, width: int, height: int) -> Grey:
        """One frame as u8[height, width]. BadFrame if the size is wrong or the image cannot be decoded."""
        exact = self.frame_bytes(width, height)
        if exact and len(data) != exact:
            raise BadFrame(f"{len(data)} bytes in place of {exact}")
        return self.decode(data, width, height)


def _grey8(data: bytes, width: int, height: int) -> Grey:
    return np.frombuffer(data, np.uint8).reshape(height, width)


def _high_bits(bits: int) -> Decode:
    """Decodes little-endian words with `bits` used bits. Keeps the eight highest; stray bits above them saturate."""

    def decode(data: bytes, width: int, height: int) -> Grey:
        words = np.frombuffer(data, "<u2").reshape(height, width) >> (bits - 8)
        eight: Grey = np.minimum(words, 255).astype(np.uint8)
        return eight

    return decode


def _yuyv(data: bytes, width: int, height: int) -> Grey:
    return np.frombuffer(data, np.uint8)[0::2].reshape(height, width)


def _uyvy(data: bytes, width: int, height: int) -> Grey:
    return np.frombuffer(data, np.uint8)[1::2].reshape(height, width)


def _planar(data: bytes, width: int, height: int) -> Grey:
    return np.frombuffer(data, np.uint8, width * height).reshape(height, width)


def _mjpeg(data: bytes, width: int, height: int) -> Grey:
    image = _decoded(data, (width, height))
    if image.shape != (height, width):
        raise BadFrame(f"an image of another size than {width}x{height}")
    return image


def _decoded(data: bytes, size: tuple[int, int]) -> Grey:
    """Decodes a JPEG. One of another size is not decoded: the result is empty."""
    try:
        with Image.open(io.BytesIO(_without_end_marker(data)), formats=["JPEG"]) as image:
            if image.size != size:
                return np.empty((0, 0), np.uint8)
            image.draft("L", size)  # the decoder then leaves the colours out
            return np.array(image.convert("L"), np.uint8)
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise many types for damaged files
        raise BadFrame(f"no readable JPEG ({type(error).__name__})") from None


def _without_end_marker(data: bytes) -> bytes:
    """Replaces the end marker of a JPEG by a few zeros, so that a truncated one is an error.

    If the end marker comes too early, the decoder fills the missing part with grey without an error. If the data just
    stop, it reports an error; for a complete image it needs only a few bytes ahead. A JPEG of several scans
    (progressive, which cameras do not send) needs its end marker and keeps it.
    """
    bare = data.rstrip(b"\0")
    if not bare.endswith(MJPEG_END) or data.count(MJPEG_SCAN) != 1:
        return data
    return bare[: -len(MJPEG_END)] + PADDING


Y8 = PixelFormat("y8", 8, 8, _grey8)
Y10 = PixelFormat("y10", 16, 10, _high_bits(10))
Y12 = PixelFormat("y12", 16, 12, _high_bits(12))
Y16 = PixelFormat("y16", 16, 16, _high_bits(16))
YUY2 = PixelFormat("yuy2", 16, 8, _yuyv)
UYVY = PixelFormat("uyvy", 16, 8, _uyvy)
NV12 = PixelFormat("nv12", 12, 8, _planar)
MJPEG = PixelFormat("mjpeg", 0, 8, _mjpeg)

# Best first, if a camera offers several: true grey, then luma with colour, then compressed.
PREFERENCE = (Y8, Y16, Y12, Y10, NV12, YUY2, UYVY, MJPEG)
FORMAT_NAMED: Mapping[str, PixelFormat] = {row.name: row for row in PREFERENCE}


def _guid(code: bytes | int, tail: bytes = _TAIL) -> bytes:
    return (struct.pack("<I", code) if isinstance(code, int) else code) + tail


# linux/usb/uvc.h; L8 is a Direct3D number (50), the others are four characters.
FORMAT_OF_GUID: Mapping[bytes, PixelFormat] = {
    _guid(b"Y800"): Y8,
    _guid(b"Y8  "): Y8,
    _guid(b"GREY"): Y8,
    _guid(50): Y8,
    _guid(50, _INFRARED_TAIL): Y8,
    _guid(b"Y10 "): Y10,
    _guid(b"Y12 "): Y12,
    _guid(b"Y16 "): Y16,
    _guid(b"YUY2"): YUY2,
    _guid(b"UYVY"): UYVY,
    _guid(b"NV12"): NV12,
}

# linux/videodev2.h. GREY, Y10, Y12 and Y16 are little endian; Y16 with the top bit set would be big endian.
FORMAT_OF_FOURCC: Mapping[bytes, PixelFormat] = {
    b"GREY": Y8,
    b"Y10 ": Y10,
    b"Y12 ": Y12,
    b"Y16 ": Y16,
    b"YUYV": YUY2,
    b"UYVY": UYVY,
    b"NV12": NV12,
    b"MJPG": MJPEG,
    b"JPEG": MJPEG,
}
