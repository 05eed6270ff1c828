"""What the bytes of a UVC camera mean: descriptors, probe and commit, payloads, pixels. No device, no clock."""

import io
import random
import struct
from contextlib import suppress
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from drivers.errors import ProtocolError
from drivers.uvc.descriptors import FrameDescriptor, StreamingInterface, streaming_interfaces
from drivers.uvc.formats import (
    FORMAT_NAMED,
    FORMAT_OF_GUID,
    MJPEG,
    NV12,
    Y8,
    Y10,
    Y12,
    Y16,
    YUY2,
    BadFrame,
    PixelFormat,
)
from drivers.uvc.options import UvcOptions, choose_stream
from drivers.uvc.payload import Assembler, Header, RawFrame, exact_size, whole_jpeg
from drivers.uvc.probe_commit import StreamSettings, block_lengths
from simulators.sensors.uvc.descriptors import FORMATS, UvcSettings, configuration

TAIL = "00001000800000aa00389b71"


# Descriptors. The first is written by hand after the UVC specification, not by our simulator.


def d(text: str) -> bytes:
    """One descriptor: its length, and what is written."""
    body = bytes.fromhex(text)
    return bytes([len(body) + 1]) + body


CLASS_DESCRIPTORS = [
    d("24 01 01 5500 81 00 02 00 00 00 01 00"),  # input header: one format, from endpoint 81
    d("24 06 01 02 01 01 00 00 00 00"),  # format 1: MJPEG, two sizes
    d("24 07 01 00 8002 e001 0000ca08 0000ca08 00100e00 15160500 01 15160500"),  # 640x480, 30 a second
    d("24 07 02 00 e001 4001 0000ca08 0000ca08 00b80400 15160500 01 15160500"),  # 480x320
]
ENDPOINT = d("05 81 02 4000 00")  # 81, bulk, packets of 64 bytes
BEFORE_STREAMS = [
    d("02 0000 02 01 00 80 fa"),
    d("0b 00 02 0e 03 00 00"),  # association: video
    d("04 00 00 00 0e 01 00 00"),  # interface 0: video control
    d("24 01 0001 3300 005a6202 01 01"),  # UVC 1.0
    d("24 02 01 0102 00 00 0000 0000 0000 03 000000"),  # camera
    d("24 03 02 0101 00 01 00"),  # to the host
    d("04 01 00 01 0e 02 00 00"),  # interface 1: video streaming
]
BEHIND_ENDPOINT = b"".join([*BEFORE_STREAMS, ENDPOINT, *CLASS_DESCRIPTORS])
BEFORE_ENDPOINT = b"".join([*BEFORE_STREAMS, *CLASS_DESCRIPTORS, ENDPOINT])


@pytest.mark.parametrize("configuration", [BEHIND_ENDPOINT, BEFORE_ENDPOINT])
def test_class_descriptors_are_found_on_both_sides_of_the_endpoint(configuration: bytes) -> None:
    (stream,) = streaming_interfaces(configuration)
    assert (stream.interface, stream.endpoint, stream.packet_bytes, stream.bulk) == (1, 0x81, 64, True)
    assert (stream.version, stream.control_interface) == (0x0100, 0)
    (row,) = stream.formats
    assert (row.index, row.pixels) == (1, MJPEG)
    assert [(frame.width, frame.height) for frame in row.frames] == [(640, 480), (480, 320)]
    assert row.frames[0].intervals == (333_333,)
    assert row.frames[0].max_bytes == 0x0E1000


@pytest.mark.parametrize("place", ["interface", "endpoint"])
@pytest.mark.parametrize("version", [0x0100, 0x0110, 0x0150])
def test_what_a_simulated_camera_offers_is_read(place: str, version: int) -> None:
    sizes, rates = ((320, 240), (640, 480)), (30.0, 15.0)
    settings = UvcSettings(FORMATS, sizes, rates, version=version, descriptors_on=place)
    (stream,) = streaming_interfaces(configuration(settings))
    assert stream.version == version
    assert [row.pixels and row.pixels.name for row in stream.formats] == [
        "y8", "y8", "y8", "y8", "y10", "y12", "y16", "yuy2", "nv12", "mjpeg"
    ]  # fmt: skip
    for row in stream.formats:
        assert tuple((frame.width, frame.height) for frame in row.frames) == sizes
        assert row.frames[0].intervals == (333_333, 666_667)
    assert [unit.unit for unit in stream.extensions] == [3]


@pytest.mark.parametrize(
    ("guid", "name"),
    [
        ("59383030" + TAIL, "y8"),  # Y800
        ("59382020" + TAIL, "y8"),
        ("32000000" + TAIL, "y8"),  # L8
        ("3200000002001000800000aa00389b71", "y8"),  # L8, infrared
        ("59313020" + TAIL, "y10"),
        ("59313220" + TAIL, "y12"),
        ("59313620" + TAIL, "y16"),
        ("59555932" + TAIL, "yuy2"),
        ("4e563132" + TAIL, "nv12"),
    ],
)
def test_a_guid_names_its_format(guid: str, name: str) -> None:
    assert FORMAT_OF_GUID[bytes.fromhex(guid)].name == name


def test_a_device_without_video_has_no_streams() -> None:
    assert streaming_interfaces(bytes.fromhex("09021900010100a0320904000001ff00000007058203400000")) == ()


def test_the_frames_of_a_format_that_we_cannot_read_are_not_taken_for_others() -> None:
    h264 = d("24 13 02 01 00 00 00 00 00 00")
    (stream,) = streaming_interfaces(BEHIND_ENDPOINT + h264 + CLASS_DESCRIPTORS[-1])
    assert [len(row.frames) for row in stream.formats] == [2, 0]
    assert stream.formats[1].pixels is None


def test_a_descriptor_that_ends_early_is_a_protocol_error() -> None:
    ends = set(accumulate(map(len, [*BEFORE_STREAMS, ENDPOINT, *CLASS_DESCRIPTORS])))
    one_byte = {end + 1 for end in ends}  # no more than a byte that is left over
    for cut in set(range(2, len(BEHIND_ENDPOINT))) - ends - one_byte:
        with pytest.raises(ProtocolError, match="impossible length"):
            streaming_interfaces(BEHIND_ENDPOINT[:cut])


@pytest.mark.parametrize("behind", [b"\0", b"\x07", bytes(300)])
def test_junk_behind_the_last_descriptor_is_none(behind: bytes) -> None:
    assert streaming_interfaces(BEHIND_ENDPOINT + behind) == streaming_interfaces(BEHIND_ENDPOINT)


def test_what_is_behind_the_length_of_the_configuration_is_not_read() -> None:
    whole = configuration(UvcSettings())
    assert streaming_interfaces(whole + bytes([9, 4, 1])) == streaming_interfaces(whole)


IRRELEVANT = ["24 06 03 00", "24", "24 02", "24 0d 01", "05 83"]  # of a control interface: units, its own endpoint


@pytest.mark.parametrize("descriptor", IRRELEVANT)
def test_a_descriptor_that_no_stream_needs_may_be_cut_short(descriptor: str) -> None:
    control, behind = b"".join(BEFORE_STREAMS[:-1]), b"".join([BEFORE_STREAMS[-1], ENDPOINT, *CLASS_DESCRIPTORS])
    assert streaming_interfaces(control + d(descriptor) + behind) == streaming_interfaces(control + behind)


def test_the_frames_of_a_format_that_we_cannot_read_may_be_cut_short() -> None:
    unknown = d("24 04 02 01" + "00" * 22)
    (stream,) = streaming_interfaces(BEHIND_ENDPOINT + unknown + d("24 05 01 00 8002"))
    assert [len(row.frames) for row in stream.formats] == [2, 0]


@pytest.mark.parametrize("descriptor", ["04 01", "05 81", "24 06", "24 07 01 00 8002", "24 01"])
def test_a_descriptor_that_is_too_short_for_its_kind_is_a_protocol_error(descriptor: str) -> None:
    with pytest.raises(ProtocolError, match="cut short"):
        streaming_interfaces(BEHIND_ENDPOINT + d(descriptor))


def read(configuration_bytes: bytes) -> tuple[StreamingInterface, ...]:
    """Whatever it is, it is data or a ProtocolError."""
    with suppress(ProtocolError):
        found = streaming_interfaces(configuration_bytes)
        with suppress(ProtocolError):
            chosen = choose_stream(found, UvcOptions())
            assert chosen.frame_limit(0) > 0
            assert chosen.frame_interval_s > 0
            assert 0 < chosen.frame_timeout_s <= 4
            chosen.requested.to_bytes(26)
        return found
    return ()


@given(st.binary(max_size=300))
def test_random_bytes_are_data_or_a_protocol_error(data: bytes) -> None:
    read(data)


def test_mutated_descriptors_are_data_or_a_protocol_error() -> None:
    rng = random.Random(4)
    seeds = [BEHIND_ENDPOINT, configuration(UvcSettings(FORMATS, ((64, 48), (640, 480)), (30.0, 5.0)))]
    for _ in range(8_000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(2)] = rng.randbytes(rng.randrange(3))
        read(bytes(data))


