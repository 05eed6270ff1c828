"""Machine code for searches and comparisons, where numba is there; without it the plain numpy that it repeats serves.

Compiled functions release the interpreter, so that threads share one gallery, and are kept on disk for the next start.
Where no folder can be written, they are compiled anew at each start: gallery.warm_up does that before any traveller.
"""

import functools
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
PLAIN = "KIOSK_PLAIN_SEARCH"  # set in the environment, to anything but these: search without machine code
OFF = frozenset({"", "0", "false"})  # in any case


def _numba() -> ModuleType | None:
    if os.environ.get(PLAIN, "").strip().lower() not in OFF:
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
    made: F
    try:
        made = NUMBA.njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to keep it
        made = NUMBA.njit(**options)(function)
    else:
        _stamp_all(made, Path(function.__code__.co_filename))
    return made


def _stamp_all(made: Any, module: Path) -> None:  # noqa: ANN401 - what numba makes of a function
    """Compile it anew when any module has changed that its own imports: it may hold constants and functions of others.

    Numba by itself looks only at the file of the function.
    """
    made._cache._cache_file._source_stamp = _stamp(module)  # noqa: SLF001 - numba has no other place for it


@functools.cache
def _stamp(module: Path) -> str:
    """Of the sources of a module and of all beside it that it imports, or these do."""
    sources: dict[Path, bytes] = {}
    left = [module]
    while left:
        path = left.pop()
        sources[path] = path.read_bytes()
        named = re.findall(r"\w+", " ".join(_IMPORTS.findall(sources[path].decode())))
        beside = (module.with_name(f"{name}.py") for name in dict.fromkeys(named))
        left += [other for other in beside if other not in sources and other.exists()]
    return hashlib.sha256(b"".join(sources[path] for path in sorted(sources))).hexdigest()


_IMPORTS = re.compile(r"^\s*(?:from|import) .*", re.MULTILINE)


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
