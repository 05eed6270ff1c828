"""Negotiates with a camera what it streams: the probe and commit block, and the control requests that carry it.

offset  size  field (little endian)           offset  size  field
0       2     hint: which fields to keep       18     4     maximum frame size, bytes
2       1     format                           22     4     maximum payload size, bytes
3       1     frame                            26     4     clock, Hz              from UVC 1.1
4       4     interval, 100 ns                 30     4     framing and versions   from UVC 1.1
8       10    compression                      34     14    settings of 1.5
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.errors import ProtocolError, Stalled
from drivers.usb.link import UsbLink

TO_INTERFACE, FROM_INTERFACE = 0x21, 0xA1  # class requests to an interface
SET_CUR, GET_CUR = 0x01, 0x81
PROBE, COMMIT = 0x0100, 0x0200
KEEP_INTERVAL = 0x0001  # hint: the camera keeps the interval and adapts the rest
LENGTH_10, LENGTH_11, LENGTH_15 = 26, 34, 48
CONTROL_S = 3.0  # a camera may set up its sensor within a request
MAX_PAYLOAD = 16 << 20  # bytes; no camera sends more in one payload
_LAYOUT = "<HBBI10xII"


def block_lengths(version: int) -> Sequence[int]:
    """The block lengths to try, by bcdUVC: that of the version first, then the shorter ones that some cameras use.

    All, if the version is not known (0).
    """
    if not version:
        return LENGTH_11, LENGTH_10, LENGTH_15
    own = LENGTH_15 if version >= 0x0150 else LENGTH_11 if version >= 0x0110 else LENGTH_10
    return (own, *(length for length in (LENGTH_11, LENGTH_10) if length < own))


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """The stream settings, as requested and as answered. The two sizes are 0 in a request."""

    format_index: int
    frame_index: int
    interval: int
    max_frame: int = 0
    max_payload: int = 0

    def to_bytes(self, length: int) -> bytes:
        """The settings as a block of 26, 34 or 48 bytes."""
        head = struct.pack(
            _LAYOUT, KEEP_INTERVAL, self.format_index, self.frame_index, self.interval, self.max_frame, self.max_payload
        )
        return head.ljust(length, b"\0")

    @classmethod
    def from_bytes(cls, block: bytes) -> "StreamSettings":
        """Parses the answer of a camera. ProtocolError if it is truncated."""
        if len(block) < LENGTH_10:
            raise ProtocolError(f"the camera's stream settings have {len(block)} bytes in place of {LENGTH_10} or more")
        _hint, *fields = struct.unpack_from(_LAYOUT, block)
        return cls(*fields)


def negotiate(link: UsbLink, interface: int, version: int, requested: StreamSettings) -> StreamSettings:
    """Sends the request, reads the answer and commits to exactly that answer. A bulk camera then starts to stream.

    ProtocolError if the camera refuses every block length, or answers with another format or size than requested.
    """
    length = _set_probe(link, interface, version, requested)
    block = link.control_in(FROM_INTERFACE, GET_CUR, PROBE, interface, length, CONTROL_S)
    agreed = StreamSettings.from_bytes(block)
    if (agreed.format_index, agreed.frame_index) != (requested.format_index, requested.frame_index):
        raise ProtocolError(
            f"the camera offers format {agreed.format_index}, frame {agreed.frame_index} in place of "
            f"{requested.format_index}, {requested.frame_index}: choose another size or format"
        )
    if agreed.max_payload > MAX_PAYLOAD:
        raise ProtocolError(f"the camera wants payloads of {agreed.max_payload} bytes; at most {MAX_PAYLOAD}")
    link.control_out(TO_INTERFACE, SET_CUR, COMMIT, interface, block, CONTROL_S)
    return agreed


def _set_probe(link: UsbLink, interface: int, version: int, requested: StreamSettings) -> int:
    """Sends the request; returns the block length that the camera accepts."""
    for length in block_lengths(version):
        try:
            link.control_out(TO_INTERFACE, SET_CUR, PROBE, interface, requested.to_bytes(length), CONTROL_S)
        except Stalled:
            continue
        return length
    raise ProtocolError(f"the camera refuses the stream settings of UVC {version >> 8:x}.{version >> 4 & 15:x}")
