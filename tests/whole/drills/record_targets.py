"""The parsers of records, of the pictures in them, and of templates, for fuzz.py."""

import contextlib
import random
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models import imported
from models.exchange import iso19794_2, iso19794_6
from models.exchange.pictures import PictureFormat, decoded
from models.finger import template as finger_template
from models.finger.minutiae import no_minutiae
from models.iris import template as iris_template
from models.template import Template, TemplateError
from tests.rigs.packed_blocks import finger_block, iris_block, search_fingers, search_irises
from tests.rigs.records import JPEG_2000, PNG, RAW, chunk, finger_record, iris_image, iris_record, jpeg2000, png, png_of
from tests.whole.drills.parser import Feed, Parser

PICTURE = (12, 9)  # width and height of the pictures in records


def _finger_records() -> Feed:
    def feed(data: bytes) -> None:
        for view in iso19794_2.from_record(data):
            found = finger_template.unpack(view.template)
            assert len(found) + view.left_out <= 255
            assert not len(found) or (found.x.max() < found.width and found.y.max() < found.height)

    return feed


def _iris_records() -> Feed:
    def feed(data: bytes) -> None:
        for view in iso19794_6.from_record(data):
            assert view.image.dtype == "uint8"
            assert max(view.image.shape) <= iso19794_6.MAX_SIDE

    return feed


def _pictures(form: PictureFormat) -> Callable[[], Feed]:
    def make_feed() -> Feed:
        def feed(data: bytes) -> None:
            width, height = PICTURE
            assert decoded(form, data, width, height).image.shape == (height, width)

        return feed

    return make_feed


def _templates() -> Feed:
    """Templates of both modalities, as a list or a file brings them."""

    def feed(data: bytes) -> None:
        for version in (finger_template.FORMAT, finger_template.EXCHANGE_FORMAT):
            with contextlib.suppress(TemplateError):
                finger_template.unpack(imported(Template(version, data)))
        iris_template.unpack(Template(iris_template.FORMAT, data))

    return feed


def _pixels(seed: int, *colours: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (PICTURE[1], PICTURE[0], *colours)).astype(np.uint8)


_GREY, _COLOURS = _pixels(1), _pixels(2, 3)
_PICTURES: dict[int, tuple[bytes, ...]] = {
    RAW: (_GREY.tobytes(),),
    PNG: (png_of(_GREY), png_of(_COLOURS)),
    JPEG_2000: (jpeg2000(_GREY), jpeg2000(_GREY, bare=True), jpeg2000(_GREY, lossy=True), jpeg2000(_COLOURS)),
}


def _some_iris_records() -> tuple[bytes, ...]:
    width, height = PICTURE
    raw = iris_image(_GREY.tobytes(), width, height, RAW, properties=0x4A, iris=(3, 5, 4, 4, 6, 7))
    when = bytes.fromhex("07d50c0f112314ffff")
    colours = iris_image(png_of(_COLOURS), width, height, PNG, depth=24, when=when)
    lossless = iris_image(jpeg2000(_GREY), width, height, quality=bytes.fromhex("50 0001 0002"))
    return iris_record(raw), iris_record(colours, padding=bytes(40)), iris_record(lossless, raw)


def _generated_iris_record(rng: random.Random) -> bytes:
    """A damaged picture of any format, in a record whose lengths are right; some with another size than the picture."""
    form, (width, height) = rng.choice((RAW, PNG, JPEG_2000)), PICTURE
    if rng.random() < 0.1:
        width, height = rng.choice((0, 1, 2048, 2049, 65_535)), rng.choice((1, 9, 2048))
    picture = bytearray(rng.choice(_PICTURES[form]))
    for _ in range(rng.randint(0, 3)):
        picture[rng.randrange(len(picture))] = rng.randrange(256)
    image = iris_image(bytes(picture), width, height, form, properties=rng.choice((0, 0x45, 0x4A, 0x82)))
    return iris_record(*[image] * rng.choice((1, 1, 2)), padding=bytes(rng.choice((0, 0, 30))))


def _generated_png(rng: random.Random) -> bytes:
    """A PNG image of the right size, often with damaged pixels, before or after their compression; right checksums."""
    width, height = PICTURE
    colour, samples = rng.choice(((0, 1), (2, 3)))
    rows = bytearray(rng.randbytes(height * (1 + samples * width)) + bytes(rng.choice((0, 0, 5, 9000))))
    rows[:: 1 + samples * width] = bytes(
        rng.randrange(6 if rng.random() < 0.02 else 5) for _ in rows[:: 1 + samples * width]
    )
    packed = bytearray(zlib.compress(bytes(rows[: rng.choice((len(rows), len(rows), rng.randrange(len(rows)))) or 1])))
    for _ in range(rng.randint(0, 2)):
        packed[rng.randrange(len(packed))] = rng.randrange(256)
    whole = png(width, height, 8, colour, b"")
    end = whole.index(b"IDAT") - 4
    return whole[:end] + chunk(b"IDAT", bytes(packed)) + chunk(b"IEND", b"")


def _generated_finger_record(rng: random.Random) -> bytes:
    """Minutiae anywhere or on one spot, at all resolutions, within their image."""
    size = rng.choice(((256, 288), (1, 1), (16_384, 40), (65_535, 65_535)))
    most = [min(side - 1, rng.choice((12, 16_383))) for side in size]
    minutiae = [
        (rng.randrange(3), rng.randint(0, most[0]), rng.randint(0, most[1]), rng.randrange(256), rng.randrange(101))
        for _ in range(rng.choice((0, 1, 12, 12, 12, 12, 30, 255)))
    ]
    return finger_record(minutiae, size=size, resolution=(rng.randint(39, 1575), rng.choice((39, 197, 1575))))


def _some_templates() -> tuple[bytes, ...]:
    (view,) = iso19794_2.from_record(finger_record([(1, 9 * n, 200 - 7 * n, 8 * n, 50) for n in range(25)]))
    whole = (view.template, finger_template.pack(no_minutiae(256, 288)))
    return (*(t.data for t in whole), *(finger_template.to_exchange_version(t).data for t in whole), bytes(1030))


RECORD_PARSERS: dict[str, Parser] = {
    "record-finger": Parser(
        (finger_record([(1, 5, 6, 7, 50), (2, 9, 9, 200, 0)], extended=b"abc"), finger_record([])),
        _finger_records, (TemplateError,), _generated_finger_record,
    ),
    "record-iris": Parser(_some_iris_records(), _iris_records, (TemplateError,), _generated_iris_record),
    "picture-png": Parser(_PICTURES[PNG], _pictures(PictureFormat.PNG), (TemplateError,), _generated_png),
    "picture-jpeg2000": Parser(_PICTURES[JPEG_2000], _pictures(PictureFormat.JPEG_2000), (TemplateError,)),
    "packed-fingers": Parser((finger_block().packed(),), lambda: search_fingers, (TemplateError,)),
    "packed-irises": Parser((iris_block().packed(),), lambda: search_irises, (TemplateError,)),
    "template": Parser(_some_templates(), _templates, (TemplateError,)),
}  # fmt: skip
