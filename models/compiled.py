"""Compiles searches and comparisons with numba, if it is installed; without it, the equivalent plain numpy is used.

Compiled functions release the interpreter, so that several threads can search one gallery. They are kept on disk for
the next start (models/compiled_cache.py). Where none can be kept, they are compiled again at each start: warm_up() of a
gallery does that before the first traveller comes.
"""

import ast
import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
PLAIN = "KIOSK_PLAIN_SEARCH"  # environment variable: any value except those of OFF switches numba off
OFF = frozenset({"", "0", "false"})  # in upper or lower case
FOLLOWED = frozenset({"drivers", "models"})  # packages whose changes are noticed; numpy is not one


def _numba() -> ModuleType | None:
    if os.environ.get(PLAIN, "").strip().lower() not in OFF:
        return None
    try:
        # numba imports cmath only when it first compiles. Run as root, the process may then be another account, which
        # may not be able to read the folder of Python.
        import cmath  # noqa: F401, PLC0415

        import numba  # noqa: PLC0415 - optional: the search works without it, slowly
    except ImportError:
        return None
    found: ModuleType = numba
    return found


NUMBA = _numba()


def compiled(function: F, *, inline: bool = False, exact: bool = False) -> F:
    """Compiles a function of arrays and numbers with numba. Without numba, returns the function itself.

    `inline`: the compiler puts it into its caller, where it can see that arrays do not overlap. `exact`: each operation
    is rounded separately, as numpy does, so that equal values stay equal.
    """
    if NUMBA is None:
        return function
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set() if exact else {"contract"}}
    if inline:
        options["inline"] = "always"
    from models.compiled_cache import keep_next_to_source  # noqa: PLC0415 - needs numba

    made: F = NUMBA.njit(**options)(function)
    keep_next_to_source(made, function, _stamp(Path(function.__code__.co_filename)))
    return made


@functools.cache
def _stamp(module: Path) -> str:
    """The hash of the source of a module and of all modules that it imports, directly or not.

    The compiled code may contain constants and functions of other modules; numba alone checks only the file of the
    function.
    """
    root = _root(module)
    followed = FOLLOWED | {module.relative_to(root).parts[0]} if module.parent != root else None
    found = {module}
    left = [module]
    while left:
        new = [path for path in _imports(left.pop(), root, followed) if path not in found]
        found.update(new)
        left += new
    digests = (hashlib.sha256(path.read_bytes()).digest() for path in sorted(found))
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _root(module: Path) -> Path:
    """The folder that holds the top-level package of a module, or its folder if it is in no package."""
    folder = module.parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


@functools.cache
def _imports(module: Path, root: Path, followed: frozenset[str] | None) -> tuple[Path, ...]:
    """The sources below `root` that a module imports. If `followed` is None, of any package."""
    names = _imported_names(ast.parse(module.read_bytes()), module.relative_to(root).parts[:-1])
    wanted = [name for name in names if followed is None or name[0] in followed]
    return tuple(dict.fromkeys(path for name in wanted for path in _sources(name, root)))


def _imported_names(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The parts of each imported name. The last part of `from a import b` may be a module or a name in one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            parts = (*above, *(node.module.split(".") if node.module else ()))
            yield from ((*parts, alias.name) for alias in node.names)


def _sources(name: tuple[str, ...], root: Path) -> Iterator[Path]:
    """The existing files of a module and of the packages that it is in: Python runs all of them."""
    for length in range(1, len(name) + 1):
        path = root.joinpath(*name[:length])
        yield from (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file())


def _count_bits() -> Callable[[Any], Any]:
    if NUMBA is None:
        return lambda word: int(word).bit_count()
    from numba.core import types  # noqa: PLC0415
    from numba.extending import intrinsic  # noqa: PLC0415

    def count_bits(_context: Any, word: Any) -> Any:  # noqa: ANN401 - the compiler's own types
        """Counts the set bits of an integer, with the instruction of the processor."""

        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            return builder.ctpop(arguments[0])

        return (word(word), emit) if isinstance(word, types.Integer) else None

    made: Callable[[Any], Any] = intrinsic(count_bits)  # type: ignore[assignment]
    return made


count_bits = _count_bits()
inlined = functools.partial(compiled, inline=True)
exactly = functools.partial(compiled, exact=True)
