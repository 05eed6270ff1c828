"""Transfers in the structures of libusb, and the thread that completes them."""

import threading
from typing import Any, cast

import pytest
import usb.backend.libusb1

from drivers.usb.libusb import BULK, CONTROL, EventThread, LibusbFunctions, SubmittedTransfer
from drivers.usb.transfers import Outcome, Transfer
from tests.rigs.fake_libusb import CANCELLED, COMPLETED, NO_DEVICE, STALL, FakeLibusb

OVERFLOW = 6  # LIBUSB_TRANSFER_OVERFLOW


class Owner:
    """Keeps what was completed, and frees it."""

    def __init__(self) -> None:
        self.ended = list[tuple[Outcome, bytes]]()

    def completed(self, submitted: SubmittedTransfer, outcome: Outcome, data: bytes) -> None:
        self.ended.append((outcome, data))
        submitted.free()


def submit(library: FakeLibusb, transfer: Transfer, kind: int = BULK) -> Owner:
    owner = Owner()
    functions, handle = cast("LibusbFunctions", library), cast("Any", 0)
    assert SubmittedTransfer(functions, handle, transfer, kind, owner).submit() == library.submit_code
    return owner


@pytest.mark.parametrize(
    ("status", "data", "outcome"),
    [
        (COMPLETED, b"image", Outcome.DONE),
        (STALL, b"", Outcome.STALLED),
        (NO_DEVICE, b"", Outcome.GONE),
        (CANCELLED, b"", Outcome.CANCELLED),
        (CANCELLED, b"ima", Outcome.DONE),  # what arrived before the cancel is not lost
        (OVERFLOW, b"", Outcome.FAILED),
    ],
)
def test_the_status_of_libusb_becomes_an_outcome(status: int, data: bytes, outcome: Outcome) -> None:
    library = FakeLibusb()
    owner = submit(library, Transfer(0x81, 64))
    library.complete(library.only, status, data)
    assert owner.ended == [(outcome, data)]
    assert not library.transfers


def test_the_data_of_a_control_transfer_come_after_its_setup_packet() -> None:
    library = FakeLibusb()
    owner = submit(library, Transfer(0, 4, setup=bytes([0xC0, 4, 7, 0, 0, 0, 4, 0])), CONTROL)
    assert library.transfers[library.only].length == 8 + 4
    library.complete(library.only, COMPLETED, b"abcd")
    assert owner.ended == [(Outcome.DONE, b"abcd")]


def test_a_write_returns_no_data() -> None:
    library = FakeLibusb()
    owner = submit(library, Transfer(0x02, 3, b"abc"))
    library.complete(library.only, COMPLETED, b"abc")
    assert owner.ended == [(Outcome.DONE, b"")]


def test_a_transfer_that_libusb_refuses_is_freed() -> None:
    library = FakeLibusb(submit_code=-4)
    owner = submit(library, Transfer(0x81, 64))
    assert not library.transfers
    assert not owner.ended


def test_a_cancelled_transfer_ends_as_cancelled() -> None:
    library = FakeLibusb()
    owner = Owner()
    functions, handle = cast("LibusbFunctions", library), cast("Any", 0)
    submitted = SubmittedTransfer(functions, handle, Transfer(0x81, 64), BULK, owner)
    submitted.submit()
    submitted.cancel()
    library.event_thread.join()
    assert owner.ended == [(Outcome.CANCELLED, b"")]


def test_the_event_thread_of_the_real_libusb_runs_while_a_link_is_open() -> None:
    backend = usb.backend.libusb1.get_backend()
    if backend is None:
        pytest.skip("libusb 1.0 is not installed")
    functions = LibusbFunctions(backend.lib)
    functions.free(functions.alloc(0))
    before = threading.active_count()
    events = EventThread(functions, backend.ctx)
    events.acquire()
    events.acquire()
    assert threading.active_count() == before + 1
    events.release()
    assert threading.active_count() == before + 1
    events.release()
    assert threading.active_count() == before
