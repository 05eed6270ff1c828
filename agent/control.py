"""The control socket: newline-delimited JSON over a Unix socket, whose peers are checked by the kernel.

    client:  {"do": "enrol", "with": {"samples": 3}}
    server:  {"announce": {"kind": "told", "key": "present", "text": "Please place ...", "position": "right_index"}}  *
    server:  {"ok": true, "result": {...}}      or   {"ok": false, "error": "what is wrong and what to do"}

Announcements come before the answer of `identify` and `enrol`, and without end after that of `watch`.
"""

import grp
import json
import logging
import os
import pwd
import queue
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agent.errors import AgentError, ConfigError, ControlError
from agent.screen import Announcement
from agent.worker import OnCrash, Worker

log = logging.getLogger(__name__)

Json = dict[str, Any]
Serve = Callable[[str, Json], Json]

REQUEST_BYTES = 64 * 1024
REQUEST_S = 5.0  # a client that connects and says nothing is not waited for longer
ACCEPT_S = 5.0  # how often the accepting thread shows that it is alive
BACKLOG = 256  # announcements a slow listener may be behind before it is dropped
STREAMING = frozenset({"identify", "enrol"})


class ControlServer(Worker):
    """Accepts clients of the agent's own account, of root and of one configured group."""

    def __init__(self, path: Path, group: str | None, serve: Serve, on_crash: OnCrash) -> None:
        super().__init__("control", on_crash)
        self._path = path
        self._serve = serve
        self._group = _group_id(group)
        self._listeners: set[_Client] = set()
        self._clients: set[_Client] = set()
        self._guard = threading.Lock()
        self._socket = _listen(path, self._group)
        self._wake_in, self._wake_out = socket.socketpair()

    def announce(self, announcement: Announcement) -> None:
        """Tell every listener; from any thread. One that does not read is dropped, nobody waits for it."""
        line = _line({"announce": announcement.model_dump(mode="json")})
        with self._guard:
            for client in tuple(self._listeners):
                if not client.offer(line):
                    self._listeners.discard(client)

    def interrupt(self) -> None:
        """Wake the accepting thread and every client's."""
        with suppress(OSError):
            self._wake_in.send(b"!")
        with self._guard:
            for client in tuple(self._clients):
                client.hang_up()

    def run(self) -> None:
        """Accept until stopped."""
        with selectors.DefaultSelector() as selector, self._socket, self._wake_in, self._wake_out:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._wake_out, selectors.EVENT_READ)
            while not self.stopping.is_set():
                self.beat()
                for key, _ in selector.select(ACCEPT_S):
                    if key.fileobj is self._socket:
                        self._accept()
        for client in tuple(self._clients):
            client.thread.join(1.0)
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Give up a socket whose server was never started."""
        for end in (self._socket, self._wake_in, self._wake_out):
            end.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        connection, _ = self._socket.accept()
        uid, name = _peer(connection)
        if not self._allowed(uid, name):
            log.warning("control: user %d was refused", uid)
            with connection:
                connection.sendall(_line({"ok": False, "error": f"user {name or uid} may not control this kiosk"}))
            return
        client = _Client(connection, self._handle)
        with self._guard:
            self._clients.add(client)
        client.thread.start()

    def _allowed(self, uid: int, name: str) -> bool:
        if uid in (0, os.geteuid()):
            return True
        if self._group is None or not name:
            return False
        return self._group in os.getgrouplist(name, pwd.getpwuid(uid).pw_gid)

    def _handle(self, client: "_Client") -> None:
        try:
            request = client.request()
            name, arguments = str(request.get("do", "")), request.get("with", {})
            if name in STREAMING:
                self._listen_in(client)
            answer: Json = {"ok": True, "result": self._serve(name, arguments)}
        except AgentError as error:
            name, answer = "", {"ok": False, "error": str(error)}
        client.offer(_line(answer))
        if name == "watch":
            self._listen_in(client)  # only now: what a watcher reads first is the answer
        else:
            client.finish()
        client.drain()
        with self._guard:
            self._listeners.discard(client)
            self._clients.discard(client)

    def _listen_in(self, client: "_Client") -> None:
        with self._guard:
            self._listeners.add(client)


class _Client:
    """One connection and its thread. Lines are queued, so that an announcer never waits for a socket."""

    def __init__(self, connection: socket.socket, handle: Callable[["_Client"], None]) -> None:
        self._connection = connection
        self._lines: queue.Queue[bytes | None] = queue.Queue(BACKLOG)
        self.thread = threading.Thread(target=self._main, args=(handle,), name="control client", daemon=True)

    def offer(self, line: bytes) -> bool:
        """Queue a line; False, and the end of this client, when too many wait."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.hang_up()
            return False
        return True

    def finish(self) -> None:
        """End after what is queued."""
        with suppress(queue.Full):
            self._lines.put_nowait(None)

    def hang_up(self) -> None:
        """End now, from any thread."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self.finish()

    def request(self) -> Json:
        """The client's one line. ControlError when it is none."""
        self._connection.settimeout(REQUEST_S)
        data = b""
        try:
            while not data.endswith(b"\n") and len(data) <= REQUEST_BYTES:
                chunk = self._connection.recv(4096)
                if not chunk:
                    break
                data += chunk
            request = json.loads(data)
        except (OSError, ValueError) as error:
            raise ControlError("a request is one line of JSON, sent within 5 seconds") from error
        if not isinstance(request, dict) or not isinstance(request.get("with", {}), dict):
            raise ControlError('a request looks like {"do": "status", "with": {}}')
        return request

    def drain(self) -> None:
        """Send what is queued until the end is."""
        with suppress(OSError):
            while (line := self._lines.get()) is not None:
                self._connection.sendall(line)

    def _main(self, handle: Callable[["_Client"], None]) -> None:
        with self._connection:
            handle(self)


class ControlClient:
    """The command line's end. ControlError says that no daemon listens, or what it refused."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, name: str, arguments: Json | None = None, heard: Callable[[Json], None] | None = None) -> Json:
        """One request; `heard` gets the announcements that come before the answer."""
        with self._lines(name, arguments) as lines:
            for line in lines:
                if "announce" in line:
                    if heard:
                        heard(line["announce"])
                elif line["ok"]:
                    return dict(line["result"])
                else:
                    raise ControlError(line["error"])
        raise ControlError("the daemon ended before it answered: see its log")

    @contextmanager
    def watch(self) -> Iterator[Iterator[Json]]:
        """Every announcement from now on, until the daemon ends."""
        with self._lines("watch", None) as lines:
            first = next(lines, None)
            if first is None or not first.get("ok"):
                raise ControlError(first["error"] if first else "the daemon ended before it answered: see its log")
            yield (line["announce"] for line in lines if "announce" in line)

    @contextmanager
    def _lines(self, name: str, arguments: Json | None) -> Iterator[Iterator[Json]]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
            try:
                end.connect(str(self._path))
                end.sendall(_line({"do": name, "with": arguments or {}}))
            except OSError as error:
                raise NoDaemon(f"{self._path}: no daemon listens here ({error.strerror})") from error
            with end.makefile("rb") as file:
                yield (json.loads(line) for line in file)


class NoDaemon(ControlError):
    """Nobody listens on the control socket."""


def _line(message: Json) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _listen(path: Path, group: int | None) -> socket.socket:
    """Bind, replacing the socket of a daemon that was killed. The owner lock has already kept a second daemon out."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o117)
        try:
            end.bind(str(path))
        finally:
            os.umask(before)
        if group is not None:
            os.chown(path, -1, group)
        end.listen(16)
    except OSError as error:
        end.close()
        raise ConfigError(f"kiosk.control_socket: {path}: {error.strerror or error}") from error
    return end


def _group_id(name: str | None) -> int | None:
    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise ConfigError(f"kiosk.control_group: there is no group {name!r} on this machine") from error


def _peer(connection: socket.socket) -> tuple[int, str]:
    """The user at the other end, by the kernel's word."""
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        return uid, pwd.getpwuid(uid).pw_name
    except KeyError:
        return uid, ""
