"""One client of the control socket: any bytes are answered, and a client that does not read delays nobody."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.control.connection import BACKLOG, ClientConnection
from agent.control.protocol import ControlClient
from agent.encounter.announcements import TravellerMessage
from agent.errors import ControlError
from simulators.polling import wait_until
from tests.rigs.control_server import running_server, send_raw


def test_a_client_that_only_ends_its_own_writing_is_answered(path: Path) -> None:
    with running_server(path):
        assert send_raw(path, b'{"do": "status"}\n')["ok"]


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
def test_a_bad_request_is_refused_with_a_message(path: Path, data: bytes) -> None:
    with running_server(path):
        answer = send_raw(path, data)
        assert answer["ok"] is False
        assert "JSON" in answer["error"] or "looks like" in answer["error"]
        assert ControlClient(path).ask("status") == {"name": "status"}


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=200))
def test_no_bytes_harm_the_server(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("run") / "control.sock"
    with running_server(path):
        assert send_raw(path, data + b"\n")["ok"] in (True, False)
        assert ControlClient(path).ask("status") == {"name": "status"}


def test_a_listener_that_does_not_read_is_dropped_and_delays_nobody(path: Path) -> None:
    long = TravellerMessage(key="proceed", text="x" * 4096)
    with running_server(path) as server, socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(path))
        slow.sendall(b'{"do": "watch"}\n')
        assert slow.recv(100)
        for _ in range(10 * BACKLOG):
            server.announce(long)
        assert wait_until(lambda: not server._clients, 10)
        assert ControlClient(path).ask("status") == {"name": "status"}


@pytest.fixture(name="pair")
def _pair() -> Iterator[tuple[ClientConnection, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    with ours, theirs:
        yield ClientConnection(ours), theirs


def test_a_request_may_arrive_in_pieces(pair: tuple[ClientConnection, socket.socket]) -> None:
    client, end = pair
    assert not client.receive()
    end.sendall(b'{"do": "enrol", ')
    assert not client.receive()
    end.sendall(b'"with": {"samples": 2}}\n')
    assert client.receive()
    assert client.request() == ("enrol", {"samples": 2})


def test_a_connection_that_is_closed_can_receive_nothing_more(pair: tuple[ClientConnection, socket.socket]) -> None:
    client, _ = pair
    client.close()
    assert client.receive()
    with pytest.raises(ControlError, match="a request is one line of JSON"):
        client.request()


def test_queued_lines_are_sent_before_the_connection_ends(pair: tuple[ClientConnection, socket.socket]) -> None:
    client, end = pair
    for number in range(3):
        client.send(b"%d\n" % number)
    client.start_writing()
    client.finish()
    client.wait_until_sent(10)
    assert end.makefile("rb").read() == b"0\n1\n2\n"


def test_closing_cancels_the_request(pair: tuple[ClientConnection, socket.socket]) -> None:
    client, end = pair
    cancelled = threading.Event()
    client.cancellation.on_cancel(cancelled.set)
    client.close()
    assert cancelled.is_set()
    assert end.recv(1) == b""


def test_a_full_queue_disconnects_the_client(pair: tuple[ClientConnection, socket.socket]) -> None:
    client, end = pair
    client.listening = True
    for _ in range(BACKLOG + 1):
        client.send(b"x\n")
    client.finish()
    assert not client.listening
    assert end.recv(1) == b""


def test_a_refusal_is_sent_and_the_connection_closed(pair: tuple[ClientConnection, socket.socket]) -> None:
    client, end = pair
    client.refuse("not now")
    assert json.loads(end.recv(1000)) == {"ok": False, "error": "not now"}
    assert end.recv(1) == b""
