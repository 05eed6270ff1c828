"""ISO/IEC 19794-6:2011 records: golden bytes written by hand, no loss in both directions, invalid records rejected."""

import contextlib
import struct
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.sample import Position
from models.exchange.iso19794_6 import (
    MAX_VIEWS_OF_A_PERSON,
    ImageType,
    IrisLocation,
    IrisView,
    cropped,
    from_record,
    to_record,
)
from models.iris.segmentation.geometry import Boundary
from models.template import TemplateError

# Written by hand: one raw image of 3 x 2 pixels.
GOLDEN = bytes.fromhex(
    "49495200 30323000"  # "IIR\0" "020\0"
    "00000054 0001 00 01"  # 84 bytes, one representation, not certified, one eye
    "00000044"  # 68 bytes of representation
    "07ea 0b 16 05 1e 0f 0064"  # 2026-11-22 05:30:15.100
    "01 0007 0009"  # CMOS or CCD, of some vendor
    "02 ff 0000 0000 50 0001 0002"  # two quality blocks: failed, 80
    "0001 02 03 02 05"  # number 1, left eye, cropped, raw, upright
    "0003 0002 08"  # 3 x 2, 8 bits
    "0096 ffff ffff"  # 150 mm, roll not known
    "0001 0001 0001 0001 0002 0002"  # centre (1, 1), diameter 2
    "00000006 000102030405"
)
IMAGE = np.arange(6, dtype=np.uint8).reshape(2, 3)
WHEN = datetime(2026, 11, 22, 5, 30, 15, 100_000, UTC)
EYES = (Position.RIGHT_EYE, Position.LEFT_EYE, Position.UNKNOWN)


def _view(height: int = 40, width: int = 50, **changes: Any) -> IrisView:  # noqa: ANN401 - of any field
    image = np.random.default_rng(height).integers(0, 256, (height, width)).astype(np.uint8)
    view = IrisView(Position.RIGHT_EYE, ImageType.CROPPED, image, WHEN, 70, IrisLocation(25, 20, 30))
    return replace(view, **changes)


def _same(one: IrisView, other: IrisView) -> bool:
    parts = ("position", "kind", "captured_at", "quality", "location")
    return all(getattr(one, p) == getattr(other, p) for p in parts) and bool((one.image == other.image).all())


def test_golden_record_is_read() -> None:
    (view,) = from_record(GOLDEN)
    assert _same(view, IrisView(Position.LEFT_EYE, ImageType.CROPPED, IMAGE, WHEN, 80, IrisLocation(1, 1, 2)))


