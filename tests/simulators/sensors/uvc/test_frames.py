"""The pixel formats of the simulated camera."""

import pytest

from simulators.sensors.uvc.frames import encode


def test_grey_fills_the_range_of_every_format() -> None:
    assert encode("y10", b"\x00\xff") == b"\x00\x00\xff\x03"
    assert encode("y16", b"\x00\x80\xff") == b"\x00\x00\x80\x80\xff\xff"
    assert encode("yuy2", b"\x07\x08") == b"\x07\x80\x08\x80"
    assert encode("nv12", bytes(4)) == bytes(4) + b"\x80\x80"
    with pytest.raises(ValueError, match="JPEG files"):
        encode("mjpeg", b"")
