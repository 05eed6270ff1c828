"""The template of fingers: packing, strict reading, and descriptors that are computed again for other templates."""

import dataclasses
import hashlib
import itertools
import math
import struct
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.sample import Position
from models import exported, imported
from models.encoder import Entry
from models.exchange.iso19794_2 import FingerView, from_record, to_record
from models.finger.cylinder_kernel import packed_cylinders_of
from models.finger.minutiae import MAX_MINUTIAE, Minutiae, no_minutiae
from models.finger.search.block import Block
from models.finger.search.gallery import FingerGallery
from models.finger.template import (
    EXCHANGE_FORMAT,
    FORMAT,
    RIDGE_DISTANCE,
    TemplateArrays,
    arrays_of,
    pack,
    pack_counting,
    to_current_version,
    unpack,
)
from models.template import Template, TemplateError
from simulators.bench.search_finger import template_of
from simulators.people.finger_minutiae import another_impression, fingers
from tests.conftest import template_of as real_template_of

FINGERS = fingers(np.random.default_rng(8), 120)
ROWS = [FINGERS.one(n) for n in range(120)]
TEMPLATES = [template_of(rows) for rows in ROWS]
END_OF_DESCRIPTORS = 1578


def _of_version_1(minutiae: Minutiae) -> Template:
    """As it was written then: a header and the minutiae in any order."""
    columns = (minutiae.x, minutiae.y, minutiae.direction, minutiae.kind, minutiae.qualities)
    rows = b"".join(struct.pack("<HHHBB", *row) for row in zip(*columns, strict=True))
    size = (minutiae.width, minutiae.height, minutiae.quality, len(minutiae))
    return Template(EXCHANGE_FORMAT, struct.pack("<3sBHHBB", b"KFM", 1, *size) + rows)


def _shuffled(template: Template, seed: int = 0) -> Minutiae:
    minutiae = unpack(template)
    return minutiae.take(np.random.default_rng(seed).permutation(len(minutiae)))


def _same(one: TemplateArrays, other: TemplateArrays) -> bool:
    return all(np.array_equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))


def test_the_bytes_are_those_that_the_version_stands_for() -> None:
    """Whoever changes these changes the version: kiosks have such templates on disk."""
    digest = hashlib.sha256(b"".join(template.data for template in TEMPLATES)).hexdigest()
    assert digest == "977455fdc402e7b2420e9004c8adfe468880aa074d122b44cb7ee189ffd339f6"


def test_a_template_has_the_descriptors_of_its_minutiae() -> None:
    starts = np.cumsum([0, *(len(rows) for rows in ROWS)])
    made = TemplateArrays(starts, np.concatenate(ROWS), *packed_cylinders_of(np.concatenate(ROWS), starts))
    assert _same(arrays_of(TEMPLATES), made)


def test_several_templates_are_read_as_each_by_itself() -> None:
    some = [TEMPLATES[0], pack(no_minutiae(256, 288)), TEMPLATES[1]]
    together, alone = arrays_of(some), [arrays_of([one]) for one in some]
    assert together.starts.tolist() == [0, len(ROWS[0]), len(ROWS[0]), len(ROWS[0]) + len(ROWS[1])]
    for name in ("rows", "words", "which"):
        assert np.array_equal(getattr(together, name), np.concatenate([getattr(one, name) for one in alone]))
    assert len(arrays_of([]).words) == 0


def test_a_gallery_of_templates_finds_what_one_of_minutiae_finds() -> None:
    keys = tuple(str(n) for n in range(120))
    gallery = FingerGallery.build([Entry(k, Position.UNKNOWN, t) for k, t in zip(keys, TEMPLATES, strict=True)])
    plain = FingerGallery((Block.of(keys, np.zeros(120, np.uint8), ROWS),))
    for number in (3, 40, 119):
        probe = template_of(another_impression(np.random.default_rng(number), ROWS[number]))
        found = gallery.search(probe, Position.UNKNOWN, 20)
        assert found[0].key == str(number)
        assert found == plain.search(probe, Position.UNKNOWN, 20)


@pytest.mark.parametrize("number", range(3))
def test_version_1_is_brought_up_to_date_and_found_like_any_other(number: int) -> None:
    old = _of_version_1(unpack(TEMPLATES[number]))
    assert imported(old) == TEMPLATES[number]
    shuffled = imported(_of_version_1(_shuffled(TEMPLATES[number])))
    assert shuffled.format == FORMAT
    assert sorted(unpack(shuffled).x) == sorted(ROWS[number][:, 0])
    with pytest.raises(TemplateError, match=f"'{EXCHANGE_FORMAT}', expected '{FORMAT}'"):
        unpack(old)


