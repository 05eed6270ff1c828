"""The structures of V4L2, against linux/videodev2.h."""

import ctypes
import struct

from drivers.v4l2.abi import (
    CONTROL_QUERY,
    DQBUF,
    QBUF,
    QUERYCAP,
    S_FMT,
    STREAMON,
    Buffer,
    Capability,
    FrameLayout,
    buffer_structure,
    control_query,
    structure,
)


def test_the_structures_are_those_of_the_header() -> None:
    buffer = bytearray(88)
    struct.pack_into("<IIIII", buffer, 0, 2, 1, 3072, 0x2000 | 0x10000 | 0x40, 1)
    struct.pack_into("<qq", buffer, 24, 12, 500_000)
    struct.pack_into("<I4xI", buffer, 64, 8192, 4096)
    assert Buffer.from_bytes(bytes(buffer)) == Buffer(2, 3072, True, 12.5, True, 8192, 4096)
    whole = struct.pack("<16s32s32sIII12x", b"uvcvideo", b"Camera", b"usb-1", 0, 0x84A00001, 0x04200001)
    assert Capability.from_bytes(whole) == Capability("uvcvideo", "Camera", "usb-1", True)


def test_a_request_has_the_number_of_the_header() -> None:
    assert (QUERYCAP.code, S_FMT.code, DQBUF.code, STREAMON.code) == (0x80685600, 0xC0D05605, 0xC0585611, 0x40045612)


def test_a_structure_is_filled_up_with_zeros() -> None:
    assert structure(STREAMON, "=H", 1) == bytes([1, 0, 0, 0])


def test_a_buffer_is_named_by_index_type_and_memory() -> None:
    data = buffer_structure(QBUF, 3)
    assert (len(data), data[0], data[4], data[60]) == (88, 3, 1, 1)
    assert not any(data[8:60])


def test_a_format_is_requested_and_read() -> None:
    block = FrameLayout(640, 480, b"GREY", 0, 0).to_bytes()
    assert (len(block), block[0], bytes(block[16:20])) == (208, 1, b"GREY")
    struct.pack_into("=II", block, 24, 704, 704 * 480)  # as the kernel fills it in
    assert FrameLayout.from_bytes(bytes(block)) == FrameLayout(640, 480, b"GREY", 704, 704 * 480)


def test_a_request_to_a_control_points_to_its_data() -> None:
    memory = ctypes.create_string_buffer(b"\x01\x02\x03", 3)
    request = control_query(14, 6, 0x81, memory)
    assert CONTROL_QUERY.code == 0xC0107521  # _IOWR('u', 0x21, struct uvc_xu_control_query)
    assert request.hex() == "0e06810003000000" + struct.pack("<Q", ctypes.addressof(memory)).hex()
