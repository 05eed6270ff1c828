"""Hostile and broken input of fingers, through everything that reads it: an error that says so, or no likeness."""

import dataclasses
import itertools
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from drivers.sample import Modality, Position, Sample
from models.calibration import load_calibration
from models.encoder import Entry
from models.exchange.iso19794_2 import FingerView, from_record, to_record
from models.finger.compare.score import compare, score, template_cylinders
from models.finger.minutiae import Minutiae, no_minutiae
from models.finger.search.gallery import FingerGallery
from models.finger.template import FORMAT, pack, unpack
from models.template import Template, TemplateError
from simulators.bench.compare_finger import ImageFile, compare_fingers, encode_finger
from tests.conftest import finger_encoder, impression_of, template_of

END_OF_DESCRIPTORS = 1578  # of a template; from there on minutiae
STRANGER = 1e-3  # rate above which two fingers are not taken for one
Image8 = NDArray[np.uint8]


def _minutiae(seed: int, count: int, width: int = 320, height: int = 400, quality: int = 100) -> Minutiae:
    rng = np.random.default_rng(seed)
    return dataclasses.replace(
        no_minutiae(width, height),
        x=rng.integers(0, width, count).astype(np.uint16),
        y=rng.integers(0, height, count).astype(np.uint16),
        direction=rng.integers(0, 65_536, count).astype(np.uint16),
        kind=np.ones(count, np.uint8),
        qualities=np.full(count, quality, np.uint8),
    )


def _rate(one: Template, other: Template) -> float:
    score = compare(one, other)
    assert 0 <= score <= 1
    assert score == compare(other, one)
    return load_calibration(FORMAT).false_match_rate(score)


def _encoded(image: Image8, pixels_per_inch: float = 500.0) -> Template:
    sample = Sample(Modality.FINGER, Position.UNKNOWN, image, 8, pixels_per_inch, datetime.now(UTC), "test")
    return finger_encoder().encode(sample)


# --- templates -----------------------------------------------------------------------------------------------


def _grid(step: int, turn: int) -> Minutiae:
    """Minutiae everywhere, all pointing one way: a partner for everything."""
    x, y = (axis.ravel()[:255] for axis in np.meshgrid(np.arange(0, 320, step), np.arange(0, 400, step)))
    kept = dataclasses.replace(_minutiae(1, len(x)), x=x.astype(np.uint16), y=y.astype(np.uint16))
    return dataclasses.replace(kept, direction=np.full(len(x), turn, np.uint16))