@pytest.mark.parametrize("number", range(3))
def test_what_is_sent_is_the_minutiae_alone_and_nothing_is_lost(number: int) -> None:
    sent = exported(TEMPLATES[number])
    assert sent == _of_version_1(unpack(TEMPLATES[number]))
    assert imported(sent) == TEMPLATES[number]


def test_an_iso_record_is_searchable() -> None:
    (view,) = from_record(to_record([FingerView(Position.LEFT_THUMB, TEMPLATES[7])]))
    others = [Entry(str(n), Position.UNKNOWN, template) for n, template in enumerate(TEMPLATES[:7])]
    gallery = FingerGallery.build([*others, Entry("iso", view.position, view.template)])
    assert gallery.search(TEMPLATES[7], Position.LEFT_THUMB, 1)[0].key == "iso"


def test_descriptors_from_elsewhere_are_not_believed() -> None:
    """Those of another bit pattern would hide a person from the search, or show him to everybody."""
    data = bytearray(TEMPLATES[0].data)
    data[42] ^= 0xFF
    forged = Template(FORMAT, bytes(data))
    assert np.array_equal(arrays_of([forged]).rows, ROWS[0])  # nothing is wrong with it but that
    assert imported(forged) == TEMPLATES[0]


def test_what_no_format_knows_is_left_to_the_gallery() -> None:
    unknown = Template("finger-minutiae/3", b"")
    assert imported(unknown) is unknown


@given(st.binary(max_size=60), st.integers(0, 2200), st.sampled_from([FORMAT, EXCHANGE_FORMAT]))
@settings(max_examples=60, deadline=None)
def test_bytes_written_over_a_template_are_refused_or_harmless(changed: bytes, at: int, template_format: str) -> None:
    whole = TEMPLATES[5] if template_format == FORMAT else _of_version_1(unpack(TEMPLATES[5]))
    at %= len(whole.data)
    broken = Template(template_format, whole.data[:at] + changed + whole.data[at + len(changed) :])
    try:
        made = to_current_version(broken)
    except TemplateError as error:
        assert template_format in str(error)  # noqa: PT017 - either outcome is right
        return
    assert to_current_version(made) == made
    gallery = FingerGallery.build([Entry("broken", Position.UNKNOWN, made)])
    assert 0 <= gallery.search(TEMPLATES[5], Position.UNKNOWN, 1)[0].score <= 1


