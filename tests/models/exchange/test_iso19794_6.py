"""ISO/IEC 19794-6:2011 records: golden bytes written by hand, no loss in both directions, invalid records rejected."""

import contextlib
import itertools
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.sample import Position
from models.exchange.fields import Field, Use
from models.exchange.iso19794_6 import (
    LAYOUTS,
    MAX_VIEWS_OF_A_PERSON,
    ImageType,
    IrisLocation,
    IrisView,
    cropped,
    from_record,
    to_record,
)
from models.exchange.pictures import PictureFormat
from models.iris.segmentation.geometry import Boundary
from models.template import TemplateError
from tests.rigs.records import JPEG_2000, PNG, RAW, Pixels, chunk, iris_image, iris_record, jpeg2000, png, png_of

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
    assert written[40:46] == bytes.fromhex("0001 02 03 0e 05")  # PNG; whether it was compressed with loss is not known
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
        ({"quality": 101}, "quality 101 is out of range"),
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
        (b"", "identifier is b''"),
        (_fixed(0, b"FMR"), "identifier is b'FMR"),
        (_fixed(4, b"010"), "the layout of 2005, which is not read"),
        (GOLDEN[:12], "ends within the header that begins at byte 0"),
        (GOLDEN + b"x", "the header says 84 bytes, there are 85"),
        (_fixed(12, b"\0\0"), "byte 12: number of representations is 0; 1 to 16 are"),
        (_fixed(14, b"\1"), r"byte 14: certification flag is 1; accepted: 0 \(no certification data\)"),
        (_fixed(15, b"\3"), "byte 15: number of eyes is 3"),
        (_fixed(12, b"\0\2"), "ends within the representation header"),
        (_fixed(22, b"\x0d"), "no such date and time: year 2026, month 13, day 22"),
        (_fixed(27, b"\x27\x10"), "no such date"),
        (_fixed(34, b"\xff"), "ends within the quality block"),
        (_fixed(47, b"\3"), "byte 47: eye is 3; accepted: 0"),
        (_fixed(48, b"\4"), "byte 48: image type is 4; accepted: 1"),
        (_fixed(48, b"\2"), "a VGA image is 640x480, not 3x2"),
        (_fixed(49, b"\x06"), r"byte 49: image format is 6; accepted: 2 \(raw\), 10 \(JPEG 2000\), 14 \(PNG\)"),
        (_fixed(55, b"\x10"), "byte 55: bit depth is 16"),
        (_fixed(51, b"\xff\xff\xff\xff"), "byte 51: image width is 65535; 1 to 2048"),
        (_fixed(51, b"\0\2"), "byte 78: the raw image has 6 bytes, 2x2 pixels take 4"),
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


@pytest.mark.parametrize("at", [22, 23, 24, 25, 26])
def test_a_date_or_time_with_an_unassigned_part_is_none(at: int) -> None:
    (view,) = from_record(_fixed(at, b"\xff"))
    assert view.captured_at is None


def test_a_time_without_a_zone_is_not_written() -> None:
    with pytest.raises(TemplateError, match="aware"):
        to_record([_view(captured_at=WHEN.replace(tzinfo=None))])


def _with_png(picture: bytes, width: int = 3, height: int = 2) -> bytes:
    head = GOLDEN[20:49] + b"\x0e" + GOLDEN[50:51] + struct.pack(">HH", width, height) + GOLDEN[55:74]
    body = head + struct.pack(">I", len(picture)) + picture
    view = struct.pack(">I", 4 + len(body)) + body
    return GOLDEN[:8] + struct.pack(">I", 16 + len(view)) + GOLDEN[12:16] + view


def test_a_png_image_is_read() -> None:
    (view,) = from_record(_with_png(png(3, 2, 8, 0, b"\0\0\1\2\0\3\4\5")))
    assert (view.image == IMAGE).all()


@pytest.mark.parametrize(
    "picture",
    [
        b"",
        b"\xff\xd8\xff\xe0" + bytes(40),
        png(3, 2, 8, 0, b"\0\0\1"),  # too few rows
        png(3, 2, 8, 3, bytes(8)),  # a palette
        png(3, 2, 8, 4, bytes(14)),  # transparency
        png(3, 2, 16, 0, bytes(14)),  # 16 bits
        png(60_000, 60_000, 8, 0, b""),  # too large for the memory
        png(3, 2, 8, 0, b"\0\0\1\2\0\3\4\5")[:-26],
        png(3, 2, 8, 0, b"\0\0\1\2\0\3\4\5").replace(b"IDAT", b"IDAX"),
    ],
    ids=range(9),
)
def test_a_png_image_that_contradicts_the_header_is_rejected(picture: bytes) -> None:
    with pytest.raises(TemplateError, match="PNG"):
        from_record(_with_png(picture))


