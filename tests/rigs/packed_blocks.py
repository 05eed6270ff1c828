"""Small blocks of both modalities, bytes that are almost theirs, and a search of whatever was made of such bytes."""

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from drivers.sample import Position
from models.encoder import Entry
from models.finger.search.block import Block, Probe
from models.finger.search.gallery import FingerGallery
from models.gallery import numbers_of
from models.iris.gallery import IrisBlock, IrisGallery
from models.iris.template import pack as packed_code
from models.template import Template
from simulators.bench.search_finger import template_of
from tests.rigs.fingers import ROWS, UNUSUAL, second_impression
from tests.rigs.iris_codes import EXTREME_CODES, noisy, some_code

Header = dict[str, Any]

_START = struct.Struct("<4sI")
_CODES = [some_code(1), EXTREME_CODES["nothing known"], EXTREME_CODES["all bits set"]]
_FINGER_PROBE, _IRIS_PROBE = template_of(second_impression(0)), packed_code(noisy(_CODES[0], 3, 0.2))


def finger_block() -> Block:
    """Fingers of known and unknown positions, one of them without minutiae."""
    rows = [ROWS[0], UNUSUAL["none"], ROWS[1][:9], UNUSUAL["one"]]
    where = (Position.RIGHT_INDEX, Position.UNKNOWN, Position.LEFT_THUMB, Position.LEFT_INDEX)
    numbers = numbers_of(Entry("", position, Template("", b"")) for position in where)
    return Block.of(("a", "", "ñ", "a"), numbers, rows)


def iris_block() -> IrisBlock:
    """Eyes of known and unknown positions, two of them extreme."""
    where = (Position.RIGHT_EYE, Position.UNKNOWN, Position.LEFT_EYE)
    return IrisBlock.of(
        [Entry(key, p, packed_code(code)) for key, p, code in zip(("a", "", "ñ"), where, _CODES, strict=True)]
    )


def search_fingers(data: bytes) -> None:
    """Read a block and let compiled code go through all that is in it. TemplateError if it is damaged."""
    block = FingerGallery.unpacked_block(data)
    probe = Probe.of(second_impression(0))
    block.ranks(probe.words, Position.UNKNOWN)
    block.rerank(probe, np.arange(len(block)))
    FingerGallery((block,)).search(_FINGER_PROBE, Position.UNKNOWN, len(block) + 1)


def search_irises(data: bytes) -> None:
    """Read a block and let compiled code go through all that is in it. TemplateError if it is damaged."""
    block = IrisGallery.unpacked_block(data)
    IrisGallery((block,)).search(_IRIS_PROBE, Position.UNKNOWN, len(block) + 1)


def header_of(data: bytes) -> Header:
    """The header of a packed block."""
    found: Header = json.loads(data[_START.size : _START.size + _START.unpack_from(data)[1]])
    return found


def with_header(data: bytes, header: object) -> bytes:
    """The same keys and arrays behind another header, at the places where the header before had them."""
    old = header_of(data)
    start = _START.size + _START.unpack_from(data)[1]
    text, arrays = data[start : start + old["keys"]], data[start + old["keys"] + -(start + old["keys"]) % 64 :]
    written = json.dumps(header).encode()
    begin = _START.pack(b"KPA1", len(written)) + written + text
    return begin + bytes(-len(begin) % 64) + arrays


_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([0, 1, 3, 4, 64, 2**31, 2**63, -64, float("inf")]),
    st.floats(), st.text(max_size=5), st.sampled_from(["|u1", "<u2", "<i8", "|O", "V0", "(9999999999,)u1"]),
    st.lists(st.integers(0, 9), max_size=3), st.just({}),
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """These bytes cut short, lengthened, with other bytes here and there, or with other values in the header."""
    damage: Callable[[st.DrawFn, bytes], bytes] = draw(st.sampled_from([_cut, _changed, _changed_header, _lengthened]))
    return damage(draw, data)


def _cut(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    return data[:at] + data[at + draw(st.sampled_from([len(data), 1, 8, 64])) :]


def _lengthened(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.binary(min_size=1, max_size=64)) + data[at:]


def _changed(draw: st.DrawFn, data: bytes) -> bytes:
    made = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.one_of(st.integers(0, len(data) - 1), st.integers(0, min(len(data), 600) - 1)))
        new = draw(st.binary(min_size=1, max_size=8))
        made[at : at + len(new)] = new[: len(data) - at]
    return bytes(made)


def _changed_header(draw: st.DrawFn, data: bytes) -> bytes:
    header = header_of(data)
    if draw(st.booleans()):
        header[draw(st.sampled_from(["kind", "count", "keys", "arrays"]))] = draw(_VALUES)
        return with_header(data, header)
    row = draw(st.sampled_from(header["arrays"]))
    row[draw(st.integers(0, 3))] = draw(_VALUES)
    if draw(st.booleans()):
        header["arrays"].remove(row)
    return with_header(data, header)
