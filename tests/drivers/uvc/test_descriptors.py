"""Descriptors of UVC cameras: complete, damaged and random."""

import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import ProtocolError
from drivers.uvc.descriptors import FrameDescriptor, StreamingInterface, damage_of, streaming_interfaces
from drivers.uvc.formats import (
    MJPEG,
)
from drivers.uvc.options import UvcOptions, choose_stream
from simulators.sensors.uvc.descriptors import FORMATS, UvcSettings, configuration
from tests.rigs.uvc_bytes import BEFORE_ENDPOINT, BEFORE_STREAMS, BEHIND_ENDPOINT, CLASS_DESCRIPTORS, ENDPOINT, TAIL, d


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
    assert stream.formats[1].readable_as == ()
    assert [len(row.frames) for row in stream.formats] == [2, 0]
    assert stream.formats[1].pixels is None


def sizes_of(configuration: bytes) -> list[tuple[int, int]]:
    return [
        (frame.width, frame.height)
        for stream in streaming_interfaces(configuration)
        for row in stream.formats
        for frame in row.frames
    ]


def test_descriptors_that_end_early_are_read_as_far_as_they_go() -> None:
    """From the last interval of the last frame on, which is only its rate: everything else is there."""
    for cut in range(len(BEHIND_ENDPOINT)):
        assert sizes_of(BEHIND_ENDPOINT[:cut]) == [(640, 480), (480, 320)][: len(sizes_of(BEHIND_ENDPOINT[:cut]))]
    for missing in range(17):
        assert sizes_of(BEHIND_ENDPOINT[: len(BEHIND_ENDPOINT) - missing]) == [(640, 480), (480, 320)]
        choose_stream(streaming_interfaces(BEHIND_ENDPOINT[: len(BEHIND_ENDPOINT) - missing]), UvcOptions())


@pytest.mark.parametrize("place", ["interface", "endpoint"])
@pytest.mark.parametrize("promised", [0, 1, -1])
@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_a_camera_whose_descriptors_are_a_few_bytes_short_is_used(place: str, promised: int, missing: int) -> None:
    whole = configuration(UvcSettings(descriptors_on=place))
    short = whole[:2] + (len(whole) + promised).to_bytes(2, "little") + whole[4 : len(whole) - missing]
    choice = choose_stream(streaming_interfaces(short), UvcOptions())
    assert choice.stream.bulk
    if place == "interface" or missing < 2:
        assert (choice.frame.width, choice.frame.height, choice.pixels.name) == (640, 480, "y8")
    assert bool(damage_of(short)) == bool(missing or promised > 0)


def test_damage_is_named() -> None:
    whole = configuration(UvcSettings())
    assert damage_of(whole) == ""
    assert damage_of(whole[:-1]) == f"the descriptor at byte {len(whole) - 7} has 6 of 7 bytes"
    assert damage_of(whole[:-7]) == f"{len(whole) - 7} of {len(whole)} bytes arrived"
    assert damage_of(BEHIND_ENDPOINT + bytes([1, 5])) == (
        f"the descriptor at byte {len(BEHIND_ENDPOINT)} of {len(BEHIND_ENDPOINT) + 2} has an impossible length 1"
    )


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


@pytest.mark.parametrize("descriptor", ["04 01", "05 81", "24 06", "24 07 03 00 8002", "24 01", "24 04 02", "24 10 02"])
def test_a_descriptor_that_is_too_short_for_its_kind_costs_only_what_it_describes(descriptor: str) -> None:
    for place in (len(BEHIND_ENDPOINT), len(b"".join(BEFORE_STREAMS)) + len(ENDPOINT)):
        damaged = BEHIND_ENDPOINT[:place] + d(descriptor) + BEHIND_ENDPOINT[place:]
        if not descriptor.startswith("04"):  # what is behind belongs to no interface
            assert sizes_of(damaged)[-2:] == [(640, 480), (480, 320)] or place == len(BEHIND_ENDPOINT)
            choose_stream(streaming_interfaces(damaged), UvcOptions())


def guid_format(subtype: str, guid: str, bits: int, more: str) -> bytes:
    return d(f"24 {subtype} 02 01 {guid} {bits:02x} 01 00 00 00 00 {more}")


