"""SFM packets: golden bytes, any split of the input, any noise."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sfm.framing import Packet, Unframer, packet_size


def test_the_manual_s_enrol_example_is_framed_byte_by_byte() -> None:
    raw = bytes.fromhex("40 05 29990000 00000000 00 07 0A")
    assert Packet(0x05, param=0x9929).to_bytes() == raw
    assert Packet.from_bytes(raw) == Packet(0x05, param=0x9929)


def test_the_network_form_has_a_terminal_and_sums_thirteen_bytes() -> None:
    raw = Packet(0x04, terminal=0x0207).to_bytes()
    assert raw == bytes.fromhex("41 0702 04 00000000 00000000 00 4E 0A")
    assert len(raw) == packet_size(0x0207) == 15


@pytest.mark.parametrize("raw", ["", "40", "40 05 29990000 00000000 00 08 0A", "40 05 29990000 00000000 00 07 0B"])
def test_what_is_no_packet_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match="not one packet"):
        Packet.from_bytes(bytes.fromhex(raw))


U8, U16, U32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)


PACKETS = st.builds(Packet, U8, U32, U32, U8, st.none())


NETWORK_PACKETS = st.builds(Packet, U8, U32, U32, U8, st.just(7))


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


@given(st.one_of(st.lists(PACKETS, max_size=5), st.lists(NETWORK_PACKETS, max_size=5)), st.lists(U16, max_size=8))
def test_packets_come_out_as_they_went_in_whatever_the_split(packets: list[Packet], cuts: list[int]) -> None:
    unframer = Unframer(packets[0].terminal if packets else None)
    found = []
    for part in split(b"".join(packet.to_bytes() for packet in packets), cuts):
        unframer.feed(part)
        while packet := unframer.packet():
            found.append(packet)
    assert found == packets
    assert (unframer.pending, unframer.skipped) == (0, 0)


@given(st.binary(max_size=60), PACKETS, st.lists(U16, max_size=8))
def test_a_packet_behind_noise_is_found_once_no_more_comes(noise: bytes, packet: Packet, cuts: list[int]) -> None:
    unframer, found = Unframer(), []
    noise = noise.replace(b"\x0a", b"\x40")  # starts of packets in plenty, and never a whole one
    for part in split(noise + packet.to_bytes(), cuts):
        unframer.feed(part)
        while one := unframer.packet():
            found.append(one)
    while one := unframer.packet(final=True):
        found.append(one)
    assert packet in found
    assert unframer.pending == 0


@given(st.binary(max_size=100), U8)
def test_raw_bytes_come_out_when_all_are_there(data: bytes, more: int) -> None:
    unframer = Unframer()
    unframer.feed(data)
    assert unframer.body(len(data) + 1 + more) is None
    assert unframer.body(len(data)) == data
    assert unframer.pending == 0


def test_clear_discards_what_was_received() -> None:
    unframer = Unframer()
    unframer.feed(b"noise" + Packet(0x04).to_bytes()[:9])
    assert unframer.packet() is None
    assert unframer.skipped == 5
    unframer.clear()
    assert (unframer.pending, unframer.skipped) == (0, 0)
    unframer.feed(Packet(0x04).to_bytes())
    assert unframer.packet() == Packet(0x04)
