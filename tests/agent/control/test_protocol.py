"""The client of the control socket: requests, answers, announcements, and a daemon that is not there."""

import json
import queue
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.control.cancellation import CancellationToken
from agent.control.protocol import ControlClient, NoDaemon
from agent.control.server import ControlServer
from agent.encounter.announcements import TravellerMessage
from agent.errors import ControlError
from tests.rigs.control_server import running_server

TOLD = TravellerMessage(key="proceed", text="Thank you.")


def test_a_request_is_answered(path: Path) -> None:
    with running_server(path):
        assert ControlClient(path).ask("status", {"a": 1}) == {"name": "status", "a": 1}


def test_a_refusal_says_what_to_do(path: Path) -> None:
    with running_server(path), pytest.raises(ControlError, match="do this instead"):
        ControlClient(path).ask("fail")


def test_without_a_daemon_the_client_says_so(path: Path) -> None:
    with pytest.raises(NoDaemon, match="no daemon listens"):
        ControlClient(path).ask("status")


def test_a_watcher_receives_announcements_and_then_the_end(path: Path) -> None:
    received: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    listening = threading.Event()

    def watch() -> None:
        with ControlClient(path).watch() as announcements:
            listening.set()
            for announcement in announcements:
                received.put(announcement)

    watcher = threading.Thread(target=watch)
    with running_server(path) as server:
        watcher.start()
        assert listening.wait(10)
        server.announce(TOLD)
        assert received.get(timeout=10)["key"] == "proceed"
    watcher.join(10)
    assert not watcher.is_alive()


def test_a_client_receives_announcements_while_its_request_runs(path: Path) -> None:
    servers: list[ControlServer] = []
    received = threading.Event()

    def enrol(_: str, __: dict[str, Any], ___: CancellationToken) -> dict[str, Any]:
        servers[0].announce(TOLD)
        return {"received": received.wait(10)}  # only once the client has received it is this done

    with running_server(path, enrol) as server:
        servers.append(server)
        assert ControlClient(path).ask("enrol", {}, lambda _: received.set()) == {"received": True}


def test_a_socket_that_may_not_be_used_is_not_taken_for_no_daemon(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 200)  # too long for a Unix socket's address, whoever asks
    with pytest.raises(ControlError) as refused:
        ControlClient(folder).ask("status")
    assert not isinstance(refused.value, NoDaemon)


@contextmanager
def scripted_daemon(path: Path, answer: bytes) -> Iterator[None]:
    """Accepts one client, sends these bytes after its request, and disconnects."""
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def run() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1000)
                with suppress(OSError):  # a client that has read enough disconnects
                    client.sendall(answer)

        thread = threading.Thread(target=run)
        thread.start()
        yield
        thread.join(10)


@pytest.mark.parametrize("answer", [b"", b'{"ok": tr', b"\xff\n", b'{"announce": {"kind": "told"}}\n'])
def test_a_daemon_that_ends_before_it_answers_is_an_error(path: Path, answer: bytes) -> None:
    with scripted_daemon(path, answer), pytest.raises(ControlError, match="ended before it answered"):
        ControlClient(path).ask("status")


@pytest.mark.parametrize("waiting", [0, 1])  # with a full queue of connections, connect() itself waits
def test_a_daemon_that_never_answers_is_an_error(path: Path, waiting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.control.protocol.ANSWER_S", 0.1)
    monkeypatch.setattr("agent.control.protocol.CONNECT_S", 1.0)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as clients:
        listener.bind(str(path))
        listener.listen(0)
        for _ in range(waiting):
            clients.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        with pytest.raises(ControlError, match="does not answer: see its log"):
            ControlClient(path).ask("status")


def test_an_answer_of_another_version_is_an_error(path: Path) -> None:
    with scripted_daemon(path, b'{"result": {}}\n'), pytest.raises(ControlError, match="another version"):
        ControlClient(path).ask("status")


FALSE_ANSWERS = [
    b'{"ok": true}\n',
    b'{"ok": true, "result": []}\n',
    b'{"ok": true, "result": 7}\n',
    b'{"ok": 1, "result": {}}\n',
    b'{"ok": false}\n',
    b'{"ok": false, "error": 7}\n',
    b"[]\n",
    b"7\n",
    b'"announce"\n',
    b"null\n",
    b'{"announce": 7}\n',
    b'{"announce": {}}\n',
]


@pytest.mark.parametrize("answer", FALSE_ANSWERS, ids=range(len(FALSE_ANSWERS)))
def test_an_answer_that_no_daemon_would_send_is_an_error(path: Path, answer: bytes) -> None:
    with scripted_daemon(path, answer), pytest.raises(ControlError, match="an invalid answer"):
        ControlClient(path).ask("enrol", None, lambda announcement: announcement["kind"])


@pytest.mark.parametrize("announcement", [b'{"announce": 7}\n', b'{"ok": true}\n[]\n'])
def test_a_false_announcement_ends_a_watch_with_an_error(path: Path, announcement: bytes) -> None:
    with (
        scripted_daemon(path, b'{"ok": true, "result": {}}\n' + announcement),
        pytest.raises(ControlError, match="an invalid answer"),
        ControlClient(path).watch() as announcements,
    ):
        list(announcements)


@pytest.mark.parametrize("answer", [b"[" * 100_000 + b"\n", b"9" * 5000 + b"\n"])
def test_json_that_python_refuses_is_the_end(path: Path, answer: bytes) -> None:
    with scripted_daemon(path, answer), pytest.raises(ControlError):
        ControlClient(path).ask("status")


def test_an_endless_answer_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.control.protocol.ANSWER_BYTES", 1000)
    with scripted_daemon(path, b"x" * 2000), pytest.raises(ControlError, match="more than 1000 bytes"):
        ControlClient(path).ask("status")


@settings(deadline=None, max_examples=200)
@given(
    line=st.binary(max_size=100)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["ok", "result", "error", "announce", "kind"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode() + b"\n")
)
def test_any_answer_is_a_result_or_an_error(line: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run" / "control.sock"
        with scripted_daemon(path, line), suppress(ControlError):
            assert isinstance(ControlClient(path).ask("status"), dict)