def test_golden_record_is_written_except_for_unknown_fields() -> None:
    written = to_record(from_record(GOLDEN))
    assert written[:8] == GOLDEN[:8]
    assert written[20:29] == GOLDEN[20:29]  # when
    assert written[29:35] == bytes.fromhex("00 0000 0000 01")  # no device, one quality block
    assert written[35:40] == bytes.fromhex("50 0000 0000")
    assert written[40:46] == bytes.fromhex("0001 02 03 0e 45")  # PNG, not compressed with loss
    assert written[46:51] == GOLDEN[51:56]
    assert struct.unpack(">I", written[8:12]) == (len(written),)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(EYES),
            st.sampled_from([ImageType.CROPPED, ImageType.CROPPED_AND_MASKED, ImageType.UNCROPPED]),
            st.integers(1, 30), st.integers(1, 30), st.none() | st.integers(0, 100), st.booleans(),
            st.none() | st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - naive, as hypothesis wants
        ),
        min_size=1, max_size=4,
    )
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_every_view_is_read_as_it_was_written(
    drawn: list[tuple[Position, ImageType, int, int, int | None, bool, datetime | None]],
) -> None:
    views = []
    for position, kind, height, width, quality, located, when in drawn:
        at = when if when is None else when.replace(microsecond=when.microsecond // 1000 * 1000)
        location = IrisLocation(width - 1, height - 1, 7) if located and min(width, height) > 1 else None
        views.append(
            _view(height, width, position=position, kind=kind, quality=quality, location=location, captured_at=at)
        )
    again = from_record(to_record(views))
    assert len(again) == len(views)
    assert all(_same(one, other) for one, other in zip(views, again, strict=True))


def test_a_time_of_another_zone_is_written_in_utc() -> None:
    (view,) = from_record(to_record([_view(captured_at=WHEN.astimezone(timezone(timedelta(hours=5))))]))
    assert view.captured_at == WHEN


def test_a_vga_image_has_640_x_480_pixels() -> None:
    assert from_record(to_record([_view(480, 640, kind=ImageType.VGA)]))[0].kind is ImageType.VGA
    with pytest.raises(TemplateError, match="640x480, not 50x40"):
        to_record([_view(kind=ImageType.VGA)])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"position": Position.LEFT_THUMB}, "left_thumb is not an eye"),
        ({"quality": 101}, "quality is out of range"),
        ({"location": IrisLocation(50, 20, 30)}, "outside of the image"),
        ({"location": IrisLocation(0, 20, 30)}, "outside of the image"),
        ({"image": np.zeros((3, 3), np.uint16)}, "an image is u8"),
        ({"image": np.zeros((1, 5000), np.uint8), "location": None}, "sides are 1 to 2048"),
        ({"image": np.zeros((0, 5), np.uint8), "location": None}, "sides are 1 to 2048"),
    ],
)
def test_a_view_that_the_format_cannot_hold_is_not_written(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint):
        to_record([_view(**changes)])


def test_a_record_has_at_least_one_view() -> None:
    with pytest.raises(TemplateError, match="0 views"):
        to_record([])


def _fixed(at: int, replacement: bytes) -> bytes:
    return GOLDEN[:at] + replacement + GOLDEN[at + len(replacement) :]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "identifier and version"),
        (_fixed(0, b"FMR"), "identifier and version"),
        (_fixed(4, b"010"), "identifier and version"),
        (GOLDEN[:12], "ends within the header that begins at byte 0"),
        (GOLDEN + b"x", "the header says 84 bytes, there are 85"),
        (_fixed(12, b"\0\0"), "no view, or certification"),
        (_fixed(14, b"\1"), "no view, or certification"),
        (_fixed(12, b"\0\2"), "ends within the representation length"),
        (_fixed(19, b"\x45"), "says 69 bytes, it has 68"),
        (_fixed(22, b"\x0d"), "no such date"),
        (_fixed(27, b"\x27\x10"), "no such date"),
        (_fixed(34, b"\xff"), "ends within the quality block"),
        (_fixed(47, b"\3"), "eye 3"),
        (_fixed(48, b"\4"), "image type 4"),
        (_fixed(48, b"\2"), "a VGA image is 640x480, not 3x2"),
        (_fixed(49, b"\x0a"), "format 10"),
        (_fixed(55, b"\x10"), "depth 16"),
        (_fixed(51, b"\xff\xff\xff\xff"), "65535x65535"),
        (_fixed(51, b"\0\2"), "6 bytes of image, 2x2 pixels take 4"),
        (_fixed(62, b"\0\7\0\7"), "outside of the image"),
        (_fixed(74, b"\x7f"), "ends within the image"),
    ],
    ids=range(21),
)
def test_an_invalid_record_is_rejected_with_the_reason(data: bytes, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint):
        from_record(data)


def test_unassigned_fields_are_none() -> None:
    data = bytearray(GOLDEN)
    data[20:29] = b"\xff" * 9
    data[35] = data[40] = 0xFE
    data[62:74] = bytes(12)
    (view,) = from_record(bytes(data))
    assert (view.captured_at, view.quality, view.location) == (None, None, None)


@pytest.mark.parametrize("at", [24, 25, 26])
def test_a_date_without_a_time_is_none(at: int) -> None:
    (view,) = from_record(_fixed(at, b"\xff"))
    assert view.captured_at is None


