"""The asynchronous transfers of libusb 1.0, of which pyusb offers none: its structure, its functions, its event thread.

pyusb's reads and writes block and cannot be cancelled. Here a submitted transfer is in flight, can be taken back at any
time, and an interrupt read stays pending without losing a message.
"""

import ctypes
import threading
from typing import Protocol

from drivers.usb.transfers import Outcome, Transfer

NO_DEVICE = -4  # a code of libusb
CONTROL, BULK = 0, 2  # types of transfers
SETUP_BYTES = 8
OUTCOMES = {0: Outcome.DONE, 3: Outcome.CANCELLED, 4: Outcome.STALLED, 5: Outcome.GONE}  # others: a fault of the bus
TICK_S = 60  # an event thread with nothing to do wakes so often

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
    """Those functions of the library that pyusb does not call, with types of our own."""

    def __init__(self, library: ctypes.CDLL) -> None:
        to_code = ctypes.CFUNCTYPE(ctypes.c_int, Pointer)
        to_nothing = ctypes.CFUNCTYPE(None, Pointer)
        self.alloc = ctypes.CFUNCTYPE(Pointer, ctypes.c_int)(("libusb_alloc_transfer", library))
        self.free = to_nothing(("libusb_free_transfer", library))
        self.submit = to_code(("libusb_submit_transfer", library))
        self.cancel = to_code(("libusb_cancel_transfer", library))
        self.interrupt = to_nothing(("libusb_interrupt_event_handler", library))
        handle_events = ctypes.CFUNCTYPE(ctypes.c_int, Pointer, Pointer, Pointer)
        self.handle_events = handle_events(("libusb_handle_events_timeout_completed", library))


class EventThread:
    """The thread in which libusb ends transfers: one for all links, there while a link is open."""

    def __init__(self, functions: LibusbFunctions, context: Pointer) -> None:
        self._functions = functions
        self._context = context
        self._lock = threading.Lock()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._stop = ctypes.c_int(0)

    def acquire(self) -> None:
        """Begin, unless it runs."""
        with self._lock:
            self._users += 1
            if self._thread is None:
                self._stop = ctypes.c_int(0)
                self._thread = threading.Thread(target=self._run, args=(self._stop,), name="libusb", daemon=True)
                self._thread.start()

    def release(self) -> None:
        """End with the last link."""
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
    """Who put a transfer in flight."""

    def completed(self, submitted: "SubmittedTransfer", outcome: Outcome, data: bytes) -> None:
        """It has ended, and must be freed; called in the event thread."""


class SubmittedTransfer:
    """One transfer in the hands of libusb, which has its structure and its buffer until it has completed."""

    def __init__(
        self, functions: LibusbFunctions, handle: Pointer, transfer: Transfer, kind: int, owner: TransferOwner
    ) -> None:
        self.transfer = transfer
        self.owner = owner
        self._functions = functions
        self._head = SETUP_BYTES if transfer.setup else 0
        length = self._head + transfer.size
        self._buffer = ctypes.create_string_buffer(transfer.setup + transfer.payload, max(length, 1))
        self._at = int(functions.alloc(0))
        self._struct = LibusbTransfer.from_address(self._at)
        self._struct.handle = handle
        self._struct.endpoint, self._struct.type, self._struct.timeout = transfer.endpoint, kind, 0
        self._struct.buffer, self._struct.length = ctypes.addressof(self._buffer), length
        self._struct.callback = _CALLBACK

    def submit(self) -> int:
        """Start; 0 or a code of libusb, and then it never was in flight."""
        _IN_FLIGHT[self._at] = self
        code = int(self._functions.submit(self._at))
        if code:
            self.free()
        return code

    def cancel(self) -> None:
        """Ask libusb to end it soon. Not after free()."""
        self._functions.cancel(self._at)

    def free(self) -> None:
        """Give the structure back."""
        del _IN_FLIGHT[self._at]
        self._functions.free(self._at)

    def result(self) -> tuple[Outcome, bytes]:
        """How it ended, and its data. Part of them may have come before it was taken back: they are not lost."""
        count = self._struct.actual_length
        data = self._buffer.raw[self._head : self._head + count] if self.transfer.is_in else b""
        outcome = OUTCOMES.get(self._struct.status, Outcome.FAILED)
        return (Outcome.DONE if data and outcome is Outcome.CANCELLED else outcome), data


def _completed(at: int) -> None:
    submitted = _IN_FLIGHT[at]
    submitted.owner.completed(submitted, *submitted.result())


_IN_FLIGHT: dict[
    int, SubmittedTransfer
] = {}  # by the address of the structure: what libusb holds must not be collected
_CALLBACK = Callback(_completed)
