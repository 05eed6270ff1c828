"""The template "finger-minutiae/2": the minutiae of a finger, and the binary descriptors with which they are searched.

One piece of little-endian bytes:

    0     magic "KFM", version u8, width u16, height u16 (pixels at 500 ppi), quality u8 (0..100), count u8
    10    of which minutia each descriptor is, u8 [LANES]
    42    the descriptors, u32 [WORDS, LANES], as models/finger/packed_cylinders.py has them
    1578  the minutiae, best quality first: x u16, y u16, direction u16 (1/65536 turn, counter-clockwise from the
          x axis, y up), kind u8, quality u8 (1..100, 0 = not reported)

1578 + 8 n bytes. The descriptors follow from the minutiae: pack() makes them, so that whatever becomes a template can
be searched, and a gallery only copies them. They decide who is looked at, never a score. A change of cylinders.py or
packed_cylinders.py that gives other descriptors is another version of this format.

Version 1 has the minutiae alone, in any order, from byte 10 on: 10 + 8 n bytes, for exchange. current() makes version
2 of it and bare() the other way round; nothing else reads it.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from models.finger.cylinder_kernel import described_block
from models.finger.cylinders import Rows, rows_of
from models.finger.minutiae import MAX_MINUTIAE, MAX_QUALITY, Kind, Minutiae
from models.finger.packed_cylinders import DIRECTION_WORD, LANES, WORDS, Words
from models.template import Template, TemplateError

FORMAT = "finger-minutiae/2"
BARE = "finger-minutiae/1"

RIDGE_APART = 8.0  # pixels: ridges are about 9 apart
CROWD = 0.4  # of the minutiae nearer than that to another: of 80 real prints none had more than 0.07

_MAGIC = b"KFM"
_HEADER = struct.Struct("<3sBHHBB")
_ROW = np.dtype([("x", "<u2"), ("y", "<u2"), ("direction", "<u2"), ("kind", "u1"), ("quality", "u1")])
_COLUMNS = ("x", "y", "direction", "quality")  # those that a comparison looks at
_WHICH = _HEADER.size
_WORDS = _WHICH + LANES
_END_OF_WORDS = _WORDS + 4 * WORDS * LANES


@dataclass(frozen=True, slots=True)
class _Layout:
    """Of one version."""

    format: str
    version: int
    rows: int  # where the minutiae begin


_CURRENT = _Layout(FORMAT, 2, _END_OF_WORDS)
_BARE = _Layout(BARE, 1, _HEADER.size)


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """Several templates as a gallery has them: rows x, y, direction, quality one after another, and the descriptors."""

    starts: NDArray[np.int64]  # [n + 1], of each template in `rows`
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
    """The template: the best 255 minutiae, of a crowd those apart. TemplateError when a value does not fit."""
    kept = _uncrowded(minutiae.best(len(minutiae))).best(MAX_MINUTIAE)
    rows = np.empty(len(kept), _ROW)
    columns = (kept.x, kept.y, kept.direction, kept.kind, kept.qualities)
    for name, values in zip(_ROW.names or (), columns, strict=True):
        rows[name] = values
    header = (kept.width, kept.height, kept.quality, len(kept))
    _check_values(_CURRENT, _Read(np.array([header]), rows))
    words, which = described_block(rows_of(kept), np.array([0, len(kept)]))
    parts = (which, words.astype("<u4"), rows)
    start = _HEADER.pack(_MAGIC, _CURRENT.version, *header)
    return Template(FORMAT, start + b"".join(part.tobytes() for part in parts))


def unpack(template: Template) -> Minutiae:
    """The minutiae, best quality first. TemplateError: another format, cut short, too long, or inconsistent."""
    described([template])
    found = _minutiae(template, _CURRENT)
    if _crowded(found):
        raise TemplateError(f"{FORMAT}: the minutiae lie closer together than ridges do")
    return found


def current(template: Template) -> Template:
    """What is kept of a template from elsewhere: this version, its descriptors made anew. TemplateError as unpack()."""
    return pack(_minutiae(template, _BARE if template.format == BARE else _CURRENT))


def bare(template: Template) -> Template:
    """What leaves the kiosk: version 1, a quarter of the bytes; its reader makes the descriptors. TemplateError."""
    data = template.data
    unpack(template)
    return Template(BARE, _MAGIC + bytes([_BARE.version]) + data[len(_MAGIC) + 1 : _HEADER.size] + data[_END_OF_WORDS:])


def described(templates: Sequence[Template]) -> Described:
    """Several templates at once, copied. TemplateError as unpack(), without saying which."""
    read = _read(templates, _CURRENT)
    # Copies, which can be written to: machine code is compiled for such arrays.
    rows = np.empty((len(read.rows), len(_COLUMNS)), np.uint16)
    for column, name in enumerate(_COLUMNS):
        rows[:, column] = read.rows[name]
    which = _joined(templates, _WHICH, _WORDS, np.dtype(np.uint8)).reshape(-1, LANES)
    words = _joined(templates, _WORDS, _END_OF_WORDS, np.dtype("<u4")).astype(np.uint32).reshape(-1, WORDS, LANES)
    made = Described(read.starts, rows, words, which)
    if not _consistent(made):
        raise TemplateError(f"{FORMAT}: the descriptors are not those of the minutiae")
    return made


def _crowded(minutiae: Minutiae) -> bool:
    """Whether these can be of no finger: two crowds are alike wherever they come from."""
    return len(minutiae) > 1 and bool((_to_nearest(_points(minutiae)) < RIDGE_APART).mean() > CROWD)


def _uncrowded(minutiae: Minutiae) -> Minutiae:
    """All minutiae; of a crowd only those that lie a ridge apart from each better one."""
    if not _crowded(minutiae):
        return minutiae
    points, kept = _points(minutiae), list[int]()
    for number, point in enumerate(points):
        if not kept or np.hypot(*(points[kept] - point).T).min() >= RIDGE_APART:
            kept.append(number)
    return minutiae.take(np.array(kept, np.intp))


def _points(minutiae: Minutiae) -> NDArray[np.float64]:
    return np.stack([minutiae.x, minutiae.y], axis=1).astype(np.float64)


def _to_nearest(points: NDArray[np.float64]) -> NDArray[np.float64]:
    found, _ = KDTree(points).query(points, 2)
    return np.asarray(found[:, 1])


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
    """TemplateError names the first value that is out of range, without saying where the minutia is."""
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
    """Whether no minutia is better than the one before it in its template."""
    rises = np.zeros(len(quality) + 1, bool)
    rises[1:-1] = quality[1:] > quality[:-1]
    rises[starts] = False
    return not rises.any()


def _consistent(one: Described) -> bool:
    """Whether descriptors have no gaps, each is of a later minutia than the one before it, and points as it does."""
    used = one.words[:, -1] != 0  # [n, LANES]
    ordered = np.all(used[:, :-1] >= used[:, 1:]) and not np.any(one.words.any(axis=1) & ~used)
    rising = np.all((np.diff(one.which.astype(np.int16), axis=1) > 0) | ~used[:, 1:])
    inside = np.all(one.which < np.where(used, np.diff(one.starts)[:, np.newaxis], 1))
    if not (ordered and rising and inside):
        return False
    template, lane = np.nonzero(used)
    directions = one.rows[one.starts[template] + one.which[template, lane], 2]
    return bool(np.all(one.words[template, DIRECTION_WORD, lane] & 0xFFFF == directions))
