"""The SFM driver against the simulated module on a virtual clock: every byte and every second under control."""

import logging
import random
import re
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.errors import Cancelled, CaptureRetry, LinkLost, ProtocolError, Retry
from drivers.options import OptionValue
from drivers.sensor import DeviceInfo
from drivers.sfm.driver import Sfm
from drivers.sfm.framing import Packet, Unframer, packet_size
from drivers.sfm.image import BadRecord, parse_record
from drivers.sfm.link import PacketSequence, Upload
from drivers.sfm.options import SfmOptions
from drivers.sfm.tables import RESULTS
from drivers.transport import Transport, Url
from simulators.sensors.sfm.commands import Answer
from simulators.sensors.sfm.device import SfmModule, SfmSettings
from simulators.sensors.sfm.wire import Request
from simulators.transports.serial.uart import Burst
from tests.rigs.virtual_serial import VirtualPort
from tests.rigs.virtual_usb import VirtualTime

README = Path(__file__).parents[3] / "drivers" / "README.md"
WIDTH, HEIGHT = 48, 64
GREY = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
SIXTEEN = np.random.default_rng(4).integers(0, 16, (HEIGHT, WIDTH), np.uint8) * np.uint8(17)
FORMAT, RATE = 0x6C, 0x71


@dataclass
class SfmRig:
    """A module on a virtual line, and what the driver wrote to it."""

    settings: SfmSettings = field(default_factory=lambda: SfmSettings(width=WIDTH, height=HEIGHT, boot_s=0.0))
    wrote: list[bytes] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.time = VirtualTime()
        self.module = SfmModule(self.settings, seed=1, clock=self.time.now)
        self.port = VirtualPort(self.module, self.time)

    def connect(self, url: Url) -> Transport:
        self.opened.append(str(url))
        transport = self.port.connect(url)
        send = transport.write

        def write(data: bytes) -> None:
            self.wrote.append(data)
            send(data)

        transport.write = write  # type: ignore[method-assign]
        return transport

    def sensor(self, baud_of_url: int = 115_200, /, **options: OptionValue) -> Sfm:
        url = f"serial:/dev/ttyFP0?baud={baud_of_url}"
        size: dict[str, OptionValue] = {"width": WIDTH, "height": HEIGHT}
        return Sfm(url, size | options, clock=self.time.now, connect=self.connect)

    def opened_sensor(self, **options: OptionValue) -> Sfm:
        sensor = self.sensor(115_200, **options)
        sensor.open()
        return sensor


@pytest.fixture
def rig() -> SfmRig:
    return SfmRig()


def settings_of(**changes: object) -> SfmSettings:
    return SfmSettings(width=WIDTH, height=HEIGHT, boot_s=0.0, **changes)  # type: ignore[arg-type]


def retry_of(sensor: Sfm, timeout: float = 1.0) -> Retry:
    with pytest.raises(CaptureRetry) as caught:
        sensor.capture(timeout)
    return caught.value.reason


# Framing


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


# Opening


def test_open_sends_these_bytes_to_a_module_from_the_factory(rig: SfmRig) -> None:
    rig.opened_sensor()
    assert [raw.hex(" ") for raw in rig.wrote] == [
        "40 60 00 00 00 00 00 00 00 00 00 a0 0a",  # CA
        "40 04 00 00 00 00 00 00 00 00 00 44 0a",  # SS
        "40 03 00 00 00 00 00 00 00 00 6c af 0a",  # SR image format
        "40 01 00 00 00 00 30 00 00 00 6c dd 0a",  # SW image format = grey
        "40 03 00 00 00 00 00 00 00 00 6e b1 0a",  # SR firmware
        "40 04 00 00 00 00 00 00 00 00 00 44 0a",  # SS, between two of the same
        "40 03 00 00 00 00 00 00 00 00 6f b2 0a",  # SR serial number
    ]


def test_open_says_what_it_is(rig: SfmRig) -> None:
    assert rig.sensor().open() == DeviceInfo("sfm", "", "12648430", "V31A", WIDTH, HEIGHT, 500.0, 8)


