"""The template "finger-minutiae/2": the minutiae of a finger, and binary descriptors for the search.

Little-endian bytes:

    0     magic "KFM", version u8, width u16, height u16 (pixels at 500 ppi), quality u8 (0..100), count u8
    10    the minutia of each descriptor, u8 [LANES]
    42    the descriptors, u32 [WORDS, LANES], as in models/finger/packed_cylinders.py
    1578  the minutiae, best quality first: x u16, y u16, direction u16 (1/65536 turn, counter-clockwise from the
          x axis, y up), kind u8, quality u8 (1..100, 0 = not reported)

1578 + 8 n bytes. The descriptors are computed from the minutiae by pack(), so that every template can be searched; a
gallery only copies them. They decide which entries are compared, never a score. A change of cylinders.py or
packed_cylinders.py that gives other descriptors needs a new version of this format.

Version 1 contains only the minutiae, in any order, from byte 10 on: 10 + 8 n bytes. It is used for exchange.
to_current_version() makes version 2 of it and to_exchange_version() the reverse; nothing else reads it.
"""

import logging
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from models.finger.cylinder_kernel import packed_cylinders_of
from models.finger.cylinders import Rows, rows_of
from models.finger.minutiae import MAX_MINUTIAE, MAX_QUALITY, Kind, Minutiae
from models.finger.packed_cylinders import DIRECTION_WORD, LANES, WORDS, Words
from models.template import Template, TemplateError

FORMAT = "finger-minutiae/2"
EXCHANGE_FORMAT = "finger-minutiae/1"

RIDGE_DISTANCE = 8.0  # pixels: ridges are about 9 apart
# A minutia of a crowd has two others nearer than that, or one, and CROWD others within CROWD_DISTANCE. Pairs alone do
# occur in records of others: both ends of a broken ridge, or an ending and a bifurcation found for one place. Of 80
# real prints of ours, not more than 0.07 of the minutiae had even one so near.
CROWD, CROWD_DISTANCE = 6, 24.0
# The largest share of such minutiae that is kept. With these limits, random minutiae in any area, or in pairs or threes
# on a grid, are alike at a false match rate of 2e-5 at most; single ones on a grid of a ridge's width at 4e-6.
MAX_CROWDED_SHARE = 0.4

_log = logging.getLogger(__name__)
_MAGIC = b"KFM"
_HEADER = struct.Struct("<3sBHHBB")
_ROW = np.dtype([("x", "<u2"), ("y", "<u2"), ("direction", "<u2"), ("kind", "u1"), ("quality", "u1")])
_COLUMNS = ("x", "y", "direction", "quality")  # those that a comparison uses
_WHICH = _HEADER.size
_WORDS = _WHICH + LANES
_END_OF_WORDS = _WORDS + 4 * WORDS * LANES


@dataclass(frozen=True, slots=True)
class _Layout:
    """The layout of a version."""

    format: str
    version: int
    rows: int  # where the minutiae begin


_CURRENT = _Layout(FORMAT, 2, _END_OF_WORDS)
_EXCHANGE = _Layout(EXCHANGE_FORMAT, 1, _HEADER.size)


@dataclass(frozen=True, slots=True, eq=False)
class TemplateArrays:
    """Several templates as the arrays of a gallery: rows of x, y, direction, quality, and the descriptors."""

    starts: NDArray[np.int64]  # [n + 1]: where each template begins in `rows`
    rows: Rows
    words: Words  # [n, WORDS, LANES]
    which: NDArray[np.uint8]  # [n, LANES]


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """Several templates of one version."""

    headers: NDArray[np.int64]  # [n, 4]: width, height, quality, count
    rows: NDArray[np.void]  # the minutiae, one after another

    @property
    def starts(self) -> NDArray[np.int64]:
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.headers[:, -1])])


def pack(minutiae: Minutiae) -> Template:
    """The template of the best 255 minutiae; a crowd is thinned. TemplateError if a value is out of range."""
    return pack_counting(minutiae)[0]


def pack_counting(minutiae: Minutiae) -> tuple[Template, int]:
    """As pack(), with the number of minutiae that are left out: those of a crowd, and those above 255."""
    kept = _thinned(minutiae.best(len(minutiae))).best(MAX_MINUTIAE)
    return _packed(kept), len(minutiae) - len(kept)


