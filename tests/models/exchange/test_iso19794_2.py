"""ISO/IEC 19794-2:2005 records: golden bytes written by hand from the standard, and no loss in both directions."""

import contextlib
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.sample import Position
from models import exported
from models.exchange.fields import Field, Use
from models.exchange.iso19794_2 import LAYOUTS, FingerView, Impression, from_record, to_record
from models.finger.minutiae import Kind, Minutiae, no_minutiae
from models.finger.template import pack, unpack
from models.template import TemplateError
from tests.rigs.records import finger_record

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


END_OF_MINUTIAE = 54  # and of the length of the extended data behind them
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


def _moved(minutiae: Minutiae, side: str, most: int) -> Minutiae:
    places = np.array([most - 1, most], np.uint16)
    return replace(minutiae, x=places) if side == "x" else replace(minutiae, y=places)


@pytest.mark.parametrize("side", ["x", "y"])
def test_a_minutia_that_14_bits_cannot_place_is_refused_instead_of_left_out(side: str) -> None:
    wide = replace(FIRST, width=20_000, height=20_000)
    kept, lost = (_moved(wide, side, most) for most in (16_383, 16_384))
    (view,) = from_record(to_record([FingerView(Position.UNKNOWN, pack(kept))]))
    assert sorted(getattr(unpack(view.template), side)) == [16_382, 16_383]
    with pytest.raises(TemplateError, match="16384 pixels from the edge; the format holds 16383"):
        to_record([FingerView(Position.UNKNOWN, pack(lost))])


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
        (18, b"\0\0", "byte 18: x resolution is 0; 39 to 1575 are accepted"),
        (20, b"\xff\xff", "byte 20: y resolution is 65535"),
        (22, b"\0", "byte 22: number of finger views is 0; 1 to 255"),
        (22, b"\1", "bytes follow the last view"),
        (22, b"\3", "ends within the finger view header that begins at byte 57"),
        (24, b"\x0b", "byte 24: finger position is 11; 0 to 10"),
        (26, b"\x65", "finger quality is 101; 0 to 100, or 254 or 255"),
        (26, b"\xfd", "finger quality is 253; 0 to 100"),
        (27, b"\x20", "ends within the minutiae"),
        (28, b"\xc0", "minutia type of minutia 1 is 3; 0 to 2 are"),
        (28, b"\x41\x00", "byte 28 and on: minutia x of minutia 1 is 256; 0 to 255"),
        (33, b"\x65", "minutia quality of minutia 1 is 101; 0 to 100"),
        (39, b"\xfd", "minutia quality of minutia 2 is 253"),
        (40, b"\x00\x20", "ends within the extended data"),
        (23, b"\1", r"byte 23: reserved byte is 1; accepted: 0 \(reserved\)"),
        (25, b"\4", r"byte 25: impression type is 4; accepted: 0 \(live plain\)"),
        (30, b"\x40", "minutia reserved bits of minutia 1 is 1"),
        (14, b"\0\0", "byte 14: image width is 0"),
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
        if end < END_OF_MINUTIAE:
            with pytest.raises(TemplateError):
                from_record(_fixed(cut, 8, end.to_bytes(4, "big"))[:end])


@pytest.mark.parametrize("says", [4, 3 + 42, 65_535])
def test_extended_data_that_end_too_early_are_a_remark_as_no_minutia_is_missing(says: int) -> None:
    """A test record of NIST says 42 bytes where it has 41; its own length is right."""
    record = _fixed(GOLDEN, 52, says.to_bytes(2, "big"))
    whole, told = from_record(GOLDEN), from_record(record)
    assert [view.template for view in told] == [view.template for view in whole]
    assert [view.remarks for view in told] == [(), (f"the extended data at byte 54 say {says} bytes, 3 are left",)]


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


# --- every field -----------------------------------------------------------------------------------------------

# Where each table begins in GOLDEN, in bits: of the first view, and of its second minutia.
STARTS = (0, 8 * 24, 8 * 34, 8 * 40)
PLACES = [
    (field, start + sum(before.bits for before in layout.fields[:number]))
    for layout, start in zip(LAYOUTS, STARTS, strict=True)
    for number, field in enumerate(layout.fields)
]
TESTED = [
    (field, at, value)
    for field, at in PLACES
    for value in sorted({0, 1, 2, 3, 4, 8, 11, 101, 200, 255, 2**field.bits - 1, 2 ** (field.bits - 1)})
    if value < 2**field.bits
]