def test_a_time_without_a_zone_is_not_written() -> None:
    with pytest.raises(TemplateError, match="aware"):
        to_record([_view(captured_at=WHEN.replace(tzinfo=None))])


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _with_png(picture: bytes, width: int = 3, height: int = 2) -> bytes:
    head = GOLDEN[20:49] + b"\x0e" + GOLDEN[50:51] + struct.pack(">HH", width, height) + GOLDEN[55:74]
    body = head + struct.pack(">I", len(picture)) + picture
    view = struct.pack(">I", 4 + len(body)) + body
    return GOLDEN[:8] + struct.pack(">I", 16 + len(view)) + GOLDEN[12:16] + view


def test_a_png_image_is_read() -> None:
    (view,) = from_record(_with_png(_png(3, 2, 8, 0, b"\0\0\1\2\0\3\4\5")))
    assert (view.image == IMAGE).all()


@pytest.mark.parametrize(
    "picture",
    [
        b"",
        b"\xff\xd8\xff\xe0" + bytes(40),
        _png(3, 2, 8, 0, b"\0\0\1"),  # too few rows
        _png(3, 2, 8, 2, bytes(20)),  # colour
        _png(3, 2, 16, 0, bytes(14)),  # 16 bits
        _png(60_000, 60_000, 8, 0, b""),  # too large for the memory
        _png(3, 2, 8, 0, b"\0\0\1\2\0\3\4\5")[:-26],
        _png(3, 2, 8, 0, b"\0\0\1\2\0\3\4\5").replace(b"IDAT", b"IDAX"),
    ],
    ids=range(8),
)
def test_a_png_image_that_contradicts_the_header_is_rejected(picture: bytes) -> None:
    with pytest.raises(TemplateError, match="PNG image"):
        from_record(_with_png(picture))


@pytest.mark.parametrize("side", [9000, 20000])
def test_a_png_image_that_hides_its_size_behind_another_chunk_is_rejected_before_it_is_decoded(side: int) -> None:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    lie = _chunk(b"prVt", struct.pack(">II", 3, 2))
    picture = b"\x89PNG\r\n\x1a\n" + lie + header + _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")
    with pytest.raises(TemplateError, match="not of 3x2"):
        from_record(_with_png(picture))


def test_too_many_views_are_rejected_before_any_is_read() -> None:
    header = GOLDEN[:12] + struct.pack(">H", MAX_VIEWS_OF_A_PERSON + 1) + GOLDEN[14:]
    with pytest.raises(TemplateError, match=f"at most {MAX_VIEWS_OF_A_PERSON}"):
        from_record(header)


@given(st.integers(0, len(GOLDEN) - 1), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_a_damaged_record_is_rejected_or_read(at: int, flip: int) -> None:
    data = bytearray(GOLDEN)
    data[at] ^= flip
    with contextlib.suppress(TemplateError):
        from_record(bytes(data))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_record_with_a_png_image_is_rejected_or_read(data: st.DataObject) -> None:
    record = bytearray(to_record([_view(8, 9, location=None), _view(5, 4, location=None)]))
    record[data.draw(st.integers(0, len(record) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(TemplateError):
        from_record(bytes(record[: data.draw(st.integers(0, len(record)))]))


def test_an_image_is_cropped_around_the_iris_with_the_margins_of_the_standard() -> None:
    image = np.add.outer(np.arange(200), np.arange(40)).astype(np.uint8)
    found, location = cropped(image, Boundary.circle(20.2, 100.1, 50.0))
    assert found.shape == (121, 161)  # 1.2 and 1.6 radii to each side
    assert location == IrisLocation(80, 60, 100)
    assert found[60, 80] == image[100, 20]
    assert (found[:, 0] == found[:, 60]).all()  # the edge of the image, repeated
    assert (
        from_record(to_record([IrisView(Position.LEFT_EYE, ImageType.CROPPED, found, location=location)]))[0].location
        == location
    )


def test_pixels_are_not_shown() -> None:
    assert "image" not in repr(_view())
