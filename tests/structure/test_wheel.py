"""Checks the two wheels of `make wheel`: one for kiosks, one with the simulators."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.structure.mirror import ROOT

AGENT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SIMULATORS = tomllib.loads((ROOT / "simulators" / "pyproject.toml").read_text(encoding="utf-8"))
RUNS = "import sys, {0}; sys.argv[1:] = ['--help']; print({0}.__file__, 'simulators' in sys.modules); {0}.main()"


def rooms(package: str) -> set[str]:
    """The packages below a folder, as dotted names."""
    found = (path.parent.relative_to(ROOT) for path in (ROOT / package).rglob("__init__.py"))
    return {".".join(path.parts) for path in found}


@pytest.fixture(scope="module", name="wheels")
def _wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both wheels, built from a copy of the sources. The keys are the names of the distributions."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("agent", "drivers", "models", "simulators"):
        unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
        shutil.copytree(ROOT / name, source / name, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    build += ["-w", str(dist), str(source), str(source / "simulators")]
    subprocess.run(build, check=True, capture_output=True)
    return {path.name.partition("-")[0]: path for path in dist.glob("*.whl")}


def files(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def test_the_wheel_for_kiosks_has_neither_simulators_nor_training(wheels: dict[str, Path]) -> None:
    packaged = files(wheels["kiosk_agent"])
    assert {name.partition("/")[0] for name in packaged} == {"agent", "drivers", "models"}
    assert not any(name.startswith("models/training/") for name in packaged)


def test_the_wheel_for_kiosks_has_every_module_and_data_file(wheels: dict[str, Path]) -> None:
    packaged = files(wheels["kiosk_agent"])
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in ("agent", "drivers", "models")
        for pattern in ("*.py", "*.json", "*.toml", "*.onnx", "LICENSE.*")
        for path in (ROOT / package).rglob(pattern)
    }
    assert {name for name in wanted if not name.startswith("models/training/")} <= packaged


def test_the_simulators_are_a_separate_package(wheels: dict[str, Path]) -> None:
    packaged = files(wheels["kiosk_simulators"])
    assert {name.partition("/")[0] for name in packaged} == {"simulators"}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "simulators").rglob("*.py")}
    assert modules <= packaged


def test_each_wheel_has_the_licence(wheels: dict[str, Path]) -> None:
    text = (ROOT / "LICENSE").read_bytes()
    for wheel in wheels.values():
        archive = zipfile.ZipFile(wheel)
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(name) == text


def test_every_room_of_the_simulators_is_listed() -> None:
    assert set(SIMULATORS["tool"]["setuptools"]["packages"]) == rooms("simulators")


def test_both_packages_have_one_version() -> None:
    version = AGENT["project"]["version"]
    assert SIMULATORS["project"]["version"] == version
    assert f"kiosk-agent=={version}" in SIMULATORS["project"]["dependencies"]
    extras = AGENT["project"]["optional-dependencies"]
    assert extras["simulators"] == [f"kiosk-simulators=={version}"]
    assert extras["bench"] == [f"kiosk-simulators[bench]=={version}"]


PROGRAMS = {
    "agent.__main__": ["kiosk_agent"],
    "simulators.__main__": ["kiosk_agent", "kiosk_simulators"],
    "simulators.bench.command": ["kiosk_agent", "kiosk_simulators"],
    "simulators.provider.command": ["kiosk_agent", "kiosk_simulators"],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_run_from_the_wheels_alone(wheels: dict[str, Path], tmp_path: Path, program: str) -> None:
    for name in PROGRAMS[program]:
        zipfile.ZipFile(wheels[name]).extractall(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", RUNS.format(program)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    needs_simulators = "kiosk_simulators" in PROGRAMS[program]
    assert done.stdout.splitlines()[0] == f"{tmp_path / (program.replace('.', '/') + '.py')} {needs_simulators}"
    assert "Usage" in done.stdout
