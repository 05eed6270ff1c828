"""The pixel formats of the simulated camera."""

import pytest

from simulators.sensors.uvc.frames import Mode, encode, looping, numbered


def test_grey_fills_the_range_of_every_format() -> None:
    assert encode("y10", b"\x00\xff") == b"\x00\x00\xff\x03"
    assert encode("y16", b"\x00\x80\xff") == b"\x00\x00\x80\x80\xff\xff"
    assert encode("yuy2", b"\x07\x08") == b"\x07\x80\x08\x80"
    assert encode("nv12", bytes(4)) == bytes(4) + b"\x80\x80"
    with pytest.raises(ValueError, match="JPEG files"):
        encode("mjpeg", b"")


def test_a_format_of_one_byte_per_pixel_is_sent_as_it_is() -> None:
    assert encode("y800", b"\x00\x80\xff") == b"\x00\x80\xff"


def test_a_numbered_frame_begins_with_its_number_and_moves() -> None:
    mode = Mode("y800", 16, 2, 333_333)
    first, second = numbered(1, mode), numbered(2, mode)
    assert (first[:8], second[:8]) == ((1).to_bytes(8, "little"), (2).to_bytes(8, "little"))
    assert len(first) == len(second) == 32
    assert first[16 + 8] == second[16]  # the stripes have moved by eight columns
    assert mode.seconds == pytest.approx(1 / 30, abs=1e-6)


def test_frames_are_repeated() -> None:
    mode = Mode("y800", 1, 1, 333_333)
    source = looping([b"a", b"b"])
    assert [source(number, mode) for number in range(5)] == [b"a", b"b", b"a", b"b", b"a"]
