"""Finds the test of each module: agent/hub/outbox.py is tested by tests/agent/hub/test_outbox.py."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent", "drivers", "models", "simulators")


def has_code(path: Path) -> bool:
    """Whether a file has more than a docstring. Most `__init__.py` files do not."""
    return len(ast.parse(path.read_text(encoding="utf-8")).body) > 1


def modules() -> list[Path]:
    """All modules of the product, as sorted paths relative to the project."""
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sorted(path.relative_to(ROOT) for path in found if path.name != "__init__.py" or has_code(path))


def mirrored_test(module: Path) -> Path:
    """The path of the test of a module. For `__init__.py` it is test_init.py, for `__main__.py` test_main.py."""
    return Path("tests") / module.with_name(f"test_{module.stem.strip('_')}.py")
