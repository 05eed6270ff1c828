"""Packets of the simulated SFM module, compared with the facts."""

from dataclasses import replace
from random import Random

import pytest

from simulators.sensors.sfm.wire import NETWORK_CORRUPTIONS, Request, RequestReader, packet
from simulators.transports.faults import Params


def test_the_manual_s_example_has_these_bytes() -> None:
    assert packet(0x05, 0x9929) == bytes.fromhex("40052999000000000000 00070A".replace(" ", ""))


REQUEST = Request(None, 0x04, 0x11223344, 0x55667788, 0x99, checksum_ok=True)


def read(data: bytes, *, at: float = 0.0) -> list[Request]:
    return list(RequestReader().feed(data, at))


def test_a_packet_is_read_as_it_was_written() -> None:
    assert read(packet(0x04, 0x11223344, 0x55667788, 0x99)) == [REQUEST]
    assert read(packet(0x04, 0x11223344, 0x55667788, 0x99, terminal=513)) == [replace(REQUEST, terminal=513)]


def test_a_wrong_checksum_is_noticed() -> None:
    raw = bytearray(packet(0x04))
    raw[-2] ^= 1
    (request,) = read(bytes(raw))
    assert not request.checksum_ok


def test_bytes_that_are_no_packet_are_skipped() -> None:
    noise = b"\x00\x99" + b"\x40" + bytes(12)  # a start code, but no end code 12 bytes later
    assert read(noise + packet(0x04)) == read(packet(0x04))


def test_an_incomplete_packet_is_discarded_after_a_while() -> None:
    reader, raw = RequestReader(), packet(0x04)
    assert list(reader.feed(raw[:6], 1.0)) == []
    assert len(list(reader.feed(raw[6:], 1.5))) == 1
    assert list(reader.feed(raw[:6], 2.0)) == []
    assert len(list(reader.feed(raw, 2.6))) == 1


def corrupted(name: str, raw: bytes, params: Params) -> bytes:
    return NETWORK_CORRUPTIONS[name](raw, 0, Random(0), params)


@pytest.mark.parametrize("raw", [packet(0x04), packet(0x04, terminal=7)], ids=["plain", "network"])
def test_the_fault_checksum_changes_the_checksum_alone(raw: bytes) -> None:
    changed = corrupted("checksum", raw, {})
    assert [index for index, (a, b) in enumerate(zip(raw, changed, strict=True)) if a != b] == [len(raw) - 2]


def test_the_fault_checksum_changes_the_last_byte_of_a_data_packet() -> None:
    assert corrupted("checksum", bytes(100), {}) == bytes(99) + b"\x01"
    assert corrupted("checksum", b"", {}) == b""


def test_the_fault_wrong_address_makes_a_valid_packet_of_another_terminal() -> None:
    changed = corrupted("wrong_address", packet(0x04, terminal=7), {"address": 0x12345678})
    assert changed == packet(0x04, terminal=0x5678)
    assert corrupted("wrong_address", packet(0x04), {"address": 1}) == packet(0x04)
