"""Link: a UsbLink over any backend that transports transfers: libusb (local.py), USB/IP, or a test with its own clock.

Transfers are asynchronous, cancel() ends a wait immediately, and nothing polls.
"""

import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from drivers.errors import Cancelled, LinkLost, ProtocolError, SensorError, Stalled, TransferTimeout, UsbMemoryFull
from drivers.usb.link import CONTROL_TIMEOUT_S, Inbox, PendingRead, UsbIdentity, UsbLink

IN = 0x80  # bit of an endpoint address or request type: from the device to the host
CANCEL_TIMEOUT_S = 0.1  # a cancelled transfer ends within one or two frames; that of a dead device may not end
MEMORY_LIMIT = Path("/sys/module/usbcore/parameters/usbfs_memory_mb")  # MiB in flight, of all programs together
INBOX_LIMIT = 256  # messages kept for a driver that does not fetch them; the oldest go first


def memory_full(identity: UsbIdentity, setting: Path = MEMORY_LIMIT) -> UsbMemoryFull:
    """The error of a transfer for which Linux has no memory left: says how much there is and how to raise it."""
    try:
        limit = f"{int(setting.read_text(encoding='ascii'))} MiB"
    except (OSError, ValueError):
        limit = "usually 16 MiB"
    return UsbMemoryFull(
        f"{identity}: no memory for another USB transfer: Linux allows all programs together {limit} in flight "
        f"({setting}), and other cameras need it too. Raise it: echo 128 | sudo tee {setting}; to keep it after a "
        "restart, add usbcore.usbfs_memory_mb=128 to the kernel's command line. Or choose a smaller size"
    )


class Outcome(Enum):
    """How a transfer ended."""

    DONE = "done"
    STALLED = "stalled"
    GONE = "gone"  # the device was unplugged
    CANCELLED = "taken back"
    FAILED = "failed"  # bus error: babble, no response


@dataclass(slots=True, eq=False)
class Transfer:
    """One transfer; `setup` only for endpoint 0. When it ends, the backend sets `data` (if IN), then `outcome`."""

    endpoint: int
    size: int  # of the data to read, or of `payload`
    payload: bytes = field(default=b"", repr=False)
    setup: bytes = b""
    on_done: Callable[["Transfer"], None] | None = None
    data: bytes = field(default=b"", repr=False)  # not in the repr: may be part of an image
    outcome: Outcome | None = None

    @property
    def is_in(self) -> bool:
        """Whether the data go from the device to the host."""
        return bool((self.setup[0] if self.setup else self.endpoint) & IN)

    @property
    def ended(self) -> bool:
        """Whether the transfer has ended."""
        return self.outcome is not None


class TransferBackend(Protocol):
    """Transports the transfers of one claimed device. It calls on_done in any thread, without holding its locks."""

    identity: UsbIdentity
    configuration: bytes

    def now(self) -> float:
        """The monotonic time in seconds."""

    def wait(self, ready: Callable[[], bool], timeout: float) -> None:
        """Returns when ready() is true or the time is over. ready() is called after each ended transfer and wake()."""

    def wake(self) -> None:
        """Lets wait() call ready() again. Any thread may call it."""

    def submit(self, transfer: Transfer) -> None:
        """Submits a transfer. When this returns, the host has begun it.

        LinkLost if the device is gone, UsbMemoryFull if the host cannot take another transfer of this size.
        """

    def cancel_transfer(self, transfer: Transfer) -> None:
        """Cancels a transfer. It ends later as CANCELLED, or with another outcome if that was faster."""

    def claim(self, interface: int) -> None:
        """Claims another interface until close(). LinkLost, DeviceBusy or PermissionDenied if that is not possible."""

    def clear_halt(self, endpoint: int) -> None:
        """Clears the halt of an endpoint that stalled. LinkLost."""

    def present(self) -> bool:
        """Whether the device is still plugged in, as far as is known without sending to it."""

    def close(self) -> None:
        """Cancels all transfers, releases the interfaces, joins the threads. Never raises."""