def test_without_options_the_usual_size_is_told_until_an_image_teaches_better(rig: SfmRig) -> None:
    sensor = Sfm("serial:/dev/ttyFP0", {}, clock=rig.time.now, connect=rig.connect)
    assert sensor.open().width == 272
    rig.module.press(GREY)
    assert sensor.capture(1).image.shape == (HEIGHT, WIDTH)
    info = sensor.open()
    assert (info.width, info.height) == (WIDTH, HEIGHT)


def test_grey_is_set_for_the_session_and_not_saved_and_put_back(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    assert (rig.module.parameter(FORMAT), rig.module.parameter(FORMAT, saved=True)) == (0x30, 0x31)
    sensor.close()
    assert rig.module.parameter(FORMAT) == 0x31
    assert rig.module.commands["SF"] == 0


def test_a_module_that_is_set_already_is_not_written_to() -> None:
    rig = SfmRig(settings_of(image_format=0x30))
    rig.opened_sensor().close()
    assert rig.module.commands["SW"] == 0


def test_a_silent_module_is_given_up_in_two_seconds(rig: SfmRig) -> None:
    rig.module.inject("silent")
    with pytest.raises(ProtocolError, match=r"no answer at 115200 baud; is it powered and wired"):
        rig.sensor().open()
    assert rig.time.seconds < 2.0


def test_noise_at_a_wrong_rate_is_named(rig: SfmRig) -> None:
    with pytest.raises(ProtocolError, match=r"no answer at 9600 baud"):
        rig.sensor(9600).open()


def test_other_rates_are_probed_and_the_last_contact_comes_first(rig: SfmRig) -> None:
    sensor = rig.sensor(9600, probe_bauds="57600, 115200")
    sensor.open()
    sensor.open()
    assert [url.rpartition("=")[2] for url in rig.opened] == ["9600", "57600", "115200", "115200"]


def test_a_module_that_just_got_power_is_asked_again() -> None:
    rig = SfmRig(SfmSettings(width=WIDTH, height=HEIGHT, boot_s=0.25))
    rig.opened_sensor()
    assert rig.time.seconds < 1.0


def test_what_a_former_owner_left_running_is_stopped(rig: SfmRig) -> None:
    rig.port.host_baud = None
    rig.port.hear(Packet(0x15).to_bytes())  # a scan that nobody ended
    assert rig.module.waits_for_finger
    rig.opened_sensor()
    assert not rig.module.waits_for_finger


# Rates


def test_another_rate_is_set_verified_and_put_back(rig: SfmRig) -> None:
    sensor = rig.opened_sensor(baud=921_600)
    assert rig.module.baud == 921_600
    assert rig.module.parameter(RATE, saved=True) == 0x35
    rig.module.press(GREY)
    assert (sensor.capture(1).image == GREY).all()
    sensor.close()
    assert rig.module.baud == 115_200
    sensor.open()
    assert [url.rpartition("=")[2] for url in rig.opened] == ["115200", "921600", "115200", "921600"]


def test_a_rate_left_by_a_process_that_died_is_found_and_put_back(rig: SfmRig) -> None:
    rig.opened_sensor(baud=921_600)._attachment.detach()
    sensor = rig.opened_sensor(baud=921_600)
    sensor.close()
    assert rig.module.baud == 115_200


def test_a_rate_that_does_not_come_into_force_is_told(rig: SfmRig, caplog: pytest.LogCaptureFixture) -> None:
    rig.module.inject("baud_deferred")
    sensor = rig.opened_sensor(baud=921_600)
    assert "keeps 115200 baud" in caplog.text
    rig.module.press(GREY)
    assert (sensor.capture(1).image == GREY).all()


def test_a_refused_rate_is_told(rig: SfmRig, caplog: pytest.LogCaptureFixture) -> None:
    flags(rig, 0x01, 0x75, param=RATE)
    rig.opened_sensor(baud=9600)
    assert "refuses 9600 baud: not supported" in caplog.text


def flags(rig: SfmRig, command: int, *results: int, param: int | None = None) -> None:
    """The next answers to a command are these results, in place of what the module does."""
    answers(rig, command, *map(Answer, results), param=param)


def answers(rig: SfmRig, command: int, *instead: Answer, param: int | None = None) -> None:
    """As flags(), with their numbers."""
    queue = list(instead)
    hear = rig.module._execute

    def obey(request: Request, now: float) -> list[Burst]:
        if request.command == command and queue and param in (None, request.flag):
            return rig.module._answer(request, queue.pop(0), now)
        return hear(request, now)

    rig.module._execute = obey  # type: ignore[method-assign]


SOCKET = "socket://127.0.0.1:4001"
FULL = np.random.default_rng(3).integers(0, 256, (320, 272), np.uint8)


@pytest.mark.parametrize("transfer", ["extended", "plain"])
@pytest.mark.parametrize("rate", [9600, 57_600, 921_600])
def test_behind_a_socket_an_image_has_the_time_of_the_module_s_own_rate(rate: int, transfer: str) -> None:
    rig = SfmRig(SfmSettings(boot_s=0.0, baud=rate))
    sensor = Sfm(SOCKET, {"transfer": transfer}, clock=rig.time.now, connect=rig.connect)
    sensor.open()
    rig.module.press(FULL)
    assert (sensor.capture(5).image == FULL).all()


@pytest.mark.parametrize("answer", [Answer(0x75), Answer(0x61, size=0x77)])
def test_a_module_that_does_not_tell_its_rate_has_the_time_of_the_slowest(answer: Answer) -> None:
    rig = SfmRig(SfmSettings(boot_s=0.0, baud=9600))
    answers(rig, 0x03, answer, param=RATE)
    sensor = Sfm(SOCKET, {}, clock=rig.time.now, connect=rig.connect)
    sensor.open()
    rig.module.press(FULL)
    assert (sensor.capture(5).image == FULL).all()


# Images


@pytest.mark.parametrize("transfer", ["extended", "plain"])
@pytest.mark.parametrize("terminal", [None, 7])
@pytest.mark.parametrize("scanned", [True, False])
@pytest.mark.parametrize(("grey", "image", "depth"), [("8bit", GREY, 8), ("4bit", SIXTEEN, 4)])
def test_every_way_of_transfer_brings_every_pixel(
    transfer: str, terminal: int | None, scanned: bool, grey: str, image: NDArray[np.uint8], depth: int  # noqa: FBT001
) -> None:  # fmt: skip
    rig = SfmRig(settings_of(terminal=terminal, send_scanned=scanned))
    rig.module.press(image)
    network: dict[str, OptionValue] = {} if terminal is None else {"terminal": terminal}
    sensor = rig.opened_sensor(transfer=transfer, grey=grey, **network)
    sample = sensor.capture(1)
    assert (sample.image == image).all()
    assert (sample.depth_bits, sample.pixels_per_inch, sample.device) == (depth, 500.0, "sfm at /dev/ttyFP0")
    assert rig.module.commands["SIX" if transfer == "extended" else "SI"] == 1


def test_the_times_of_an_image_are_those_of_the_line() -> None:
    rig = SfmRig(SfmSettings(boot_s=0.0, image_format=0x30))
    sensor = rig.opened_sensor(transfer="plain")
    rig.module.press(np.zeros((320, 272), np.uint8))
    began = rig.time.seconds
    sensor.capture(1)
    assert rig.time.seconds - began == pytest.approx(7.6, abs=0.1)  # 87068 bytes at 115200, from the facts


def test_the_extended_transfer_asks_for_large_packets_and_acknowledges_each(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    rig.wrote.clear()
    sensor.capture(1)
    assert [raw.hex(" ") for raw in rig.wrote] == [
        "40 04 00 00 00 00 00 00 00 00 00 44 0a",
        "40 83 00 00 00 00 00 10 00 00 00 d3 0a",  # SIX, packets of 4096
        "40 83 00 00 00 00 00 00 00 00 83 46 0a",  # data ok
    ]


@pytest.mark.parametrize("fault", ["checksum", "drop", "double", "flip", "lost", "duplicate", "garbage", "late"])
def test_a_data_packet_that_arrives_damaged_is_sent_again(rig: SfmRig, fault: str) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    rig.module.inject(fault, at="data")
    assert (sensor.capture(1).image == GREY).all()
    assert rig.module.images_taken == 1


@pytest.mark.parametrize("blank", [False, True])
@pytest.mark.parametrize("fault", [None, "checksum", "drop", "lost", "duplicate", "garbage"])
def test_a_module_that_numbers_no_packet_is_read_in_order(fault: str | None, *, blank: bool) -> None:
    rig = SfmRig(SfmSettings(boot_s=0.0, numbers_packets=False))
    sensor = rig.opened_sensor()
    image = np.random.default_rng(3).integers(0, 256, (320, 272), np.uint8)
    image[100:200] = 255 if blank else image[100:200]  # packets that are all alike
    rig.module.press(image)
    if fault is not None:
        rig.module.inject(fault, at="data")
    assert (sensor.capture(1).image == image).all()


@pytest.mark.parametrize(
    ("indexes", "taken"),
    [
        ([0, 1, 2], ["a", "b", "c"]),
        ([0, 0, 0], ["a", "b", "c"]),
        ([0, 1, 0], ["a", "b", None]),
        ([0, 0, 2], ["a", "b", None]),
        ([0, 0, 1], ["a", "b", None]),
        ([1, 0, 1], [None, "b", "c"]),
        ([0, 2, 1], ["a", None, "c"]),
    ],
)
def test_packets_are_numbered_all_or_none(indexes: list[int], taken: list[str | None]) -> None:
    sequence, bodies = PacketSequence(), [letter.encode() + b"-" for letter in "abc"]
    found = [sequence.accept(index, body, 2) for index, body in zip(indexes, bodies, strict=True)]
    assert [body and body.decode()[0] for body in found] == taken


@pytest.mark.parametrize(
    ("indexes", "bodies"), [([0, 0], b"aa"), ([0, 1, 1], b"abb"), ([0, 0, 0], b"abb")], ids=["first", "numbered", "not"]
)
def test_a_packet_that_comes_again_is_left_out(indexes: list[int], bodies: bytes) -> None:
    sequence = PacketSequence()
    found = [sequence.accept(index, bytes([body, 0]), 2) for index, body in zip(indexes, bodies, strict=True)]
    assert found[-1] == b""


def test_answers_that_nobody_asked_for_point_at_another_host() -> None:
    odd = [row.meaning for row in RESULTS.values() if "was not requested" in row.meaning]
    assert len(odd) == 13
    assert all(meaning.endswith("does another host share the line?") for meaning in odd)


@pytest.mark.parametrize("fault", ["checksum", "drop", "lost"])
@pytest.mark.parametrize("transfer", ["extended", "plain"])
def test_a_scan_whose_image_is_lost_on_the_way_is_read_again(rig: SfmRig, transfer: str, fault: str) -> None:
    sensor = rig.opened_sensor(transfer=transfer)
    rig.module.press(GREY)
    rig.module.inject("gives_up")
    rig.module.inject(fault, at="data")
    assert (sensor.capture(1).image == GREY).all()
    assert rig.module.images_taken == 1
    assert rig.module.commands["RIX" if transfer == "extended" else "RI"] == 1


@pytest.mark.parametrize("fault", ["short", "long"])
def test_an_image_that_stays_damaged_asks_the_person_again(rig: SfmRig, fault: str) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    rig.module.inject(fault, times=0)
    assert retry_of(sensor) is Retry.MOVED


def test_an_answer_that_is_lost_after_the_scan_costs_no_second_presentation(rig: SfmRig) -> None:
    rig = SfmRig(settings_of(send_scanned=False))
    sensor = rig.opened_sensor()
    rig.module.inject("checksum", at="answer", times=2)
    rig.module.press(GREY)
    assert (sensor.capture(5).image == GREY).all()


def test_an_adapter_that_echoes_what_is_sent_confuses_nothing(rig: SfmRig) -> None:
    heard = rig.module.receive

    def receive(data: bytes, now: float) -> list[Burst]:
        return [Burst(now, data, rig.module.baud), *heard(data, now)]

    rig.module.receive = receive  # type: ignore[method-assign]
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    assert (sensor.capture(1).image == GREY).all()


def test_a_module_without_the_extended_transfer_is_asked_plainly(rig: SfmRig) -> None:
    rig.module.inject("no_extended")
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    assert (sensor.capture(1).image == GREY).all()
    assert (rig.module.commands["SIX"], rig.module.commands["SI"]) == (1, 1)


def test_an_extended_transfer_that_was_insisted_on_is_an_error(rig: SfmRig) -> None:
    rig.module.inject("no_extended")
    sensor = rig.opened_sensor(transfer="extended")
    with pytest.raises(ProtocolError, match=r"SIX refused: not supported: is enhanced privacy on"):
        sensor.capture(1)


def test_black_and_white_images_are_refused_with_what_to_do(rig: SfmRig) -> None:
    rig.module.inject("keeps_format")
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    with pytest.raises(ProtocolError, match=r"not plain grey \(format 1\): switch encryption"):
        sensor.capture(1)


# The record


def record(width: int = 16, height: int = 16, compressed: int = 0, encrypted: int = 0, form: int = 0,
           image: int = 256, template: int = 0, pixels: int = 256) -> bytes:  # fmt: skip
    return struct.pack("<7i", width, height, compressed, encrypted, form, image, template) + bytes(pixels)


def test_a_record_with_a_template_behind_the_pixels_is_read_without_it() -> None:
    assert parse_record(record(template=384, pixels=640), "sfm").pixels.shape == (16, 16)


def test_four_bits_fill_the_range_left_pixel_first() -> None:
    data = struct.pack("<7i", 16, 16, 0, 0, 2, 128, 0) + bytes([0xF1]) + bytes(127)
    image = parse_record(data, "sfm")
    assert image.pixels[0, :3].tolist() == [255, 17, 0]
    assert image.depth_bits == 4


@given(st.integers(16, 40), st.integers(16, 40), st.sampled_from([0, 2]), st.integers(0, 9), st.randoms())
def test_an_image_of_any_size_is_read_pixel_by_pixel(
    width: int, height: int, form: int, template: int, rng: random.Random
) -> None:
    pixels = np.frombuffer(rng.randbytes(width * height), np.uint8) // (17 if form else 1)
    pairs = np.append(pixels, np.zeros(len(pixels) % 2, np.uint8)).reshape(-1, 2) if form else pixels
    packed = (pairs[:, 0] << 4 | pairs[:, 1] if form else pixels).tobytes()
    head = struct.pack("<7i", width, height, 0, 0, form, len(packed), template)
    image = parse_record(head + packed + bytes(template), "sfm")
    assert (image.pixels == (pixels * (17 if form else 1)).reshape(height, width)).all()


def test_half_a_byte_less_than_an_odd_number_of_four_bit_pixels_is_damage() -> None:
    with pytest.raises(BadRecord, match="144 bytes are not an image of 17 x 17 pixels"):
        parse_record(record(17, 17, form=2, image=144, pixels=144), "sfm")


def test_an_odd_number_of_four_bit_pixels_comes_from_a_module() -> None:
    rig = SfmRig(SfmSettings(width=17, height=19, boot_s=0.0))
    sensor = rig.opened_sensor(grey="4bit")
    image = SIXTEEN[:19, :17].copy()
    rig.module.press(image)
    assert (sensor.capture(1).image == image).all()


@pytest.mark.parametrize(
    "bad",
    [
        b"", bytes(27), record(width=15), record(height=-16), record(width=2000), record(image=255),
        record(template=-1), record(template=1), record(pixels=255), record(pixels=257), record(form=2),
        record(width=17), record(image=-256, template=512),
    ],
)  # fmt: skip
def test_numbers_that_do_not_fit_are_damage(bad: bytes) -> None:
    with pytest.raises(BadRecord):
        parse_record(bad, "sfm")


@pytest.mark.parametrize(("other", "said"), [
    (record(compressed=1), "compressed"), (record(encrypted=1), "encrypted"), (record(form=1), "format 1"),
    (record(form=3), "format 3"),
])  # fmt: skip
def test_images_that_are_no_plain_grey_are_named(other: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        parse_record(other, "sfm")


# Results: what each one means for the person or the technician

AGAIN, AFRESH, WAITS = "again", "afresh", "waits"
EXPECTED: dict[int, Retry | str] = {
    0x63: Retry.TOO_MESSY, 0x6B: Retry.TOO_MESSY, 0xB0: Retry.TOO_MESSY,  # the person
    0x6C: AGAIN, 0x81: AGAIN, 0x80: AGAIN, 0x82: AGAIN,  # nobody: the driver asks again
    0x62: WAITS, 0x74: WAITS, 0x83: WAITS,  # another answer follows
    **dict.fromkeys([0x69, 0x6A, 0x6D, 0x6E, 0x72, 0x76, 0x7A, 0x7C, 0x86, 0x90, 0x91, 0x93, 0x94, 0xA0, 0xA1], AFRESH),
    0x75: AFRESH, 0x00: AFRESH, 0xFF: AFRESH,
}  # fmt: skip


def test_the_table_has_every_result_of_the_facts() -> None:
    assert set(RESULTS) == (set(EXPECTED) | {0x61}) - {0x00, 0xFF}


@pytest.mark.parametrize("code", EXPECTED)
def test_every_result_of_a_scan_leads_to_its_next_action(rig: SfmRig, code: int) -> None:
    sensor = rig.opened_sensor(transfer="extended")
    rig.module.press(GREY)
    flags(rig, 0x83, code)
    expected = EXPECTED[code]
    if isinstance(expected, Retry):
        assert retry_of(sensor) is expected
    elif expected == AFRESH:
        with pytest.raises(ProtocolError, match=f"0x{code:02X}"):
            sensor.capture(1)
    elif expected == AGAIN:
        assert (sensor.capture(1).image == GREY).all()
        assert rig.module.images_taken == 1
    else:  # "finger scanned" and nothing behind it: what was scanned last is read, and there is nothing
        assert retry_of(sensor, 5) is Retry.TOO_MESSY
        assert rig.module.commands["RIX"] == 1


def after_scanned(rig: SfmRig, code: int, times: int) -> None:
    """Behind "finger scanned" comes this result so often, in place of the image; also to those who ask again."""
    send, left = rig.module._send_image, [code] * times

    def refuse(request: Request, now: float) -> list[Burst]:
        return rig.module._answer(request, Answer(left.pop()), now) if left else send(request, now)

    rig.module._send_image = refuse  # type: ignore[method-assign]


@pytest.mark.parametrize("transfer", ["extended", "plain"])
@pytest.mark.parametrize("code", EXPECTED)
def test_every_result_behind_a_scan_leads_to_its_next_action(rig: SfmRig, code: int, transfer: str) -> None:
    sensor = rig.opened_sensor(transfer=transfer)
    rig.module.press(GREY)
    after_scanned(rig, code, 1)
    expected = EXPECTED[code]
    if isinstance(expected, Retry):
        assert retry_of(sensor) is expected
    elif expected == AFRESH:
        name = "SIX" if transfer == "extended" else "SI"
        with pytest.raises(ProtocolError, match=rf"{name} refused: .*\(0x{code:02X}\)"):
            sensor.capture(1)
    else:  # what was scanned is read
        assert (sensor.capture(1).image == GREY).all()
        assert rig.module.images_taken == 1
    rig.module.lift()
    rig.time.later(1.0, lambda: rig.module.press(SIXTEEN))
    assert (sensor.capture(5).image == SIXTEEN).all()


@pytest.mark.parametrize("code", [0x80, 0x82])
def test_a_module_that_never_sends_what_it_scanned_is_named(rig: SfmRig, code: int) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    after_scanned(rig, code, 3)
    with pytest.raises(ProtocolError, match=rf"3 times: .*\(0x{code:02X}\)"):
        sensor.capture(1)


def test_a_scan_that_was_cancelled_and_not_by_us_is_presented_again(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    after_scanned(rig, 0x81, 3)
    with pytest.raises(CaptureRetry, match=r"moved: cancelled \(0x81\)"):
        sensor.capture(1)


@pytest.mark.parametrize("command", [0x83, 0x04])
def test_a_module_that_is_busy_for_ever_is_named(rig: SfmRig, command: int) -> None:
    sensor = rig.opened_sensor()
    flags(rig, command, 0x80, 0x80, 0x80)
    began = rig.time.seconds
    with pytest.raises(ProtocolError, match=r"3 times.*: busy with another command: does another host use it\? \(0x80"):
        sensor.capture(1)
    assert rig.time.seconds - began > 0.5


@pytest.mark.parametrize("command", [0x83, 0x04])
def test_a_module_that_is_busy_for_half_a_second_is_waited_for(rig: SfmRig, command: int) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    hear, free_at = rig.module._execute, rig.time.seconds + 0.5

    def obey(request: Request, now: float) -> list[Burst]:
        if request.command == command and now < free_at:
            return rig.module._answer(request, Answer(0x80), now)
        return hear(request, now)

    rig.module._execute = obey  # type: ignore[method-assign]
    assert (sensor.capture(1).image == GREY).all()


def test_a_cancel_ends_the_waiting_for_a_busy_module(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    flags(rig, 0x04, 0x80, 0x80, 0x80)
    rig.time.later(0.1, sensor.cancel)
    began = rig.time.seconds
    with pytest.raises(Cancelled):
        sensor.capture(1)
    assert rig.time.seconds - began == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(0x80), r"busy with another command: .*\(0x80\)"),
        (Answer(0x75), r"not supported: .*\(0x75\)"),
        (Answer(0x61, param=0x31), r"state 0x31"),
    ],
)
def test_a_module_that_answers_but_does_not_rest_is_not_called_silent(rig: SfmRig, answer: Answer, said: str) -> None:
    answers(rig, 0x04, answer, answer, answer)
    with pytest.raises(
        ProtocolError, match=rf"answers at 115200 baud but does not become idle: {said}; if no other host"
    ):
        rig.sensor().open()
    assert rig.time.seconds > 0.5


def test_a_module_that_does_not_rest_between_two_scans_says_why(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.time.later(2.0, lambda: answers(rig, 0x04, *[Answer(0x61, param=0x31)] * 3))
    with pytest.raises(ProtocolError, match=r"does not become idle: state 0x31$"):
        sensor.capture(3)


def test_grey_refused_is_an_error_that_says_so(rig: SfmRig) -> None:
    flags(rig, 0x01, 0x75)
    with pytest.raises(ProtocolError, match=r"images in grey refused: not supported.*\(0x75\)"):
        rig.sensor().open()


# The person


def test_nobody_coming_is_a_retry_and_the_module_waits_no_longer(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    assert retry_of(sensor, 3.0) is Retry.NOTHING_PRESENTED
    assert not rig.module.waits_for_finger


def test_the_module_s_own_time_out_is_not_ours(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.time.later(25.0, lambda: rig.module.press(GREY))
    assert (sensor.capture(60).image == GREY).all()
    assert rig.module.commands["SIX"] == 3  # 10 s each


def test_a_module_that_falls_silent_for_ever_is_noticed_before_the_person_s_time_is_up(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.time.later(1.0, lambda: rig.module.inject("silent"))
    rig.module._pending_scan = None
    with pytest.raises(ProtocolError, match="does not become idle"):
        sensor.capture(120)
    assert rig.time.seconds < 40


def test_a_finger_that_stays_is_no_new_presentation(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    sensor.capture(1)
    assert retry_of(sensor, 2.0) is Retry.LIFT_FINGER
    rig.module.lift()
    rig.time.later(1.0, lambda: rig.module.press(SIXTEEN))
    assert (sensor.capture(5).image == SIXTEEN).all()


def test_looking_for_a_lift_leaves_no_image_under_way(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    sensor.capture(1)
    began = rig.port.bytes_sent
    assert retry_of(sensor, 0.0) is Retry.LIFT_FINGER
    looks = rig.module.commands["SIX"] - 1
    assert 0 < rig.port.bytes_sent - began < 400 * looks


@pytest.mark.parametrize("transfer", ["extended", "plain"])
@pytest.mark.parametrize("after", [0.01, 0.05, 0.1, 0.2])
def test_cancel_ends_it_anywhere_and_the_next_capture_is_whole(rig: SfmRig, transfer: str, after: float) -> None:
    sensor = rig.opened_sensor(transfer=transfer)
    rig.module.press(GREY)
    rig.time.later(after, sensor.cancel)
    began = rig.time.seconds
    with pytest.raises(Cancelled):
        sensor.capture(5)
    assert rig.time.seconds - began == pytest.approx(after, abs=0.01)
    assert rig.wrote[-1][1] == 0x60
    assert (sensor.capture(5).image == GREY).all()


@pytest.mark.parametrize("cancels", [1, 2])
def test_a_cancel_that_ended_nothing_does_not_keep_the_module_from_being_put_back(rig: SfmRig, cancels: int) -> None:
    sensor = rig.opened_sensor(baud=921_600)
    for _ in range(cancels):
        sensor.cancel()
    sensor.close()
    assert (rig.module.baud, rig.module.parameter(FORMAT)) == (115_200, 0x31)
    with pytest.raises(Cancelled):  # it is remembered all the same
        sensor.open()
    sensor.open()


@given(st.floats(0.0, 0.5), st.floats(0.0, 0.1))
@example(0.3345, 0.0)  # both of them in close()
def test_a_second_cancel_behind_that_of_a_capture_does_not_either(after: float, later: float) -> None:
    rig = SfmRig()
    sensor = rig.opened_sensor(baud=921_600)
    rig.time.later(0.3, lambda: rig.module.press(GREY))
    for at in (after, after + later):
        rig.time.later(at, sensor.cancel)
    with suppress(Cancelled):
        sensor.capture(5)
    sensor.close()
    assert (rig.module.baud, rig.module.parameter(FORMAT)) == (115_200, 0x31)


@pytest.mark.parametrize("requests", [1, 2, 4, 5, 6, 7, 8, 9, 10])
def test_a_cancel_in_open_leaves_nothing_changed_after_close(rig: SfmRig, requests: int) -> None:
    """Only behind the third request, of the new rate, nobody knows which rate the module has."""
    sensor = rig.sensor(115_200, baud=921_600)
    hear = rig.port.hear

    def cancelled(data: bytes) -> None:
        hear(data)
        if len(rig.wrote) == requests:
            sensor.cancel()

    rig.port.hear = cancelled  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        sensor.open()
    sensor.close()
    assert (rig.module.baud, rig.module.parameter(FORMAT), rig.port.claims) == (115_200, 0x31, 0)


@given(st.floats(0.0, 0.1))
def test_after_a_cancel_anywhere_in_open_the_next_close_leaves_nothing_changed(after: float) -> None:
    rig = SfmRig()
    sensor = rig.sensor(115_200, baud=921_600)
    rig.time.later(after, sensor.cancel)
    with suppress(Cancelled):
        sensor.open()
    sensor.close()
    rig.time.run(lambda: False, 0.1)  # a cancel that came behind all that ends the next
    with suppress(Cancelled):
        sensor.open()
    sensor.open()
    sensor.close()
    assert (rig.module.baud, rig.module.parameter(FORMAT), rig.port.claims) == (115_200, 0x31, 0)


def test_an_open_that_fails_behind_a_new_rate_puts_it_back(rig: SfmRig) -> None:
    flags(rig, 0x01, 0x75, param=FORMAT)
    with pytest.raises(ProtocolError, match="images in grey refused"):
        rig.sensor(115_200, baud=921_600).open()
    assert (rig.module.baud, rig.port.claims) == (115_200, 0)


def test_close_is_quick_when_the_module_is_gone(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.module.inject("silent")
    began = rig.time.seconds
    sensor.close()
    assert rig.time.seconds - began < 1.0
    with pytest.raises(LinkLost):
        sensor.capture(1)


# Options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"terminal": 0}, "'terminal'"),
        ({"baud": 12345}, "'baud'"),
        ({"grey": "binary"}, "'grey'"),
        ({"width": 4}, "'width'"),
        ({"transfer": "fast"}, "'transfer'"),
    ],
)
def test_wrong_options_are_named(rig: SfmRig, options: dict[str, OptionValue], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        rig.sensor(115_200, **options)


def test_a_socket_has_no_rate_to_set() -> None:
    with pytest.raises(ValueError, match="has no rate to set"):
        Sfm("socket://127.0.0.1:4001", {"baud": 9600})


def test_every_option_is_in_the_readme() -> None:
    section = README.read_text(encoding="utf-8").partition("\n## sfm\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`([a-z_]+)`", "\n".join(line.split("|")[1] for line in section.splitlines()
                                                          if line.startswith("| `"))))  # fmt: skip
    assert documented == set(SfmOptions.model_fields)


def test_nothing_that_is_printed_holds_pixels(rig: SfmRig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sensor = rig.opened_sensor()
    rig.module.press(np.full((HEIGHT, WIDTH), 0x5A, np.uint8))
    sensor.capture(1)
    assert "5a5a" not in caplog.text.lower()
    assert "ZZZ" not in repr(Upload(b"Z" * 100, ""))
