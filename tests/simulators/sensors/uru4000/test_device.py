"""The simulated U.are.U 4500 by itself: registers, messages and images as the facts have them; no driver of ours."""

from collections.abc import Callable

import pytest

from simulators.sensors.uru4000.device import HEIGHT, WIDTH, Block, Uru4000Model, Uru4000Settings
from simulators.transports.usb.device import Setup, Stall
from tests.rigs.uru4000_scrambling import unmasked

DARK = bytes(WIDTH * HEIGHT)
SLOPE = bytes(range(256)) * (WIDTH * HEIGHT // 256)


class Wire:
    """What the model sends, and a clock that the test turns."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.sent = list[tuple[int, bytes, float]]()
        self.timers = list[float]()
        self.dropped = 0

    def now(self) -> float:
        return self.seconds

    def send(self, endpoint: int, data: bytes, after: float = 0.0) -> None:
        self.sent.append((endpoint, data, after))

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self.timers.append(seconds)
        action()

    def stall(self, _endpoint: int) -> None:
        raise AssertionError

    def drop(self, _endpoint: int) -> None:
        self.dropped += 1

    def pending(self, _endpoint: int) -> int:
        return 1

    def unplug(self) -> None:
        raise AssertionError

    def messages(self) -> list[str]:
        told, self.sent = self.sent, []
        assert all(len(data) == 64 for endpoint, data, _ in told if endpoint == 0x81)
        return [data[:2].hex() for endpoint, data, _ in told if endpoint == 0x81]

    def image(self) -> bytes:
        (image,) = [data for endpoint, data, _ in self.sent if endpoint == 0x82]
        self.sent = []
        return image


class Desk:
    """A reader that is plugged in, and the host's requests."""

    def __init__(self, settings: Uru4000Settings | None = None, fault: str = "") -> None:
        self.model = Uru4000Model(settings)
        if fault:
            self.model.inject(fault)
        self.wire = Wire()
        self.model.attach(self.wire, 0.0)

    def write(self, register: int, data: str) -> None:
        raw = bytes.fromhex(data)
        assert self.model.control(Setup(0x40, 4, register, 0, len(raw)), raw) == b""

    def read(self, register: int, length: int) -> str:
        return self.model.control(Setup(0xC0, 4, register, 0, length), b"").hex()

    def image(self) -> bytes:
        self.write(0x4E, "20")
        return self.wire.image()

    def key(self, number: int, seed: int) -> int:
        self.write(0x33, bytes([number]).hex() + seed.to_bytes(4, "little").hex())
        return int.from_bytes(bytes.fromhex(self.read(0x34, 4)), "little")


# Registers


@pytest.mark.parametrize(
    "setup",
    [Setup(0x40, 5, 7, 0, 1), Setup(0xC0, 4, 7, 1, 1), Setup(0xC1, 4, 7, 0, 1), Setup(0x21, 4, 7, 0, 1)],
)
def test_other_requests_are_refused(setup: Setup) -> None:
    with pytest.raises(Stall):
        Desk().model.control(setup, b"\x00")


def test_the_device_info_is_that_of_a_real_4500() -> None:
    assert Desk().read(0xF0, 16) == "1a0a1a0a01150000002000108b211130"


def test_the_key_is_masked_with_the_seed_of_the_host() -> None:
    desk = Desk()
    key = desk.key(3, 0)
    assert desk.key(3, 0x51EA2124) == key ^ 0x51EA2124
    assert desk.key(4, 0) != key


def test_a_wrong_key_is_wrong_once() -> None:
    desk = Desk()
    key = desk.key(0, 0)
    desk.model.inject("wrong_key")
    assert desk.key(0, 0) != key
    assert desk.key(0, 0) == key


# Power


def test_the_recorded_power_up_gives_three_messages() -> None:
    desk = Desk()
    assert desk.read(7, 1) == "01"
    desk.write(7, "81")
    assert desk.read(7, 1) == "81"
    assert desk.wire.messages() == []
    desk.write(7, "01")
    assert desk.read(7, 1) == "01"
    assert desk.wire.messages() == ["56aa"] * 3
    assert desk.wire.timers == pytest.approx([0.0003, 0.0093, 0.0173])


def test_a_reader_that_is_awake_says_nothing_when_it_is_woken() -> None:
    desk = Desk()
    desk.write(7, "01")
    assert desk.wire.messages() == []


def test_a_reader_that_hangs_lives_again_after_its_reboot() -> None:
    desk = Desk(fault="hung")
    assert desk.read(7, 1) == "85"
    desk.write(7, "85")
    assert desk.read(7, 1) == "85"
    desk.write(7, "05")
    assert desk.read(7, 1) == "00"
    desk.wire.seconds = 0.05
    assert desk.read(7, 1) == "01"


def test_the_reader_v2_sleeps_on_after_a_wrong_answer() -> None:
    desk = Desk(Uru4000Settings(reader="ms-reader-v2", status=0x81))
    desk.write(7, "01")
    assert desk.read(7, 1) == "81"
    assert desk.read(0x2010, 16) == "101112131415161718191a1b1c1d1e1f"
    desk.write(0x2000, "00" * 16)
    desk.write(7, "01")
    assert desk.read(7, 1) == "81"
    assert desk.read(0x2010, 16) == "00" * 16
    desk.write(0x2000, "a9d42a98c20cea8f0eb61f17f8f6c001")
    desk.write(7, "01")
    assert desk.read(7, 1) == "01"
    assert desk.wire.messages() == ["56aa"] * 3


def test_a_reader_in_low_power_feels_no_finger() -> None:
    desk = Desk(Uru4000Settings(status=0x81))
    desk.model.press(DARK)
    desk.write(0x4E, "10")
    assert desk.wire.messages() == []


def test_unplugging_forgets_the_mode_and_keeps_the_finger() -> None:
    desk = Desk()
    desk.write(0x4E, "10")
    desk.model.press(DARK)
    desk.model.detach()
    desk.model.attach(desk.wire, 0.0)
    assert (desk.model.mode, desk.model.finger_on) == (0, True)


# The finger


def test_a_finger_is_told_when_it_comes_or_is_there_already_and_when_it_goes_or_is_gone() -> None:
    desk = Desk()
    desk.write(0x4E, "10")
    desk.model.press(DARK)
    assert desk.wire.messages() == ["0101"]
    desk.write(0x4E, "10")
    assert desk.wire.messages() == ["0101"]
    desk.write(0x4E, "12")
    assert desk.wire.messages() == []
    desk.model.lift()
    assert desk.wire.messages() == ["0200"]
    desk.write(0x4E, "12")
    assert desk.wire.messages() == ["0200"]


@pytest.mark.parametrize(
    ("tells", "there", "gone"),
    [
        ("always", ["0101", "0101", "0101"], ["0200", "0200", "0200"]),
        ("afresh", ["0101", "0101"], ["0200", "0200"]),
        ("changes", [], []),
    ],
)
def test_what_an_order_brings_at_once_is_a_setting(tells: str, there: list[str], gone: list[str]) -> None:
    desk = Desk(Uru4000Settings(tells=tells))
    for order in ("12", "12", "70", "12"):
        desk.write(0x4E, order)
    assert desk.wire.messages() == gone
    desk.model.press(DARK)
    for order in ("10", "10", "70", "10"):
        desk.write(0x4E, order)
    assert desk.wire.messages() == there
    desk.model.lift()
    desk.model.press(DARK)
    desk.write(0x4E, "12")
    desk.model.lift()
    assert desk.wire.messages() == ["0101", "0200"]


def test_a_finger_is_told_in_no_other_mode() -> None:
    desk = Desk()
    desk.write(0x4E, "70")
    desk.model.press(DARK)
    desk.model.lift()
    assert desk.wire.messages() == []


def test_a_lift_can_get_lost_and_a_finger_can_stick() -> None:
    desk = Desk()
    desk.write(0x4E, "12")
    assert desk.wire.messages() == ["0200"]
    desk.model.press(DARK)
    desk.model.inject("no_finger_off")
    desk.model.lift()
    assert desk.wire.messages() == []
    desk.model.press(DARK)
    desk.model.inject("stuck")
    desk.model.lift()
    assert desk.model.finger_on
    desk.model.clear_faults()
    assert not desk.model.finger_on


@pytest.mark.parametrize("pixels", [b"", DARK[1:], DARK + b"\x00"])
def test_a_picture_of_another_size_is_refused(pixels: bytes) -> None:
    with pytest.raises(ValueError, match="needs 384x290 pixels"):
        Desk().model.press(pixels)


# The image


def test_an_image_has_the_header_of_the_facts() -> None:
    desk = Desk(Uru4000Settings(first_key=9))
    desk.model.press(SLOPE)
    image = desk.image()
    assert len(image) == 111040
    assert (int.from_bytes(image[4:6], "little"), image[6]) == (289, 9)
    assert image[16:26].hex(" ") == "02 48 00 01 02 63 00 01 02 74"
    assert image[27] == 0
    assert any(image[28:46])  # rubbish, as in the recording
    assert desk.image()[6] == 10


def test_a_line_comes_out_by_the_rule_of_the_facts() -> None:
    desk = Desk(Uru4000Settings(reader="4000", blocks=(Block(2, 1), Block(2, 200)), first_key=5))
    desk.model.press(SLOPE)
    image = desk.image()
    inverted = bytes(255 - pixel for pixel in SLOPE[: WIDTH - 1])
    assert unmasked(image[64 : 64 + WIDTH], desk.key(5, 0)) == inverted


def test_a_4500_sees_the_finger_from_the_other_side_and_all_see_ridges_bright() -> None:
    for reader, first in (("4500", SLOPE[::-1]), ("4000", SLOPE)):
        desk = Desk(Uru4000Settings(reader=reader, scrambled=False))
        desk.model.press(SLOPE)
        assert desk.image()[64 : 64 + 1000] == bytes(255 - pixel for pixel in first[:1000])


def test_without_a_finger_the_image_is_empty_of_ridges() -> None:
    assert set(Desk(Uru4000Settings(scrambled=False)).image()[64:]) == {0}


def test_a_gap_is_not_in_the_data() -> None:
    desk = Desk(Uru4000Settings(blocks=(Block(2, 100), Block(1, 20), Block(2, 60))))
    image = desk.image()
    assert len(image) == 64 + 160 * WIDTH
    assert int.from_bytes(image[4:6], "little") == 160


def test_a_fault_is_reported_and_its_image_is_empty() -> None:
    desk = Desk()
    desk.model.inject("fault_report")
    desk.write(0x4E, "20")
    assert [(endpoint, data[:2].hex()) for endpoint, data, _ in desk.wire.sent] == [(0x81, "0800"), (0x82, "")]


def test_a_bad_header_counts_lines_that_cannot_be() -> None:
    desk = Desk()
    desk.model.inject("bad_header")
    assert int.from_bytes(desk.image()[4:6], "little") >= HEIGHT


def test_a_bad_table_is_another_one_once() -> None:
    desk = Desk()
    good = desk.image()
    desk.model.inject("bad_table")
    assert desk.image()[16:46] != good[16:46]
    assert desk.image()[16:46] == good[16:46]


def test_another_mode_makes_an_image_void_that_nobody_fetched() -> None:
    desk = Desk()
    desk.image()
    before = desk.wire.dropped
    desk.write(0x4E, "70")
    assert desk.wire.dropped == before + 1


# What a technician asks for


def test_the_descriptors_are_those_of_the_reader() -> None:
    description = Uru4000Model(Uru4000Settings(reader="ms-reader")).description
    assert (description.vendor, description.product, description.name) == (0x045E, 0x00BD, "Fingerprint Reader")


def test_the_counters_are_a_copy_by_register() -> None:
    desk = Desk()
    before = desk.model.counters()
    desk.write(0x4E, "10")
    desk.read(7, 1)
    assert desk.model.counters().registers == {"w4e=10": 1, "r07": 1}
    assert before.registers == {}


def test_a_status_is_not_accepted_during_a_reboot() -> None:
    desk = Desk(fault="hung")
    desk.write(7, "05")
    desk.write(7, "81")
    desk.wire.seconds = 0.05
    assert desk.read(7, 1) == "01"


@pytest.mark.parametrize(("fault", "timers"), [("no_power_on", []), ("late_power_on", [1.0003, 1.0093, 1.0173])])
def test_the_message_of_the_scan_power_can_be_late_or_missing(fault: str, timers: list[float]) -> None:
    desk = Desk(fault=fault)
    desk.write(7, "81")
    desk.write(7, "01")
    assert desk.read(7, 1) == "01"
    assert desk.wire.timers == pytest.approx(timers)


def test_data_and_transfers_of_the_host_change_nothing() -> None:
    desk = Desk()
    desk.model.received(0x02, b"x")
    desk.model.read_submitted(0x81, 64)
    assert desk.wire.sent == []
