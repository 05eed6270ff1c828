"""The compiled search of models/iris/kernel.py. Needs numba.

Numba does not place the shifts of a probe side by side on its own. Two steps are therefore written as LLVM operations
on vectors of eight words. The compiler translates them to what the processor has, with its instruction for counting
bits if there is one (AVX-512 VPOPCNTDQ).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numba.core.cgutils
import numba.extending
import numba.np.arrayobj
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numpy.typing import NDArray

from models.compiled import compiled, count_bits
from models.iris.search_layout import (
    GROUPS,
    HEAD,
    LANES,
    LIMIT_DENOMINATOR,
    LIMIT_NUMERATOR,
    NOT_ALLOWED,
    STOPPED,
    TAIL,
)
from models.iris.template import WORDS

Values = NDArray[Any]
Code = Any  # of the compiler: a value, a type or a builder
cgutils: Any = numba.core.cgutils
intrinsic: Any = numba.extending.intrinsic
make_array: Any = numba.np.arrayobj.make_array

_WORD = ir.IntType(64)
_VECTOR = ir.VectorType(_WORD, LANES)
_DIFFERING_BITS = 32  # of a result: they hold the number of differing bits; the bits above, of compared bits


def _constant(value: int) -> Code:
    return ir.Constant(_VECTOR, [value] * LANES)


class _Vectors:
    """Collects operations on vectors of words."""

    def __init__(self, builder: Code) -> None:
        self.builder = builder
        self.differing = self.compared = _constant(0)

    def load(self, start: Code, word: int) -> Code:
        """LANES words of an array, from one word on."""
        at = cgutils.gep(self.builder, start, word)
        return self.builder.load(self.builder.bitcast(at, _VECTOR.as_pointer()), align=8)

    def repeat(self, start: Code, word: int) -> Code:
        """One word, repeated LANES times."""
        one = self.builder.load(cgutils.gep(self.builder, start, word))
        first = self.builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), one, ir.Constant(ir.IntType(32), 0))
        spread = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), spread)

    def count(self, vector: Code) -> Code:
        """The number of set bits of each word."""
        return self._call("llvm.ctpop.v8i64", _VECTOR, vector)

    def total(self, vector: Code) -> Code:
        """The sum of the words."""
        return self._call("llvm.vector.reduce.add.v8i64", _WORD, vector)

    def compare(self, codes: Sequence[Code], masks: Sequence[Code]) -> None:
        """Add to the numbers of differing and of compared bits."""
        known = self.builder.and_(*masks)
        differing = self.builder.and_(self.builder.xor(*codes), known)
        self.compared = self.builder.add(self.compared, self.count(known))
        self.differing = self.builder.add(self.differing, self.count(differing))

    def _call(self, name: str, result: Code, vector: Code) -> Code:
        kind = ir.FunctionType(result, [_VECTOR])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [vector])


def _emit_remaining(builder: Code, probe: Code, head: Code) -> Code:
    """One bit for each shift that is not abandoned."""
    remaining = ir.Constant(_WORD, 0)
    for group in range(GROUPS):
        vectors = _Vectors(builder)
        for word in range(HEAD):
            at = (group * HEAD + word) * 2 * LANES
            codes = vectors.load(probe, at), vectors.repeat(head, word)
            vectors.compare(codes, (vectors.load(probe, at + LANES), vectors.repeat(head, HEAD + word)))
        differing = builder.mul(vectors.differing, _constant(LIMIT_DENOMINATOR))
        compared = builder.mul(vectors.compared, _constant(LIMIT_NUMERATOR))
        bits = builder.bitcast(builder.icmp_unsigned("<", differing, compared), ir.IntType(LANES))
        remaining = builder.or_(remaining, builder.shl(builder.zext(bits, _WORD), ir.Constant(_WORD, LANES * group)))
    return remaining


def _emit_whole(builder: Code, shift: Code, head: Code, tail: Code) -> Code:
    """The number of bits that differ between a shift and an entry; in the upper half, of those compared."""
    vectors = _Vectors(builder)
    for word in range(0, WORDS, LANES):
        start, at, length = (head, word, HEAD) if word < HEAD else (tail, word - HEAD, TAIL)
        codes = vectors.load(shift, word), vectors.load(start, at)
        vectors.compare(codes, (vectors.load(shift, WORDS + word), vectors.load(start, length + at)))
    upper = builder.shl(vectors.compared, _constant(_DIFFERING_BITS))
    return vectors.total(builder.or_(upper, vectors.differing))


def _code(emit: Callable[..., Any]) -> Callable[..., Any]:
    """The code for arguments array, number, array, number...: passes each array, from that word on, to `emit`."""

    def code(context: Code, builder: Code, signature: Code, arguments: Code) -> Code:
        arrays = zip(signature.args[::2], arguments[::2], arguments[1::2], strict=True)
        starts = [cgutils.gep(builder, make_array(kind)(context, builder, a).data, at) for kind, a, at in arrays]
        return emit(builder, *starts)

    return code


def _remaining_shifts(_context: Code, probe: Code, at: Code, heads: Code, entry: Code) -> Code:
    """_emit_remaining for two arrays, each from a word on."""
    return types.int64(probe, at, heads, entry), _code(_emit_remaining)


def _whole_shift(_context: Code, probe: Code, at: Code, heads: Code, head: Code, tails: Code, tail: Code) -> Code:
    """_emit_whole for three arrays, each from a word on."""
    return types.int64(probe, at, heads, head, tails, tail), _code(_emit_whole)


remaining_shifts: Any = intrinsic(_remaining_shifts)
whole_shift: Any = intrinsic(_whole_shift)


@compiled
def search_compiled(
    probe_heads: Values, probe_shifts: Values, heads: Values, tails: Values, allowed: Values, gain: Values, out: Values
) -> None:
    """The compiled form of models.iris.kernel.search_plain."""
    for entry in range(len(heads)):
        if not allowed[entry]:
            out[entry] = NOT_ALLOWED
            continue
        best = STOPPED
        head, tail = entry * 2 * HEAD, entry * 2 * TAIL
        remaining = remaining_shifts(probe_heads, 0, heads, head)
        while remaining:
            shift = count_bits((remaining & -remaining) - 1)
            remaining &= remaining - 1
            both = whole_shift(probe_shifts, shift * 2 * WORDS, heads, head, tails, tail)
            compared, differing = both >> _DIFFERING_BITS, both & ((1 << _DIFFERING_BITS) - 1)
            best = max(best, gain[compared] * (compared - 2 * differing))
        out[entry] = best
