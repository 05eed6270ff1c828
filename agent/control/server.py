"""The server of the control socket, in the daemon. The protocol and the client are in protocol.py."""

import errno
import grp
import logging
import os
import pwd
import select
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.control.cancellation import CancellationToken
from agent.control.connection import FLUSH_S, NOT_A_REQUEST, REQUEST_S, ClientConnection
from agent.control.protocol import Json, encode_line
from agent.encounter.announcements import Announcement
from agent.errors import AgentError, ConfigError
from agent.log_limit import LimitedLog
from agent.worker import OnCrash, Worker

log = logging.getLogger(__name__)

Serve = Callable[[str, Json, CancellationToken], Json]

TICK_S = 1.0
MAX_CLIENTS = 32  # of one account, so that nobody takes the places of others
MAX_OPERATORS = 4 * MAX_CLIENTS  # of all accounts together, without root and the agent's own, who always get in
STREAMING = frozenset({"identify", "enrol"})

# Errors of accept() that pass: wait a short time and continue.
TEMPORARY_ERRORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED})


class ControlServer(Worker):
    """Accepts clients of the agent's own account, of root and of one configured group.

    The worker's thread accepts and reads. Each request has one thread that serves it and one that writes.
    """

    def __init__(self, path: Path, group: str | None, serve: Serve, on_crash: OnCrash) -> None:
        super().__init__("control", on_crash)
        self._path = path
        self._serve = serve
        self._group = group_id(group)
        self._clients: dict[int, ClientConnection] = {}
        self._limited = LimitedLog(log)
        self._lock = threading.Lock()  # for _clients, which announce() iterates over
        self._socket = _listen(path, self._group)
        self._wake_in, self._wake_out = socket.socketpair()
        self._poll = select.poll()

    def announce(self, announcement: Announcement) -> None:
        """Send to every listening client, from any thread. Never waits: a client that does not read is dropped."""
        line = encode_line({"announce": announcement.model_dump(mode="json")})
        with self._lock:
            for client in self._clients.values():
                if client.listening:
                    client.send(line)

    def interrupt(self) -> None:
        """Wake the worker's thread."""
        with suppress(OSError):
            self._wake_in.send(b"!")

    def run(self) -> None:
        """Accept and read until stopped."""
        try:
            self._poll.register(self._socket, select.POLLIN)
            self._poll.register(self._wake_out, select.POLLIN)
            while not self.stopping.is_set():
                self.beat()
                for fd, events in self._poll.poll(TICK_S * 1000):
                    self._handle(fd, events)
                self._drop_slow_clients()
                self._limited.flush()
        finally:
            self._close_clients()
            self.close()

    def close(self) -> None:
        """Close and remove the socket."""
        for end in (self._socket, self._wake_in, self._wake_out):
            end.close()
        self._path.unlink(missing_ok=True)

    def _handle(self, fd: int, events: int) -> None:
        if fd == self._socket.fileno():
            self._accept()
        elif connection := self._clients.get(fd):
            if events & select.POLLIN:
                self._read(connection)
            elif events:
                self._remove(connection)  # the client has disconnected

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError as error:
            if error.errno not in TEMPORARY_ERRORS:
                raise
            log.warning("control: %s", error.strerror)
            self.stopping.wait(0.1)
            return
        uid, name = _peer(connection)
        client = ClientConnection(connection, uid)
        if not self._allowed(uid, name):
            self._limited.warning("control: refused users", f"control: user {uid} was refused")
            client.refuse(f"user {name or uid} may not control this kiosk")
        elif full := self._no_place_for(uid):
            self._limited.warning("control: refused clients", f"control: a client of user {uid} was refused: {full}")
            client.refuse(full)
        else:
            self._add(client)

    def _no_place_for(self, uid: int) -> str:
        """Why a client of this account gets no place; empty if it gets one."""
        accounts = [client.uid for client in self._clients.values()]
        if accounts.count(uid) >= MAX_CLIENTS:
            return f"{MAX_CLIENTS} clients of this account are connected already: end one of them"
        privileged = (0, os.geteuid())
        if uid not in privileged and sum(each not in privileged for each in accounts) >= MAX_OPERATORS:
            return f"{MAX_OPERATORS} clients are connected already: end one of them"
        return ""

    def _add(self, client: ClientConnection) -> None:
        with self._lock:
            self._clients[client.fileno] = client
        self._poll.register(client.fileno, select.POLLIN)

    def _allowed(self, uid: int, name: str) -> bool:
        if uid in (0, os.geteuid()):
            return True
        if self._group is None or not name:
            return False
        return self._group in os.getgrouplist(name, pwd.getpwuid(uid).pw_gid)

    def _read(self, client: ClientConnection) -> None:
        """Read bytes of a request. Once it is complete, only the disconnection of the client is polled for."""
        if client.receive():
            client.request_received = True
            self._poll.modify(client.fileno, 0)
            threading.Thread(target=self._answer, args=(client,), name="control request", daemon=True).start()

    def _answer(self, client: ClientConnection) -> None:
        """Serve one request in its own thread, while the client's writer sends what is announced meanwhile."""
        client.start_writing()
        name = ""
        try:
            name, arguments = client.request()
            client.listening = name in STREAMING
            answer: Json = {"ok": True, "result": self._serve(name, arguments, client.cancellation)}
        except AgentError as error:
            answer = {"ok": False, "error": str(error)}
        except Exception as error:  # noqa: BLE001 - it is logged with its traceback
            kind = f"control: requests failed with {type(error).__name__}"
            self._limited.warning(kind, "control: a request failed", error)
            answer = {"ok": False, "error": "the daemon failed at this request: see its log"}
        with self._lock:  # a watcher must miss no announcement between the answer and the start of its watch
            client.send(encode_line(answer))
            client.listening = name == "watch" and bool(answer["ok"])
        if not client.listening:
            client.finish()

    def _drop_slow_clients(self) -> None:
        now = time.monotonic()
        for client in tuple(self._clients.values()):
            if not client.request_received and now - client.connected_at > REQUEST_S:
                client.refuse(NOT_A_REQUEST)
                self._remove(client)

    def _remove(self, client: ClientConnection) -> None:
        self._poll.unregister(client.fileno)
        with self._lock:
            del self._clients[client.fileno]
        client.close()

    def _close_clients(self) -> None:
        """Send every client its queued lines, then disconnect it."""
        deadline = time.monotonic() + FLUSH_S
        clients = tuple(self._clients.values())
        for client in clients:
            client.finish()
        for client in clients:
            client.wait_until_sent(max(0.0, deadline - time.monotonic()))
            self._remove(client)