class ThreadedBackend:
    """Base of the backends whose transfers end in other threads: now(), wait(), wake() and finish()."""

    def __init__(self) -> None:
        self._signal = threading.Condition()

    def now(self) -> float:
        """The monotonic time in seconds."""
        return time.monotonic()

    def wait(self, ready: Callable[[], bool], timeout: float) -> None:
        """Returns when ready() is true or the time is over."""
        with self._signal:
            self._signal.wait_for(ready, max(timeout, 0.0))

    def wake(self) -> None:
        """Lets wait() call ready() again."""
        with self._signal:
            self._signal.notify_all()

    def finish(self, transfer: Transfer, outcome: Outcome, data: bytes = b"") -> None:
        """Sets the outcome of a transfer, calls its on_done and wakes wait()."""
        transfer.data, transfer.outcome = data, outcome
        if transfer.on_done:
            transfer.on_done(transfer)
        self.wake()


class TransferEngine:
    """Submits, waits for and cancels transfers. A link, its pending reads and its inboxes share one engine."""

    def __init__(self, backend: TransferBackend) -> None:
        self.backend = backend
        self.name = str(backend.identity)
        self._cancelled = False
        self._closed = False
        self._unresponsive = False  # the last cancelled transfer did not end, so do not wait for another

    def submit(self, transfer: Transfer) -> None:
        """Submits a transfer. LinkLost, UsbMemoryFull, Cancelled."""
        self.check()
        self.backend.submit(transfer)

    def check(self) -> None:
        """Raises LinkLost after close(), and Cancelled once after cancel()."""
        if self._closed:
            raise LinkLost(f"{self.name}: closed")
        if self._cancelled:
            self._cancelled = False
            raise Cancelled(self.name)

    def wait(self, ready: Callable[[], bool], timeout: float) -> None:
        """Waits until ready() is true or the time is over. Cancelled, LinkLost."""
        self.backend.wait(lambda: self._cancelled or self._closed or ready(), timeout)
        self.check()

    def result(self, transfer: Transfer, timeout: float) -> bytes:
        """Waits for the data of a submitted transfer. Cancels it if it does not end in time."""
        try:
            self.wait(lambda: transfer.ended, timeout)
            self._unresponsive = self._unresponsive and not transfer.ended
        finally:
            self.cancel_transfer(transfer)
        if transfer.outcome is Outcome.DONE:
            return transfer.data
        raise self.error(transfer, timeout)

    def cancel_transfer(self, transfer: Transfer) -> None:
        """Ends a transfer that has not ended. Waits only once for a dead device: a cancel must take less than 0.3 s."""
        if not transfer.ended:
            self.backend.cancel_transfer(transfer)
            self.backend.wait(lambda: transfer.ended, 0.0 if self._unresponsive else CANCEL_TIMEOUT_S)
            self._unresponsive = not transfer.ended

    def error(self, transfer: Transfer, timeout: float) -> Exception:
        """The error that the outcome of a transfer means."""
        what = f"{self.name}: {_describe(transfer)}"
        if transfer.outcome is Outcome.STALLED:
            return Stalled(f"{what} was refused")
        if transfer.outcome is Outcome.GONE or not self.backend.present():
            return LinkLost(f"{self.name}: unplugged")
        if transfer.outcome is Outcome.FAILED:
            return ProtocolError(f"{what} failed on the bus; check cable and hub")
        return TransferTimeout(f"{what} did not end within {timeout:g} s")

    def cancel(self) -> None:
        """Ends the running wait or the next one with Cancelled."""
        self._cancelled = True
        self.backend.wake()

    def close(self) -> None:
        """Closes the backend, once."""
        if not self._closed:
            self._closed = True
            self.backend.close()


def _describe(transfer: Transfer) -> str:
    if transfer.setup:
        return f"control request 0x{transfer.setup[1]:02x}"
    verb = "reading" if transfer.is_in else "writing"
    return f"{verb} endpoint 0x{transfer.endpoint:02x}"


