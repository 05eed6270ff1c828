"""Runs the public suite tuf-conformance (theupdateframework) against our TUF client: every test, no expected failures.

python -m tests.whole.drills.conformance
python -m tests.whole.drills.conformance --suite ../tuf-conformance      a checkout that is there already

Without --suite (or the variable TUF_CONFORMANCE) it fetches the commit below with git. It installs the suite into a
temporary environment, which needs the package index; --python names an environment that has it. The suite needs the
program faketime (the package of that name). About four minutes.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.structure.mirror import ROOT
from tests.whole.drills.command_line import drill_parser, report_problems

SUITE = "https://github.com/theupdateframework/tuf-conformance"
COMMIT = "eec841c"
FEWEST = 113  # tests of the suite at that commit


def problems_in(report: Path, fewest: int) -> list[str]:
    """What is wrong according to a JUnit report: each test must have passed. Expected failures count as skipped."""
    cases = list(ET.parse(report).getroot().iter("testcase"))  # noqa: S314 - written by pytest
    bad = [(case, child.tag) for case in cases for child in case if child.tag in ("failure", "error", "skipped")]
    problems = [f"{case.get('name')}: {tag}" for case, tag in bad]
    print(f"{len(cases)} tests, {len(cases) - len(bad)} passed", flush=True)
    if len(cases) < fewest:
        problems.append(f"only {len(cases)} tests ran; the suite has at least {fewest}")
    return problems


def write_client(folder: Path) -> Path:
    """A program that is our client. Beside it is no list of expected failures."""
    program = folder / "client"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m agent.distribution.command "$@"\n')
    program.chmod(0o755)
    return program


def run_suite(suite: Path, python: Path, folder: Path, fewest: int) -> list[str]:
    """Run the suite of a checkout, with an interpreter that has what it needs. What is wrong."""
    report = folder / "report.xml"
    pytest = [str(python), "-m", "pytest", "-q", "tuf_conformance", f"--junitxml={report}"]
    done = subprocess.run([*pytest, "--entrypoint", str(write_client(folder))], cwd=suite, check=False)
    if not report.exists():
        return [f"the suite ended with status {done.returncode} and without a report"]
    return problems_in(report, fewest)


def fetch_suite(folder: Path) -> Path:
    """A checkout of the suite."""
    subprocess.run(["git", "clone", "-q", SUITE, str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "checkout", "-q", COMMIT], check=True)
    return folder


def install(suite: Path, folder: Path) -> Path:
    """Install the suite into a new environment; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", str(suite)], check=True)
    return python


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the drill. 0 if every test passed."""
    options = _options(arguments)
    if shutil.which("faketime") is None:
        return report_problems(["the program faketime is missing: install the package faketime"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite = Path(options.suite).resolve() if options.suite else fetch_suite(folder / "suite")
        python = Path(options.python) if options.python else install(suite, folder / "environment")
        return report_problems(run_suite(suite, python, folder, options.fewest))


def _options(arguments: Sequence[str] | None) -> Namespace:
    parser = drill_parser(__doc__, seed=False, fewest=FEWEST)
    parser.add_argument("--suite", default=os.environ.get("TUF_CONFORMANCE", ""), help="a checkout of the suite")
    parser.add_argument("--python", default="", help="an interpreter of an environment that has the suite's packages")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
