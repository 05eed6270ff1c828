"""The control socket: real sockets, peers checked by the kernel, nothing a client does harms the daemon."""

import json
import os
import queue
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_mock import MockerFixture

from agent.control import server as control_server
from agent.control.cancellation import CancellationToken
from agent.control.connection import BACKLOG
from agent.control.protocol import ControlClient, NoDaemon
from agent.control.server import MAX_CLIENTS, ControlServer, Serve
from agent.encounter.announcements import TravellerMessage
from agent.errors import ConfigError, ControlError
from simulators.polling import wait_until

TOLD = TravellerMessage(key="proceed", text="Thank you.")


def serve(name: str, arguments: dict[str, Any], _: CancellationToken) -> dict[str, Any]:
    if name == "fail":
        raise ControlError("cannot do that: do this instead")
    return {"name": name, **arguments}


@contextmanager
def served(path: Path, answer: Serve = serve) -> Iterator[ControlServer]:
    crashes: list[BaseException] = []
    server = ControlServer(path, None, answer, lambda _, error: crashes.append(error))
    server.start()
    try:
        yield server
    finally:
        assert server.stop()
        assert not crashes
        assert not path.exists()


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


def raw(path: Path, data: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(10)
        end.connect(str(path))
        with suppress(BrokenPipeError):  # refused before it could ask
            end.sendall(data)
            end.shutdown(socket.SHUT_WR)
        with end.makefile("rb") as lines:
            answer = json.loads(lines.readline())
    assert isinstance(answer, dict)
    return answer


def test_a_request_is_answered(path: Path) -> None:
    with served(path):
        assert ControlClient(path).ask("status", {"a": 1}) == {"name": "status", "a": 1}


def test_a_refusal_says_what_to_do(path: Path) -> None:
    with served(path), pytest.raises(ControlError, match="do this instead"):
        ControlClient(path).ask("fail")


def test_without_a_daemon_the_client_says_so(path: Path) -> None:
    with pytest.raises(NoDaemon, match="no daemon listens"):
        ControlClient(path).ask("status")


def test_the_socket_is_for_the_account_and_its_group_alone(path: Path) -> None:
    with served(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_stranger_is_refused(path: Path, mocker: MockerFixture) -> None:
    mocker.patch.object(control_server, "_peer", return_value=(12345, "stranger"))
    with served(path):
        answer = raw(path, b'{"do": "status"}\n')
    assert answer == {"ok": False, "error": "user stranger may not control this kiosk"}


def test_a_member_of_the_configured_group_is_served(path: Path, mocker: MockerFixture) -> None:
    mocker.patch.object(control_server, "_peer", return_value=(0x7FFFFFF0, "operator"))
    mocker.patch("os.getgrouplist", return_value=[os.getgid()])
    mocker.patch("pwd.getpwuid")
    server = ControlServer(path, None, serve, lambda *_: None)
    server._group = os.getgid()
    server.start()
    assert raw(path, b'{"do": "status"}\n')["ok"]
    assert server.stop()


def test_an_unknown_group_is_refused_by_name(path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-group-here"):
        ControlServer(path, "no-such-group-here", serve, lambda *_: None)


def test_a_watcher_hears_what_is_announced_and_then_the_end(path: Path) -> None:
    heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    listening = threading.Event()

    def watch() -> None:
        with ControlClient(path).watch() as announcements:
            listening.set()
            for announcement in announcements:
                heard.put(announcement)

    watcher = threading.Thread(target=watch)
    with served(path) as server:
        watcher.start()
        assert listening.wait(10)
        server.announce(TOLD)
        assert heard.get(timeout=10)["key"] == "proceed"
    watcher.join(10)
    assert not watcher.is_alive()


def test_who_asked_hears_announcements_while_it_is_being_done(path: Path) -> None:
    servers: list[ControlServer] = []
    heard = threading.Event()

    def enrol(_: str, __: dict[str, Any], ___: CancellationToken) -> dict[str, Any]:
        servers[0].announce(TOLD)
        return {"heard": heard.wait(10)}  # only once the client has heard it is this done

    with served(path, enrol) as server:
        servers.append(server)
        assert ControlClient(path).ask("enrol", {}, lambda _: heard.set()) == {"heard": True}


def test_a_client_that_hangs_up_withdraws_what_it_asked_for(path: Path) -> None:
    asked, withdrawn = threading.Event(), threading.Event()

    def enrol(_: str, __: dict[str, Any], cancellation: CancellationToken) -> dict[str, Any]:
        cancellation.on_cancel(withdrawn.set)
        asked.set()
        return {"withdrawn": withdrawn.wait(10)}

    with served(path, enrol):
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(str(path))
            end.sendall(b'{"do": "enrol"}\n')
            assert asked.wait(10)
            assert not withdrawn.is_set()
        assert withdrawn.wait(10)


def test_a_client_that_only_ends_its_own_writing_is_answered(path: Path) -> None:
    with served(path):
        assert raw(path, b'{"do": "status"}\n')["ok"]


def test_watchers_that_leave_on_a_quiet_night_leave_nothing_behind(path: Path) -> None:
    with served(path) as server:
        for _ in range(2 * MAX_CLIENTS):
            with ControlClient(path).watch():
                pass
        assert wait_until(lambda: not server._clients, 10)
        names = [thread.name for thread in threading.enumerate()]
        assert "control writer" not in names
        assert "control request" not in names


def test_too_many_clients_are_refused_in_words_and_the_others_served(path: Path) -> None:
    with served(path) as server, ExitStack() as crowd:
        for _ in range(MAX_CLIENTS):
            end = crowd.enter_context(socket.socket(socket.AF_UNIX))
            end.connect(str(path))
        assert wait_until(lambda: len(server._clients) == MAX_CLIENTS, 10)
        with pytest.raises(ControlError, match="connected already"):
            ControlClient(path).ask("status")
        crowd.close()
        assert wait_until(lambda: not server._clients, 10)
        assert ControlClient(path).ask("status") == {"name": "status"}


def test_a_refused_stranger_who_hangs_up_at_once_harms_nobody(path: Path, mocker: MockerFixture) -> None:
    mocker.patch.object(control_server, "_peer", return_value=(12345, "stranger"))
    with served(path) as server:
        for _ in range(50):
            with socket.socket(socket.AF_UNIX) as end:
                end.connect(str(path))
        assert server.alive


def test_last_words_reach_a_client_before_the_server_is_gone(path: Path) -> None:
    said: list[str] = []
    listening = threading.Event()

    def watch() -> None:
        with ControlClient(path).watch() as announcements:
            listening.set()
            said.extend(announcement["key"] for announcement in announcements)

    watcher = threading.Thread(target=watch)
    with served(path) as server:
        watcher.start()
        assert listening.wait(10)
        server.announce(TOLD)
    watcher.join(10)
    assert said == ["proceed"]


def test_a_request_that_fails_unforeseen_is_answered_without_its_details(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> dict[str, Any]:
        raise ZeroDivisionError

    with served(path, broken), pytest.raises(ControlError, match="see its log"):
        ControlClient(path).ask("status")
    assert "ZeroDivisionError" in caplog.text


def test_a_listener_that_does_not_read_is_dropped_and_delays_nobody(path: Path) -> None:
    long = TravellerMessage(key="proceed", text="x" * 4096)
    with served(path) as server, socket.socket(socket.AF_UNIX) as lazy:
        lazy.connect(str(path))
        lazy.sendall(b'{"do": "watch"}\n')
        assert lazy.recv(100)
        for _ in range(10 * BACKLOG):
            server.announce(long)
        assert wait_until(lambda: not server._clients, 10)
        assert ControlClient(path).ask("status") == {"name": "status"}


def test_a_path_that_is_something_else_is_refused_and_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(ConfigError, match="something else"):
        ControlServer(path, None, serve, lambda *_: None)
    assert path.read_text(encoding="utf-8") == "precious"


def test_a_path_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"kiosk\.control_socket"):
        ControlServer(tmp_path / "file" / "control.sock", None, serve, lambda *_: None)


def test_a_socket_that_may_not_be_used_is_not_taken_for_no_daemon(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 200)  # too long for a Unix socket's address, whoever asks
    with pytest.raises(ControlError) as refused:
        ControlClient(folder).ask("status")
    assert not isinstance(refused.value, NoDaemon)


BAD = [
    b"",
    b"\n",
    b"{",
    b"[]\n",
    b"null\n",
    b'{"do": "x", "with": []}\n',
    b"\xff\n",
    b"x" * 70_000,
    b"9" * 5000 + b"\n",
]


@pytest.mark.parametrize("data", BAD, ids=range(len(BAD)))
def test_a_bad_request_is_refused_in_words(path: Path, data: bytes) -> None:
    with served(path):
        answer = raw(path, data)
        assert answer["ok"] is False
        assert "JSON" in answer["error"] or "looks like" in answer["error"]
        assert ControlClient(path).ask("status") == {"name": "status"}


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=200))
def test_no_bytes_harm_the_server(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("run") / "control.sock"
    with served(path):
        assert raw(path, data + b"\n")["ok"] in (True, False)
        assert ControlClient(path).ask("status") == {"name": "status"}


def test_a_socket_left_by_a_killed_daemon_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    with served(path):
        assert ControlClient(path).ask("status") == {"name": "status"}


def test_it_stops_with_a_silent_client_connected(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent, served(path):
        silent.connect(str(path))
        assert ControlClient(path).ask("status") == {"name": "status"}
