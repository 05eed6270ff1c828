"""Keys and arrays as one piece of bytes, for a block of a gallery on disk. Reading copies nothing but the keys.

    0     magic "KPA1", length of the header u32 (little-endian)
    8     the header, JSON: the kind, the bytes of the keys, and name, type, shape and place of each array
    ...   the keys (UTF-8, one a line), then the arrays, each at a multiple of ALIGNMENT

Whoever wrote the bytes is not believed: every array must lie within them and have the type that is expected.
"""

import json
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


def pack(kind: str, keys: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of some keys and arrays. A key has no newline."""
    text = "\n".join(keys).encode()
    rows: list[list[object]] = []
    # The length of the header depends on the places in it, so these count from the end of the keys.
    at = 0
    for name, array in arrays.items():
        rows.append([name, array.dtype.str, list(array.shape), at])
        at += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    header = json.dumps({"kind": kind, "count": len(keys), "keys": len(text), "arrays": rows}).encode()
    start = _aligned(_START.size + len(header) + len(text))
    out = bytearray(start + at)
    _START.pack_into(out, 0, _MAGIC, len(header))
    out[_START.size : _START.size + len(header) + len(text)] = header + text
    for (_, _, _, place), array in zip(rows, arrays.values(), strict=True):
        assert isinstance(place, int)
        out[start + place : start + place + array.nbytes] = np.ascontiguousarray(array).tobytes()
    return bytes(out)


def unpack(
    kind: str, data: bytes, shapes: Mapping[str, tuple[str, tuple[int | None, ...]]]
) -> tuple[tuple[str, ...], Arrays]:
    """The keys and arrays of pack(), read-only. `shapes`: of each array the type and the shape, None where it varies.

    TemplateError if the bytes are not of this kind, are cut short, or are inconsistent.
    """
    header, start = _header(kind, data)
    try:
        count, length, rows = int(header["count"]), int(header["keys"]), list(header["arrays"])
        text = data[start : start + length].decode()
        keys = tuple(text.split("\n")) if count else ()
        begin = _aligned(start + length)
        arrays = {name: _array(data, begin, dtype, shape, place) for name, dtype, shape, place in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise TemplateError(f"{kind}: the block is damaged: {type(error).__name__}") from error
    if len(keys) != count or arrays.keys() != shapes.keys() or (count == 0 and text):
        raise TemplateError(f"{kind}: the block is damaged: keys or arrays are missing")
    for name, (dtype, shape) in shapes.items():
        found = arrays[name]
        fits = len(found.shape) == len(shape) and all(w in (None, n) for w, n in zip(shape, found.shape, strict=True))
        if not fits or found.dtype != np.dtype(dtype):
            raise TemplateError(f"{kind}: the block is damaged: {name} is {found.dtype}{list(found.shape)}")
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


def _array(data: bytes, begin: int, dtype: str, shape: Sequence[int], place: int) -> NDArray[Any]:
    kind = np.dtype(dtype)
    sizes = [int(size) for size in shape]
    if kind.hasobject or min(sizes, default=0) < 0 or place < 0 or place % ALIGNMENT:
        raise ValueError("an array that cannot be")
    count = 1
    for size in sizes:
        count *= size
    if begin + place + count * kind.itemsize > len(data):
        raise ValueError("an array beyond the end")
    if not count:
        return np.zeros(sizes, kind)
    return np.frombuffer(data, kind, count, begin + place).reshape(sizes)


def _aligned(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT
