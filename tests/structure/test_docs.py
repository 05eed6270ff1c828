"""Checks that commands, flags, files and make targets in the documents exist, and that the notices are complete."""

import functools
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.structure.mirror import PACKAGES, ROOT

FOLDERS = (*PACKAGES, "simulators/provider", "systemd", "tests")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))])


def commands_in(text: str, program: str) -> set[tuple[str, ...]]:
    """The subcommands that a document shows, for example `kiosk-agent watchlist list`."""
    inner = "list|remove|status|update|verify|explain|finger|iris"
    found = re.findall(rf"{program} ([a-z][a-z0-9-]*)(?: ({inner})\b)?", text)
    return {tuple(word for word in words if word) for words in found}


def agent_app() -> typer.Typer:
    from agent.__main__ import app  # noqa: PLC0415 - a separate program

    return app


def bench_app() -> typer.Typer:
    from simulators.bench.command import app  # noqa: PLC0415 - a separate program

    return app


def sim_app() -> typer.Typer:
    from simulators.__main__ import COMMANDS  # noqa: PLC0415 - a separate program

    app = typer.Typer()
    for name, target in COMMANDS.items():
        module, _, function = target.partition(":")
        app.command(name)(getattr(importlib.import_module(module), function))
    return app  # built in the same way as in simulators/__main__.py


def list_app() -> typer.Typer:
    from simulators.provider.command import app  # noqa: PLC0415 - a separate program

    return app


APPS = {"kiosk-agent": agent_app, "kiosk-bench": bench_app, "kiosk-sim": sim_app, "kiosk-list": list_app}


@functools.cache
def flags_of(program: str) -> dict[tuple[str, ...], set[str]]:
    """The flags of every command and subcommand. The keys are the words of the command."""
    found: dict[tuple[str, ...], set[str]] = {}

    def walk(words: tuple[str, ...], command: Any) -> None:  # noqa: ANN401 - the class is in a private module of typer
        found[words] = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        for name, inner in getattr(command, "commands", {}).items():
            walk((*words, name), inner)

    walk((), typer.main.get_command(APPS[program]()))
    return found


@pytest.mark.parametrize("program", APPS)
def test_every_command_in_a_document_exists(program: str) -> None:
    shown = {c for path in DOCUMENTS for c in commands_in(path.read_text(encoding="utf-8"), program)}
    assert shown, f"no document shows {program}"
    assert {words[:1] for words in shown} <= set(flags_of(program))


def flags_in(text: str, program: str) -> set[tuple[tuple[str, ...], str]]:
    """The flags that a document shows after each subcommand, on the same line and before a comment or a pipe."""
    found = re.findall(rf"{program} ([a-z][a-z0-9-]*)((?: (?:list|remove|finger|iris)\b)?)([^`#|&;)\n]*)", text)
    return {
        ((command, *second.split()), flag)
        for command, second, rest in found
        for flag in re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest.partition(" -- ")[0])
    }


@pytest.mark.parametrize("program", APPS)
def test_every_flag_in_a_document_exists(program: str) -> None:
    shown = {use for path in DOCUMENTS for use in flags_in(path.read_text(encoding="utf-8"), program)}
    assert shown, f"no document shows a flag of {program}"
    known = flags_of(program)
    missing = {(command, flag) for command, flag in shown if flag not in known.get(command, {"--help"}) | {"--help"}}
    assert not missing


def test_flags_are_found_in_the_text_of_a_document() -> None:
    text = (
        "$ kiosk-sim ef01 --link /tmp/x -p -- other --thing   # not --this\n"
        "`kiosk-sim fault list` or `kiosk-sim press --hold 3` (--no)"
    )
    expected = {(("ef01",), "--link"), (("ef01",), "-p"), (("press",), "--hold")}
    assert flags_in(text, "kiosk-sim") == expected


def test_every_command_of_the_agent_is_in_the_readme() -> None:
    known = {words[0] for words in flags_of("kiosk-agent") if len(words) == 1}
    shown = {words[0] for words in commands_in((ROOT / "README.md").read_text(encoding="utf-8"), "kiosk-agent")}
    assert {"run", "status", "enrol"} <= known
    assert known <= shown
    inner = {words for words in flags_of("kiosk-agent") if len(words) > 1}
    assert ("watchlist", "explain") in inner
    assert inner <= commands_in((ROOT / "README.md").read_text(encoding="utf-8"), "kiosk-agent")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_targets_of_the_links_in_a_document_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