@pytest.mark.parametrize(("field", "at", "value"), TESTED, ids=lambda one: getattr(one, "name", str(one)))
def test_every_field_is_honoured_or_refused_by_name_or_changes_nothing(field: Field, at: int, value: int) -> None:
    number, below = int.from_bytes(GOLDEN, "big"), 8 * len(GOLDEN) - at - field.bits
    mask = (1 << field.bits) - 1 << below
    changed = (number & ~mask | value << below).to_bytes(len(GOLDEN), "big")
    try:
        views = from_record(changed)
    except TemplateError as error:
        assert changed != GOLDEN
        assert field.use is not Use.SKIPPED or value not in (field.accepted or ())
        if field.name.startswith("minutia"):
            assert f"{field.name} of minutia 2 is {value};" in str(error)  # noqa: PT017
        elif field.accepted is not None and value not in field.accepted:
            assert f"{field.name} is {value};" in str(error)  # noqa: PT017
        return
    unchanged = views == from_record(GOLDEN)
    assert unchanged if field.use is not Use.HONOURED else (changed == GOLDEN or not unchanged or value in (0, 255))


def test_different_resolutions_of_x_and_y_turn_the_directions_with_the_pixels() -> None:
    """250 ppi in x, 500 in y: a minutia that points up right in the pixels points flatter on the finger."""
    minutiae = [(1, 10, 20, 32, 50), (1, 100, 200, 0, 50), (1, 50, 60, 64, 50), (1, 70, 100, 160, 50)]
    (view,) = from_record(finger_record(minutiae, resolution=(98, 197)))
    finger = unpack(view.template)
    factor = (500 / 2.54) / 98
    assert (finger.width, finger.height) == (round(256 * factor), 288)
    assert list(finger.x) == [round(x * factor) for _, x, *_ in minutiae]
    assert list(finger.y) == [y for _, _, y, *_ in minutiae]
    flat = math.degrees(math.atan2(1, factor))
    degrees = finger.direction * (360 / 65_536)
    assert np.allclose(degrees, [flat, 0, 90, 180 + flat], atol=0.01)


@pytest.mark.parametrize("impression", Impression)
def test_the_impression_is_kept_in_both_directions(impression: Impression) -> None:
    (view,) = from_record(finger_record([(1, 5, 5, 0, 50)], impression=impression))
    assert view.impression is impression
    assert from_record(to_record([view])) == [view]


@pytest.mark.parametrize("impression", [4, 7, 9, 15])
def test_a_reserved_impression_is_refused_by_name(impression: int) -> None:
    with pytest.raises(TemplateError, match=f"impression type is {impression}; accepted: 0"):
        from_record(finger_record([(1, 5, 5, 0, 50)], impression=impression))


# --- records of others -----------------------------------------------------------------------------------------


def test_a_record_padded_with_zeros_to_a_fixed_size_is_read() -> None:
    assert from_record(GOLDEN + bytes(2000)) == from_record(GOLDEN)


def test_other_bytes_than_zeros_behind_a_record_are_refused() -> None:
    with pytest.raises(TemplateError, match="says 57 bytes, there are 60; only zeros may follow, byte 58 is 9"):
        from_record(GOLDEN + b"\0\x09\0")


@pytest.mark.parametrize("length", ["0039", "0000 0000003b"])
def test_a_record_of_ansi_incits_378_is_called_by_its_name(length: str) -> None:
    """It begins with the same bytes, but its length has two or six bytes and its angles steps of two degrees."""
    record = GOLDEN[:8] + bytes.fromhex(length) + bytes(57)
    with pytest.raises(TemplateError, match="ANSI INCITS 378"):
        from_record(record[: int(length.rsplit(maxsplit=1)[-1], 16)])


def test_the_edition_of_2011_is_called_by_its_name() -> None:
    with pytest.raises(TemplateError, match="the edition of 2011, which is not read"):
        from_record(_fixed(GOLDEN, 4, b"030\0"))


def test_minutiae_in_pairs_are_all_kept() -> None:
    """As of a finger with broken ridges: 20 of 39 minutiae lie less than a ridge from another one."""
    places = [(20 + 30 * (n % 7), 20 + 40 * (n // 7)) for n in range(29)]
    pairs = [(x + 4, y + 3) for x, y in places[:10]]
    minutiae = [(1 + n % 2, x, y, 6 * n, 50) for n, (x, y) in enumerate([*places, *pairs])]
    (view,) = from_record(finger_record(minutiae))
    assert (len(unpack(view.template)), view.left_out) == (39, 0)


def test_minutiae_of_a_crowd_that_are_left_out_are_counted_in_the_result() -> None:
    crowd = [(1, 3 * (n % 10), 3 * (n // 10), n, 50) for n in range(100)]
    (view,) = from_record(finger_record(crowd))
    assert view.left_out == 100 - len(unpack(view.template)) > 50


@pytest.mark.parametrize("size", [(0, 0), (0, 288), (256, 0)])
def test_an_image_without_pixels_is_neither_read_nor_written(size: tuple[int, int]) -> None:
    with pytest.raises(TemplateError, match=r"image (width|height) is 0; 1 to 65535"):
        from_record(finger_record([], size=size))
    empty = pack(no_minutiae(*size))
    with pytest.raises(TemplateError, match=f"the image is of {size[0]}x{size[1]}; it has no pixel"):
        to_record([FingerView(Position.UNKNOWN, empty)])
    with pytest.raises(TemplateError, match=f"the image is of {size[0]}x{size[1]}; it has no pixel"):
        exported(empty)
