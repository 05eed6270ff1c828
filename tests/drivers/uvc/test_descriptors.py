"""Descriptors of UVC cameras: complete, damaged and random."""

import random
from contextlib import suppress
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import ProtocolError
from drivers.uvc.descriptors import FrameDescriptor, StreamingInterface, streaming_interfaces
from drivers.uvc.formats import (
    MJPEG,
)
from drivers.uvc.options import UvcOptions, choose_stream
from simulators.sensors.uvc.descriptors import FORMATS, UvcSettings, configuration
from tests.rigs.uvc_bytes import BEFORE_ENDPOINT, BEFORE_STREAMS, BEHIND_ENDPOINT, CLASS_DESCRIPTORS, ENDPOINT, d


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
def test_extra_bytes_behind_the_last_descriptor_is_none(behind: bytes) -> None:
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
