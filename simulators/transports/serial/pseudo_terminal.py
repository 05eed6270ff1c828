"""A serial device behind a pseudo-terminal: the host opens the link as it would open /dev/ttyUSB0."""

import fcntl
import os
import queue
import select
import struct
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from simulators.transports.faults import Faults
from simulators.transports.serial.modem_line import ModemLine
from simulators.transports.serial.uart import Line, SerialDevice

READ_BYTES = 4096
OVERRUN_S = 2.0  # bytes that the host has not read for this long are lost, as in a UART whose port nobody reads
DRAIN_S = 1.0  # before the cable is pulled, the host may read what has arrived, for at most this long
QUIET_S = 0.02  # nothing unread for this long: the host has it (the kernel moves bytes between the ends with a delay)
CALL_S = 5.0  # a call into the serving thread that takes longer is a bug
TERMINALS = Path("/dev/pts")
TCGETS2 = 0x802C542A  # Linux, all common architectures: the only way to read any rate, not only the listed ones
TERMIOS2 = struct.Struct("4IB19B2I")


def host_baud(descriptor: int) -> int | None:
    """The rate that the host has set on the terminal; None if the system does not report it."""
    try:
        return int(TERMIOS2.unpack(fcntl.ioctl(descriptor, TCGETS2, bytes(TERMIOS2.size)))[-1])
    except OSError:
        return None


class PortDied(RuntimeError):
    """The thread that serves a simulated port ended with an error: a bug. The message says which."""


def _is_free(link: Path) -> bool:
    """True if `link` may be replaced: it does not exist, is a dangling link, or a link to a pseudo-terminal."""
    return not link.exists() or (link.is_symlink() and link.readlink().parent == TERMINALS)


