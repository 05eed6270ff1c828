"""ISO/IEC 19794-2:2005 records: golden bytes written by hand from the standard, and no loss in both directions."""

import contextlib
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.sample import Position
from models.exchange.iso19794_2 import FingerView, from_record, to_record
from models.finger.minutiae import Kind, Minutiae
from models.finger.template import pack, unpack
from models.template import TemplateError

# Written by hand. Two views; the second has 3 bytes of extended data.
GOLDEN = bytes.fromhex(
    "464d5200 20323000"  # "FMR\0" " 20\0"
    "00000039"  # 57 bytes
    "0000"  # no certificate, device unknown
    "0100 0120"  # 256 x 288
    "00c5 00c5"  # 197 pixels a cm
    "02 00"  # two views, reserved
    "02 00 50 02"  # right index, view 0 of a live plain impression, quality 80, two minutiae
    "4064 00c8 40 5a"  # ending at (100, 200), 64 * 1.40625 = 90 degrees, quality 90
    "80ff 011f c0 00"  # bifurcation at (255, 287), 270 degrees, quality not reported
    "0000"  # no extended data
    "07 00 00 01"  # left index, quality 0, one minutia
    "0000 0000 00 64"  # other at (0, 0), 0 degrees, quality 100
    "0003 010203"
)


def _minutiae(x: list[int], y: list[int], direction: list[int], kind: list[int], quality: list[int]) -> Minutiae:
    x16, y16, direction16 = (np.array(values, np.uint16) for values in (x, y, direction))
    kind8, quality8 = (np.array(values, np.uint8) for values in (kind, quality))
    return Minutiae(256, 288, 80, x16, y16, direction16, kind8, quality8)


FIRST = _minutiae([100, 255], [200, 287], [16_384, 49_152], [Kind.ENDING, Kind.BIFURCATION], [90, 0])


def _fixed(data: bytes, at: int, replacement: bytes) -> bytes:
    return data[:at] + replacement + data[at + len(replacement) :]


def test_golden_record_is_read() -> None:
    right, left = from_record(GOLDEN)
    assert (right.position, left.position) == (Position.RIGHT_INDEX, Position.LEFT_INDEX)
    assert right.template == pack(FIRST)
    second = unpack(left.template)
    assert (len(second), second.kind[0], second.qualities[0], second.quality) == (1, Kind.OTHER, 100, 0)


def test_golden_record_is_written() -> None:
    written = to_record(from_record(GOLDEN))
    without_extension = _fixed(GOLDEN[:-5] + b"\0\0", 8, (54).to_bytes(4, "big"))
    assert written == without_extension


def test_directions_are_degrees_counter_clockwise() -> None:
    (view, _) = from_record(GOLDEN)
    degrees = unpack(view.template).direction * (360 / 65_536)
    assert list(degrees) == [90, 270]


@st.composite
def fingers(draw: st.DrawFn) -> Minutiae:
    """Minutiae that the format can hold without loss: directions in steps of 1/256 of a full circle."""
    count = draw(st.integers(0, 255))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    width, height = draw(st.integers(1, 16_384)), draw(st.integers(1, 16_384))
    return Minutiae(
        width,
        height,
        draw(st.integers(0, 100)),
        x=rng.integers(0, width, count).astype(np.uint16),
        y=rng.integers(0, height, count).astype(np.uint16),
        direction=(rng.integers(0, 256, count) * 256).astype(np.uint16),
        kind=rng.integers(0, 3, count).astype(np.uint8),
        qualities=rng.integers(0, 101, count).astype(np.uint8),
    )


@given(fingers(), st.sampled_from([Position.UNKNOWN, Position.RIGHT_THUMB, Position.LEFT_LITTLE]))
@settings(deadline=None)
def test_what_the_format_can_hold_is_read_as_it_was_written(finger: Minutiae, position: Position) -> None:
    view = FingerView(position, pack(finger))
    assert from_record(to_record([view])) == [view]


@given(st.integers(0, 65_535))
@settings(deadline=None)
def test_a_direction_is_rounded_to_the_nearest_step(direction: int) -> None:
    finger = _minutiae([1], [1], [direction], [1], [50])
    (view,) = from_record(to_record([FingerView(Position.UNKNOWN, pack(finger))]))
    back = int(unpack(view.template).direction[0])
    assert abs(math.remainder(back - direction, 65_536)) <= 128