def _packed(kept: Minutiae) -> Template:
    rows = np.empty(len(kept), _ROW)
    columns = (kept.x, kept.y, kept.direction, kept.kind, kept.qualities)
    for name, values in zip(_ROW.names or (), columns, strict=True):
        rows[name] = values
    header = (kept.width, kept.height, kept.quality, len(kept))
    _check_values(_CURRENT, _Read(np.array([header]), rows))
    words, which = packed_cylinders_of(rows_of(kept), np.array([0, len(kept)]))
    parts = (which, words.astype("<u4"), rows)
    start = _HEADER.pack(_MAGIC, _CURRENT.version, *header)
    return Template(FORMAT, start + b"".join(part.tobytes() for part in parts))


def unpack(template: Template) -> Minutiae:
    """The minutiae, best quality first. TemplateError if of another format, cut short, too long, or inconsistent."""
    arrays_of([template])
    found = _minutiae(template, _CURRENT)
    if _too_dense(found):
        raise TemplateError(f"{FORMAT}: the minutiae lie closer together than ridges do")
    return found


def to_current_version(template: Template) -> Template:
    """This version of a template from elsewhere; its descriptors are computed again. TemplateError as unpack().

    A crowd of minutiae is thinned, and the log says so.
    """
    minutiae = _minutiae(template, _EXCHANGE if template.format == EXCHANGE_FORMAT else _CURRENT)
    made, left_out = pack_counting(minutiae)
    if left_out:
        reason = "too many lie closer together than ridges do"
        _log.info("a finger template from elsewhere: %d of %d minutiae left out, %s", left_out, len(minutiae), reason)
    return made


def to_exchange_version(template: Template) -> Template:
    """Version 1, which leaves the kiosk, without the descriptors: a fifth of the bytes.

    TemplateError as unpack(), and if the image has no pixel.
    """
    found = unpack(template)
    if not (found.width and found.height):
        raise TemplateError(f"{FORMAT}: the image is of {found.width}x{found.height}; it has no pixel")
    header = _MAGIC + bytes([_EXCHANGE.version]) + template.data[len(_MAGIC) + 1 : _HEADER.size]
    return Template(EXCHANGE_FORMAT, header + template.data[_END_OF_WORDS:])


def arrays_of(templates: Sequence[Template]) -> TemplateArrays:
    """Several templates as arrays, copied. TemplateError as unpack(); it does not say which template."""
    read = _read(templates, _CURRENT)
    # Copies, which are writable: the search is compiled for writable arrays.
    rows = np.empty((len(read.rows), len(_COLUMNS)), np.uint16)
    for column, name in enumerate(_COLUMNS):
        rows[:, column] = read.rows[name]
    which = _joined(templates, _WHICH, _WORDS, np.dtype(np.uint8)).reshape(-1, LANES)
    words = _joined(templates, _WORDS, _END_OF_WORDS, np.dtype("<u4")).astype(np.uint32).reshape(-1, WORDS, LANES)
    made = TemplateArrays(read.starts, rows, words, which)
    if not _consistent(made):
        raise TemplateError(f"{FORMAT}: the descriptors do not belong to the minutiae")
    return made


def _too_dense(minutiae: Minutiae) -> bool:
    """Whether the minutiae are too dense for a finger: any two such templates would get a high score."""
    if len(minutiae) <= 1:
        return False
    points = _points(minutiae)
    tree = KDTree(points)
    distances, _ = tree.query(points, 3)  # the first is the minutia itself; infinite if there are only two
    near = distances < RIDGE_DISTANCE
    if near[:, 1].mean() <= MAX_CROWDED_SHARE:
        return False
    others = tree.query_ball_point(points, CROWD_DISTANCE, return_length=True) - 1
    crowded = near[:, 2] | near[:, 1] & (others >= CROWD)
    return bool(crowded.mean() > MAX_CROWDED_SHARE)


