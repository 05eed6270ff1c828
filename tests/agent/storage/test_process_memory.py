"""The memory of the daemon goes to no core file and, where that is allowed, to no swap space."""

import ctypes
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.storage import process_memory as module
from tests.structure.mirror import ROOT

NO_SWAP = "Filename\tType\tSize\tUsed\tPriority\n"
SWAP = NO_SWAP + "/dev/sda2 partition 1048572 0 -2\n"


@pytest.fixture(name="asked", autouse=True)
def _asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What the kernel is asked for, in place of the process of the tests, which must stay as it is."""
    asked: list[tuple[str, int]] = []

    class Kernel:
        def prctl(self, option: ctypes.c_ulong, value: ctypes.c_ulong, *_: object) -> int:
            asked.append(("prctl", option.value * 10 + value.value))
            return 0

        def mlockall(self, flags: ctypes.c_ulong) -> int:
            asked.append(("mlockall", flags.value))
            return 0

    monkeypatch.setattr(module, "libc", Kernel())
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: asked.append(("limit", which + sum(limits))))
    return asked


def limit(monkeypatch: pytest.MonkeyPatch, value: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (value, value))


def test_no_core_and_everything_locked_where_there_is_no_limit(
    asked: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limit(monkeypatch, resource.RLIM_INFINITY)
    (tmp_path / "swaps").write_text(SWAP)
    module.protect_memory(tmp_path / "swaps")
    assert asked == [("limit", resource.RLIMIT_CORE), ("prctl", 40), ("mlockall", 7)]
    assert caplog.messages == []


@pytest.mark.parametrize(("swaps", "warned"), [(SWAP, True), (NO_SWAP, False), (None, False)])
def test_a_warning_where_memory_may_be_swapped(
    asked: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    swaps: str | None,
    *,
    warned: bool,
) -> None:
    limit(monkeypatch, 8 << 20)
    if swaps is not None:
        (tmp_path / "swaps").write_text(swaps)
    module.protect_memory(tmp_path / "swaps")
    assert ("mlockall", 7) not in asked
    assert any("may be swapped to disk" in message for message in caplog.messages) == warned


def test_what_the_kernel_refuses_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing:
        def mlockall(self, *_: object) -> int:
            ctypes.set_errno(1)
            return -1

    monkeypatch.setattr(module, "libc", Refusing())
    limit(monkeypatch, resource.RLIM_INFINITY)
    assert not module._lock()
    assert caplog.messages == ["mlockall: Operation not permitted"]


@pytest.mark.parametrize(
    "line",
    ["LimitCORE=0", "MemorySwapMax=0", "LimitMEMLOCK=infinity", "LoadCredentialEncrypted=store-key:/etc/kiosk-agent/"],
)
def test_the_unit_keeps_memory_and_key_off_the_disk(line: str) -> None:
    unit = (ROOT / "systemd" / "kiosk-agent.service").read_text(encoding="utf-8")
    assert any(found.startswith(line) for found in unit.splitlines())


ABORT = """
import os, resource, sys
from pathlib import Path
from agent.storage.process_memory import PR_GET_DUMPABLE, libc, protect_memory
protect_memory()
print(libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))
locked = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmLck"))
limited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY
print(limited or int(locked.split()[1]) > 0, flush=True)
os.chdir(sys.argv[1])
os.abort()
"""


def test_a_real_process_that_aborts_leaves_no_core_file(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ABORT, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGABRT
    assert done.stdout == "0 (0, 0)\nTrue\n"
    assert list(tmp_path.iterdir()) == []