class _PendingRead:
    """A submitted read."""

    def __init__(self, engine: TransferEngine, transfer: Transfer, timeout: float) -> None:
        self._engine = engine
        self._transfer = transfer
        self._deadline = engine.backend.now() + timeout
        engine.submit(transfer)

    def result(self, timeout: float) -> bytes:
        """Waits for the data."""
        return self._engine.result(self._transfer, min(timeout, self._deadline - self._engine.backend.now()))

    def abandon(self) -> None:
        """Cancels the transfer."""
        self._engine.cancel_transfer(self._transfer)


class _Inbox:
    """One pending read and its messages. The thread that ends the read submits the next one."""

    def __init__(self, engine: TransferEngine, endpoint: int, size: int) -> None:
        self._engine = engine
        self._endpoint, self._size = endpoint, size
        self._messages: deque[bytes] = deque(maxlen=INBOX_LIMIT)
        self._open = True
        self._reported = False  # the failure that ended the last read
        self._transfer = self._begin()

    def next(self, timeout: float) -> bytes | None:
        """Returns the oldest message not yet fetched. After Stalled, the next call starts reading again."""
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
        """Cancels the pending read."""
        self._open = False
        self._engine.cancel_transfer(self._transfer)

    def _broken(self) -> bool:
        return self._transfer.outcome not in (None, Outcome.DONE)

    def _begin(self) -> Transfer:
        transfer = Transfer(self._endpoint, self._size, on_done=self._arrived)
        self._engine.submit(transfer)
        return transfer

    def _arrived(self, transfer: Transfer) -> None:
        """Runs in the thread that ended the transfer, so an error is raised later, by next()."""
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
    """A UsbLink over a TransferBackend."""

    def __init__(self, backend: TransferBackend) -> None:
        self.identity = backend.identity
        self.configuration = backend.configuration
        self._engine = TransferEngine(backend)

    def now(self) -> float:
        """The monotonic time in seconds."""
        return self._engine.backend.now()

    def pause(self, seconds: float) -> None:
        """Waits. cancel() ends the wait with Cancelled."""
        self._engine.wait(lambda: False, seconds)

    def control_in(
        self, request_type: int, request: int, value: int, index: int, length: int, timeout: float = CONTROL_TIMEOUT_S
    ) -> bytes:
        """Sends a control request that returns at most `length` bytes."""
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
        """Sends a control request with `data`."""
        setup = struct.pack("<BBHHH", request_type & ~IN, request, value, index, len(data))
        self._do(Transfer(0, len(data), bytes(data), setup), timeout)

    def read(self, endpoint: int, size: int, timeout: float) -> bytes:
        """Reads at most `size` bytes in one bulk or interrupt transfer."""
        return self._do(Transfer(endpoint | IN, size), timeout)

    def write(self, endpoint: int, data: bytes, timeout: float) -> None:
        """Writes `data` in one bulk or interrupt transfer."""
        self._do(Transfer(endpoint & ~IN, len(data), bytes(data)), timeout)

    def begin_read(self, endpoint: int, size: int, timeout: float) -> PendingRead:
        """Submits a read and returns. `timeout` limits its total time, including the wait in result()."""
        return _PendingRead(self._engine, Transfer(endpoint | IN, size), timeout)

    def listen(self, endpoint: int, size: int) -> Inbox:
        """Keeps a read of `size` bytes pending on an interrupt endpoint until the inbox is closed."""
        return _Inbox(self._engine, endpoint | IN, size)

    def claim(self, interface: int) -> None:
        """Claims another interface until close()."""
        self._engine.check()
        self._engine.backend.claim(interface)

    def clear_halt(self, endpoint: int) -> None:
        """Clears the halt of an endpoint that stalled."""
        self._engine.check()
        self._engine.backend.clear_halt(endpoint)

    def cancel(self) -> None:
        """Ends the running wait with Cancelled, or the next one if none is running."""
        self._engine.cancel()

    def close(self) -> None:
        """Releases the interfaces."""
        self._engine.close()

    def _do(self, transfer: Transfer, timeout: float) -> bytes:
        self._engine.submit(transfer)
        return self._engine.result(transfer, timeout)


_: type[UsbLink] = Link
