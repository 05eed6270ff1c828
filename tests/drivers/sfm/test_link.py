"""Exchanges and transfers with the simulated SFM module: damage, lost and busy answers, timing."""

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import Cancelled, CaptureRetry, ProtocolError
from drivers.options import OptionValue
from drivers.sfm.driver import Sfm
from drivers.sfm.framing import Packet, packet_size
from drivers.sfm.link import PacketSequence
from simulators.sensors.sfm.commands import Answer
from simulators.sensors.sfm.device import SfmSettings
from simulators.sensors.sfm.wire import Request
from simulators.transports.serial.uart import Burst
from tests.rigs.sfm_rig import GREY, HEIGHT, SIXTEEN, WIDTH, SfmRig, answers, flags, settings_of


def test_a_module_that_just_got_power_is_asked_again() -> None:
    rig = SfmRig(SfmSettings(width=WIDTH, height=HEIGHT, boot_s=0.25))
    rig.opened_sensor()
    assert rig.time.seconds < 1.0


def test_what_an_earlier_host_left_running_is_stopped(rig: SfmRig) -> None:
    rig.port.host_baud = None
    rig.port.send(Packet(0x15).to_bytes())  # a scan that nobody ended
    assert rig.module.waits_for_finger
    rig.opened_sensor()
    assert not rig.module.waits_for_finger


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


def test_an_adapter_that_echoes_what_is_sent_confuses_nothing(rig: SfmRig) -> None:
    heard = rig.module.receive

    def receive(data: bytes, now: float) -> list[Burst]:
        return [Burst(now, data, rig.module.baud), *heard(data, now)]

    rig.module.receive = receive  # type: ignore[method-assign]
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    assert (sensor.capture(1).image == GREY).all()


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
        (Answer(0x61, param=0x31), r"state 0x31"),
    ],
)
def test_a_module_that_answers_but_is_not_idle_is_not_called_silent(rig: SfmRig, answer: Answer, said: str) -> None:
    answers(rig, 0x04, *[answer] * 100)
    with pytest.raises(
        ProtocolError, match=rf"answers at 115200 baud but does not become idle: {said}; if no other host"
    ):
        rig.sensor().open()
    assert rig.time.seconds > 0.5


def test_a_module_that_is_not_idle_between_two_scans_says_why(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.time.later(2.0, lambda: answers(rig, 0x04, *[Answer(0x61, param=0x31)] * 3))
    with pytest.raises(ProtocolError, match=r"does not become idle: state 0x31$"):
        sensor.capture(3)


@pytest.mark.parametrize("size", [0, (1 << 21) + 1, 0xFFFFFFFF])
def test_an_announced_image_of_an_impossible_size_is_refused(rig: SfmRig, size: int) -> None:
    sensor = rig.opened_sensor()
    answers(rig, 0x83, Answer(0x61, size=size))
    with pytest.raises(ProtocolError, match=f"announces an image of {size} bytes"):
        sensor.capture(1)


@pytest.mark.parametrize("fault", ["drop", "double"])
def test_a_plain_image_with_lost_or_extra_bytes_is_read_again(rig: SfmRig, fault: str) -> None:
    sensor = rig.opened_sensor(transfer="plain")
    rig.module.press(GREY)
    rig.module.inject(fault, at="data")
    assert (sensor.capture(1).image == GREY).all()
    assert (rig.module.commands["SI"], rig.module.commands["RI"]) == (1, 1)


def test_a_line_that_damages_every_data_packet_is_given_up(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    take = rig.port.take

    def take_damaged() -> bytes:
        data = take()
        return data[:-1] + bytes([data[-1] ^ 1]) if len(data) > packet_size(None) else data

    rig.port.take = take_damaged  # type: ignore[method-assign]
    with pytest.raises(CaptureRetry, match=r"moved: only 0 of [0-9]+ bytes arrived whole"):
        sensor.capture(1)


def test_a_module_that_becomes_silent_is_named_with_the_command(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.module.inject("silent")
    with pytest.raises(ProtocolError, match="no answer to SS in 2 s"):
        sensor.capture(1)


def test_a_cancel_stops_the_scan_in_the_module(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.time.later(0.5, sensor.cancel)
    with pytest.raises(Cancelled):
        sensor.capture(5)
    assert not rig.module.waits_for_finger


def test_behind_a_socket_the_deadline_of_an_image_follows_the_rate_of_the_module() -> None:
    rig = SfmRig(settings_of(baud=9600))
    sensor = Sfm("socket://127.0.0.1:4001", {}, clock=rig.time.now, connect=rig.connect)
    sensor.open()
    rig.module.press(GREY)
    assert (sensor.capture(5).image == GREY).all()


@pytest.mark.parametrize("lacking", [(0x04,), (0x04, 0x03)], ids=["STATUS", "STATUS and SR"])
def test_a_module_that_does_not_answer_status_answers_something_else(rig: SfmRig, lacking: tuple[int, ...]) -> None:
    """Then SR, or at last CANCEL, shows that it is there."""
    execute = rig.module._execute

    def obey(request: Request, now: float) -> list[Burst]:
        return [] if request.command in lacking else execute(request, now)

    rig.module._execute = obey  # type: ignore[method-assign]
    rig.module._state.parameters[0x6C] = 0x30  # grey, as the module may not tell it
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    assert (sensor.capture(5).image == GREY).all()
    rig.module.lift()
    with pytest.raises(CaptureRetry, match="nothing_presented"):
        sensor.capture(5)


def test_a_scan_without_an_answer_tells_whether_the_module_knows_it(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.module.inject("ignores", command=0x83)
    with pytest.raises(CaptureRetry, match="nothing_presented"):
        sensor.capture(5)
    assert (rig.module.commands["SIX"], rig.module.commands["SI"]) == (1, 2)