def _listen(path: Path, group: int | None) -> socket.socket:
    """Bind, and replace the socket of a daemon that was killed. The owner lock already excludes a second daemon."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _unlink_socket(path)
        before = os.umask(0o117)
        try:
            end.bind(str(path))
        finally:
            os.umask(before)
        end.listen(MAX_OPERATORS)
    except OSError as error:
        end.close()
        raise ConfigError(f"kiosk.control_socket: {path}: {error.strerror or error}") from error
    except ConfigError:
        end.close()
        raise
    if group is not None:
        _set_group(path, group, end)
    return end


def _unlink_socket(path: Path) -> None:
    if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
        raise ConfigError(f"kiosk.control_socket: {path}: something else has this name; move it away")
    path.unlink(missing_ok=True)


def _set_group(path: Path, group: int, end: socket.socket) -> None:
    try:
        os.chown(path, -1, group)
    except OSError as error:
        end.close()
        path.unlink(missing_ok=True)
        raise ConfigError(
            "kiosk.control_group: the agent's account must be a member of the group to give it the socket "
            f"({error.strerror})"
        ) from error


def group_id(name: str | None) -> int | None:
    """The id of the configured group. ConfigError if no group has that name."""
    if not name:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise ConfigError(f"kiosk.control_group: there is no group {name!r} on this machine") from error


def _peer(connection: socket.socket) -> tuple[int, str]:
    """The id and name of the client's user, as the kernel reports them; an empty name if it has none."""
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        return uid, pwd.getpwuid(uid).pw_name
    except KeyError:
        return uid, ""
