"""sd_notify as the service manager hears it."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.sd_notify import Notifier


@pytest.fixture(name="manager")
def _manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(5)
        yield end


def environment(tmp_path: Path) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(tmp_path / "notify")}


def test_ready_status_watchdog_and_stopping(tmp_path: Path, manager: socket.socket) -> None:
    notifier = Notifier(environment(tmp_path))
    notifier.ready("2 sensors")
    notifier.status("hub away")
    notifier.watchdog()
    notifier.stopping()
    heard = [manager.recv(1000) for _ in range(4)]
    assert heard == [b"READY=1\nSTATUS=2 sensors", b"STATUS=hub away", b"WATCHDOG=1", b"STOPPING=1"]


def test_an_abstract_socket_is_reached() -> None:
    name = f"kiosk-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0" + name)
        end.settimeout(5)
        Notifier({"NOTIFY_SOCKET": "@" + name}).watchdog()
        assert end.recv(100) == b"WATCHDOG=1"


def test_the_watchdog_interval_is_ours_alone() -> None:
    assert Notifier({"WATCHDOG_USEC": "30000000"}).watchdog_s == 30
    assert Notifier({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}).watchdog_s == 30
    assert Notifier({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}).watchdog_s is None
    assert Notifier({"WATCHDOG_USEC": "soon"}).watchdog_s is None
    assert Notifier({}).watchdog_s is None


def test_outside_systemd_nothing_happens() -> None:
    Notifier({}).ready("alone")


def test_a_manager_that_went_away_does_not_end_the_service(tmp_path: Path) -> None:
    Notifier(environment(tmp_path)).watchdog()
