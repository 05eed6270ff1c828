"""Keys and arrays as one piece of bytes, for a block of a gallery on disk. Reading copies nothing but the keys.

    0     magic "KPA1", length of the header u32 (little-endian)
    8     the header, JSON: the kind, the bytes of the keys, and name, type, shape and place of each array
    ...   the keys (UTF-8, one a line), then the arrays, each at a multiple of ALIGNMENT

Whoever wrote the bytes is not believed: every array must lie within them and have the type that is expected.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.template import TemplateError

ALIGNMENT = 64  # bytes: a cache line, and a multiple of every vector
MAX_HEADER = 64 * 1024
_START = struct.Struct("<4sI")
_MAGIC = b"KPA1"

Arrays = dict[str, NDArray[Any]]
Shape = tuple[str, tuple[int | None, ...]]  # the type as NumPy writes it, and the length of each axis


def pack(kind: str, keys: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of some keys and arrays. ValueError if a key has a line break."""
    text = "\n".join(keys).encode()
    if any("\n" in key for key in keys):
        raise ValueError(f"{kind}: a key has a line break")
    rows: list[list[object]] = []
    pieces: list[bytes | memoryview] = []
    # The length of the header depends on the places in it, so these count from the end of the keys.
    at = 0
    for name, array in arrays.items():
        rows.append([name, array.dtype.str, list(array.shape), at])
        octets = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        pieces += [octets.data, bytes(-octets.nbytes % ALIGNMENT)]
        at += octets.nbytes + -octets.nbytes % ALIGNMENT
    header = json.dumps({"kind": kind, "count": len(keys), "keys": len(text), "arrays": rows}).encode()
    start = _START.pack(_MAGIC, len(header)) + header + text
    return b"".join([start, bytes(-len(start) % ALIGNMENT), *pieces])


def unpack(kind: str, data: bytes, shapes: Mapping[str, Shape]) -> tuple[tuple[str, ...], Arrays]:
    """The keys and arrays of pack(), read-only. `shapes`: of each array the type and the shape, None where it varies.

    TemplateError if the bytes are not of this kind, are cut short, or are inconsistent.
    """
    header, start = _header(kind, data)
    try:
        count, length = _whole(header["count"], data), _whole(header["keys"], data)
        text = data[start : start + length].decode()
        places = {name: rest for name, *rest in header["arrays"]}
        begin = start + length + -(start + length) % ALIGNMENT
        arrays = {name: _array(data, begin, shape, *places.pop(name)) for name, shape in shapes.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise TemplateError(f"{kind}: the block is damaged: {error}") from error
    keys = tuple(text.split("\n")) if count else ()
    if len(keys) != count or places or (text and not count):
        raise TemplateError(f"{kind}: the block is damaged: its keys or arrays are not those of the header")
    return keys, arrays


def _header(kind: str, data: bytes) -> tuple[dict[str, Any], int]:
    if len(data) < _START.size or data[:4] != _MAGIC:
        raise TemplateError(f"{kind}: not a packed block")
    length = _START.unpack_from(data)[1]
    try:
        header = json.loads(data[_START.size : _START.size + min(length, MAX_HEADER)])
    except (ValueError, RecursionError) as error:
        raise TemplateError(f"{kind}: the block is damaged: no header") from error
    if not isinstance(header, dict) or header.get("kind") != kind:
        raise TemplateError(f"{kind}: a packed block of another kind")
    return header, _START.size + length


def _whole(number: object, data: bytes) -> int:
    """A number of the header. No count, size or place can be larger than the data."""
    if type(number) is not int or not 0 <= number <= len(data):
        raise ValueError("a number in the header cannot be")
    return number


def _array(
    data: bytes, begin: int, expected: Shape, dtype: object, shape: Sequence[object], place: object
) -> NDArray[Any]:
    # The type is the one expected: a name of a type from outside is never given to NumPy.
    wanted, sizes = np.dtype(expected[0]), [_whole(size, data) for size in shape]
    fits = len(sizes) == len(expected[1]) and all(a in (None, b) for a, b in zip(expected[1], sizes, strict=True))
    if dtype != wanted.str or not fits:
        raise ValueError("an array has another type or shape")
    start, count = begin + _whole(place, data), math.prod(sizes)
    if start % ALIGNMENT or start + count * wanted.itemsize > len(data):
        raise ValueError("an array does not lie within the block")
    made = np.frombuffer(data, wanted, count, start) if count else np.zeros(0, wanted)
    made.setflags(write=False)
    return made.reshape(sizes)
