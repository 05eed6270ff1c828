"""The control server: who may use it, and that nothing a client does harms it or another client."""

import errno
import grp
import os
import socket
import stat
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from agent.control import server as control_server
from agent.control.cancellation import CancellationToken
from agent.control.protocol import ControlClient
from agent.control.server import MAX_CLIENTS, MAX_OPERATORS, ControlServer
from agent.encounter.announcements import TravellerMessage
from agent.errors import ConfigError, ControlError
from simulators.polling import wait_until
from tests.rigs.control_server import echo, running_server, send_raw

TOLD = TravellerMessage(key="proceed", text="Thank you.")


def test_the_socket_is_for_the_account_and_its_group_alone(path: Path) -> None:
    with running_server(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_user_without_permission_is_refused(path: Path, mocker: MockerFixture) -> None:
    mocker.patch.object(control_server, "_peer", return_value=(12345, "stranger"))
    with running_server(path):
        answer = send_raw(path, b'{"do": "status"}\n')
    assert answer == {"ok": False, "error": "user stranger may not control this kiosk"}


def test_a_member_of_the_configured_group_is_served(path: Path, mocker: MockerFixture) -> None:
    mocker.patch.object(control_server, "_peer", return_value=(0x7FFFFFF0, "operator"))
    mocker.patch("os.getgrouplist", return_value=[os.getgid()])
    mocker.patch("pwd.getpwuid")
    server = ControlServer(path, None, echo, lambda *_: None)
    server._group = os.getgid()
    server.start()
    assert send_raw(path, b'{"do": "status"}\n')["ok"]
    assert server.stop()


def test_an_unknown_group_is_refused_by_name(path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-group-here"):
        ControlServer(path, "no-such-group-here", echo, lambda *_: None)


def test_a_client_that_disconnects_cancels_its_request(path: Path) -> None:
    asked, withdrawn = threading.Event(), threading.Event()

    def enrol(_: str, __: dict[str, Any], cancellation: CancellationToken) -> dict[str, Any]:
        cancellation.on_cancel(withdrawn.set)
        asked.set()
        return {"withdrawn": withdrawn.wait(10)}

    with running_server(path, enrol):
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(str(path))
            end.sendall(b'{"do": "enrol"}\n')
            assert asked.wait(10)
            assert not withdrawn.is_set()
        assert withdrawn.wait(10)


def test_watchers_that_disconnect_while_nothing_is_announced_leave_nothing_behind(path: Path) -> None:
    with running_server(path) as server:
        for _ in range(2 * MAX_CLIENTS):
            with ControlClient(path).watch():
                pass
        assert wait_until(lambda: not server._clients, 10)
        threads = {"control writer", "control request"}
        assert wait_until(lambda: not threads & {thread.name for thread in threading.enumerate()}, 10)


def test_too_many_clients_are_refused_with_a_message_and_the_others_served(path: Path) -> None:
    with running_server(path) as server, ExitStack() as clients:
        for _ in range(MAX_CLIENTS):
            end = clients.enter_context(socket.socket(socket.AF_UNIX))
            end.connect(str(path))
        assert wait_until(lambda: len(server._clients) == MAX_CLIENTS, 10)
        with pytest.raises(ControlError, match="connected already"):
            ControlClient(path).ask("status")
        clients.close()
        assert wait_until(lambda: not server._clients, 10)
        assert ControlClient(path).ask("status") == {"name": "status"}


def occupy(path: Path, clients: ExitStack, count: int = MAX_CLIENTS) -> None:
    for _ in range(count):
        end = clients.enter_context(socket.socket(socket.AF_UNIX))
        end.connect(str(path))


OWN, OPERATOR, OTHER = os.geteuid(), 4001, 4002


@pytest.fixture(name="peers")
def _peers(mocker: MockerFixture) -> list[int]:
    """The accounts of the clients, in the order in which they connect; the last one of all later ones."""
    peers = [OPERATOR]
    mocker.patch.object(
        control_server, "_peer", side_effect=lambda _: (peers.pop(0) if len(peers) > 1 else peers[0], "somebody")
    )
    mocker.patch.object(ControlServer, "_allowed", return_value=True)
    return peers


@pytest.mark.parametrize("uid", [0, OWN, OTHER])
def test_an_operator_with_all_places_of_an_account_locks_nobody_else_out(
    path: Path, peers: list[int], uid: int
) -> None:
    with running_server(path) as server, ExitStack() as clients:
        occupy(path, clients)
        assert wait_until(lambda: len(server._clients) == MAX_CLIENTS, 10)
        with pytest.raises(ControlError, match=f"{MAX_CLIENTS} clients of this account are connected already"):
            ControlClient(path).ask("status")
        peers[:] = [uid]
        assert ControlClient(path).ask("status") == {"name": "status"}


@pytest.mark.parametrize("uid", [0, OWN])
def test_operators_of_many_accounts_do_not_lock_root_or_the_agent_out(path: Path, peers: list[int], uid: int) -> None:
    peers[:] = [OPERATOR + number % 8 for number in range(MAX_OPERATORS)] + [5000]
    with running_server(path) as server, ExitStack() as clients:
        occupy(path, clients, MAX_OPERATORS)
        assert wait_until(lambda: len(server._clients) == MAX_OPERATORS, 10)
        with pytest.raises(ControlError, match=f"{MAX_OPERATORS} clients are connected already"):
            ControlClient(path).ask("status")
        peers[:] = [uid]
        assert ControlClient(path).ask("status") == {"name": "status"}


def test_a_flood_of_refused_users_is_few_lines(
    path: Path, mocker: MockerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    mocker.patch.object(control_server, "_peer", return_value=(12345, "stranger"))
    with running_server(path):
        for _ in range(50):
            send_raw(path, b'{"do": "status"}\n')
    assert len([r for r in caplog.records if "was refused" in r.getMessage()]) == 1


def test_a_refused_user_who_disconnects_immediately_does_no_harm(path: Path, mocker: MockerFixture) -> None:
    mocker.patch.object(control_server, "_peer", return_value=(12345, "stranger"))
    with running_server(path) as server:
        for _ in range(50):
            with socket.socket(socket.AF_UNIX) as end:
                end.connect(str(path))
        assert server.alive


def test_the_last_announcements_reach_a_client_before_the_server_ends(path: Path) -> None:
    received: list[str] = []
    listening = threading.Event()

    def watch() -> None:
        with ControlClient(path).watch() as announcements:
            listening.set()
            received.extend(announcement["key"] for announcement in announcements)

    watcher = threading.Thread(target=watch)
    with running_server(path) as server:
        watcher.start()
        assert listening.wait(10)
        server.announce(TOLD)
    watcher.join(10)
    assert received == ["proceed"]


def test_an_unexpected_error_is_answered_without_its_details(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> dict[str, Any]:
        raise ZeroDivisionError

    with running_server(path, broken), pytest.raises(ControlError, match="see its log"):
        ControlClient(path).ask("status")
    assert "ZeroDivisionError" in caplog.text
    assert "Traceback" in caplog.text


def test_a_path_that_is_something_else_is_refused_and_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(ConfigError, match="something else"):
        ControlServer(path, None, echo, lambda *_: None)
    assert path.read_text(encoding="utf-8") == "precious"


def test_a_path_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"kiosk\.control_socket"):
        ControlServer(tmp_path / "file" / "control.sock", None, echo, lambda *_: None)


def test_a_socket_left_by_a_killed_daemon_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    with running_server(path):
        assert ControlClient(path).ask("status") == {"name": "status"}


def test_it_stops_with_a_silent_client_connected(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent, running_server(path):
        silent.connect(str(path))
        assert ControlClient(path).ask("status") == {"name": "status"}


def test_a_client_without_a_name_is_known_by_its_number(path: Path, mocker: MockerFixture) -> None:
    mocker.patch("pwd.getpwuid", side_effect=KeyError)
    with running_server(path):
        assert send_raw(path, b'{"do": "status"}\n')["ok"]
    mocker.patch("os.geteuid", return_value=12345)
    mocker.patch("agent.control.server._peer", return_value=(4321, ""))
    with running_server(path):
        assert send_raw(path, b'{"do": "status"}\n')["error"] == "user 4321 may not control this kiosk"


def test_a_client_that_sends_no_request_is_dropped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "TICK_S", 0.02)
    monkeypatch.setattr(control_server, "REQUEST_S", 0.05)
    with running_server(path) as server, socket.socket(socket.AF_UNIX) as silent:
        silent.settimeout(10)
        silent.connect(str(path))
        assert b"a request is one line of JSON" in silent.recv(1000)
        assert silent.recv(1) == b""
        assert wait_until(lambda: not server._clients, 10)


class WithoutDescriptors:
    """A listening socket in a process that has no file descriptor left, once."""

    def __init__(self, listener: socket.socket, number: int) -> None:
        self._listener = listener
        self._number = number
        self.failed = False
        self.fileno, self.close = listener.fileno, listener.close

    def accept(self) -> object:
        if self.failed:
            return self._listener.accept()
        self.failed = True
        raise OSError(self._number, os.strerror(self._number))


def test_a_process_without_file_descriptors_accepts_the_client_later(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = ControlServer(path, None, echo, lambda *_: None)
    server._socket = WithoutDescriptors(server._socket, errno.EMFILE)  # type: ignore[assignment]
    server.start()
    assert ControlClient(path).ask("status") == {"name": "status"}
    assert server.stop()
    assert "Too many open files" in caplog.text


def test_another_error_of_the_listening_socket_is_a_crash(path: Path) -> None:
    crashes: list[BaseException] = []
    crashed = threading.Event()

    def on_crash(_: str, error: BaseException) -> None:
        crashes.append(error)
        crashed.set()

    server = ControlServer(path, None, echo, on_crash)
    server._socket = WithoutDescriptors(server._socket, errno.EBADF)  # type: ignore[assignment]
    server.start()
    with suppress(ControlError):
        ControlClient(path).ask("status")
    assert crashed.wait(10)
    assert isinstance(crashes[0], OSError)
    assert server.stop()


def test_the_socket_is_given_to_the_configured_group(path: Path) -> None:
    group = grp.getgrgid(os.getgid())
    server = ControlServer(path, group.gr_name, echo, lambda *_: None)
    assert path.stat().st_gid == group.gr_gid
    server.close()
    assert not path.exists()


def test_a_group_that_the_agent_is_no_member_of_is_a_configuration_error(path: Path, mocker: MockerFixture) -> None:
    mocker.patch("os.chown", side_effect=PermissionError(errno.EPERM, "Operation not permitted"))
    with pytest.raises(ConfigError, match="must be a member of the group"):
        ControlServer(path, grp.getgrgid(os.getgid()).gr_name, echo, lambda *_: None)
    assert not path.exists()
