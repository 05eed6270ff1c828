"""The structures of V4L2, against linux/videodev2.h."""

import struct

from drivers.v4l2.abi import Buffer, Capability


def test_the_structures_are_those_of_the_header() -> None:
    buffer = bytearray(88)
    struct.pack_into("<IIIII", buffer, 0, 2, 1, 3072, 0x2000 | 0x10000 | 0x40, 1)
    struct.pack_into("<qq", buffer, 24, 12, 500_000)
    struct.pack_into("<I4xI", buffer, 64, 8192, 4096)
    assert Buffer.from_bytes(bytes(buffer)) == Buffer(2, 3072, True, 12.5, True, 8192, 4096)
    whole = struct.pack("<16s32s32sIII12x", b"uvcvideo", b"Camera", b"usb-1", 0, 0x84A00001, 0x04200001)
    assert Capability.from_bytes(whole) == Capability("uvcvideo", "Camera", "usb-1", True)
