"""The messages of the NB-1010-U: golden bytes, and damaged messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.nb1010.tables import CAPTURE, FINGER_CHECK, IMAGE, PRE_CAPTURE, lines_fault, message_fault


def test_the_orders_are_those_that_were_recorded() -> None:
    assert FINGER_CHECK.message.hex() == "8038010008000000"
    assert PRE_CAPTURE.message.hex() == "800d03000c00000000040000"
    assert CAPTURE.message.hex() == "801204002000000002" + 19 * "00" + "20000000"


def test_recorded_answers_are_sound() -> None:
    assert not message_fault(bytes.fromhex("803701001000000000000000f7000000"), FINGER_CHECK.answer, 16)
    assert not message_fault(bytes.fromhex("80200300100000000000000000000000"), PRE_CAPTURE.answer, 16)
    assert not message_fault(bytes.fromhex("80200400100000000000000003000000"), CAPTURE.answer, 16)


@pytest.mark.parametrize(
    ("number", "more", "line", "fault"),
    [
        (0, 1, 1, ""),
        (44, 1, 89, ""),
        (89, 0, 179, ""),
        (0, 1, 3, "line 3 in place of 1"),
        (5, 0, 11, "ends too early"),
        (89, 1, 179, "ends too early or not at all"),
    ],
)
def test_an_image_message_belongs_to_its_place(number: int, more: int, line: int, fault: str) -> None:
    head = bytes.fromhex("802100001c020000") + bytes(4) + bytes([more, 0, 0, 0, line]) + bytes(8)
    assert fault in lines_fault(head + bytes(515), number)
    assert bool(lines_fault(head + bytes(515), number)) is bool(fault)


@pytest.mark.parametrize("size", [0, 1, 16, 539, 541])
def test_a_message_of_another_size_is_none(size: int) -> None:
    assert message_fault(bytes(size), IMAGE, 540)


@given(st.binary(max_size=600), st.integers(0, 89))
def test_invalid_data_is_never_an_image(data: bytes, number: int) -> None:
    assert lines_fault(data, number)


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("8038010010000000", "8 bytes in place of 16"),
        ("8020010010000000 0000000000000000", "another message in place of 8037"),
        ("8137010010000000 0000000000000000", "another message in place of 8037"),
        ("8037010011000000 0000000000000000", "wrong length field"),
    ],
)
def test_a_damaged_answer_is_named(message: str, fault: str) -> None:
    assert fault in message_fault(bytes.fromhex(message), FINGER_CHECK.answer, 16)