FRAME = d("24 05 01 00 8002 e001 0000ca08 0000ca08 00b00400 15160500 01 15160500")
BASED_FRAME = d("24 11 01 00 8002 e001 0000ca08 0000ca08 15160500 01 80020000 15160500")


@pytest.mark.parametrize(
    ("guid", "bits", "names"),
    [
        ("59383030" + TAIL, 8, ["y8"]),
        ("59383030000010008000000000389b71", 8, ["y8"]),
        ("51515151" + TAIL, 8, ["y8"]),
        ("51515151" + TAIL, 16, ["yuy2", "uyvy", "y16"]),
        ("51515151" + TAIL, 3, []),
        ("48323634" + TAIL, 16, []),
    ],
)
def test_uncompressed_and_frame_based_formats_are_what_their_guid_or_their_bits_say(
    guid: str, bits: int, names: list[str]
) -> None:
    for subtype, more, frame in (("04", "", FRAME), ("10", "00", BASED_FRAME)):
        (stream,) = streaming_interfaces(BEHIND_ENDPOINT + guid_format(subtype, guid, bits, more) + frame)
        row = stream.formats[1]
        assert [pixels.name for pixels in row.readable_as] == names
        assert [(each.width, each.height, each.interval_for(None)) for each in row.frames] == (
            [(640, 480, 333_333)] if names else []
        )


def test_a_frame_based_format_of_variable_size_is_compressed_and_not_guessed() -> None:
    compressed = guid_format("10", "51515151" + TAIL, 16, "01") + BASED_FRAME
    (stream,) = streaming_interfaces(BEHIND_ENDPOINT + compressed)
    assert stream.formats[1].readable_as == ()


def test_a_known_format_is_preferred_to_a_guess_and_the_guess_can_be_asked_for() -> None:
    unknown = guid_format("04", "51515151" + TAIL, 16, "") + FRAME
    streams = streaming_interfaces(BEHIND_ENDPOINT + unknown)
    assert choose_stream(streams, UvcOptions()).pixels is MJPEG
    for name in ("yuy2", "y16"):
        choice = choose_stream(streams, UvcOptions(format=name))
        assert (choice.pixels.name, choice.requested.format_index) == (name, 2)
    with pytest.raises(ProtocolError, match=r"it has: .*yuy2 640x480 \(a guess\)"):
        choose_stream(streams, UvcOptions(format="nv12"))


def read(configuration_bytes: bytes) -> tuple[StreamingInterface, ...]:
    """Whatever it is, it is read or not used."""
    damage_of(configuration_bytes)
    found = streaming_interfaces(configuration_bytes)
    if found:
        with suppress(ProtocolError):
            chosen = choose_stream(found, UvcOptions())
            assert chosen.frame_limit(0) > 0
            assert chosen.frame_interval_s > 0
            assert 0 < chosen.frame_timeout_s <= 4
            chosen.requested.to_bytes(26)
    return found


@given(st.binary(max_size=300))
def test_random_bytes_never_raise(data: bytes) -> None:
    read(data)


def test_mutated_descriptors_never_raise() -> None:
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


@pytest.mark.parametrize(("body", "controls"), [("04 01 01 02 2601 00", "2601"), ("04 00 01 26 00", "26"), ("", "")])
def test_the_controls_of_an_extension_unit_are_read(body: str, controls: str) -> None:
    unit = d(f"24 06 0e {'ab' * 16} {body}")
    whole = b"".join([*BEFORE_STREAMS[:-1], unit, BEFORE_STREAMS[-1], *CLASS_DESCRIPTORS, ENDPOINT])
    (found,) = streaming_interfaces(whole)[0].extensions
    assert (found.unit, found.guid.hex(), found.controls.hex()) == (14, "ab" * 16, controls)
    assert found.has(6) == ((controls != "" and bool(0x26 >> 5 & 1)) or not controls)
    assert found.has(4) != bool(controls)


def test_an_extension_unit_that_is_cut_short_is_left_out() -> None:
    unit = d(f"24 06 0e {'ab' * 15}")
    whole = b"".join([*BEFORE_STREAMS[:-1], unit, BEFORE_STREAMS[-1], *CLASS_DESCRIPTORS, ENDPOINT])
    assert streaming_interfaces(whole)[0].extensions == ()
