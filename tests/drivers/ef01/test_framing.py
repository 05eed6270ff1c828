"""EF01 packets: golden bytes, and properties over any split, any garbage, lost and doubled bytes."""

from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.ef01.framing import (
    DEFAULT_ADDRESS,
    MAX_FRAME,
    MAX_PAYLOAD,
    Damaged,
    Foreign,
    Frame,
    Packet,
    PacketKind,
    Unframer,
)

# Real traffic (facts/serial-fingerprint.md part A: issues 29 and 30 of the Adafruit library).
GOLDEN = {
    "EF01FFFFFFFF0100030F0013": Packet(PacketKind.COMMAND, bytes.fromhex("0F")),
    "EF01FFFFFFFF0700130000000000005000 03FFFFFFFF0002000C0477": Packet(
        PacketKind.ACKNOWLEDGE, bytes.fromhex("0000000000005000 03FFFFFFFF0002000C")
    ),
    "EF01FFFFFFFF0100040801000E": Packet(PacketKind.COMMAND, bytes.fromhex("0801")),
    "EF01FFFFFFFF07000300000A": Packet(PacketKind.ACKNOWLEDGE, b"\x00"),
}
GOOD = Packet(PacketKind.ACKNOWLEDGE, b"\x00")

packets = st.builds(
    Packet,
    st.sampled_from(PacketKind),
    st.binary(max_size=MAX_PAYLOAD),
)
# Without EF a payload cannot hold the start of another packet, so what must be found is certain.
plain_packets = st.builds(
    Packet, st.sampled_from(PacketKind), st.binary(max_size=40).map(lambda data: data.replace(b"\xef", b"\x11"))
)


def fed(chunks: Iterable[bytes], *, reset: bool = False) -> list[Frame]:
    unframer = Unframer()
    frames = [frame for chunk in chunks for frame in unframer.feed(chunk)]
    return frames + (unframer.reset() if reset else [])


def whole(frames: list[Frame]) -> list[Packet]:
    return [frame for frame in frames if isinstance(frame, Packet)]


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


@pytest.mark.parametrize(("wire", "packet"), GOLDEN.items())
def test_real_traffic_is_read_and_written_byte_for_byte(wire: str, packet: Packet) -> None:
    data = bytes.fromhex(wire)
    assert Packet.from_bytes(data) == packet
    assert packet.to_bytes() == data
    assert fed([data]) == [packet]


@given(packets, st.integers(0, DEFAULT_ADDRESS))
def test_a_packet_survives_the_wire(packet: Packet, address: int) -> None:
    sent = Packet(packet.kind, packet.payload, address)
    assert Packet.from_bytes(sent.to_bytes()) == sent


@given(packets, st.data())
def test_a_changed_byte_outside_the_address_is_refused(packet: Packet, data: st.DataObject) -> None:
    frame = bytearray(packet.to_bytes())
    place = data.draw(st.sampled_from([0, 1, *range(6, len(frame))]))
    frame[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="not one packet"):
        Packet.from_bytes(bytes(frame))


@pytest.mark.parametrize("extra", [b"\x00", b""])
def test_from_bytes_wants_one_packet_and_nothing_else(extra: bytes) -> None:
    with pytest.raises(ValueError, match="wrong length"):
        Packet.from_bytes(GOOD.to_bytes() + extra if extra else GOOD.to_bytes()[:-1])


def test_a_payload_too_long_is_never_sent() -> None:
    with pytest.raises(ValueError, match="at most 256"):
        Packet(PacketKind.DATA, bytes(MAX_PAYLOAD + 1)).to_bytes()


def test_the_repr_shows_no_byte_of_a_payload() -> None:
    assert repr(Packet(PacketKind.DATA, b"\xab\xcd")) == "<Packet DATA 2 bytes from FFFFFFFF>"


@given(st.lists(packets, max_size=8), st.lists(st.integers(0, 5000), max_size=20))
def test_any_split_gives_the_same_packets(sent: list[Packet], cuts: list[int]) -> None:
    stream = b"".join(packet.to_bytes() for packet in sent)
    assert fed(split(stream, cuts)) == sent


@given(st.lists(packets, min_size=1, max_size=3))
def test_byte_by_byte_gives_the_same_packets(sent: list[Packet]) -> None:
    stream = b"".join(packet.to_bytes() for packet in sent)
    assert fed(bytes([byte]) for byte in stream) == sent


@given(st.lists(st.tuples(st.binary(max_size=30), packets), max_size=6), st.lists(st.integers(0, 5000), max_size=9))
def test_noise_between_packets_is_skipped(pairs: list[tuple[bytes, Packet]], cuts: list[int]) -> None:
    noisy = [(noise.replace(b"\xef", b"\x55"), packet) for noise, packet in pairs]
    stream = b"".join(noise + packet.to_bytes() for noise, packet in noisy)
    assert fed(split(stream, cuts)) == [packet for _, packet in noisy]


def test_the_byte_of_a_module_that_wakes_up_is_skipped() -> None:
    assert fed([b"\x55", GOOD.to_bytes(), b"\x55\x55" + GOOD.to_bytes()]) == [GOOD, GOOD]


