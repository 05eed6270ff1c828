"""Asynchronous transfers of libusb 1.0: the transfer structure, the functions and the event thread.

The reads and writes of pyusb block and cannot be cancelled. A transfer submitted here can be cancelled at any time, and
an interrupt read stays pending without losing a message.
"""

import ctypes
import threading
from typing import Protocol

from drivers.usb.transfers import Outcome, Transfer

NO_DEVICE = -4  # error code of libusb
CONTROL, BULK = 0, 2  # transfer types
SETUP_BYTES = 8
OUTCOMES = {0: Outcome.DONE, 3: Outcome.CANCELLED, 4: Outcome.STALLED, 5: Outcome.GONE}  # others: bus error
TICK_S = 60  # an idle event thread wakes this often

Pointer = ctypes.c_void_p
Callback = ctypes.CFUNCTYPE(None, Pointer)


class LibusbTransfer(ctypes.Structure):
    """Struct libusb_transfer of libusb.h, without the list of isochronous packets at its end."""

    _fields_ = (
        ("handle", Pointer),
        ("flags", ctypes.c_uint8),
        ("endpoint", ctypes.c_ubyte),
        ("type", ctypes.c_ubyte),
        ("timeout", ctypes.c_uint),
        ("status", ctypes.c_int),
        ("length", ctypes.c_int),
        ("actual_length", ctypes.c_int),
        ("callback", Callback),
        ("user_data", Pointer),
        ("buffer", Pointer),
        ("packets", ctypes.c_int),
    )


class LibusbFunctions:
    """The functions of libusb that pyusb does not call, with their types."""

    def __init__(self, library: ctypes.CDLL) -> None:
        returns_code = ctypes.CFUNCTYPE(ctypes.c_int, Pointer)
        returns_nothing = ctypes.CFUNCTYPE(None, Pointer)
        self.alloc = ctypes.CFUNCTYPE(Pointer, ctypes.c_int)(("libusb_alloc_transfer", library))
        self.free = returns_nothing(("libusb_free_transfer", library))
        self.submit = returns_code(("libusb_submit_transfer", library))
        self.cancel = returns_code(("libusb_cancel_transfer", library))
        self.interrupt = returns_nothing(("libusb_interrupt_event_handler", library))
        handle_events = ctypes.CFUNCTYPE(ctypes.c_int, Pointer, Pointer, Pointer)
        self.handle_events = handle_events(("libusb_handle_events_timeout_completed", library))


class EventThread:
    """The thread in which libusb completes transfers: one for all links, running while a link is open."""

    def __init__(self, functions: LibusbFunctions, context: Pointer) -> None:
        self._functions = functions
        self._context = context
        self._lock = threading.Lock()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._stop = ctypes.c_int(0)

    def acquire(self) -> None:
        """Starts the thread if it is not running."""
        with self._lock:
            self._users += 1
            if self._thread is None:
                self._stop = ctypes.c_int(0)
                self._thread = threading.Thread(target=self._run, args=(self._stop,), name="libusb", daemon=True)
                self._thread.start()

    def release(self) -> None:
        """Stops the thread if this was the last link."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._thread is not None:
                self._stop.value = 1
                self._functions.interrupt(self._context)
                self._thread.join()
                self._thread = None

    def _run(self, stop: ctypes.c_int) -> None:
        tick = (ctypes.c_long * 2)(TICK_S, 0)  # struct timeval
        while not stop.value:
            self._functions.handle_events(self._context, ctypes.addressof(tick), ctypes.addressof(stop))


class TransferOwner(Protocol):
    """What submitted a transfer."""

    def completed(self, submitted: "SubmittedTransfer", outcome: Outcome, data: bytes) -> None:
        """A transfer has ended and must be freed. Called in the event thread."""


class SubmittedTransfer:
    """One transfer submitted to libusb, which uses its structure and buffer until it has completed."""

    def __init__(
        self, functions: LibusbFunctions, handle: Pointer, transfer: Transfer, kind: int, owner: TransferOwner
    ) -> None:
        self.transfer = transfer
        self.owner = owner
        self._functions = functions
        self._data_at = SETUP_BYTES if transfer.setup else 0
        length = self._data_at + transfer.size
        self._buffer = ctypes.create_string_buffer(transfer.setup + transfer.payload, max(length, 1))
        self._address = int(functions.alloc(0))
        self._struct = LibusbTransfer.from_address(self._address)
        self._struct.handle = handle
        self._struct.endpoint, self._struct.type, self._struct.timeout = transfer.endpoint, kind, 0
        self._struct.buffer, self._struct.length = ctypes.addressof(self._buffer), length
        self._struct.callback = _CALLBACK

    def submit(self) -> int:
        """Submits the transfer. Returns 0, or an error code of libusb if it was not submitted."""
        _IN_FLIGHT[self._address] = self
        code = int(self._functions.submit(self._address))
        if code:
            self.free()
        return code

    def cancel(self) -> None:
        """Asks libusb to end the transfer. Must not be called after free()."""
        self._functions.cancel(self._address)

    def free(self) -> None:
        """Free the structure."""
        del _IN_FLIGHT[self._address]
        self._functions.free(self._address)

    def result(self) -> tuple[Outcome, bytes]:
        """How the transfer ended, and its data. Data that arrived before it was cancelled are not lost."""
        count = self._struct.actual_length
        data = self._buffer.raw[self._data_at : self._data_at + count] if self.transfer.is_in else b""
        outcome = OUTCOMES.get(self._struct.status, Outcome.FAILED)
        return (Outcome.DONE if data and outcome is Outcome.CANCELLED else outcome), data


def _completed(address: int) -> None:
    submitted = _IN_FLIGHT[address]
    submitted.owner.completed(submitted, *submitted.result())


# By the address of the structure. Keeps what libusb uses from being garbage-collected.
_IN_FLIGHT: dict[int, SubmittedTransfer] = {}
_CALLBACK = Callback(_completed)
