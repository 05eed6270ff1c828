"""Pixel formats of cameras as rows of a table: bytes of one frame in, luma u8[h, w] out. Never touches a device.

UVC names a format by a GUID, V4L2 by four characters; both tables lead to the same rows.
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
AHEAD = bytes(16)  # libjpeg looks eight bytes ahead at most
_TAIL = bytes.fromhex("00001000800000aa00389b71")  # what follows the four characters in nearly every GUID
_INFRARED_TAIL = bytes.fromhex("02001000800000aa00389b71")


class BadFrame(ValueError):
    """The bytes are no whole frame of their format. The message never shows them."""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """One way to write pixels. `bits` a pixel on the wire (0: compressed); `depth_bits` is what the sensor gave."""

    name: str
    bits: int
    depth_bits: int
    decode: Decode

    def frame_bytes(self, width: int, height: int) -> int:
        """The exact size of a frame; 0 when it varies."""
        return width * height * self.bits // 8

    def luma(self, data: bytes, width: int, height: int) -> Grey:
        """One frame as u8[height, width]. BadFrame: wrong size, or a picture that cannot be read."""
        exact = self.frame_bytes(width, height)
        if exact and len(data) != exact:
            raise BadFrame(f"{len(data)} bytes in place of {exact}")
        return self.decode(data, width, height)


def _grey8(data: bytes, width: int, height: int) -> Grey:
    return np.frombuffer(data, np.uint8).reshape(height, width)


def _deep(bits: int) -> Decode:
    """Little-endian words with `bits` of them used; the eight highest are kept. Stray higher bits saturate."""

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
    picture = _decoded(data, (width, height))
    if picture.shape != (height, width):
        raise BadFrame(f"a picture of another size than {width}x{height}")
    return picture


def _decoded(data: bytes, size: tuple[int, int]) -> Grey:
    """The picture; one of another size is not decoded, and empty here."""
    try:
        with Image.open(io.BytesIO(_endless(data)), formats=["JPEG"]) as picture:
            if picture.size != size:
                return np.empty((0, 0), np.uint8)
            picture.draft("L", size)  # the decoder then leaves the colours out
            return np.array(picture.convert("L"), np.uint8)
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise of everything at damaged files
        raise BadFrame(f"no readable JPEG ({type(error).__name__})") from None


def _endless(data: bytes) -> bytes:
    """The picture with a few zeros in place of its end.

    At an end that comes too early the decoder paints what is missing grey and says nothing; where the data just stop it
    says so, and of a picture that has all its lines it needs no more than a few bytes ahead. One of several scans
    (progressive, which cameras do not send) needs its end, and keeps it.
    """
    bare = data.rstrip(b"\0")
    if not bare.endswith(MJPEG_END) or data.count(MJPEG_SCAN) != 1:
        return data
    return bare[: -len(MJPEG_END)] + AHEAD


Y8 = PixelFormat("y8", 8, 8, _grey8)
Y10 = PixelFormat("y10", 16, 10, _deep(10))
Y12 = PixelFormat("y12", 16, 12, _deep(12))
Y16 = PixelFormat("y16", 16, 16, _deep(16))
YUY2 = PixelFormat("yuy2", 16, 8, _yuyv)
UYVY = PixelFormat("uyvy", 16, 8, _uyvy)
NV12 = PixelFormat("nv12", 12, 8, _planar)
MJPEG = PixelFormat("mjpeg", 0, 8, _mjpeg)

# Best first, where a camera offers several: true grey, then luma beside colours, then what compression has left.
PREFERENCE = (Y8, Y16, Y12, Y10, NV12, YUY2, UYVY, MJPEG)
FORMAT_NAMED: Mapping[str, PixelFormat] = {row.name: row for row in PREFERENCE}


def _guid(code: bytes | int, tail: bytes = _TAIL) -> bytes:
    return (struct.pack("<I", code) if isinstance(code, int) else code) + tail


# linux/usb/uvc.h; L8 is a number of Direct3D (50) where others have four characters.
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