# Choosing


def stream_of(**settings: object) -> tuple[StreamingInterface, ...]:
    return streaming_interfaces(configuration(UvcSettings(**settings)))  # type: ignore[arg-type]


CAMERA = {"formats": ("mjpeg", "yuy2", "y800"), "sizes": ((320, 240), (640, 480), (1280, 720)), "rates": (30.0, 15.0)}


@pytest.mark.parametrize(
    ("options", "name", "size", "interval"),
    [
        ({}, "y8", (640, 480), 333_333),
        ({"size": "1280x720"}, "y8", (1280, 720), 333_333),
        ({"format": "mjpeg"}, "mjpeg", (640, 480), 333_333),
        ({"fps": 15}, "y8", (640, 480), 666_667),
        ({"fps": 16.9, "format": "yuy2", "size": "320x240"}, "yuy2", (320, 240), 666_667),
    ],
)
def test_options_choose_what_to_stream(
    options: dict[str, object], name: str, size: tuple[int, int], interval: int
) -> None:
    choice = choose_stream(stream_of(**CAMERA), UvcOptions.model_validate(options))
    assert (choice.pixels.name, (choice.frame.width, choice.frame.height), choice.interval) == (name, size, interval)


USUAL = 333_333


@pytest.mark.parametrize(
    ("default", "intervals", "fps", "chosen"),
    [
        (400_000, (333_333, 400_000), None, 400_000),
        (0xFFFFFFFF, (1_000_000, 400_000), None, 400_000),  # not among those listed: noise
        (0, (666_667,), None, 666_667),
        (0, (0,), None, USUAL),  # nothing that makes sense: the camera chooses what is near to it
        (0, (0, 500_000), 30, 500_000),
        (0xFFFFFFFF, (0xFFFFFFFF,), None, 0xFFFFFFFF),
    ],
)
def test_an_interval_is_one_that_is_offered(
    default: int, intervals: tuple[int, ...], fps: float | None, chosen: int
) -> None:
    assert FrameDescriptor(1, 640, 480, 307_200, default, intervals).interval_for(fps) == chosen


@pytest.mark.parametrize(
    ("default", "span", "fps", "chosen"),
    [
        (250_000, (100_000, 1_000_000, 0), None, 250_000),
        (0xFFFFFFFF, (400_000, 1_000_000, 0), None, 400_000),
        (333_333, (10, 5, 3), 25, 400_000),  # from more to less: noise
        (0, (0, 0, 0), None, USUAL),
        (0, (100_000, 1_000_000, 50_000), 40, 250_000),
    ],
)
def test_an_interval_is_within_the_span_that_is_offered(
    default: int, span: tuple[int, int, int], fps: float | None, chosen: int
) -> None:
    assert FrameDescriptor(1, 640, 480, 307_200, default, span, continuous=True).interval_for(fps) == chosen


@given(st.integers(0, 0xFFFFFFFF), st.tuples(*[st.integers(0, 0xFFFFFFFF)] * 3), st.booleans(), st.floats(1e-12, 1000))
def test_any_interval_fits_the_request(
    default: int,
    intervals: tuple[int, ...],
    continuous: bool,  # noqa: FBT001 - hypothesis
    fps: float,
) -> None:
    row = FrameDescriptor(1, 640, 480, 307_200, default, intervals, continuous)
    for asked in (None, fps):
        assert 0 < row.interval_for(asked) <= 0xFFFFFFFF


def test_a_camera_of_small_pictures_gives_its_largest() -> None:
    choice = choose_stream(stream_of(sizes=((160, 120), (320, 240), (176, 144))), UvcOptions())
    assert (choice.frame.width, choice.frame.height) == (320, 240)


@pytest.mark.parametrize("options", [{"size": "800x600"}, {"format": "nv12"}])
def test_what_a_camera_does_not_have_is_refused_with_what_it_has(options: dict[str, object]) -> None:
    with pytest.raises(ProtocolError, match=r"it has: mjpeg 320x240, .*y8 1280x720"):
        choose_stream(stream_of(**CAMERA), UvcOptions.model_validate(options))


def test_an_isochronous_camera_is_sent_to_the_other_driver() -> None:
    isochronous = BEHIND_ENDPOINT.replace(ENDPOINT, d("05 81 05 0014 01"))
    with pytest.raises(ProtocolError, match="use the driver v4l2"):
        choose_stream(streaming_interfaces(isochronous), UvcOptions())