@given(st.lists(st.one_of(st.binary(max_size=300), packets.map(Packet.to_bytes)), max_size=12))
def test_nothing_received_raises_or_piles_up(chunks: list[bytes]) -> None:
    unframer = Unframer()
    for chunk in chunks:
        unframer.feed(chunk)
        assert unframer.pending < MAX_FRAME
    unframer.reset()
    assert unframer.pending == 0
    assert unframer.feed(GOOD.to_bytes()) == [GOOD]


@given(st.lists(st.sampled_from([b"\xef\x01", b"\xff" * 4, b"\x02\x00\x82", b"\x07", b"\xef", b"\x00"]), max_size=300))
def test_pieces_of_headers_do_no_harm_either(pieces: list[bytes]) -> None:
    unframer = Unframer()
    for piece in pieces:
        unframer.feed(piece)
        assert unframer.pending < MAX_FRAME
    unframer.reset()
    assert unframer.feed(GOOD.to_bytes()) == [GOOD]


def lose(stream: bytes, place: int, count: int) -> bytes:
    return stream[:place] + stream[place + count :]


def double(stream: bytes, place: int, count: int) -> bytes:
    return stream[: place + count] + stream[place:]


def invert(stream: bytes, place: int, count: int) -> bytes:
    return stream[:place] + bytes(byte ^ 0xFF for byte in stream[place : place + count]) + stream[place + count :]


def is_another_packet(harmed: bytes, sent: Packet) -> bool:
    """Whether the checksum cannot detect the harm: it is a sum, so two bytes may change and leave it equal."""
    try:
        return Packet.from_bytes(harmed) != sent
    except ValueError:
        return False


@pytest.mark.parametrize("harm", [lose, double, invert])
@given(
    sent=st.lists(plain_packets, min_size=3, max_size=5),
    place=st.integers(0, 10_000),
    count=st.integers(1, 8),
    cuts=st.lists(st.integers(0, 5000), max_size=6),
)
def test_packets_before_and_after_the_harm_are_whole(
    harm: Callable[[bytes, int, int], bytes], sent: list[Packet], place: int, count: int, cuts: list[int]
) -> None:
    frames = [packet.to_bytes() for packet in sent]
    second = frames[1]
    harmed = harm(second, place % (len(second) - 1), count)  # begins inside the second packet, never reaches the third
    assume(not is_another_packet(harmed, sent[1]))
    received = whole(fed(split(frames[0] + harmed + b"".join(frames[2:]), cuts), reset=True))
    assert received[0] == sent[0]
    # Harm that falls between two equal bytes, or repeats the whole packet, may leave it whole; nothing else gets in.
    assert received[len(received) - len(sent[2:]) :] == sent[2:]
    assert all(packet == sent[1] for packet in received[1 : -len(sent[2:])])


def test_a_wrong_checksum_is_reported_once() -> None:
    frame = bytearray(GOOD.to_bytes())
    frame[-1] ^= 1
    assert fed([bytes(frame), GOOD.to_bytes()]) == [Damaged("wrong checksum"), GOOD]


def test_a_length_that_no_module_sends_is_no_reason_to_wait() -> None:
    bad = bytes.fromhex("EF01FFFFFFFF07FFFF")
    assert fed([bad, GOOD.to_bytes()]) == [Damaged("impossible length"), GOOD]


def test_a_kind_that_does_not_exist_is_damage() -> None:
    bad = bytes.fromhex("EF01FFFFFFFF0300030000 06".replace(" ", ""))
    assert fed([bad, GOOD.to_bytes()]) == [Damaged("unknown kind"), GOOD]


def test_another_address_is_reported_and_not_taken() -> None:
    foreign = Packet(PacketKind.ACKNOWLEDGE, b"\x00", 0x12345678).to_bytes()
    assert fed([b"\x55" + foreign[:5], foreign[5:] + GOOD.to_bytes()]) == [Foreign(0x12345678), GOOD]
    assert fed([foreign, foreign]) == [Foreign(0x12345678)] * 2


def test_an_unframer_takes_only_its_own_address() -> None:
    own = Packet(PacketKind.DATA, b"\x01\x02", 0x0A0B0C0D)
    unframer = Unframer(0x0A0B0C0D)
    assert unframer.feed(GOOD.to_bytes() + own.to_bytes()) == [Foreign(DEFAULT_ADDRESS), own]


def test_a_packet_cut_short_swallows_the_next_until_reset() -> None:
    cut = Packet(PacketKind.DATA, bytes(128)).to_bytes()[:50]
    unframer = Unframer()
    assert unframer.feed(cut + GOOD.to_bytes()) == []
    assert unframer.reset() == [Damaged("cut short"), GOOD]
    assert unframer.feed(GOOD.to_bytes()) == [GOOD]


def test_a_head_that_claims_too_much_delays_good_packets_and_loses_none() -> None:
    unframer = Unframer()
    assert unframer.feed(bytes.fromhex("EF01FFFFFFFF020102")) == []  # claims 256 bytes that never come
    frames = [frame for _ in range(40) for frame in unframer.feed(GOOD.to_bytes())]
    assert frames[0] == Damaged("wrong checksum")
    assert frames[1:] == [GOOD] * 40