@given(st.lists(st.tuples(st.integers(10, END_OF_DESCRIPTORS - 1), st.integers(0, 255)), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_descriptors_written_over_on_disk_change_no_score(changes: list[tuple[int, int]]) -> None:
    data = bytearray(TEMPLATES[6].data)
    for at, value in changes:
        data[at] = value
    broken = Entry("broken", Position.UNKNOWN, Template(FORMAT, bytes(data)))
    try:
        gallery = FingerGallery.build([broken])
    except TemplateError as error:
        assert "broken: finger-minutiae/2" in str(error)  # noqa: PT017 - either outcome is right
        return
    whole = FingerGallery.build([Entry("broken", Position.UNKNOWN, TEMPLATES[6])])
    assert gallery.search(TEMPLATES[6], Position.UNKNOWN, 1) == whole.search(TEMPLATES[6], Position.UNKNOWN, 1)


ROOMY = 2000  # pixels of a side, from which on random minutiae are no crowd


@st.composite
def minutiae_of(draw: st.DrawFn, most: int = MAX_MINUTIAE, least_side: int = ROOMY) -> Minutiae:
    count = draw(st.integers(0, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    width, height = (draw(st.integers(least_side, 65_535)) for _ in range(2))
    return Minutiae(
        width,
        height,
        draw(st.integers(0, 100)),
        x=rng.integers(0, width, count).astype(np.uint16),
        y=rng.integers(0, height, count).astype(np.uint16),
        direction=rng.integers(0, 65_536, count).astype(np.uint16),
        kind=rng.integers(0, 3, count).astype(np.uint8),
        qualities=rng.integers(0, 101, count).astype(np.uint8),
    )


def _fields(minutiae: Minutiae) -> list[object]:
    return [np.asarray(getattr(minutiae, field.name)).tolist() for field in dataclasses.fields(minutiae)]


@given(minutiae_of())
def test_what_is_packed_comes_back(minutiae: Minutiae) -> None:
    template = pack(minutiae)
    assert len(template.data) == 1578 + 8 * len(minutiae)
    assert _fields(unpack(template)) == _fields(minutiae.best(len(minutiae)))


@given(minutiae_of(least_side=1))
def test_of_a_crowd_those_come_back_that_lie_a_ridge_apart(minutiae: Minutiae) -> None:
    found = unpack(pack(minutiae))
    before, after = ({*zip(one.x.tolist(), one.y.tolist(), strict=True)} for one in (minutiae, found))
    assert after <= before
    assert len(found) or not len(minutiae)
    apart = [math.dist(one, other) for one, other in itertools.combinations(after, 2)]
    assert len(found) == len(minutiae) or min(apart, default=RIDGE_DISTANCE) >= RIDGE_DISTANCE


def test_of_more_than_255_minutiae_the_best_are_kept() -> None:
    count = 400
    quality = np.arange(count) % 101
    many = dataclasses.replace(
        no_minutiae(500, 500),
        x=(20 * (np.arange(count) % 20)).astype(np.uint16),
        y=(20 * (np.arange(count) // 20)).astype(np.uint16),
        direction=np.zeros(count, np.uint16),
        kind=np.ones(count, np.uint8),
        qualities=quality.astype(np.uint8),
    )
    kept = unpack(pack(many))
    assert len(kept) == MAX_MINUTIAE
    assert sorted(kept.qualities, reverse=True) == sorted(quality, reverse=True)[:MAX_MINUTIAE]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:0],
        lambda data: data[:9],
        lambda data: b"XXX" + data[3:],
        lambda data: data[:3] + b"\1" + data[4:],  # version
        lambda data: data[:4] + b"\1\0" + data[6:],  # a width that the minutiae exceed
        lambda data: data[:8] + b"\x65" + data[9:],  # quality 101
        lambda data: data[:9] + b"\xff" + data[10:],  # count
        lambda data: data[:1584] + b"\3" + data[1585:],  # kind 3
        lambda data: data[:1585] + b"\x65" + data[1586:],  # minutia quality 101
        lambda data: data[:1585] + b"\0" + data[1586:],  # the first minutia is worse than the second
        lambda data: data[:10] + b"\xff" + data[11:],  # a descriptor of a minutia that is not there
        lambda data: data[:10] + data[11:12] + data[11:],  # two descriptors of one minutia
        lambda data: data[:1582] + bytes([data[1582] ^ 1]) + data[1583:],  # a descriptor that points elsewhere
        lambda data: data[:42] + bytes(1536) + data[1578:],  # of which minutiae the descriptors are, but none
    ],
)
def test_a_damaged_template_is_refused(damage: Callable[[bytes], bytes]) -> None:
    whole = real_template_of(1, 1)
    with pytest.raises(TemplateError, match=FORMAT):
        unpack(Template(FORMAT, damage(whole.data)))


def test_another_format_is_refused_by_name() -> None:
    with pytest.raises(TemplateError, match="'iris-code/1'"):
        unpack(Template("iris-code/1", pack(no_minutiae(1, 1)).data))


@given(st.binary(max_size=120))
def test_bytes_that_are_no_template_never_raise_anything_else(data: bytes) -> None:
    with pytest.raises(TemplateError):
        unpack(Template(FORMAT, data))


def test_minutiae_closer_than_ridges_are_refused() -> None:
    data = bytearray(TEMPLATES[0].data)
    np.frombuffer(data, "<u2", offset=END_OF_DESCRIPTORS).reshape(-1, 4)[:, :2] //= 8  # x and y
    with pytest.raises(TemplateError, match="closer together than ridges"):
        unpack(Template(FORMAT, bytes(data)))


def test_a_pair_closer_than_ridges_is_kept_and_a_crowd_is_thinned_and_counted() -> None:
    ones = np.ones(40, np.uint8)
    x, y = np.arange(40) // 2 * 20 + np.arange(40) % 2 * 5, np.full(40, 10)
    pairs = dataclasses.replace(
        no_minutiae(500, 500),
        x=x.astype(np.uint16),
        y=y.astype(np.uint16),
        direction=x.astype(np.uint16),
        kind=ones,
        qualities=ones,
    )
    template, left_out = pack_counting(pairs)
    assert (len(unpack(template)), left_out) == (40, 0)
    threes = dataclasses.replace(pairs, x=(np.arange(40) // 3 * 30 + np.arange(40) % 3 * 3).astype(np.uint16))
    template, left_out = pack_counting(threes)
    assert (len(unpack(template)), left_out) == (14, 26)


def test_a_thinned_template_from_elsewhere_is_logged_by_numbers_alone(caplog: pytest.LogCaptureFixture) -> None:
    minutiae = dataclasses.replace(unpack(TEMPLATES[0]))
    crowd = dataclasses.replace(minutiae, x=minutiae.x // 8, y=minutiae.y // 8)
    with caplog.at_level("INFO"):
        made = to_current_version(_of_version_1(crowd))
    kept = len(unpack(made))
    assert f"{len(minutiae) - kept} of {len(minutiae)} minutiae left out" in caplog.text


def test_a_template_of_an_image_without_pixels_is_not_sent() -> None:
    with pytest.raises(TemplateError, match="the image is of 0x0; it has no pixel"):
        exported(pack(no_minutiae(0, 0)))
