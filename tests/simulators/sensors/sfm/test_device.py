"""The simulated SFM module against the facts, and every fault on the wire."""

import threading
from pathlib import Path

import numpy as np
import pytest
import serial

from simulators.sensors.sfm.device import SfmModule, SfmSettings
from simulators.sensors.sfm.wire import SFM_FAULTS, packet
from simulators.transports.serial.pseudo_terminal import PtyServer
from simulators.transports.serial.uart import LINE_FAULTS, Burst

FINGER = np.random.default_rng(5).integers(0, 256, (320, 272), np.uint8)
TOUCH = np.random.default_rng(6).integers(0, 256, (64, 64), np.uint8)
SW, SF, SR, SS, SI, RI, CA, SIX, RIX, RESET = 0x01, 0x02, 0x03, 0x04, 0x15, 0x20, 0x60, 0x83, 0x84, 0xD0
DEADLINE_S = 10.0


def small(seed: int = 0, *, touched: bool = True, **settings: object) -> SfmModule:
    changes = {"width": 64, "height": 64, "boot_s": 0.0, "image_format": 0x30} | settings
    module = SfmModule(SfmSettings(**changes), seed, clock=lambda: 0.0)  # type: ignore[arg-type]
    if touched:
        module.press(TOUCH)
    return module


def bursts(module: SfmModule, command: int, size: int = 0, flag: int = 0, now: float = 0.0) -> list[Burst]:
    return module.receive(packet(command, 0, size, flag, module.settings.terminal), now)


def frames(module: SfmModule, command: int, size: int = 0, flag: int = 0, now: float = 0.0) -> list[bytes]:
    return [burst.data for burst in bursts(module, command, size, flag, now)]


def results(answers: list[bytes]) -> list[int]:
    """The results of plain packets."""
    return [raw[10] for raw in answers if len(raw) == 13]


# Golden bytes


def test_status_says_alive() -> None:
    assert frames(small(), SS) == [bytes.fromhex("40 04 30000000 00000000 61 D5 0A")]


def test_a_parameter_comes_in_the_size() -> None:
    assert frames(SfmModule(SfmSettings(boot_s=0.0)), SR, flag=0x6C) == [
        bytes.fromhex("40 03 00000000 31000000 61 D5 0A")
    ]  # binary, as from the factory


def test_parameters_written_are_gone_at_power_off_unless_saved() -> None:
    module = small()
    assert results(frames(module, SW, 0x32, 0x6C)) == [0x61]
    module.power_on(0.0)
    assert module.parameter(0x6C) == 0x30
    frames(module, SW, 0x32, 0x6C)
    frames(module, SF)
    frames(module, RESET)
    assert module.parameter(0x6C) == 0x32


@pytest.mark.parametrize(("parameter", "value"), [(0x6F, 1), (0x6C, 0x40), (0x99, 0x30), (0x71, 0x39)])
def test_what_cannot_be_written_is_refused(parameter: int, value: int) -> None:
    assert results(frames(small(), SW, value, parameter)) == [0x75]


# Images


def test_a_plain_scan_is_announced_twice_and_ends_with_0a() -> None:
    scanned, done, image = frames(small(), SI)
    assert (scanned[10], done[10], int.from_bytes(done[6:10], "little")) == (0x62, 0x61, 28 + 64 * 64)
    assert image == bytes.fromhex(
        "40000000 40000000 00000000 00000000 00000000 00100000 00000000"
    ) + TOUCH.tobytes() + (b"\x0a")


def test_the_intermediate_answer_can_be_switched_off() -> None:
    assert results(frames(small(send_scanned=False), SI)) == [0x61]


def test_an_extended_scan_of_the_usual_image_has_22_packets() -> None:
    module = SfmModule(SfmSettings(boot_s=0.0, image_format=0x30), clock=lambda: 0.0)
    module.press(FINGER)
    *_, raw = frames(module, SIX, 0x1000)
    bodies = []
    for index in range(22):
        assert raw[2:6] == (22).to_bytes(2, "little") + index.to_bytes(2, "little")
        size = int.from_bytes(raw[6:10], "little")
        assert raw[13 + size :] == sum(raw[13 : 13 + size]).to_bytes(4, "little")
        bodies.append(raw[13 : 13 + size])
        raw = b"".join(frames(module, SIX, flag=0x83))
    assert raw == b""
    assert b"".join(bodies)[28:] == FINGER.tobytes()
    assert sum(map(len, bodies)) == 87_068


def test_a_packet_refused_comes_again() -> None:
    module = small()
    *_, first = frames(module, SIX, 0x400)
    assert frames(module, SIX, flag=0x82) == [first]
    assert frames(module, SIX, flag=0x83) != [first]


def test_an_extended_transfer_ends_by_a_cancel_or_by_silence() -> None:
    module = small()
    frames(module, SIX, 0x400)
    assert results(frames(module, SS)) == [0x80]
    assert results(frames(module, CA)) == [0x61]
    assert results(frames(module, SS)) == [0x61]
    frames(module, SIX, 0x400)
    assert frames(module, SIX, flag=0x83, now=60.0) == []
    assert results(frames(module, SS, now=60.0)) == [0x61]


def test_four_bits_have_the_left_pixel_in_the_upper_half() -> None:
    module = small(image_format=0x32)
    image = frames(module, SI)[2]
    assert image[16:20] == b"\x02\0\0\0"
    assert image[28] == TOUCH[0, 0] & 0xF0 | TOUCH[0, 1] >> 4
    assert len(image) == 28 + 2048 + 1


