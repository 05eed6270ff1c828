"""The pixel formats of the simulated camera."""

import pytest

from simulators.sensors.uvc.frames import Mode, dimmed, encode, looping, numbered, shallow


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


@pytest.mark.parametrize("kind", ["y800", "y8", "y16", "yuy2", "nv12"])
def test_a_frame_can_have_less_light_in_every_raw_format(kind: str) -> None:
    grey = bytes(range(64))
    half = bytes(level // 2 for level in grey)
    high = 1 if kind == "y16" else 0
    wide = 2 if kind in ("y16", "yuy2") else 1
    assert dimmed(kind, encode(kind, grey), 50)[high : 64 * wide : wide] == half
    chroma = encode(kind, grey)[64 * wide :]
    assert dimmed(kind, encode(kind, grey), 50).endswith(chroma)


def test_a_jpeg_is_not_dimmed() -> None:
    assert dimmed("mjpeg", b"JPEG", 5) == b"JPEG"


@pytest.mark.parametrize(("depth", "white"), [(10, 1023), (12, 4095), (16, 65_535)])
def test_deep_pixels_can_use_their_lowest_bits_only(depth: int, white: int) -> None:
    words = shallow(encode("y16", b"\x00\x80\xff"), depth)
    assert [int.from_bytes(words[at : at + 2], "little") for at in (0, 4)] == [0, white]
    assert int.from_bytes(words[2:4], "little") == 0x8080 >> (16 - depth)