HOSTILE = {
    "nothing": _minutiae(1, 0),
    "one minutia": _minutiae(1, 1),
    "three minutiae": _minutiae(1, 3),
    "2000 minutiae": _minutiae(1, 2000),
    "2000 of no reported quality": _minutiae(1, 2000, quality=0),
    "2000 far apart": _minutiae(2, 2000, 65_535, 65_535),
    "2000 on one spot": _minutiae(3, 2000, 1, 1),
    "2000 on one line": _minutiae(4, 2000, 320, 1),
    "a coarse grid": _grid(24, 0),
    "a fine grid": _grid(20, 16_000),
    "few on one spot": _minutiae(5, 12, 3, 3),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_like_no_finger(name: str) -> None:
    hostile = pack(HOSTILE[name])
    for seed in range(1, 5):
        assert _rate(hostile, template_of(seed, 1)) > STRANGER


@pytest.mark.parametrize("count", [20, 160, 255])
@pytest.mark.parametrize("side", [1, 4, 32, 48, 64, 128])
def test_crowds_of_minutiae_are_not_like_each_other(side: int, count: int) -> None:
    """Random ones, in places too small for so many ridges."""
    crowds = [template_cylinders(pack(_minutiae(100 + n, count, side, side))) for n in range(20)]
    best = max(score(one, other) for n, one in enumerate(crowds) for other in crowds[:n])
    assert load_calibration(FORMAT).false_match_rate(best) > 1e-4


@pytest.mark.parametrize("count", [20, 60, 100])
@pytest.mark.parametrize("step", [11, 16, 22, 24, 28])
@pytest.mark.parametrize("together", [2, 3])
def test_minutiae_in_pairs_or_threes_are_not_like_each_other(together: int, step: int, count: int) -> None:
    """At the points of the same grid; the directions are random. Without a limit of their density the rate is 7e-8."""

    def grouped(seed: int) -> Minutiae:
        points = -(-count // together)
        side = math.isqrt(points - 1) + 1
        y, x = (np.repeat(axis, together)[:count] * step for axis in np.divmod(np.arange(side * side), side))
        x += np.arange(count) % together * 3
        kept = _minutiae(seed, count, 500, 500)
        return dataclasses.replace(kept, x=x.astype(np.uint16), y=y.astype(np.uint16))

    crowds = [template_cylinders(pack(grouped(200 + n))) for n in range(10)]
    best = max(score(one, other) for n, one in enumerate(crowds) for other in crowds[:n])
    assert load_calibration(FORMAT).false_match_rate(best) > 5e-6


def test_a_crowd_that_says_it_is_a_template_is_refused() -> None:
    whole = bytearray(pack(_minutiae(100, 160)).data)
    rows = np.frombuffer(whole, "<u2", offset=END_OF_DESCRIPTORS).reshape(-1, 4)
    rows[:, :2] //= 8  # x and y
    with pytest.raises(TemplateError, match="closer together than ridges"):
        unpack(Template(FORMAT, bytes(whole)))


def test_hostile_templates_in_a_gallery_are_nobody_and_hide_nobody() -> None:
    entries = [Entry(name, Position.UNKNOWN, pack(hostile)) for name, hostile in HOSTILE.items()]
    gallery = FingerGallery.build([*entries, Entry("mate", Position.UNKNOWN, template_of(2, 1))])
    assert gallery.search(template_of(2, 2), Position.UNKNOWN, 3)[0].key == "mate"
    for hostile in HOSTILE.values():
        assert all(0 <= one.score <= 1 for one in gallery.search(pack(hostile), Position.UNKNOWN, 20))


def test_a_template_cut_anywhere_or_of_another_version_is_refused() -> None:
    data = template_of(1, 1).data
    for end in range(len(data)):
        with pytest.raises(TemplateError, match=FORMAT):
            unpack(Template(FORMAT, data[:end]))
    for version in (0, 1, 3, 255):
        with pytest.raises(TemplateError, match="version"):
            unpack(Template(FORMAT, data[:3] + bytes([version]) + data[4:]))


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_template_with_wrong_bytes_is_refused_or_compared(changes: list[tuple[int, int]]) -> None:
    data = bytearray(template_of(1, 1).data)
    for at, value in changes:
        data[at % len(data)] = value
    broken = Template(FORMAT, bytes(data))
    try:
        unpack(broken)
    except TemplateError:
        return
    assert 0 <= compare(broken, template_of(1, 1)) <= 1
    assert _rate(broken, template_of(3, 1)) > STRANGER


def test_a_record_of_255_minutiae_is_searchable_and_a_cut_one_is_refused() -> None:
    full = pack(_minutiae(6, 255))
    record = to_record([FingerView(Position.LEFT_THUMB, full)])
    (view,) = from_record(record)
    found = FingerGallery.build([Entry("iso", view.position, view.template)]).search(full, Position.LEFT_THUMB, 1)
    assert load_calibration(FORMAT).false_match_rate(found[0].score) < 1e-5
    for end in itertools.chain(range(40), range(40, len(record), 97)):
        with pytest.raises(TemplateError):
            from_record(record[:end])


# --- images --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels_per_inch", [1.0, 50.0, 100.0, 250.0, 1000.0, 4000.0, float("nan"), float("inf")])
def test_a_wrong_resolution_makes_nobody_else_of_a_finger(pixels_per_inch: float) -> None:
    wrong = _encoded(impression_of(1, 1), pixels_per_inch)
    assert _rate(wrong, template_of(2, 1)) > STRANGER


def test_a_sample_of_16_bits_of_colour_or_with_nan_is_refused() -> None:
    grey = impression_of(1, 1)
    for image in (grey.astype(np.uint16), np.dstack([grey] * 3), np.full(grey.shape, np.nan)):
        with pytest.raises(ValueError, match="u8"):
            _encoded(image)  # type: ignore[arg-type]


def _saved(folder: Path) -> dict[str, Path]:
    """One touch in the depths and colours that files have."""
    grey = impression_of(1, 1)
    fraction = grey / np.float32(255)
    fraction[:3] = np.nan
    pictures = {
        "grey.png": Image.fromarray(grey),
        "deep.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "colour.png": Image.fromarray(np.dstack([grey] * 3)),
        "clear.png": Image.fromarray(np.dstack([grey, np.full_like(grey, 255)])),
        "nan.tif": Image.fromarray(fraction),
    }
    for name, picture in pictures.items():
        picture.save(folder / name)
    return {name: folder / name for name in pictures}


def test_pictures_of_any_depth_and_colour_are_the_same_finger(tmp_path: Path) -> None:
    made = {name: encode_finger(tmp_path, ImageFile(name, 500.0)).template for name in _saved(tmp_path)}
    first = made.pop("grey.png")
    assert first is not None
    for name, template in made.items():
        assert template is not None, name
        assert load_calibration(FORMAT).false_match_rate(*compare_fingers([(first, template)])) < 1e-6, name


def test_a_picture_that_cannot_be_read_has_no_template(tmp_path: Path) -> None:
    whole = _saved(tmp_path)["grey.png"].read_bytes()
    for number, data in enumerate((b"", whole[:40], whole[: len(whole) // 2], b"\0" * 900)):
        (tmp_path / f"{number}.png").write_bytes(data)
        assert encode_finger(tmp_path, ImageFile(f"{number}.png", 500.0)).template is None