class PtyServer:
    """Serves `module` at `link` while the context lasts, in one thread that is idle unless there is something to do.

    With `pace`, bytes take the time that they take on a UART. If the host has set another rate than the module's, each
    receives noise from the other. `unplugged` is set while the cable is out, `died_of` once a bug has ended the thread.
    """

    def __init__(
        self, module: SerialDevice, link: Path, *, pace: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.module = module
        self.link = link
        self.unplugged = threading.Event()
        self.bytes_sent = 0  # bytes sent to the host since the start
        self.died_of: BaseException | None = None
        self._clock = clock
        self._noise = Random(0)
        self._line = Line(pace=pace, faults=module.faults)
        self._calls: queue.SimpleQueue[tuple[Callable[[], None], Future[None]]] = queue.SimpleQueue()
        self._stopping = False
        self._master = self._slave = -1
        self._outgoing = bytearray()  # arrived on the line, not yet taken by the kernel
        self._stuck_since: float | None = None
        self._unplug_in: int | None = None

    def __enter__(self) -> Self:
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            self._plug()
        except BaseException:
            os.close(self._wake_fd)
            raise
        self._unwatch = self.module.faults.watch(self._wake)
        self._thread = threading.Thread(target=self._serve, name=f"pty {self.link.name}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unwatch()
        self._stopping = True
        self._wake()
        self._thread.join()
        os.close(self._wake_fd)
        if error is None:
            self._check_alive()

    def unplug(self) -> None:
        """Pull the cable: when this returns, the host's port is dead and the link is gone."""
        self._call(self._pull)

    def unplug_after(self, count: int) -> None:
        """Pull the cable automatically after `count` more bytes were sent to the host."""
        self._call(lambda: self._arm(count))

    def replug(self) -> None:
        """Put the cable back: a new port at the same link, and a module that has just been powered on."""
        self._call(self._replug)

    @property
    def port(self) -> str:
        """The path of the terminal itself. LookupError while unplugged."""
        if self.unplugged.is_set():
            raise LookupError(f"{self.link} is unplugged")
        return str(self.link.readlink())

    def _call(self, action: Callable[[], None]) -> None:
        """Run `action` in the serving thread and wait for it."""
        self._check_alive()
        if not self._thread.is_alive():
            raise RuntimeError(f"the sensor at {self.link} is not being served")
        done: Future[None] = Future()
        self._calls.put((action, done))
        self._wake()
        done.result(CALL_S)

    def _check_alive(self) -> None:
        if (cause := self.died_of) is not None:
            raise PortDied(f"the port at {self.link} died: {str(cause) or type(cause).__name__}") from cause

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_write(self._wake_fd, 1)

    # Everything below runs in the serving thread (or before it starts).

    def _serve(self) -> None:
        try:
            while not self._stopping:
                self._run_calls()
                self._take_unplug_fault(self.module.faults)
                self._queue_unsolicited()
                self._send()
                self._wait()
        except BaseException as error:  # noqa: BLE001 - kept for the callers
            self.died_of = error
        finally:
            self._pull()

    def _run_calls(self) -> None:
        while not self._calls.empty():
            action, done = self._calls.get()
            try:
                action()
            except Exception as error:  # noqa: BLE001 - raised again in the thread that called
                done.set_exception(error)
            else:
                done.set_result(None)

    def _take_unplug_fault(self, faults: Faults) -> None:
        if not self.unplugged.is_set() and (params := faults.take("unplug")):
            self._arm(int(params["after"]))

    def _arm(self, count: int) -> None:
        self._unplug_in = count
        if count <= 0:
            self._pull()

    def _plug(self) -> None:
        self._master, self._slave = os.openpty()  # we keep the slave: without it an unopened port reads as hung up
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._set_rate(self.module.baud)
        try:
            self._point_link(os.ttyname(self._slave))
        except BaseException:
            self._close()
            raise
        self._modem_line = ModemLine(self._slave)
        self._line.queue(self.module.power_on(self._clock()))
        self.unplugged.clear()

    def _set_rate(self, baud: int) -> None:
        """Set the module's rate, for hosts that set none."""
        code = getattr(termios, f"B{baud}", None)
        if code is not None:
            attributes = termios.tcgetattr(self._slave)
            attributes[4] = attributes[5] = code
            termios.tcsetattr(self._slave, termios.TCSANOW, attributes)

    def _point_link(self, target: str) -> None:
        if not _is_free(self.link):
            raise FileExistsError(f"{self.link} exists and is no link to a simulated port: choose another --link")
        self.link.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        fresh.symlink_to(target)
        fresh.replace(self.link)

    def _replug(self) -> None:
        if self.unplugged.is_set():
            self._plug()

    def _pull(self) -> None:
        if self.unplugged.is_set():
            return
        with suppress(OSError):
            if str(self.link.readlink()) == os.ttyname(self._slave):
                self.link.unlink()
        self._modem_line.close()
        self._close()
        self._line.clear()
        self._outgoing.clear()
        self._stuck_since = self._unplug_in = None
        self.unplugged.set()

    def _close(self) -> None:
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1

    def _queue_unsolicited(self) -> None:
        """Queue what the device sends on its own."""
        if not self.unplugged.is_set():
            self._line.queue(self.module.unsolicited(self._clock()))

    def _take_opening(self) -> None:
        """Restart the module if the host has opened the port and the module is one that this restarts."""
        raised = self._modem_line.take_raised()
        if raised and (params := self.module.faults.peek("restarts")):
            self._line.clear()
            self._outgoing.clear()
            self._line.queue(self.module.power_on(self._clock() + float(params["seconds"])))

    def _send(self) -> None:
        """Give the host what has arrived; pull the cable at the requested byte."""
        for data, baud in self._line.arrived(self._clock()):
            self._outgoing += self._as_received(data, baud)
        if not self._outgoing:
            return
        try:
            count = os.write(self._master, self._outgoing[: self._unplug_in])
        except BlockingIOError:
            self._drop_overrun()
            return
        self._stuck_since = None
        self.bytes_sent += count
        del self._outgoing[:count]
        if self._unplug_in is not None:
            self._unplug_in -= count
            if self._unplug_in <= 0:
                self._let_drain()
                self._pull()

    def _drop_overrun(self) -> None:
        now = self._clock()
        self._stuck_since = now if self._stuck_since is None else self._stuck_since
        if now - self._stuck_since > OVERRUN_S:
            self._outgoing.clear()

    def _let_drain(self) -> None:
        """Give the host time to read: bytes count as sent, but pulling the cable discards unread ones."""
        began = quiet_since = time.monotonic()
        while (now := time.monotonic()) < min(began + DRAIN_S, quiet_since + QUIET_S) and not self._stopping:
            if self._unread():
                quiet_since = now
            select.select([], [], [], 0.001)

    def _unread(self) -> int:
        return int.from_bytes(fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4)), sys.byteorder)

    def _as_received(self, data: bytes, baud: int) -> bytes:
        """The bytes, or noise if the host has set another rate."""
        rate = host_baud(self._master)
        return data if rate in (None, baud) else self._noise.randbytes(len(data))

    def _wait(self) -> None:
        reads = [self._wake_fd]
        if not self.unplugged.is_set():
            reads += [self._master, self._modem_line.fileno()]
        writes = [self._master] if self._outgoing else []
        ready, _, _ = select.select(reads, writes, [], self._timeout())
        if self._wake_fd in ready:
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake_fd)
        if not self.unplugged.is_set():
            self._take_opening()
        if self._master in ready:
            self._receive()

    def _timeout(self) -> float | None:
        if self._outgoing:
            return OVERRUN_S
        next_send_at = None if self.unplugged.is_set() else self.module.next_send_at()
        moments = [at for at in (self._line.wake_at(), next_send_at) if at is not None]
        return max(0.0, min(moments) - self._clock()) if moments else None

    def _receive(self) -> None:
        try:
            data = os.read(self._master, READ_BYTES)
        except BlockingIOError:
            return
        baud = self.module.baud
        received_at = self._line.receive(len(data), self._clock(), baud)
        self._line.queue(self.module.receive(self._as_received(data, baud), received_at))
