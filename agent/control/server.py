"""The daemon's end of the control socket; protocol.py has the protocol and the client's end."""

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

from agent.control.cancellation import Caller
from agent.control.connection import FAREWELL_S, NOT_A_REQUEST, REQUEST_S, Connection
from agent.control.protocol import Json, encode_line
from agent.encounter.announcements import Announcement
from agent.errors import AgentError, ConfigError
from agent.worker import OnCrash, Worker

log = logging.getLogger(__name__)

Serve = Callable[[str, Json, Caller], Json]

TICK_S = 1.0
CLIENTS = 32
STREAMING = frozenset({"identify", "enrol"})

# accept() fails so for lack of something that comes back: wait a little and go on.
SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED})


class ControlServer(Worker):
    """Accepts clients of the agent's own account, of root and of one configured group.

    The worker's thread accepts and reads; each request then has a thread that serves it and one that writes.
    """

    def __init__(self, path: Path, group: str | None, serve: Serve, on_crash: OnCrash) -> None:
        super().__init__("control", on_crash)
        self._path = path
        self._serve = serve
        self._group = group_id(group)
        self._clients: dict[int, Connection] = {}
        self._guard = threading.Lock()  # over _clients, which announce() walks through
        self._socket = _listen(path, self._group)
        self._wake_in, self._wake_out = socket.socketpair()
        self._poll = select.poll()

    def announce(self, announcement: Announcement) -> None:
        """Tell every listener; from any thread. One that does not read is dropped, nobody waits for it."""
        line = encode_line({"announce": announcement.model_dump(mode="json")})
        with self._guard:
            for client in self._clients.values():
                if client.listening:
                    client.offer(line)

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
                    self._attend(fd, events)
                self._dismiss_dawdlers()
        finally:
            self._part()
            self.close()

    def close(self) -> None:
        """Give up the socket."""
        for end in (self._socket, self._wake_in, self._wake_out):
            end.close()
        self._path.unlink(missing_ok=True)

    def _attend(self, fd: int, events: int) -> None:
        if fd == self._socket.fileno():
            self._accept()
        elif connection := self._clients.get(fd):
            if events & select.POLLIN:
                self._read(connection)
            elif events:
                self._forget(connection)  # it has hung up

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError as error:
            if error.errno not in SCARCE:
                raise
            log.warning("control: %s", error.strerror)
            self.stopping.wait(0.1)
            return
        uid, name = _peer(connection)
        if not self._allowed(uid, name):
            log.warning("control: user %d was refused", uid)
            Connection(connection).refuse(f"user {name or uid} may not control this kiosk")
        elif len(self._clients) >= CLIENTS:
            Connection(connection).refuse(f"{CLIENTS} clients are connected already: end one of them")
        else:
            self._admit(Connection(connection))

    def _admit(self, client: Connection) -> None:
        with self._guard:
            self._clients[client.fileno] = client
        self._poll.register(client.fileno, select.POLLIN)

    def _allowed(self, uid: int, name: str) -> bool:
        if uid in (0, os.geteuid()):
            return True
        if self._group is None or not name:
            return False
        return self._group in os.getgrouplist(name, pwd.getpwuid(uid).pw_gid)

    def _read(self, client: Connection) -> None:
        """Bytes of a request; once it is whole only the news that the client has gone is listened for."""
        if client.receive():
            client.asked = True
            self._poll.modify(client.fileno, 0)
            threading.Thread(target=self._answer, args=(client,), name="control request", daemon=True).start()

    def _answer(self, client: Connection) -> None:
        """In a thread of its own: serve one request while the client's writer sends what is announced meanwhile."""
        client.start_writing()
        name = ""
        try:
            name, arguments = client.request()
            client.listening = name in STREAMING
            answer: Json = {"ok": True, "result": self._serve(name, arguments, client)}
        except AgentError as error:
            answer = {"ok": False, "error": str(error)}
        except Exception:
            log.exception("control: a request failed")
            answer = {"ok": False, "error": "the daemon failed at this request: see its log"}
        with self._guard:  # nothing is announced between the answer and what a watcher hears after it
            client.offer(encode_line(answer))
            client.listening = name == "watch" and bool(answer["ok"])
        if not client.listening:
            client.finish()

    def _dismiss_dawdlers(self) -> None:
        now = time.monotonic()
        for client in tuple(self._clients.values()):
            if not client.asked and now - client.since > REQUEST_S:
                client.refuse(NOT_A_REQUEST)
                self._forget(client)

    def _forget(self, client: Connection) -> None:
        self._poll.unregister(client.fileno)
        with self._guard:
            del self._clients[client.fileno]
        client.leave()

    def _part(self) -> None:
        """Let every client hear what was said last, then hang up."""
        deadline = time.monotonic() + FAREWELL_S
        clients = tuple(self._clients.values())
        for client in clients:
            client.finish()
        for client in clients:
            client.await_end(max(0.0, deadline - time.monotonic()))
            self._forget(client)


def _listen(path: Path, group: int | None) -> socket.socket:
    """Bind, replacing the socket of a daemon that was killed. The owner lock has already kept a second daemon out."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _unlink_socket(path)
        before = os.umask(0o117)
        try:
            end.bind(str(path))
        finally:
            os.umask(before)
        end.listen(CLIENTS)
    except OSError as error:
        end.close()
        raise ConfigError(f"kiosk.control_socket: {path}: {error.strerror or error}") from error
    except ConfigError:
        end.close()
        raise
    if group is not None:
        _give_to(path, group, end)
    return end


def _unlink_socket(path: Path) -> None:
    if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
        raise ConfigError(f"kiosk.control_socket: {path}: there is something else of this name; move it away")
    path.unlink(missing_ok=True)


def _give_to(path: Path, group: int, end: socket.socket) -> None:
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
    """The id of the configured group. ConfigError when there is none of that name."""
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