@pytest.mark.parametrize("side", [9000, 20000])
def test_a_png_image_that_hides_its_size_behind_another_chunk_is_rejected_before_it_is_decoded(side: int) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    lie = chunk(b"prVt", struct.pack(">II", 3, 2))
    picture = b"\x89PNG\r\n\x1a\n" + lie + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(TemplateError, match="begins with a chunk b'prVt'"):
        from_record(_with_png(picture))


def test_too_many_views_are_rejected_before_any_is_read() -> None:
    header = GOLDEN[:12] + struct.pack(">H", MAX_VIEWS_OF_A_PERSON + 1) + GOLDEN[14:]
    with pytest.raises(TemplateError, match=f"is {MAX_VIEWS_OF_A_PERSON + 1}; 1 to {MAX_VIEWS_OF_A_PERSON} are"):
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


# --- every field -----------------------------------------------------------------------------------------------

# Where each table begins in GOLDEN, in bits. Its second quality block is the one that counts.
STARTS = (0, 8 * 16, 8 * 40, 8 * 45)
PLACES = [
    (field, start + sum(before.bits for before in layout.fields[:number]))
    for layout, start in zip(LAYOUTS, STARTS, strict=True)
    for number, field in enumerate(layout.fields)
]
TESTED = [
    (field, at, value)
    for field, at in PLACES
    for value in sorted({0, 1, 2, 3, 5, 6, 7, 8, 90, 254, 2**field.bits - 1, 2 ** (field.bits - 1)})
    if value < 2**field.bits
]


def _with_bits(at: int, bits: int, value: int) -> bytes:
    number, below = int.from_bytes(GOLDEN, "big"), 8 * len(GOLDEN) - at - bits
    mask = (1 << bits) - 1 << below
    return (number & ~mask | value << below).to_bytes(len(GOLDEN), "big")


@pytest.mark.parametrize(("field", "at", "value"), TESTED, ids=lambda one: getattr(one, "name", str(one)))
def test_every_field_is_honoured_or_refused_by_name_or_changes_nothing(field: Field, at: int, value: int) -> None:
    changed = _with_bits(at, field.bits, value)
    same = changed == GOLDEN
    (whole,) = from_record(GOLDEN)
    try:
        (view,) = from_record(changed)
    except TemplateError as error:
        assert not same
        accepted = field.accepted is None or value in field.accepted
        assert field.use is not Use.SKIPPED or not accepted
        if not accepted and field.accepted is not None:
            assert f"{field.name} is {value};" in str(error)  # noqa: PT017
        return
    assert field.accepted is None or value in field.accepted
    if field.use is Use.SKIPPED:
        assert _same(view, whole)
    elif field.use is Use.CHECKED and field.name not in ("bit depth", "roll angle"):
        assert same


def _marked(height: int = 24, width: int = 32) -> Pixels:
    """An image that looks different after each turn and each mirroring."""
    image = np.zeros((height, width), np.uint8)
    image[:5, :9], image[5:7, 0] = 200, 90
    return image


@pytest.mark.parametrize(("form", "write"), [(RAW, bytes), (PNG, png_of), (JPEG_2000, jpeg2000)])
@pytest.mark.parametrize(("horizontal", "vertical"), [*itertools.product((0, 1, 2), repeat=2)])
def test_a_flipped_image_is_turned_upright_with_the_location_of_its_iris(
    form: int,
    write: Callable[[Pixels], bytes],
    horizontal: int,
    vertical: int,
) -> None:
    upright, stored, x, y = _marked(), _marked(), 20, 7
    if horizontal == 2:
        stored, x = stored[:, ::-1], 31 - x
    if vertical == 2:
        stored, y = stored[::-1], 23 - y
    stored = np.ascontiguousarray(stored)
    properties = 0x40 | vertical << 2 | horizontal
    image = iris_image(write(stored), 32, 24, form, properties=properties, iris=(x, x, y, y, 8, 10))
    (view,) = from_record(iris_record(image))
    assert np.array_equal(view.image, upright)
    assert view.image.flags.c_contiguous
    assert view.location == IrisLocation(20, 7, 9)


@pytest.mark.parametrize(
    ("properties", "name"),
    [(0x43, "horizontal orientation is 3"), (0x4D, "vertical orientation is 3"), (0x55, "reserved bits is 1"),
     (0xC5, "compression history is 3")],
)  # fmt: skip
def test_reserved_image_properties_are_refused_by_name(properties: int, name: str) -> None:
    with pytest.raises(TemplateError, match=name):
        from_record(iris_record(iris_image(bytes(6), 3, 2, RAW, properties=properties)))


@pytest.mark.parametrize(("properties", "lossy"), [(0x05, None), (0x45, False), (0x85, True)])
def test_the_compression_history_is_kept_in_both_directions(properties: int, lossy: bool | None) -> None:  # noqa: FBT001
    (view,) = from_record(iris_record(iris_image(bytes(6), 3, 2, RAW, properties=properties)))
    assert view.lossy is lossy
    assert from_record(to_record([view]))[0].lossy is lossy


