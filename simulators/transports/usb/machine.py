"""Runs a program on a simulated USB host: its libusb finds the simulated devices and no others.

Debian's Python runs the host (umockdev.py in this folder); this module starts it from any other Python.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from simulators.polling import wait_until
from simulators.transports.remote import RemoteError, SensorRemote

DEBIAN_PYTHON = "/usr/bin/python3"  # umockdev's bindings are installed only for it
PACKAGES = "umockdev gir1.2-umockdev-1.0 python3-gi libusb-1.0-0"
START_S = 20.0  # on a computer under high load

# Isolated (-I), so that no file in the caller's folder replaces a module; our packages come last for the same reason.
START = (
    (
        "import sys; sys.path.append(sys.argv.pop(1)); "
        "from simulators.transports.usb import umockdev; sys.exit(umockdev.main())"
    ),
    str(Path(__file__).parents[3]),
)
PROBE = "import gi; gi.require_version('UMockdev', '1.0'); from gi.repository import UMockdev"


@cache
def missing() -> str:
    """What this computer lacks for --via libusb, and how to install it; empty if nothing."""
    there = shutil.which("umockdev-wrapper") and Path(DEBIAN_PYTHON).exists()
    probe = [DEBIAN_PYTHON, "-I", "-c", PROBE]
    if there and subprocess.run(probe, check=False, capture_output=True).returncode == 0:
        return ""
    return f"--via libusb needs umockdev and its bindings, on Debian: apt install {PACKAGES}"


def require() -> None:
    """Raises ValueError if this computer lacks umockdev. The message says what to install."""
    if absent := missing():
        raise ValueError(absent)


class SimulatedUsbHost:
    """Runs `program` on a USB host with the devices of `devices` (MODULE:FUNCTION), until it ends or the context ends.

    It runs in the caller's folder and terminal. `settings` returns environment variables for MODULE:FUNCTION; its
    argument is the folder for the host's files. `remote` sends commands to the host. ValueError if umockdev is missing.
    """

    def __init__(
        self,
        devices: str,
        program: Sequence[str],
        settings: Callable[[Path], Mapping[str, str]],
        control: Path | None = None,
    ) -> None:
        self._devices = devices
        self._program = program
        self._settings = settings
        self._control = control
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        require()
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kiosk-sim-")))
            self.remote = SensorRemote(control=self._control or self.folder / "control")
            environment = os.environ | self._settings(self.folder)
            self._process = subprocess.Popen(self._command(), env=environment)
            stack.callback(self.wait)
            stack.callback(self.terminate)
            wait_until(lambda: not self.running or self._answers(), START_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _command(self) -> list[str]:
        umockdev = ["umockdev-wrapper", DEBIAN_PYTHON, "-I", "-c", *START, self._devices]
        return [*umockdev, "--control", str(self.remote.control), "--", *self._program]

    @property
    def running(self) -> bool:
        """True if the program was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def _answers(self) -> bool:
        try:
            self.remote.status()
        except RemoteError:
            return False
        return True

    def terminate(self) -> None:
        """Ask the program to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> int:
        """Wait for the end of the program; returns its exit status, 128 + number if a signal ended it."""
        if self._process is None:
            return 0
        status = self._process.wait()
        return status if status >= 0 else 128 - status


def run_program(usb_host: SimulatedUsbHost, place: AbstractContextManager[object]) -> int:
    """Run the program of `usb_host` inside `place` (the host itself, or what enters it); returns its exit status.

    Ctrl-C and SIGTERM are left to the program.
    """

    def terminate(*_signal: object) -> None:
        if not usb_host.running:
            raise SystemExit(128 + signal.SIGTERM)
        usb_host.terminate()

    handlers = {
        signal.SIGINT: lambda *_: None,
        signal.SIGTERM: terminate,
    }  # the program gets Ctrl-C too
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        with place:
            return usb_host.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def print_to_stderr(line: str) -> None:
    """Print a line on stderr, separate from what the program writes."""
    print(f"kiosk-sim: {line}", file=sys.stderr, flush=True)