def _thinned(minutiae: Minutiae) -> Minutiae:
    """All minutiae; if they are too dense, only those at least RIDGE_DISTANCE away from each better one."""
    if not _too_dense(minutiae):
        return minutiae
    points, kept = _points(minutiae), list[int]()
    for number, point in enumerate(points):
        if not kept or np.hypot(*(points[kept] - point).T).min() >= RIDGE_DISTANCE:
            kept.append(number)
    return minutiae.take(np.array(kept, np.intp))


def _points(minutiae: Minutiae) -> NDArray[np.float64]:
    return np.stack([minutiae.x, minutiae.y], axis=1).astype(np.float64)


def _minutiae(template: Template, layout: _Layout) -> Minutiae:
    read = _read([template], layout)
    width, height, quality, _ = read.headers[0].tolist()
    return Minutiae(width, height, quality, *(np.ascontiguousarray(read.rows[name]) for name in _ROW.names or ()))


def _read(templates: Sequence[Template], layout: _Layout) -> _Read:
    headers = np.array([_header(template, layout) for template in templates], np.int64).reshape(-1, 4)
    read = _Read(headers, _joined(templates, layout.rows, None, _ROW))
    _check_values(layout, read)
    return read


def _joined(templates: Sequence[Template], start: int, end: int | None, kind: np.dtype[Any]) -> NDArray[Any]:
    """The same part of the bytes of each template, one after another."""
    return np.frombuffer(bytearray().join(template.data[start:end] for template in templates), kind)


def _header(template: Template, layout: _Layout) -> tuple[int, int, int, int]:
    """Width, height, quality and count."""
    data = template.data
    if template.format != layout.format:
        raise TemplateError(f"template format is {template.format!r}, expected {layout.format!r}")
    if len(data) < layout.rows:
        raise TemplateError(f"{layout.format}: {len(data)} bytes, without any minutia it has {layout.rows}")
    magic, version, width, height, quality, count = _HEADER.unpack_from(data)
    if magic != _MAGIC or version != layout.version:
        raise TemplateError(f"{layout.format}: does not begin with the magic and version of this format")
    expected = layout.rows + count * _ROW.itemsize
    if len(data) != expected:
        raise TemplateError(f"{layout.format}: {len(data)} bytes, {count} minutiae take {expected}")
    return width, height, quality, count


def _check_values(layout: _Layout, read: _Read) -> None:
    """TemplateError names the first value that is out of range; it does not say where the minutia is."""
    rows, (width, height, quality, count) = read.rows, read.headers.T
    limits = (
        ("width", width, 65_536), ("height", height, 65_536), ("quality", quality, MAX_QUALITY + 1),
        ("x", rows["x"], np.repeat(width, count)), ("y", rows["y"], np.repeat(height, count)),
        ("kind", rows["kind"], len(Kind)), ("minutia quality", rows["quality"], MAX_QUALITY + 1),
    )  # fmt: skip
    for name, values, end in limits:
        if np.any(values >= end) or np.any(values < 0):
            raise TemplateError(f"{layout.format}: {name} is out of range")
    if layout is _CURRENT and not _falling(rows["quality"], read.starts):
        raise TemplateError(f"{layout.format}: the minutiae are not in the order of their quality")


def _falling(quality: NDArray[np.uint8], starts: NDArray[np.int64]) -> bool:
    """Whether the qualities fall, or stay the same, within each template."""
    rises = np.zeros(len(quality) + 1, bool)
    rises[1:-1] = quality[1:] > quality[:-1]
    rises[starts] = False
    return not rises.any()


def _consistent(one: TemplateArrays) -> bool:
    """Whether the descriptors have no gaps, their minutiae rise, and each has the direction of its minutia."""
    used = one.words[:, -1] != 0  # [n, LANES]
    ordered = np.all(used[:, :-1] >= used[:, 1:]) and not np.any(one.words.any(axis=1) & ~used)
    rising = np.all((np.diff(one.which.astype(np.int16), axis=1) > 0) | ~used[:, 1:])
    inside = np.all(one.which < np.where(used, np.diff(one.starts)[:, np.newaxis], 1))
    if not (ordered and rising and inside):
        return False
    template, lane = np.nonzero(used)
    directions = one.rows[one.starts[template] + one.which[template, lane], 2]
    return bool(np.all(one.words[template, DIRECTION_WORD, lane] & 0xFFFF == directions))
