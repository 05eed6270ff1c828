"""Finds the images in the bytes of an MJPEG frame. Never decodes: the decoder judges whether an image is whole.

A JPEG is a chain of segments: 0xff, a marker, and for most a length and a body. Behind the start of a scan come its
data, in which 0xff stands only before a zero or a restart marker. So the end of an image is found from its beginning,
whatever is behind it: cameras pad frames with zeros or noise, or append a thumbnail.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

BEGIN, END = b"\xff\xd8", b"\xff\xd9"
SCAN, BEGIN_CODE, END_CODE = 0xDA, 0xD8, 0xD9
BARE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers without a body: temporary and restart
MAX_IMAGES = 8  # of one frame
_MARKER = re.compile(rb"\xff+([^\xff])", re.DOTALL)
_IN_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)  # what ends the data of a scan


@dataclass(frozen=True, slots=True)
class Extent:
    """Where an image is in a frame: from `begin` up to `end`, which is behind its end marker if `ended`."""

    begin: int
    end: int
    ended: bool
    scans: int


def images(data: bytes) -> Iterator[Extent]:
    """The images of a frame, in order: at most MAX_IMAGES. What is between them is skipped."""
    at = 0
    for _ in range(MAX_IMAGES):
        at = data.find(BEGIN + b"\xff", at)
        if at < 0:
            return
        extent = _extent(data, at)
        yield extent
        at = extent.end


def _extent(data: bytes, begin: int) -> Extent:
    at, scans = begin + len(BEGIN), 0
    while (found := _MARKER.match(data, at)) is not None:
        code, at = found[1][0], found.end()
        if code == END_CODE:
            return Extent(begin, at, ended=True, scans=scans)
        if code == BEGIN_CODE:  # what came before was no image
            begin, scans = at - len(BEGIN), 0
            continue
        if code in BARE:
            continue
        at += int.from_bytes(data[at : at + 2], "big")
        if code == SCAN:
            scans += 1
            following = _IN_SCAN.search(data, at)
            if following is None:
                break
            at = following.start()
    return Extent(begin, len(data), ended=False, scans=scans)