@pytest.mark.parametrize(("interface", "said"), [(5, "video streams at: 1"), (None, "not a UVC camera")])
def test_no_stream_is_said_so(interface: int | None, said: str) -> None:
    found = streaming_interfaces(BEHIND_ENDPOINT) if interface else ()
    with pytest.raises(ProtocolError, match=said):
        choose_stream(found, UvcOptions(interface=interface))


# Probe and commit


def test_the_block_of_a_wish_is_that_of_the_specification() -> None:
    block = StreamSettings(1, 2, 333_333, 307_200, 16_384).to_bytes(34)
    assert block.hex() == "01000102" + "15160500" + "00" * 10 + "00b00400" + "00400000" + "00" * 8


@given(st.integers(0, 255), st.integers(0, 255), *[st.integers(0, 0xFFFFFFFF)] * 3, st.sampled_from([26, 34, 48]))
def test_what_is_written_is_read(kind: int, frame: int, interval: int, most: int, payload: int, length: int) -> None:
    settings = StreamSettings(kind, frame, interval, most, payload)
    block = settings.to_bytes(length)
    assert len(block) == length
    assert StreamSettings.from_bytes(block) == settings


def test_a_block_that_is_cut_short_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="25 bytes in place of 26"):
        StreamSettings.from_bytes(bytes(25))


def test_the_length_of_a_block_follows_the_version() -> None:
    assert [block_lengths(version) for version in (0x0100, 0x010A, 0x0110, 0x0150)] == [
        (26,), (26,), (34, 26), (48, 34, 26)
    ]  # fmt: skip


# Payloads

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


def test_payloads_without_a_header_are_counted_and_said() -> None:
    target = assembler()
    assert fed(target, [bytes(50), b"", bytes(50)]) == []
    assert (target.statistics.damaged, target.statistics.last_damage) == (2, "a payload without a sound header")
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


@pytest.mark.parametrize(
    ("name", "promised", "limit"),
    [
        ("y8", 0, 64 * 48),
        ("y8", 64 * 48 + 8, 64 * 48 + 8),
        ("y8", 2 * 64 * 48, 64 * 48),  # that of another format: two frames must not pass for one
        ("y8", 100, 64 * 48),
        ("y8", 0xFFFFFFFF, 64 * 48),
        ("mjpeg", 1500, 1500),
        ("mjpeg", 0, 2 * 64 * 48),
        ("mjpeg", 0xFFFFFFFF, 2 * 64 * 48),
    ],
)
def test_no_promise_makes_a_frame_larger_than_it_can_be(name: str, promised: int, limit: int) -> None:
    formats = ("y800", "mjpeg")
    choice = choose_stream(stream_of(formats=formats, sizes=((64, 48),)), UvcOptions.model_validate({"format": name}))
    assert choice.frame_limit(promised) == limit


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