def test_several_views_of_one_finger_are_numbered() -> None:
    view = FingerView(Position.RIGHT_INDEX, pack(FIRST))
    record = to_record([view, view, view])
    headers = [24 + n * (4 + 12 + 2) for n in range(3)]
    assert [record[at + 1] >> 4 for at in headers] == [0, 1, 2]
    assert from_record(record) == [view, view, view]


def test_minutiae_that_14_bits_cannot_place_are_left_out() -> None:
    wide = replace(FIRST, width=20_000, x=np.array([16_383, 16_384], np.uint16))
    (view,) = from_record(to_record([FingerView(Position.UNKNOWN, pack(wide))]))
    assert list(unpack(view.template).x) == [16_383]


def test_another_resolution_is_scaled_to_500_ppi() -> None:
    at_1000_ppi = _fixed(GOLDEN, 18, (394).to_bytes(2, "big") * 2)
    (view, _) = from_record(at_1000_ppi)
    finger = unpack(view.template)
    assert (finger.width, finger.height) == (128, 144)
    assert list(zip(finger.x, finger.y, strict=True)) == [(50, 100), (127, 143)]


@pytest.mark.parametrize("resolution", [196, 197])
def test_the_resolutions_to_which_500_ppi_is_rounded_mean_500_ppi(resolution: int) -> None:
    (view, _) = from_record(_fixed(GOLDEN, 18, resolution.to_bytes(2, "big") * 2))
    assert list(unpack(view.template).x) == [100, 255]


@pytest.mark.parametrize("unknown", [254, 255])
def test_a_quality_that_later_editions_call_unknown_is_0(unknown: int) -> None:
    record = bytearray(GOLDEN)
    for at in (26, 33):  # of the finger, of its first minutia
        record[at] = unknown
    (view, _) = from_record(bytes(record))
    finger = unpack(view.template)
    assert (finger.quality, list(finger.qualities)) == (0, [0, 0])
    assert list(finger.x) == [100, 255]


@pytest.mark.parametrize(
    ("at", "replacement", "complaint"),
    [
        (0, b"FIR\0", "identifier"),
        (4, b" 30\0", "version"),
        (8, (64).to_bytes(4, "big"), "says 64 bytes, there are 57"),
        (18, b"\0\0", "a resolution of 0 pixels per cm; 39 to 1575"),
        (20, b"\xff\xff", "a resolution of 65535 pixels per cm"),
        (22, b"\0", "no finger view"),
        (22, b"\1", "bytes follow the last view"),
        (22, b"\3", "ends within the finger view header that begins at byte 57"),
        (24, b"\x0b", "position 11"),
        (26, b"\x65", "a finger quality is not 0 to 100"),
        (26, b"\xfd", "a finger quality is not 0 to 100"),
        (27, b"\x20", "ends within the minutiae"),
        (28, b"\xc0", "reserved type 3"),
        (28, b"\x41\x00", "outside of the image"),
        (33, b"\x65", "a minutia quality is not 0 to 100"),
        (39, b"\xfd", "a minutia quality is not 0 to 100"),
        (52, b"\x00\x04", "ends within the extended data"),
    ],
)
def test_an_invalid_record_is_rejected_with_the_reason(at: int, replacement: bytes, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint):
        from_record(_fixed(GOLDEN, at, replacement))


def test_a_record_cut_anywhere_is_rejected() -> None:
    for end in range(len(GOLDEN)):
        cut = GOLDEN[:end]
        with pytest.raises(TemplateError):
            from_record(cut)
        with pytest.raises(TemplateError):
            from_record(_fixed(cut, 8, end.to_bytes(4, "big"))[:end])


@given(st.binary(max_size=80), st.integers(0, 64))
@settings(deadline=None)
def test_random_bytes_raise_only_template_errors(noise: bytes, at: int) -> None:
    with contextlib.suppress(TemplateError):
        assert from_record(_fixed(GOLDEN, at, noise))


@pytest.mark.parametrize("views", [0, 256])
def test_a_record_has_1_to_255_views(views: int) -> None:
    with pytest.raises(TemplateError, match="1 to 255"):
        to_record([FingerView(Position.UNKNOWN, pack(FIRST))] * views)


def test_an_eye_is_not_a_finger() -> None:
    with pytest.raises(TemplateError, match="left_eye is not a finger"):
        to_record([FingerView(Position.LEFT_EYE, pack(FIRST))])


def test_a_record_has_at_most_16_views_of_a_finger() -> None:
    view = FingerView(Position.RIGHT_INDEX, pack(FIRST))
    assert len(from_record(to_record([view] * 16))) == 16
    with pytest.raises(TemplateError, match="more than 16 views of one finger"):
        to_record([view] * 17)
