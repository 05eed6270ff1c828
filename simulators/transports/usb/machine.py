"""A program on a simulated machine: behind its libusb are simulated devices, and nothing else of USB is there.

Debian's Python runs the machine (tests/rigs/umockdev.py); this is what starts it from any other Python.
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

DEBIAN_PYTHON = "/usr/bin/python3"  # umockdev's bindings are for it alone
PACKAGES = "umockdev gir1.2-umockdev-1.0 python3-gi libusb-1.0-0"
START_S = 20.0  # on a machine that has a lot to do

# Isolated, so that nothing in the caller's folder stands in for a module; our packages come last for the same reason.
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
    """What this machine lacks to simulate another, and how to get it; empty: nothing."""
    there = shutil.which("umockdev-wrapper") and Path(DEBIAN_PYTHON).exists()
    probe = [DEBIAN_PYTHON, "-I", "-c", PROBE]
    if there and subprocess.run(probe, check=False, capture_output=True).returncode == 0:
        return ""
    return f"--via libusb needs umockdev and its bindings, on Debian: apt install {PACKAGES}"


def require() -> None:
    """ValueError: what this machine lacks."""
    if absent := missing():
        raise ValueError(absent)


class SimulatedUsbHost:
    """`program` runs on the machine that `bench` (MODULE:FUNCTION) makes, while the context lasts or until it ends.

    It runs in the caller's folder and terminal. `settings` are environment variables for the bench, made when the
    folder of the machine's files is there. `remote` gives orders to the machine. ValueError: umockdev is not here.
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
        """Whether the program has been started and has not ended."""
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
        """Wait for the end of the program; its exit status, 128 and more for one that a signal has ended."""
        if self._process is None:
            return 0
        status = self._process.wait()
        return status if status >= 0 else 128 - status


def run_program(usb_host: SimulatedUsbHost, place: AbstractContextManager[object]) -> int:
    """Run the machine's program in `place` (the machine itself, or what enters it); its exit status.

    Ctrl-C and SIGTERM are left to the program.
    """

    def terminate(*_signal: object) -> None:
        if not usb_host.running:
            raise SystemExit(128 + signal.SIGTERM)
        usb_host.terminate()

    orders = {signal.SIGINT: lambda *_: None, signal.SIGTERM: terminate}  # of Ctrl-C the terminal has told it too
    before = {number: signal.signal(number, order) for number, order in orders.items()}
    try:
        with place:
            return usb_host.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def print_to_stderr(line: str) -> None:
    """A line that does not mix with what the program writes."""
    print(f"kiosk-sim: {line}", file=sys.stderr, flush=True)