def jpeg(width: int = 64, height: int = 48, mode: str = "L") -> bytes:
    ramp = np.add.outer(np.arange(height), np.arange(width)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(ramp).convert(mode).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def test_a_jpeg_is_whole_with_both_its_markers_and_zeros_behind_it_do_no_harm() -> None:
    file = jpeg()
    assert whole_jpeg(file) == ""
    assert whole_jpeg(file + bytes(7)) == ""
    assert whole_jpeg(file[2:]) == "no JPEG marker at its begin"
    assert whole_jpeg(file[:-2]) == "no JPEG marker at its end"


def test_a_jpeg_ends_in_the_same_transfer_too() -> None:
    file = jpeg()
    payload = header(0) + file
    payload += bytes(-len(payload) % 64)
    target = Assembler(whole_jpeg, limit=10_000, packet_bytes=64)
    (frame,) = target.feed(payload + header(0, end=True), 0.0)
    assert frame.data.rstrip(b"\0") == file


@given(st.binary(max_size=20))
def test_a_header_is_sound_or_none(data: bytes) -> None:
    found = Header.from_bytes(data)
    assert found is None or 2 <= found.length <= len(data)


# Pixels

GREY = np.random.default_rng(1).integers(0, 256, (48, 64), np.uint8)
DEEP = np.random.default_rng(2).integers(0, 65_536, (48, 64)).astype("<u2")


def test_each_raw_format_gives_its_luma() -> None:
    pairs = np.full((48, 64, 2), 128, np.uint8)
    pairs[..., 0] = GREY
    assert (Y8.luma(GREY.tobytes(), 64, 48) == GREY).all()
    assert (YUY2.luma(pairs.tobytes(), 64, 48) == GREY).all()
    assert (FORMAT_NAMED["uyvy"].luma(pairs[..., ::-1].tobytes(), 64, 48) == GREY).all()
    assert (NV12.luma(GREY.tobytes() + bytes(GREY.size // 2), 64, 48) == GREY).all()


@pytest.mark.parametrize(("row", "bits"), [(Y10, 10), (Y12, 12), (Y16, 16)])
def test_deep_grey_keeps_its_eight_highest_bits(row: PixelFormat, bits: int) -> None:
    words = DEEP >> (16 - bits)
    image = row.luma(words.tobytes(), 64, 48)
    assert (image == words >> (bits - 8)).all()
    assert row.depth_bits == bits


def test_stray_bits_above_the_depth_are_white_and_never_wrap() -> None:
    assert Y10.luma(b"\xff\xff" * 4, 2, 2).tolist() == [[255, 255], [255, 255]]


@pytest.mark.parametrize("name", [name for name, row in FORMAT_NAMED.items() if row.bits])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_raw_frame_of_another_size_is_refused(name: str, change: int) -> None:
    row = FORMAT_NAMED[name]
    with pytest.raises(BadFrame, match="in place of"):
        row.luma(bytes(row.frame_bytes(64, 48) + change), 64, 48)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_mjpeg_gives_the_grey_of_its_picture(mode: str) -> None:
    expected = np.add.outer(np.arange(48), np.arange(64))
    assert np.abs(MJPEG.luma(jpeg(mode=mode), 64, 48).astype(int) - expected).max() <= 3


def test_mjpeg_without_huffman_tables_is_read() -> None:
    """Cameras leave them out, for they are always the same."""
    file, at = jpeg(), 2
    kept = file[:2]
    while file[at + 1] != 0xDA:
        length = 2 + int.from_bytes(file[at + 2 : at + 4], "big")
        kept += b"" if file[at + 1] == 0xC4 else file[at : at + length]
        at += length
    bare = kept + file[at:]
    assert len(bare) < len(file)
    assert (MJPEG.luma(bare, 64, 48) == MJPEG.luma(file, 64, 48)).all()


NOISY = np.random.default_rng(3).integers(0, 256, (48, 64), np.uint8)


def saved(grey: NDArray[np.uint8], mode: str, **how: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(grey).convert(mode).save(stream, "JPEG", **how)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("restart", [0, 8])
def test_mjpeg_that_ends_early_is_refused_though_it_has_its_end(mode: str, share: float, restart: int) -> None:
    file = saved(NOISY, mode, restart_marker_blocks=restart)
    begin = file.index(b"\xff\xda")
    cut = begin + 20 + round(share * (len(file) - begin - 20))
    with pytest.raises(BadFrame, match="no readable JPEG"):
        MJPEG.luma(file[:cut] + b"\xff\xd9", 64, 48)


def test_mjpeg_without_its_middle_is_refused() -> None:
    file = saved(NOISY, "L")
    third = len(file) // 3
    with pytest.raises(BadFrame, match="no readable JPEG"):
        MJPEG.luma(file[: 2 * third] + file[-third // 2 :], 64, 48)


Ways = st.fixed_dictionaries(
    {
        "quality": st.integers(1, 100),
        "optimize": st.integers(0, 1),
        "progressive": st.integers(0, 1),
        "subsampling": st.integers(0, 2),
        "restart_marker_blocks": st.sampled_from([0, 0, 1, 5]),
    }
)


@given(
    st.sampled_from([GREY, NOISY, np.zeros((48, 64), np.uint8), np.full((17, 23), 255, np.uint8)]),
    st.sampled_from(["L", "RGB"]),
    Ways,
    st.integers(0, 5),
)
def test_whole_mjpeg_is_never_refused(grey: NDArray[np.uint8], mode: str, how: dict[str, int], zeros: int) -> None:
    if mode == "L":
        del how["subsampling"]
    file = saved(grey, mode, **how)
    height, width = grey.shape
    with Image.open(io.BytesIO(file)) as opened:
        opened.draft("L", opened.size)
        expected = np.asarray(opened.convert("L"))
    assert (MJPEG.luma(file + bytes(zeros), width, height) == expected).all()


@pytest.mark.parametrize("size", [(32, 48), (64, 64)])
def test_mjpeg_of_another_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(BadFrame, match="another size than 64x48"):
        MJPEG.luma(jpeg(*size), 64, 48)


@given(st.binary(max_size=200), st.integers(0, 800))
def test_damaged_mjpeg_is_a_picture_or_refused(noise: bytes, at: int) -> None:
    file = jpeg()
    damaged = file[:at] + noise + file[at + len(noise) :]
    with suppress(BadFrame):
        assert MJPEG.luma(damaged, 64, 48).shape == (48, 64)