PROGRAMS = re.findall(r"\$\(BIN\)/python -c '([^']+)'", (ROOT / "Makefile").read_text(encoding="utf-8"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_in_the_makefile_run(program: str) -> None:
    """`make setup` runs them once, so a renamed function would show only on a new computer."""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=120)


def test_the_makefile_has_programs() -> None:
    assert len(PROGRAMS) == 1


FILE = re.compile(r"(?<![\w/.*{}<>-])((?:[a-z_0-9]+/)*[a-z_0-9]+\.py)\b")
ELSEWHERE = ("tools/protocol.py", "tools/metrics.py")  # next to the project, in ../shared
SOURCES = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]


@pytest.mark.parametrize("path", [*DOCUMENTS, *SOURCES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_files_named_in_a_text_exist(path: Path) -> None:
    """The path is relative to the project, to the package or to the folder of the text."""
    places = {ROOT, ROOT / path.relative_to(ROOT).parts[0], path.parent}
    for name in FILE.findall(path.read_text(encoding="utf-8")):
        assert name in ELSEWHERE or any((place / name).exists() for place in places), f"there is no {name}"


def test_every_make_target_in_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (drills,) = re.findall(r"^DRILLS := (.*)$", makefile, re.MULTILINE)
    known = {f"drill-{name}" for name in drills.split()} | set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = re.findall(r"(?:`|\$ )make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert named
    assert set(named) <= known


def test_the_readme_of_the_drivers_explains_why_usbip_is_no_backend_of_pyusb() -> None:
    text = (ROOT / "drivers" / "README.md").read_text(encoding="utf-8")
    _, _, answer = text.partition("no backend of pyusb\n")
    for fact in ("IBackend", "cancel within 0.3 s", "usb/usbip.py", "--via libusb"):
        assert fact in answer


def test_every_locked_library_is_in_the_notice() -> None:
    listed = set(re.findall(r"^([a-z0-9][\w.-]*)  ", (ROOT / "NOTICE").read_text(encoding="utf-8"), re.MULTILINE))
    listed |= set(re.findall(r"^([a-z0-9][\w.-]*) [A-Z]", (ROOT / "NOTICE").read_text(encoding="utf-8"), re.MULTILINE))
    for lock in ("requirements.lock", "requirements-dev.lock"):
        locked = set(re.findall(r"^([a-z0-9][\w.-]*)==", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))
        assert locked <= listed, f"{lock}: not in NOTICE: {sorted(locked - listed)}"


def test_every_model_file_is_in_the_notice() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for path in (ROOT / "models" / "weights").glob("*.onnx"):
        assert path.name in notice


def test_the_licence_of_the_model_is_packaged_with_it() -> None:
    text = (ROOT / "models" / "weights" / "LICENSE.pyfing").read_text(encoding="utf-8")
    assert "Copyright (c) 2023 Raffaele Cappelli" in text
    assert "shall be included in" in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "weights/LICENSE.*" in project["tool"]["setuptools"]["package-data"]["models"]
    assert "models/weights/LICENSE.pyfing" in project["project"]["license-files"]
    assert "models/weights/LICENSE.pyfing" in (ROOT / "NOTICE").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = (ROOT / "systemd" / "kiosk-agent.service").read_text(encoding="utf-8")
    program = re.search(r"^ExecStart=(\S+)", unit, re.MULTILINE)
    assert program is not None
    copy = tmp_path / "kiosk-agent.service"
    copy.write_text(unit.replace(program[1], sys.executable), encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    problems = [line for line in done.stderr.splitlines() if "kiosk-agent" in line]
    assert problems == []


def test_the_unit_starts_the_agent_with_a_watchdog() -> None:
    unit = (ROOT / "systemd" / "kiosk-agent.service").read_text(encoding="utf-8")
    assert re.search(r"^ExecStart=\S+/kiosk-agent run --config \S+$", unit, re.MULTILINE)
    assert "WatchdogSec=" in unit
    assert "Type=notify" in unit
