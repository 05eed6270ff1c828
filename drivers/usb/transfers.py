"""A UsbLink over any backend that moves transfers: libusb's (local.py), USB/IP's, a test's with a virtual clock.

Transfers are asynchronous: submitted is in flight, cancel() wakes whoever waits at once, nothing polls.
"""

import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from drivers.errors import Cancelled, LinkLost, ProtocolError, SensorError, Stalled, TransferTimeout
from drivers.usb.link import CONTROL_TIMEOUT_S, Inbox, PendingRead, UsbIdentity, UsbLink

IN = 0x80  # the bit of an endpoint or request type that says: towards us
CANCEL_TIMEOUT_S = 0.1  # a transfer that is taken back ends within a frame or two; a dead one is not waited for longer
INBOX_LIMIT = 256  # messages kept for a driver that does not fetch them; the oldest go first


class Outcome(Enum):
    """How a transfer ended."""

    DONE = "done"
    STALLED = "stalled"
    GONE = "gone"  # the device was unplugged
    CANCELLED = "taken back"
    FAILED = "failed"  # a fault of the bus: babble, no response


@dataclass(slots=True, eq=False)
class Transfer:
    """One transfer. `setup` only for endpoint 0. The backend sets `data` (of an IN transfer), then `outcome`."""

    endpoint: int
    size: int  # bytes wanted, or those of `payload`
    payload: bytes = field(default=b"", repr=False)
    setup: bytes = b""
    on_done: Callable[["Transfer"], None] | None = None
    data: bytes = field(default=b"", repr=False)  # a part of an image, it may be
    outcome: Outcome | None = None

    @property
    def is_in(self) -> bool:
        """Whether the data come towards us."""
        return bool((self.setup[0] if self.setup else self.endpoint) & IN)

    @property
    def ended(self) -> bool:
        """Whether the backend is done with it."""
        return self.outcome is not None


class TransferBackend(Protocol):
    """What a link stands on. on_done may be called by any thread, without a lock of the backend held."""

    identity: UsbIdentity
    configuration: bytes

    def now(self) -> float:
        """Seconds, monotonic."""

    def wait(self, ready: Callable[[], bool], timeout: float) -> None:
        """Return when ready() holds or the time is over. ready() is looked at after each ended transfer and wake()."""

    def wake(self) -> None:
        """Let wait() look again. From any thread."""

    def submit(self, transfer: Transfer) -> None:
        """Put a transfer in flight; when this returns the host asks the device. LinkLost: the device is gone."""

    def cancel_transfer(self, transfer: Transfer) -> None:
        """Ask for the end of a transfer; it ends as CANCELLED, or as it would have if it was faster."""

    def claim(self, interface: int) -> None:
        """One interface more, until close(). LinkLost (DeviceBusy and PermissionDenied are)."""

    def clear_halt(self, endpoint: int) -> None:
        """Let an endpoint that stalled go on. LinkLost."""

    def present(self) -> bool:
        """Whether the device is still plugged in, as far as one can see without asking it."""

    def close(self) -> None:
        """Take back what is in flight, release the interface, join threads. Never raises."""


class ThreadedBackend:
    """now(), wait() and wake() of a backend whose transfers end in other threads."""

    def __init__(self) -> None:
        self._signal = threading.Condition()

    def now(self) -> float:
        """Seconds, monotonic."""
        return time.monotonic()

    def wait(self, ready: Callable[[], bool], timeout: float) -> None:
        """Return when ready() holds or the time is over."""
        with self._signal:
            self._signal.wait_for(ready, max(timeout, 0.0))

    def wake(self) -> None:
        """Let wait() look again."""
        with self._signal:
            self._signal.notify_all()

    def finish(self, transfer: Transfer, outcome: Outcome, data: bytes = b"") -> None:
        """End a transfer and tell everybody."""
        transfer.data, transfer.outcome = data, outcome
        if transfer.on_done:
            transfer.on_done(transfer)
        self.wake()