def test_the_last_scan_can_be_read_again_and_before_the_first_there_is_none() -> None:
    module = small(touched=False)
    assert results(frames(module, RI)) == [0x63]
    module.press(TOUCH)
    image = frames(module, SI)[2]
    module.lift()
    assert frames(module, RI)[1] == image


# Waiting


def test_a_scan_waits_for_a_finger_and_for_its_time_out() -> None:
    module = small(touched=False, timeout_code=0x33)
    assert frames(module, SI) == []
    assert module.next_send_at() == 3.0
    assert module.unsolicited(2.9) == []
    assert results([burst.data for burst in module.unsolicited(3.0)]) == [0x6C]
    assert module.next_send_at() is None


def test_a_scan_that_waits_for_ever_can_be_cancelled() -> None:
    module = small(touched=False, timeout_code=0x30)
    frames(module, SI)
    assert module.unsolicited(1e6) == []
    assert results(frames(module, CA)) == [0x81, 0x61]


def test_a_finger_that_comes_later_is_heard_of_at_once(tmp_path: Path) -> None:
    module = SfmModule(SfmSettings(width=64, height=64, boot_s=0.0))
    with PtyServer(module, tmp_path / "tty") as server, serial.Serial(str(server.link), 115_200) as port:
        port.timeout = DEADLINE_S
        port.write(packet(SI))
        threading.Timer(0.05, module.press, [TOUCH]).start()
        assert port.read(13)[10] == 0x62


# Networks


def test_a_terminal_hears_its_own_number_and_every_one_s_and_answers_only_the_first() -> None:
    module = small(terminal=7)
    assert module.receive(packet(SS), 0.0) == []
    assert module.receive(packet(SS, terminal=8), 0.0) == []
    assert module.receive(packet(SW, 0, 0x32, 0x6C, terminal=0), 0.0) == []
    assert module.parameter(0x6C) == 0x32
    (answer,) = module.receive(packet(SS, terminal=7), 0.0)
    assert answer.data == bytes.fromhex("41 0700 04 30000000 00000000 61 DD 0A")


# What goes wrong


def transcript(module: SfmModule) -> list[Burst]:
    """All that a host hears of a scan in both ways, of a lifted finger and of a new rate."""
    heard = bursts(module, SIX, 0x1000) + bursts(module, SIX, flag=0x82)
    heard += bursts(module, SIX, flag=0x83) + bursts(module, SIX, flag=0x83) + bursts(module, CA) + bursts(module, SI)
    module.lift()
    heard += bursts(module, SI) + bursts(module, CA) + bursts(module, SW, 0x36, 0x71)
    return heard + bursts(module, SR, flag=0x71)


@pytest.mark.parametrize("name", [name for name in SFM_FAULTS if name not in LINE_FAULTS])
def test_every_fault_is_heard_and_gone_once_it_is_cleared(name: str) -> None:
    clean = transcript(small(terminal=7))
    module = small(terminal=7)
    module.inject(name)
    assert transcript(module) != clean
    cleared = small(terminal=7)
    cleared.inject(name, times=0)
    cleared.clear_faults()
    assert transcript(cleared) == clean


def test_the_same_seed_strikes_the_same_bytes() -> None:
    def spoiled(seed: int) -> list[bytes]:
        module = small(seed)
        module.inject("flip", bits=3)
        return frames(module, SI)

    assert spoiled(1) == spoiled(1) != spoiled(2)


@pytest.mark.parametrize("cut", range(1, 13))
def test_a_request_in_two_pieces_is_heard_and_one_cut_short_is_forgotten(cut: int) -> None:
    module, raw = small(), packet(SS)
    assert module.receive(raw[:cut], 0.0) == []
    assert len(module.receive(raw[cut:], 0.1)) == 1
    assert module.receive(raw[:cut], 1.0) == []
    assert len(module.receive(raw, 2.0)) == 1


def test_a_request_with_a_wrong_checksum_is_a_data_error() -> None:
    raw = bytearray(packet(SS))
    raw[11] ^= 1
    (answer,) = small().receive(bytes(raw), 0.0)
    assert answer.data[10] == 0x82


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"this sensor needs u8\[64, 64\]"):
        small().press(FINGER)


def test_a_module_alone_on_its_line_has_no_wrong_address() -> None:
    with pytest.raises(ValueError, match="this sensor has no fault 'wrong_address'"):
        SfmModule(SfmSettings()).inject("wrong_address")


def test_nothing_is_received_while_the_module_boots() -> None:
    module = small(boot_s=0.05)
    module.power_on(10.0)
    assert frames(module, SS, now=10.04) == []
    assert results(frames(module, SS, now=10.06)) == [0x61]


def test_a_scan_waits_for_its_finger_until_it_has_ended() -> None:
    module = small(touched=False)
    assert not module.waits_for_finger
    frames(module, SI)
    assert module.waits_for_finger
    frames(module, CA)
    assert not module.waits_for_finger


def test_a_command_that_the_module_does_not_know_is_not_supported() -> None:
    module = small()
    assert results(frames(module, 0x55)) == [0x75]
    assert module.commands["0x55"] == 1


def test_a_module_may_refuse_or_ignore_one_command_or_every_optional_one() -> None:
    module = small()
    module.inject("refuses", command=SS)
    assert results(frames(module, SS)) == [0x75]
    assert results(frames(module, SR, flag=0x6C)) == [0x61]
    module.inject("refuses", code=0x82)
    assert results(frames(module, SR, flag=0x6C)) == [0x82]
    module.inject("ignores")
    assert frames(module, SR, flag=0x6C) == []
    assert 0x61 in results(frames(module, SI))
