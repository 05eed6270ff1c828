"""The faults of USB transfers: which transfers they affect, and what is sent instead."""

import pytest

from simulators.transports.usb.faults import LARGE, TransferFaults
from tests.rigs.usb_echo import Echo

IMAGE = bytes(range(256)) * (LARGE // 256)


@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        ("lost", []),
        ("duplicate", [LARGE, LARGE]),
        ("drop", [LARGE - 1]),
        ("double", [LARGE + 1]),
        ("flip", [LARGE]),
        ("garbage", [LARGE + 16]),
        ("short", [LARGE - 128]),
        ("long", [LARGE + 128]),
    ],
)
def test_a_fault_changes_one_image_and_is_used_up(name: str, lengths: list[int]) -> None:
    model = Echo()
    faults = TransferFaults(model)
    model.faults.inject(name)
    sent = faults.corrupt(IMAGE, bulk=True)
    assert [len(part) for part in sent] == lengths
    assert sent != [IMAGE]
    assert faults.corrupt(IMAGE, bulk=True) == [IMAGE]


def test_a_packet_number_counts_transfers_from_now() -> None:
    model = Echo()
    faults = TransferFaults(model)
    model.faults.inject("lost", packet=2)
    assert [len(faults.corrupt(b"abc", bulk=True)) for _ in range(4)] == [1, 1, 0, 1]


def test_a_fault_in_the_data_leaves_answers_alone() -> None:
    model = Echo()
    faults = TransferFaults(model)
    model.faults.inject("lost", at="data", packet=0)
    assert faults.corrupt(b"abc", bulk=False) == [b"abc"]
    model.faults.inject("lost", at="answer")
    assert faults.corrupt(b"abc", bulk=False) == []


def test_delays_add_up_and_a_slow_device_stays_slow() -> None:
    model = Echo()
    faults = TransferFaults(model)
    model.faults.inject("slow", seconds=0.25)
    model.faults.inject("late", at="answer", seconds=1.0)
    assert faults.delay(bulk=False) == 1.25
    assert faults.delay(bulk=False) == 0.25


def test_another_device_sends_noise_and_a_silent_one_nothing() -> None:
    model = Echo()
    faults = TransferFaults(model)
    assert not faults.silent()
    assert not faults.wrong_device()
    model.faults.inject("wrong_device")
    model.faults.inject("silent")
    (noise,) = faults.corrupt(IMAGE, bulk=True)
    assert len(noise) == len(IMAGE)
    assert noise != IMAGE
    assert faults.silent()
    assert faults.wrong_device()


def test_a_stall_refuses_one_transfer() -> None:
    model = Echo()
    faults = TransferFaults(model)
    model.faults.inject("stall", at="data")
    assert [faults.stalls(True) for _ in range(2)] == [True, False]