class TransferEngine:
    """Submitting, waiting and taking back, with one sticky cancel: what a link, its reads and inboxes share."""

    def __init__(self, backend: TransferBackend) -> None:
        self.backend = backend
        self.name = str(backend.identity)
        self._cancelled = False
        self._closed = False
        self._unresponsive = False  # the last transfer that was taken back did not end: no other is waited for

    def submit(self, transfer: Transfer) -> None:
        """Put a transfer in flight. LinkLost, Cancelled."""
        self.check()
        self.backend.submit(transfer)

    def check(self) -> None:
        """LinkLost after close(); Cancelled, once, after cancel()."""
        if self._closed:
            raise LinkLost(f"{self.name}: closed")
        if self._cancelled:
            self._cancelled = False
            raise Cancelled(self.name)

    def wait(self, ready: Callable[[], bool], timeout: float) -> None:
        """Wait until ready() or the time is over. Cancelled, LinkLost."""
        self.backend.wait(lambda: self._cancelled or self._closed or ready(), timeout)
        self.check()

    def result(self, transfer: Transfer, timeout: float) -> bytes:
        """The data of a transfer that is in flight; one that does not end in time is taken back."""
        try:
            self.wait(lambda: transfer.ended, timeout)
            self._unresponsive = self._unresponsive and not transfer.ended
        finally:
            self.cancel_transfer(transfer)
        if transfer.outcome is Outcome.DONE:
            return transfer.data
        raise self.error(transfer, timeout)

    def cancel_transfer(self, transfer: Transfer) -> None:
        """End a transfer that is still in flight. A dead device is waited for once: a cancel must be over in 0.3 s."""
        if not transfer.ended:
            self.backend.cancel_transfer(transfer)
            self.backend.wait(lambda: transfer.ended, 0.0 if self._unresponsive else CANCEL_TIMEOUT_S)
            self._unresponsive = not transfer.ended

    def error(self, transfer: Transfer, timeout: float) -> Exception:
        """What the end of a transfer means."""
        what = f"{self.name}: {_describe(transfer)}"
        if transfer.outcome is Outcome.STALLED:
            return Stalled(f"{what} was refused")
        if transfer.outcome is Outcome.GONE or not self.backend.present():
            return LinkLost(f"{self.name}: unplugged")
        if transfer.outcome is Outcome.FAILED:
            return ProtocolError(f"{what} failed on the bus; check cable and hub")
        return TransferTimeout(f"{what} did not end within {timeout:g} s")

    def cancel(self) -> None:
        """End the running wait or the next one."""
        self._cancelled = True
        self.backend.wake()

    def close(self) -> None:
        """Close the backend, once."""
        if not self._closed:
            self._closed = True
            self.backend.close()


def _describe(transfer: Transfer) -> str:
    if transfer.setup:
        return f"control request 0x{transfer.setup[1]:02x}"
    verb = "reading" if transfer.is_in else "writing"
    return f"{verb} endpoint 0x{transfer.endpoint:02x}"


class _PendingRead:
    """A read in flight."""

    def __init__(self, engine: TransferEngine, transfer: Transfer, timeout: float) -> None:
        self._engine = engine
        self._transfer = transfer
        self._deadline = engine.backend.now() + timeout
        engine.submit(transfer)

    def result(self, timeout: float) -> bytes:
        """The data."""
        return self._engine.result(self._transfer, min(timeout, self._deadline - self._engine.backend.now()))

    def abandon(self) -> None:
        """Take the transfer back."""
        self._engine.cancel_transfer(self._transfer)


