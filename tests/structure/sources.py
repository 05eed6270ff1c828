"""The source files of the product, their import names, and what each of them imports."""

import ast
import functools
from pathlib import Path
from typing import NamedTuple

from tests.structure.mirror import PACKAGES, ROOT

# All files, as sorted paths relative to the project.
FILES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def dotted(path: Path) -> str:
    """The import name of a file: agent.hub.link for agent/hub/link.py, agent.hub for agent/hub/__init__.py."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path): path for path in FILES}


@functools.cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


class Import(NamedTuple):
    """What one statement imports: a module, and for `from module import a, b` the names a and b in it."""

    module: str
    names: tuple[str, ...] = ()

    @property
    def inner(self) -> tuple[str, ...]:
        """The dotted names of what is imported from the module. Some may be modules."""
        return tuple(f"{self.module}.{name}" for name in self.names)


@functools.cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """The import statements of a file, also those inside functions. Relative imports are refused by test_rooms.py."""
    found: list[Import] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(Import(node.module, tuple(alias.name for alias in node.names)))
    return tuple(found)
