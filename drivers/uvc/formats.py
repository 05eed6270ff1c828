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

from drivers.uvc.jpeg import END, Extent, images

Grey = NDArray[np.uint8]
Words = NDArray[np.uint16]
Decode = Callable[[bytes, int, int], Grey | Words]

PADDING = bytes(16)  # libjpeg reads at most eight bytes ahead
WORD_BITS = 16
DEPTHS = (8, 10, 12, 14, 16)  # bits that sensors use of a word
DOUBTED_FRAMES = 300  # frames from the first one that are compared with what was announced
MIN_PAIRS, MAX_PAIRS = 64, 40_000  # of neighbouring bytes that are compared
MIN_CONTRAST, ALIKE = 8.0, 0.9  # grey levels; a correlation
SPECKS = 20_000  # one pixel in so many may be brighter than the depth allows: a dead pixel, a flipped bit


class BadFrame(ValueError):
    """The bytes are not a whole frame of their format. The message never contains them."""

    def __init__(self, message: str, *, other_contents: bool = False) -> None:
        """`other_contents`: the frame may be whole, but not what the camera announced."""
        super().__init__(message)
        self.other_contents = other_contents


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
        return FrameDecoder(self, width, height).luma(data)


class FrameDecoder:
    """Decodes the frames of one stream. Measures how many bits of a 16-bit word its sensor uses.

    Many cameras announce 16 bits and use the 10 or 12 lowest. The depth follows from the brightest pixels so far: a
    frame that is dark, or that a strobing lamp left unlit, changes nothing.
    """

    def __init__(self, pixels: PixelFormat, width: int, height: int) -> None:
        self.pixels = pixels
        self.width = width
        self.height = height
        self._used = 8 if pixels.depth_bits == WORD_BITS else pixels.depth_bits
        self._ones = 0  # every bit that a word had
        self._doubts_left = DOUBTED_FRAMES

    @property
    def depth_bits(self) -> int:
        """How many bits the sensor gives: as announced, or of 16 announced ones as many as were used so far."""
        if self.pixels.depth_bits != WORD_BITS or not self._ones:
            return self.pixels.depth_bits
        unused = (self._ones & -self._ones).bit_length() - 1  # some cameras use the highest bits
        return max(8, self._used - unused)

    def luma(self, data: bytes) -> Grey:
        """One frame as u8[height, width]. BadFrame if the size is wrong or the image cannot be decoded."""
        exact = self.pixels.frame_bytes(self.width, self.height)
        if exact and len(data) != exact:
            raise BadFrame(f"{len(data)} bytes in place of {exact}", other_contents=True)
        decoded = self.pixels.decode(data, self.width, self.height)
        return decoded.view(np.uint8) if decoded.itemsize == 1 else self._highest_bits(decoded.view(np.uint16))

    def _highest_bits(self, words: Words) -> Grey:
        """The eight highest of the bits in use; a speck that is brighter is white."""
        if self._used < WORD_BITS and int(words.max(initial=0)) >> self._used:
            specks = words.size // SPECKS
            fits = (depth for depth in DEPTHS if np.count_nonzero(words >> depth) <= specks)
            self._used = max(self._used, next(fits, WORD_BITS))
        if not self._ones & 1:  # else every bit is in use
            self._ones |= int(np.bitwise_or.reduce(words.ravel()))
        eight = words >> (self._used - 8)
        return (eight if self._used == WORD_BITS else np.minimum(eight, 255)).astype(np.uint8)

    def doubt(self, data: bytes) -> str:
        """A warning, once, if the frames seem to hold something else than was announced; else empty.

        Some cameras announce YUY2 and send grey pixels, two in place of each pixel and its colour. Neighbours in an
        image are alike; a colour is not like the brightness next to it, and without colour it does not vary.
        """
        if self.pixels not in (YUY2, UYVY) or not self._doubts_left or len(data) < 2 * MIN_PAIRS:
            return ""
        self._doubts_left -= 1
        pairs = np.frombuffer(data, np.uint8, len(data) // 2 * 2).reshape(-1, 2)[:: max(1, len(data) // MAX_PAIRS)]
        left, right = pairs.astype(np.float32).T
        contrasts = sorted((float(left.std()), float(right.std())))
        if contrasts[0] < max(MIN_CONTRAST, 0.8 * contrasts[1]):
            return ""
        alike = float(np.corrcoef(left, right)[0, 1]) > ALIKE and abs(float((left - right).mean())) < MIN_CONTRAST
        if not alike:
            return ""
        self._doubts_left = 0
        return (
            f"announces {self.pixels.name} {self.width}x{self.height}, but its colours look like pixels: if the image "
            f"looks squeezed, set the option contains = 'y8 {2 * self.width}x{self.height}'"
        )


def _grey8(data: bytes, width: int, height: int) -> Grey:
    return np.frombuffer(data, np.uint8).reshape(height, width)


def _words(data: bytes, width: int, height: int) -> Words:
    """Little-endian words: FrameDecoder measures which of their bits are used."""
    return np.frombuffer(data, "<u2").reshape(height, width)


def _yuyv(data: bytes, width: int, height: int) -> Grey:
    return np.frombuffer(data, np.uint8)[0::2].reshape(height, width)


def _uyvy(data: bytes, width: int, height: int) -> Grey:
    return np.frombuffer(data, np.uint8)[1::2].reshape(height, width)


def _planar(data: bytes, width: int, height: int) -> Grey:
    return np.frombuffer(data, np.uint8, width * height).reshape(height, width)


def _rgb(data: bytes, width: int, height: int) -> Grey:
    """The mean of the three colours: with infrared light they are equal."""
    pixels = np.frombuffer(data, np.uint8).reshape(height, width, 3)
    mean: Grey = (pixels.sum(axis=2, dtype=np.uint16) // 3).astype(np.uint8)
    return mean


def _mjpeg(data: bytes, width: int, height: int) -> Grey:
    """The first image of the size of the stream: there may be a smaller one before or behind it."""
    others, reason = list[str](), "no JPEG in it"
    for extent in images(data):
        try:
            found = _decoded(_prepared(data, extent), (width, height))
        except BadFrame as error:
            reason = str(error)
            continue
        if isinstance(found, np.ndarray):
            return found
        others.append(f"{found[0]}x{found[1]}")
    if others:
        raise BadFrame(f"an image of {others[0]}, of another size than {width}x{height}", other_contents=True)
    raise BadFrame(reason)


def _decoded(image_file: bytes, size: tuple[int, int]) -> Grey | tuple[int, int]:
    """Decodes a JPEG. Of one of another size, returns the size."""
    try:
        with Image.open(io.BytesIO(image_file), formats=["JPEG"]) as image:
            if image.size != size:
                return image.size
            image.draft("L", size)  # the decoder then leaves the colours out
            return np.array(image.convert("L"), np.uint8)
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise many types for damaged files
        raise BadFrame(f"no readable JPEG ({type(error).__name__})") from None


def _prepared(data: bytes, extent: Extent) -> bytes:
    """One image, with zeros in place of its end marker, so that a truncated one is an error.

    If the end marker comes too early, the decoder fills the missing part with grey without an error. If the data just
    stop, it reports an error; for a complete image it needs only a few bytes ahead, and no end marker. A JPEG of
    several scans (progressive, which cameras do not send) needs its end marker and keeps it.
    """
    if extent.scans != 1:
        return data[extent.begin : extent.end]
    return data[extent.begin : extent.end - len(END) * extent.ended] + PADDING


Y8 = PixelFormat("y8", 8, 8, _grey8)
Y10 = PixelFormat("y10", 16, 10, _words)
Y12 = PixelFormat("y12", 16, 12, _words)
Y16 = PixelFormat("y16", 16, 16, _words)
YUY2 = PixelFormat("yuy2", 16, 8, _yuyv)
UYVY = PixelFormat("uyvy", 16, 8, _uyvy)
NV12 = PixelFormat("nv12", 12, 8, _planar)
RGB24 = PixelFormat("rgb24", 24, 8, _rgb)
MJPEG = PixelFormat("mjpeg", 0, 8, _mjpeg)

# Best first, if a camera offers several: true grey, then luma with colour, then compressed.
PREFERENCE = (Y8, Y16, Y12, Y10, NV12, YUY2, UYVY, RGB24, MJPEG)
FORMAT_NAMED: Mapping[str, PixelFormat] = {row.name: row for row in PREFERENCE}

# Linux names formats by four characters (linux/videodev2.h). GREY, Y10, Y12 and Y16 are little endian; Y16 with the top
# bit set would be big endian. The formats of a row differ in what we do not read: their colours.
FORMAT_OF_FOURCC: Mapping[bytes, PixelFormat] = {
    code: row
    for row, codes in {
        Y8: (b"GREY", b"Y800", b"Y8  "),
        Y10: (b"Y10 ",),
        Y12: (b"Y12 ",),
        Y16: (b"Y16 ",),
        YUY2: (b"YUYV", b"YUY2", b"YVYU"),
        UYVY: (b"UYVY", b"VYUY", b"HDYC"),
        NV12: (b"NV12", b"NV21", b"I420", b"IYUV", b"YU12", b"YV12"),
        RGB24: (b"RGB3", b"BGR3"),
        MJPEG: (b"MJPG", b"JPEG"),
    }.items()
    for code in codes
}

# The first four bytes of a GUID are the four characters, or a number of Direct3D; the rest is nearly always the same.
# Some cameras damage it (an iSight has one byte of zero), and it says nothing that we need: it is not compared.
CODE_BYTES = 4
RGB_GUID = bytes.fromhex("7deb36e44f52ce119f530020af0ba770")
_BY_NUMBER: Mapping[bytes, PixelFormat] = {struct.pack("<I", 50): Y8, struct.pack("<I", 81): Y16, RGB_GUID[:4]: RGB24}

# Formats that are known and that this driver cannot read: their bits per pixel say nothing.
UNREADABLE = frozenset(
    (b"H264", b"H265", b"HEVC", b"AVC1", b"VP80", b"VP90", b"MPG1", b"MPG2", b"MP4V", b"M2TS", b"DVSD", b"Z16 ")
)

# What an unknown GUID may be, by its bits per pixel: the likeliest first. The option `format` chooses another one.
GUESSES: Mapping[int, tuple[PixelFormat, ...]] = {8: (Y8,), 12: (NV12,), 16: (YUY2, UYVY, Y16), 24: (RGB24,)}


def formats_of_guid(guid: bytes, bits: int) -> tuple[PixelFormat | None, tuple[PixelFormat, ...]]:
    """The format that a GUID names; if it names none, those that its bits per pixel allow. None and (): unreadable."""
    code = guid[:CODE_BYTES].upper()
    known = FORMAT_OF_FOURCC.get(code) or _BY_NUMBER.get(guid[:CODE_BYTES])
    if known is not None or code in UNREADABLE or len(code) < CODE_BYTES:
        return known, ()
    return None, GUESSES.get(bits, ())
