"""The programs connect to this computer only, look up no name, and write no file outside of their own folders.

A library may send usage data to its maker. Some do not where CI=true, so these tests run without it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs import strace
from tests.structure.mirror import ROOT

SECONDS = 240.0
BIN = Path(sys.executable).parent

# Every program. The demo runs `kiosk-agent run` with its sensors, a broker and a hub.
PROGRAMS = {
    "kiosk-sim": ("kiosk-sim", "demo", "--once"),
    "kiosk-agent": ("kiosk-agent", "check-config", "--config", str(ROOT / "systemd" / "kiosk-agent.toml")),
    "kiosk-bench": ("kiosk-bench", "encode", "finger", "--rounds", "1", "--no-fetch-yardstick", "--cache", "."),
}


def _environment(folder: Path) -> dict[str, str]:
    """That of this test without CI, with an empty home directory."""
    home = folder / "home"
    home.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CI", "GITHUB_", "ORT_", "XDG_"))}
    return kept | {"HOME": str(home), "TMPDIR": str(folder)}


def _command(name: str) -> list[str]:
    program, *arguments = PROGRAMS[name]
    return [str(BIN / program), *arguments]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_connects_to_nobody_and_writes_nothing_elsewhere(tmp_path: Path, name: str) -> None:
    environment = _environment(tmp_path)
    if strace.works():
        trace = strace.Trace(_command(name), tmp_path, environment, SECONDS)
        # Compiled code is kept next to its source.
        assert trace.strange([ROOT / folder for folder in ("agent", "drivers", "models", "simulators")]) == []
    else:
        subprocess.run(_command(name), env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=SECONDS)
    assert list((tmp_path / "home").rglob("*")) == []


LOOKS_UP = "import socket\ntry: socket.getaddrinfo('kiosk.invalid', 80)\nexcept OSError: pass"
CONNECTS = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.connect(('192.0.2.1', 9))"
WRITES = "from pathlib import Path\nPath('../elsewhere').write_text('x')\nPath('../folder').mkdir()"


@pytest.mark.skipif(not strace.works(), reason="strace is not installed, or may not trace here")
@pytest.mark.parametrize(
    ("code", "found"),
    [
        (LOOKS_UP, "looks up a name: reads /etc/resolv.conf"),
        (CONNECTS, "connects to 192.0.2.1 port 9"),
        (WRITES, "writes {above}/elsewhere"),
        (WRITES, "makes {above}/folder"),
    ],
)
def test_the_trace_shows_what_a_program_does_elsewhere(tmp_path: Path, code: str, found: str) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    trace = strace.Trace([sys.executable, "-c", code], folder, _environment(folder), SECONDS)
    assert found.format(above=tmp_path) in trace.strange()
