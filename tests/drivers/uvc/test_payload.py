"""Payloads of a UVC stream: split anywhere, lost and damaged."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.uvc.payload import Assembler, Header, RawFrame, begun_jpeg, exact_size
from tests.rigs.uvc_bytes import (
    jpeg,
)

SIZE = 40


def header(number: int, *, end: bool = False, times: bool = True, error: bool = False) -> bytes:
    flags = 0x80 | number & 1 | 0x02 * end | 0x04 * times | 0x40 * error
    return struct.pack("<BBI", 6, flags, number * 1000) if times else bytes([2, flags])


def frame_of(number: int) -> bytes:
    return bytes((number * 37 + at) & 0xFF for at in range(SIZE))


def payloads_of(number: int, cuts: list[int], *, times: bool = True) -> list[bytes]:
    """A frame cut into payloads; the last one ends it."""
    edges = [0, *sorted(cuts), SIZE]
    parts = [frame_of(number)[a:b] for a, b in pairwise(edges)]
    last = len(parts) - 1
    return [header(number, end=at == last, times=times) + part for at, part in enumerate(parts)]


def assembler() -> Assembler:
    return Assembler(exact_size(SIZE), limit=SIZE, packet_bytes=64)


def fed(target: Assembler, payloads: list[bytes]) -> list[RawFrame]:
    return [frame for at, payload in enumerate(payloads) for frame in target.feed(payload, float(at))]


Cuts = st.lists(st.lists(st.integers(0, SIZE), max_size=4), min_size=1, max_size=8)


@given(Cuts, st.booleans())
def test_frames_come_out_as_they_were_sent_however_they_are_cut(cuts: list[list[int]], times: bool) -> None:  # noqa: FBT001 - hypothesis
    target = assembler()
    sent = [payload for number, cut in enumerate(cuts) for payload in payloads_of(number, cut, times=times)]
    assert [frame.data for frame in fed(target, sent)] == [frame_of(number) for number in range(len(cuts))]
    assert target.statistics.damaged == 0


@given(Cuts, st.data())
def test_whatever_is_lost_no_frame_comes_out_that_was_not_sent_whole(
    cuts: list[list[int]], data: st.DataObject
) -> None:
    sent = [payload for number, cut in enumerate(cuts) for payload in payloads_of(number, cut)]
    kept = data.draw(st.lists(st.booleans(), min_size=len(sent), max_size=len(sent)))
    frames = fed(assembler(), [payload for payload, stays in zip(sent, kept, strict=True) if stays])
    assert {frame.data for frame in frames} <= {frame_of(number) for number in range(len(cuts))}


@given(Cuts, st.data())
def test_without_times_less_than_a_frame_lost_at_once_is_noticed(cuts: list[list[int]], data: st.DataObject) -> None:
    groups = [payloads_of(number, cut, times=False) for number, cut in enumerate(cuts)]
    lossy = data.draw(st.integers(0, len(groups) - 1))
    keep = data.draw(st.lists(st.booleans(), min_size=len(groups[lossy]), max_size=len(groups[lossy])))
    groups[lossy] = [payload for payload, stays in zip(groups[lossy], keep, strict=True) if stays]
    frames = fed(assembler(), [payload for group in groups for payload in group])
    assert {frame.data for frame in frames} <= {frame_of(number) for number in range(len(cuts))}


@given(Cuts, st.data())
def test_transfers_cut_anywhere_and_noise_between_them_never_raise(cuts: list[list[int]], data: st.DataObject) -> None:
    sent = [payload for number, cut in enumerate(cuts) for payload in payloads_of(number, cut)]
    spoiled = [data.draw(st.sampled_from([p, p[: len(p) // 2], p[1:], b"", p + p])) for p in sent]
    fed(assembler(), spoiled)


@given(Cuts)
def test_a_time_in_the_first_payload_only_is_enough(cuts: list[list[int]]) -> None:
    sent = list[bytes]()
    for number, cut in enumerate(cuts):
        first, *others = payloads_of(number, [*cut, 0])  # the first is nothing but a header: a habit of cameras too
        sent += [first, *(bytes([2, other[1] & ~0x04]) + other[6:] for other in others)]
    target = assembler()
    assert [frame.data for frame in fed(target, sent)] == [frame_of(number) for number in range(len(cuts))]
    assert target.statistics.damaged == 0


def test_two_times_under_one_frame_id_are_two_frames_wherever_the_times_stand() -> None:
    sent = [b"\x02\x80" + frame_of(0)[:10], header(0) + frame_of(0)[10:20], header(2, end=True) + frame_of(2)[20:]]
    target = assembler()
    assert fed(target, sent) == []
    assert target.statistics.last_damage == "payloads of two frames under one frame id"


@given(Cuts, st.binary(max_size=243))
def test_a_header_may_carry_fields_of_the_maker(cuts: list[list[int]], more: bytes) -> None:
    sent = list[bytes]()
    for number, cut in enumerate(cuts):
        for payload in payloads_of(number, cut):
            sent.append(bytes([6 + len(more), payload[1]]) + payload[2:6] + more + payload[6:])
    target = assembler()
    assert [frame.data for frame in fed(target, sent)] == [frame_of(number) for number in range(len(cuts))]
    assert target.statistics.damaged == 0


def test_payloads_without_a_header_are_counted_and_named() -> None:
    target = assembler()
    assert fed(target, [bytes(50), b"", bytes(50)]) == []
    assert (target.statistics.damaged, target.statistics.last_damage) == (2, "a payload without a valid header")
    assert fed(target, [payloads_of(0, [10])[0], bytes(50), payloads_of(0, [10])[1]]) == []
    assert target.statistics.damaged == 3
    assert fed(target, payloads_of(1, [10])) != []


@pytest.mark.parametrize("times", [True, False])
def test_a_frame_without_an_end_bit_ends_where_the_frame_id_changes(times: bool) -> None:  # noqa: FBT001 - one case
    sent = [header(number, times=times) + frame_of(number) for number in range(3)]
    assert [frame.data for frame in fed(assembler(), sent)] == [frame_of(0), frame_of(1)]


def test_a_frame_id_that_is_stuck_does_no_harm_while_frames_have_an_end() -> None:
    sent = [b"\x02\x82" + frame_of(number) for number in range(3)]
    assert [frame.data for frame in fed(assembler(), sent)] == [frame_of(number) for number in range(3)]


def test_the_error_bit_drops_its_frame_only() -> None:
    marked = [header(1, error=True) + frame_of(1)[:9], *payloads_of(1, [9])[1:]]
    sent = [*payloads_of(0, [10]), *marked, *payloads_of(2, [])]
    target = assembler()
    assert [frame.data for frame in fed(target, sent)] == [frame_of(0), frame_of(2)]
    assert (target.statistics.damaged, target.statistics.last_damage) == (1, "the camera marked an error")


def test_the_first_partial_frame_is_dropped() -> None:
    sent = payloads_of(0, [10, 20])[1:] + payloads_of(1, [5])
    assert [frame.data for frame in fed(assembler(), sent)] == [frame_of(1)]


def test_a_frame_remembers_when_its_first_payload_came() -> None:
    (frame,) = fed(assembler(), [header(0), *payloads_of(0, [10, 20])])
    assert frame.began_at == 1.0  # the header alone was none
    assert "40 bytes" in repr(frame)


def test_a_camera_may_fill_frames_up_to_what_it_promised_and_to_nothing_else() -> None:
    target = Assembler(exact_size(SIZE, SIZE + 8), limit=SIZE + 8, packet_bytes=64, keep=SIZE)
    sent = [header(number, end=True) + frame_of(number) + bytes(more) for number, more in enumerate([8, 0, 7, 9, 8])]
    assert [frame.data for frame in fed(target, sent)] == [frame_of(0), frame_of(1), frame_of(4)]
    assert target.statistics.last_damage == "49 bytes in place of 40"


def test_a_frame_that_never_ends_is_given_up_without_keeping_it() -> None:
    target = assembler()
    for _ in range(3000):
        target.feed(header(0) + bytes(1000), 0.0)
    assert target._frame is not None
    assert sum(map(len, target._frame.parts)) <= SIZE + 65_536
    assert fed(target, payloads_of(1, [])) != []


def test_an_end_in_the_same_transfer_is_cut_off() -> None:
    target = Assembler(exact_size(116), limit=116, packet_bytes=64)
    pixels = bytes(range(116))
    whole = header(0) + pixels[:58], header(0) + pixels[58:] + header(0, end=True)
    assert [frame.data for frame in fed(target, list(whole))] == [pixels]


def test_pixels_that_look_like_an_end_are_pixels() -> None:
    target = Assembler(exact_size(64), limit=64, packet_bytes=64)
    pixels = bytes(58) + header(0, end=True)
    assert [f.data for f in fed(target, [header(0, end=True) + pixels])] == [pixels]
    assert [f.data for f in fed(target, [header(1) + pixels[:-6] + header(1, end=True), header(2)])] == [
        pixels[:-6] + header(1, end=True)
    ]


def test_a_frame_with_the_beginning_of_a_jpeg_is_left_to_the_decoder() -> None:
    file = jpeg()
    for frame in (file, file + bytes(7), file + b"noise", file[:-2]):
        assert begun_jpeg(frame) == ""
    assert begun_jpeg(file[2:]) == "no JPEG in it"


def test_a_jpeg_ends_in_the_same_transfer_too() -> None:
    file = jpeg()
    payload = header(0) + file
    payload += bytes(-len(payload) % 64)
    target = Assembler(begun_jpeg, limit=10_000, packet_bytes=64)
    (frame,) = target.feed(payload + header(0, end=True), 0.0)
    assert frame.data.rstrip(b"\0") == file


@given(st.binary(max_size=20))
def test_a_header_is_sound_or_none(data: bytes) -> None:
    found = Header.from_bytes(data)
    assert found is None or 2 <= found.length <= len(data)


def test_after_a_reset_the_frame_being_received_is_counted_as_damaged_and_dropped() -> None:
    target = assembler()
    target.reset("nothing was lost yet")
    assert target.statistics.damaged == 0
    first, *others = payloads_of(0, [10, 20])
    assert target.feed(first, 0.0) == []
    target.reset("the endpoint halted")
    assert (target.statistics.damaged, target.statistics.last_damage) == (1, "the endpoint halted")
    assert fed(target, others) == []
    assert [frame.data for frame in fed(target, payloads_of(1, []))] == [frame_of(1)]


def test_an_end_of_another_frame_is_not_cut_off() -> None:
    pixels = bytes(range(58))
    target = Assembler(exact_size(64), limit=64, packet_bytes=64)
    assert [frame.data for frame in target.feed(header(0) + pixels + header(1, end=True), 0.0)] == []
    assert [frame.data for frame in target.feed(header(1), 1.0)] == [pixels + header(1, end=True)]


def test_a_camera_that_sends_the_same_bytes_too_many_in_each_frame_is_read_after_a_few() -> None:
    target = Assembler(exact_size(SIZE), limit=SIZE, packet_bytes=64, keep=SIZE)
    sent = [header(number, end=True) + frame_of(number) + bytes(11) for number in range(7)]
    assert [frame.data for frame in fed(target, sent)] == [frame_of(number) for number in range(4, 7)]
    short = [header(number, end=True) + frame_of(number)[:-1] for number in range(20)]
    assert fed(target, short) == []
    changing = [header(number, end=True) + frame_of(number) + bytes(number % 3 + 1) for number in range(20)]
    assert fed(target, changing) == []
    double = [header(number, end=True) + frame_of(number) * 2 for number in range(20)]
    assert fed(target, double) == []


def test_an_end_without_a_frame_is_nothing() -> None:
    target = assembler()
    assert fed(target, [header(0, end=True)]) == []
    assert target.statistics.damaged == 0