class _Inbox:
    """One pending read, put in flight again by the thread that ended it, and what it brought."""

    def __init__(self, engine: TransferEngine, endpoint: int, size: int) -> None:
        self._engine = engine
        self._endpoint, self._size = endpoint, size
        self._messages: deque[bytes] = deque(maxlen=INBOX_LIMIT)
        self._open = True
        self._reported = False  # of the failure that ended the last read
        self._transfer = self._begin()

    def next(self, timeout: float) -> bytes | None:
        """The oldest message not yet fetched. After Stalled the reading goes on with the next call."""
        if self._reported:
            self._reported, self._transfer = False, self._begin()
        self._engine.wait(lambda: bool(self._messages) or self._broken(), timeout)
        if self._messages:
            return self._messages.popleft()
        if self._broken():
            self._reported = True
            raise self._engine.error(self._transfer, timeout)
        if not self._engine.backend.present():
            raise self._engine.error(self._transfer, timeout)
        return None

    def close(self) -> None:
        """Take the pending read back."""
        self._open = False
        self._engine.cancel_transfer(self._transfer)

    def _broken(self) -> bool:
        return self._transfer.outcome not in (None, Outcome.DONE)

    def _begin(self) -> Transfer:
        transfer = Transfer(self._endpoint, self._size, on_done=self._arrived)
        self._engine.submit(transfer)
        return transfer

    def _arrived(self, transfer: Transfer) -> None:
        """Runs in the thread that ended the transfer: what went wrong is told by next()."""
        if transfer.outcome is not Outcome.DONE:
            return
        if transfer.data:
            self._messages.append(transfer.data)
        if self._open:
            again = Transfer(self._endpoint, self._size, on_done=self._arrived)
            try:
                self._engine.backend.submit(again)
            except SensorError as error:
                again.outcome = Outcome.GONE if isinstance(error, LinkLost) else Outcome.FAILED
            self._transfer = again


class Link:
    """A claimed interface, over any backend."""

    def __init__(self, backend: TransferBackend) -> None:
        self.identity = backend.identity
        self.configuration = backend.configuration
        self._engine = TransferEngine(backend)

    def now(self) -> float:
        """Seconds, monotonic."""
        return self._engine.backend.now()

    def pause(self, seconds: float) -> None:
        """Wait; cancel() ends it with Cancelled."""
        self._engine.wait(lambda: False, seconds)

    def control_in(
        self, request_type: int, request: int, value: int, index: int, length: int, timeout: float = CONTROL_TIMEOUT_S
    ) -> bytes:
        """A control request that answers at most `length` bytes."""
        setup = struct.pack("<BBHHH", request_type | IN, request, value, index, length)
        return self._do(Transfer(0, length, setup=setup), timeout)

    def control_out(
        self,
        request_type: int,
        request: int,
        value: int,
        index: int,
        data: bytes = b"",
        timeout: float = CONTROL_TIMEOUT_S,
    ) -> None:
        """A control request with `data`."""
        setup = struct.pack("<BBHHH", request_type & ~IN, request, value, index, len(data))
        self._do(Transfer(0, len(data), bytes(data), setup), timeout)

    def read(self, endpoint: int, size: int, timeout: float) -> bytes:
        """One bulk or interrupt transfer of at most `size` bytes."""
        return self._do(Transfer(endpoint | IN, size), timeout)

    def write(self, endpoint: int, data: bytes, timeout: float) -> None:
        """One bulk or interrupt transfer to the device."""
        self._do(Transfer(endpoint & ~IN, len(data), bytes(data)), timeout)

    def begin_read(self, endpoint: int, size: int, timeout: float) -> PendingRead:
        """A read that is in flight when this returns; `timeout` bounds its whole life."""
        return _PendingRead(self._engine, Transfer(endpoint | IN, size), timeout)

    def listen(self, endpoint: int, size: int) -> Inbox:
        """Keep a read of `size` bytes pending on an interrupt endpoint until the inbox is closed."""
        return _Inbox(self._engine, endpoint | IN, size)

    def claim(self, interface: int) -> None:
        """One interface more, until close()."""
        self._engine.check()
        self._engine.backend.claim(interface)

    def clear_halt(self, endpoint: int) -> None:
        """Let an endpoint that stalled go on."""
        self._engine.check()
        self._engine.backend.clear_halt(endpoint)

    def cancel(self) -> None:
        """End the running wait or, when none runs, the next one with Cancelled."""
        self._engine.cancel()

    def close(self) -> None:
        """Give the interface back."""
        self._engine.close()

    def _do(self, transfer: Transfer, timeout: float) -> bytes:
        self._engine.submit(transfer)
        return self._engine.result(transfer, timeout)


_: type[UsbLink] = Link
