"""Counts the lines of each module that its mirrored test alone does not run.

Compares the counts with tests/structure/uncovered.toml.

python -m tests.whole.drills.coverage [MODULE or FOLDER ...] [--write]

Each test file runs in a separate process, so other tests do not add to its coverage. Lines that run in child processes
or are compiled by numba count as not run. Exit status 1 if a test fails, or if a module has more such lines than the
list. --write puts the numbers into the list, also lower ones.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.structure.mirror import ROOT, mirrored_test, modules

LIST = ROOT / "tests" / "structure" / "uncovered.toml"
HEAD = """\
# Lines of a module that its mirrored test alone does not run; "all" where there is no mirrored test, or where it cannot
# import the module here (torch, Debian's Python). A module that is not here is covered completely. Numbers may only
# fall: `make drill-coverage` measures them.

"""
ALL = "all"
Uncovered = dict[str, int | str]


def known() -> Uncovered:
    """The list in uncovered.toml."""
    return dict(tomllib.loads(LIST.read_text(encoding="utf-8")))


def measure(module: Path) -> int | str:
    """The number of lines of a module that its mirrored test does not run. RuntimeError if the test fails."""
    test = mirrored_test(module)
    if not (ROOT / test).exists():
        return ALL
    with tempfile.TemporaryDirectory() as folder:
        data, report = Path(folder) / "data", Path(folder) / "report.json"
        coverage = [sys.executable, "-m", "coverage"]
        run = [*coverage, "run", f"--data-file={data}", f"--include={module}", "-m", "pytest", "-q", str(test)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{test} fails:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        export = [*coverage, "json", "-q", f"--data-file={data}", "-o", str(report)]
        if subprocess.run(export, cwd=ROOT, capture_output=True, check=False).returncode:
            return ALL  # the test does not import the module
        (file,) = json.loads(report.read_text(encoding="utf-8"))["files"].values()
        return int(file["summary"]["missing_lines"])


def compare(measured: Uncovered, listed: Uncovered) -> list[str]:
    """The modules with more such lines than the list says, one line for each. Some lines depend on the machine."""
    return [
        f"{module}: {lines} lines are not run by its mirrored test, the list says {listed.get(module, 0)}"
        for module, lines in measured.items()
        if _count(lines) > _count(listed.get(module, 0))
    ]


def _count(lines: int | str) -> float:
    return float("inf") if isinstance(lines, str) else lines


def selected(names: Iterable[str]) -> list[Path]:
    """The named modules and those in the named folders; all modules if nothing is named."""
    wanted = [Path(name) for name in names]
    return [m for m in modules() if not wanted or any(w == m or w in m.parents for w in wanted)]


def write(measured: Uncovered) -> None:
    """Write the numbers into the list, and remove modules that no longer exist."""
    existing = {str(module) for module in modules()}
    merged = {name: lines for name, lines in (known() | measured).items() if lines and name in existing}
    rows = [f'"{name}" = {json.dumps(lines)}\n' for name, lines in sorted(merged.items())]
    LIST.write_text(HEAD + "".join(rows), encoding="utf-8")


def main() -> int:
    """Measure the modules, compare with the list and print the differences."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="modules or folders; default: all")
    parser.add_argument("--write", action="store_true", help="write the measured numbers into the list")
    arguments = parser.parse_args()
    measured: Uncovered = {}
    failed: list[str] = []
    paths = selected(arguments.modules)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, future in [(path, pool.submit(measure, path)) for path in paths]:
            try:
                measured[str(path)] = future.result()
            except RuntimeError as error:
                failed.append(str(error))
            if arguments.write:
                write(measured)  # after each module: an interrupted run keeps what it has measured
    whole = sum(lines == 0 for lines in measured.values())
    problems = [*failed, *compare(measured, known())]
    print(
        "\n".join([*problems, f"{whole} of {len(paths)} modules are covered completely by their mirrored test alone"])
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
