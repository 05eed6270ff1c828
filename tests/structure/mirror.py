"""Which test belongs to which module: agent/hub/outbox.py is tested by tests/agent/hub/test_outbox.py."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent", "drivers", "models", "simulators")


def has_code(path: Path) -> bool:
    """Whether a file has more than a docstring: most `__init__.py` have not."""
    return len(ast.parse(path.read_text(encoding="utf-8")).body) > 1


def modules() -> list[Path]:
    """Every module of the product, relative to the project, sorted."""
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sorted(path.relative_to(ROOT) for path in found if path.name != "__init__.py" or has_code(path))


def mirrored_test(module: Path) -> Path:
    """Where the test of a module is: `__init__.py` has test_init.py, `__main__.py` test_main.py."""
    return Path("tests") / module.with_name(f"test_{module.stem.strip('_')}.py")
