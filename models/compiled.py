"""Machine code for searches and comparisons, where numba is there; without it the plain numpy that it repeats serves.

Compiled functions release the interpreter, so that threads share one gallery, and are kept on disk for the next start.
Where no folder can be written, they are compiled anew at each start: gallery.warm_up does that before any traveller.
"""

import functools
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
PLAIN = "KIOSK_PLAIN_SEARCH"  # set in the environment: search without machine code


def _numba() -> ModuleType | None:
    if os.environ.get(PLAIN):
        return None
    try:
        import numba  # noqa: PLC0415 - optional: the search works without it, slowly
    except ImportError:
        return None
    found: ModuleType = numba
    return found


NUMBA = _numba()


def compiled(function: F, *, inline: bool = False, exact: bool = False) -> F:
    """Machine code of a function of arrays and numbers; the function itself where there is no numba.

    `inline`: within its caller, where the compiler sees that arrays do not overlap. `exact`: each operation is rounded
    by itself, as numpy does, so that equals stay equals.
    """
    if NUMBA is None:
        return function
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set() if exact else {"contract"}}
    if inline:
        options["inline"] = "always"
    try:
        made: F = NUMBA.njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to keep it
        made = NUMBA.njit(**options)(function)
    return made


def _count_bits() -> Callable[[Any], Any]:
    if NUMBA is None:
        return lambda word: int(word).bit_count()
    from numba.core import types  # noqa: PLC0415
    from numba.extending import intrinsic  # noqa: PLC0415

    def count_bits(_context: Any, word: Any) -> Any:  # noqa: ANN401 - the compiler's own types
        """How many bits of an integer are set, by the instruction that the machine has for it."""

        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            return builder.ctpop(arguments[0])

        return (word(word), emit) if isinstance(word, types.Integer) else None

    made: Callable[[Any], Any] = intrinsic(count_bits)  # type: ignore[assignment]
    return made


count_bits = _count_bits()
inlined = functools.partial(compiled, inline=True)
exactly = functools.partial(compiled, exact=True)
