"""Checks the layout: folders of 2 to 12 modules, at most three levels, no import cycles.

From outside the folder of a sensor, only its module `driver` may be imported.
"""

import ast
import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.structure.mirror import ROOT
from tests.structure.sources import FILES, MODULES, dotted, imports_of, tree

FEWEST, MOST, LEVELS = 2, 12, 3
LARGER = {"simulators/bench": 17}  # one module for each measurement
NEEDS_TORCH = Path("models/training/networks")  # a separate folder for that reason, whatever its size

FOLDERS = sorted({path.parent for path in FILES})

# Both rooms read the same cameras, so the first may import more modules of the second than `driver`.
SHARED_FORMATS = {"drivers.v4l2": "drivers.uvc"}


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Our own modules that a module imports."""
    found: set[str] = set()
    for one in imports_of(MODULES[module]):
        found |= set(one.inner) & MODULES.keys() or {one.module}
    return frozenset(found & MODULES.keys()) - {module}


def room(module: str) -> str:
    """The folder of a module. A module directly in a package counts as a room: agent.daemon, agent.errors."""
    path = MODULES[module]
    return module if len(path.parts) == 2 and path.name != "__init__.py" else dotted(path.parent)


def cycles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """All sets of nodes that reach each other (Tarjan's strongly connected components of two or more nodes)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for following in graph.get(node, ()):
            if following not in index:
                visit(following)
            if following in stack:
                low[node] = min(low[node], low[following])
        if low[node] == index[node]:
            at = stack.index(node)
            component, stack[at:] = stack[at:], []
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def sensor_rooms(package: str) -> list[str]:
    """The rooms that have a driver: drivers.ef01 and so on."""
    return [dotted(path.parent) for path in FILES if path.parts[0] == package and path.name == "driver.py"]


def foreign(module: str) -> Iterator[tuple[str, str]]:
    """What a module imports from the rooms of other sensors: room and module."""
    for imported in imports(module):
        for sensor in sensor_rooms("drivers"):
            if (imported == sensor or imported.startswith(f"{sensor}.")) and not module.startswith(f"{sensor}."):
                yield sensor, imported


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_folder_has_2_to_12_modules(folder: Path) -> None:
    count = sum(path.parent == folder and path.name != "__init__.py" for path in FILES)
    assert count <= LARGER.get(str(folder), MOST)
    assert count >= FEWEST or any(inner.parent == folder for inner in FOLDERS)


def test_no_folder_is_deeper_than_three_levels() -> None:
    assert [str(folder) for folder in FOLDERS if len(folder.parts) > LEVELS] == []


@pytest.mark.parametrize("folder", [f for f in FOLDERS if len(f.parts) == LEVELS and f != NEEDS_TORCH], ids=str)
def test_a_third_level_exists_only_if_the_second_would_be_too_large(folder: Path) -> None:
    second = folder.parent
    assert sum(second in path.parents and path.name != "__init__.py" for path in FILES) > MOST


def test_every_folder_has_a_docstring() -> None:
    for folder in FOLDERS:
        text = (ROOT / folder / "__init__.py").read_text(encoding="utf-8")
        assert (ast.get_docstring(ast.parse(text)) or "").strip(), f"{folder}/__init__.py has no docstring"


def test_there_is_no_import_cycle_of_modules() -> None:
    assert cycles({module: imports(module) for module in MODULES}) == []


def test_there_is_no_import_cycle_of_rooms() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        graph[room(module)] |= {room(imported) for imported in imports(module)} - {room(module)}
    assert cycles(graph) == []


def test_a_cycle_would_be_found() -> None:
    assert cycles({"a": ["b"], "b": ["c", "d"], "c": ["a"], "d": ["e"], "e": ["d"]}) == [["d", "e"], ["a", "b", "c"]]
    assert cycles({"a": ["b", "c"], "b": ["c"], "c": []}) == []


@pytest.mark.parametrize("module", sorted(name for name in MODULES if not name.startswith("simulators")))
def test_from_outside_a_sensors_room_only_its_driver_is_imported(module: str) -> None:
    for sensor, imported in foreign(module):
        if SHARED_FORMATS.get(room(module)) == sensor:
            continue
        assert imported == f"{sensor}.driver", f"{module} imports {imported}"


@pytest.mark.parametrize("module", MODULES)
def test_an_import_names_the_whole_path_of_what_it_imports(module: str) -> None:
    """The other tests of this file do not see relative imports."""
    nodes = ast.walk(tree(MODULES[module]))
    assert [node.lineno for node in nodes if isinstance(node, ast.ImportFrom) and node.level] == []