def test_a_codestream_with_loss_is_believed_more_than_the_header() -> None:
    image = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    (view,) = from_record(iris_record(iris_image(jpeg2000(image, lossy=True), 64, 64, properties=0x45)))
    assert view.lossy is True


@pytest.mark.parametrize("degrees", [0, 23, -23])
def test_a_roll_that_the_comparison_covers_is_read(degrees: int) -> None:
    roll = round(degrees * 65_536 / 360) % 65_536
    assert from_record(iris_record(iris_image(bytes(6), 3, 2, RAW, roll=roll)))


@pytest.mark.parametrize(("roll", "degrees"), [(16_384, "90.0"), (49_152, "-90.0"), (32_768, "-180.0")])
def test_a_larger_roll_is_refused_by_name(roll: int, degrees: str) -> None:
    with pytest.raises(TemplateError, match=f"roll angle is {roll}, {degrees} degrees; irises are compared up to 24"):
        from_record(iris_record(iris_image(bytes(6), 3, 2, RAW, roll=roll)))


def test_an_iris_is_located_at_the_mean_of_its_limits() -> None:
    (view,) = from_record(iris_record(iris_image(bytes(600), 30, 20, RAW, iris=(10, 14, 5, 8, 6, 7))))
    assert view.location == IrisLocation(12, 6, 6)
    with pytest.raises(TemplateError, match="the smallest iris diameter is 8, above the largest, 7"):
        from_record(iris_record(iris_image(bytes(600), 30, 20, RAW, iris=(10, 14, 5, 8, 8, 7))))
    with pytest.raises(TemplateError, match="iris centre 30, 6 lies outside of the image of 30x20"):
        from_record(iris_record(iris_image(bytes(600), 30, 20, RAW, iris=(30, 30, 5, 8, 8, 8))))


# --- records of others -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("padding", [0, 1, 70_000])
def test_a_jpeg_2000_record_is_read_also_when_padded_to_a_fixed_size(bare: bool, padding: int) -> None:  # noqa: FBT001
    """As MOSIP writes them: orientation undefined, no location; some padded with zeros to 307 200 bytes."""
    image = np.random.default_rng(4).integers(0, 256, (40, 60)).astype(np.uint8)
    written = iris_image(jpeg2000(image, bare=bare), 60, 40, properties=0x40, quality=b"\x32\0\0\0\0", eye=2)
    (view,) = from_record(iris_record(written, padding=bytes(padding)))
    assert np.array_equal(view.image, image)
    assert (view.position, view.quality, view.lossy, view.remarks) == (Position.LEFT_EYE, 50, False, ())


def test_other_bytes_than_zeros_behind_a_record_are_refused() -> None:
    with pytest.raises(TemplateError, match="only zeros may follow, byte 84 is 120"):
        from_record(GOLDEN + b"x")


def test_a_24_bit_png_with_colours_a_false_length_and_no_milliseconds_is_read() -> None:
    """As the test record of NIST's libbiomeval: the length forgets a quality block."""
    pixels = np.random.default_rng(5).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    when = bytes.fromhex("07d5 0c 0f 11 23 14 ffff")
    quality = bytes.fromhex("07 4e49 5354 4c 5047 4d4c")
    image = bytearray(iris_image(png_of(pixels), 30, 20, PNG, properties=0x85, depth=24, when=when, quality=quality))
    says = len(image) - 5
    image[:4] = says.to_bytes(4, "big")
    (view,) = from_record(iris_record(bytes(image), eyes=0))
    assert view.captured_at == datetime(2005, 12, 15, 17, 35, 20, tzinfo=UTC)
    assert (view.quality, view.lossy, view.coloured) == (7, True, True)
    assert view.remarks == (f"the representation at byte 16 says {says} bytes, it has {says + 5}",)
    assert view.image.shape == (20, 30)


def test_a_time_of_zeros_is_no_time() -> None:
    (view,) = from_record(iris_record(iris_image(bytes(6), 3, 2, RAW, when=bytes(9))))
    assert view.captured_at is None


@pytest.mark.parametrize("write", [jpeg2000, png_of])
def test_a_picture_of_another_size_than_the_header_says_is_refused(write: Callable[[Pixels], bytes]) -> None:
    form = JPEG_2000 if write is jpeg2000 else PNG
    with pytest.raises(TemplateError, match=r"byte 68: the .* image is of 8x8, the record says 8x9"):
        from_record(iris_record(iris_image(write(np.zeros((8, 8), np.uint8)), 8, 9, form)))


@pytest.mark.parametrize("form", PictureFormat)
def test_every_format_is_written_without_loss(form: PictureFormat) -> None:
    views = [_view(), _view(1, 1, location=None)]
    record = to_record(views, form)
    assert record[44] == form  # the image format: one quality block before it
    assert all(_same(one, other) for one, other in zip(views, from_record(record), strict=True))
    assert (b"jP  " in record) == (form is PictureFormat.JPEG_2000)
