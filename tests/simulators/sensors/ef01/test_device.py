"""The simulated EF01 module against the facts, every fault on the wire, and clients that nobody here wrote."""

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import serial
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pyfingerprint.pyfingerprint import PyFingerprint

from simulators.sensors.ef01.commands import COMMANDS, PACKET_SIZES, pack, unpack
from simulators.sensors.ef01.device import EF01_FAULTS, Ef01Module, Ef01Settings, frame
from simulators.transports.faults import FAULTS, Faults
from simulators.transports.serial.pseudo_terminal import PtyServer
from simulators.transports.serial.uart import Burst

README = Path(__file__).parents[4] / "simulators" / "README.md"
ANYONE = 0xFFFFFFFF
FINGER = np.random.default_rng(5).integers(0, 256, (288, 256), np.uint8)
SMALL = Ef01Settings(width=64, height=64, boot_s=0.0)
TOUCH = np.random.default_rng(6).integers(0, 256, (64, 64), np.uint8)

GET_IMAGE, TO_TEMPLATE, UP_CHAR, DOWN_CHAR, UP_IMAGE, DOWN_IMAGE = 0x01, 0x02, 0x08, 0x09, 0x0A, 0x0B
SET_PARAMETER, READ_PARAMETERS, SET_PASSWORD, VERIFY, SET_ADDRESS = 0x0E, 0x0F, 0x12, 0x13, 0x15


def small(seed: int = 0, *, touched: bool = True) -> Ef01Module:
    module = Ef01Module(SMALL, seed, clock=lambda: 0.0)
    if touched:
        module.press(TOUCH)
    return module


def bursts(module: Ef01Module, code: int, payload: bytes = b"", *, address: int = ANYONE) -> list[Burst]:
    return module.receive(frame(address, 0x01, bytes([code]) + payload), 0.0)


def frames(module: Ef01Module, code: int, payload: bytes = b"") -> list[bytes]:
    return [burst.data for burst in bursts(module, code, payload)]


def answer(module: Ef01Module, code: int, payload: bytes = b"", *, address: int = ANYONE) -> bytes:
    """The payload of the one acknowledge, cut out by hand."""
    (only,) = bursts(module, code, payload, address=address)
    assert only.data[:2] == b"\xef\x01"
    assert only.data[6] == 0x07
    assert int.from_bytes(only.data[7:9]) == len(only.data) - 9
    return only.data[9:-2]


# Golden vectors: traces of real modules


def test_the_real_trace_of_system_parameters_is_answered_byte_for_byte() -> None:
    module = Ef01Module(Ef01Settings(system_id=0, library_size=80, security=3, baud=115_200))
    heard = module.receive(bytes.fromhex("EF01FFFFFFFF0100030F0013"), 1.0)
    assert [b.data.hex() for b in heard] == ["ef01ffffffff070013000000000000500003ffffffff0002000c0477"]


def test_the_real_trace_of_a_template_begins_byte_for_byte() -> None:
    module = small()
    frames(module, GET_IMAGE)
    frames(module, TO_TEMPLATE, b"\x01")
    acknowledge, first, *_ = module.receive(bytes.fromhex("EF01FFFFFFFF0100040801000E"), 1.0)
    assert acknowledge.data == bytes.fromhex("EF01FFFFFFFF07000300000A")
    assert first.data.startswith(bytes.fromhex("EF01FFFFFFFF020082"))


def test_the_left_pixel_is_the_high_nibble() -> None:
    assert pack(np.array([[0x12, 0xAB], [0xFF, 0x0F]], np.uint8)) == b"\x1a\xf0"
    assert unpack(b"\x1a\xf0", 2).tolist() == [[17, 170], [255, 0]]


# Every command, and what it says when it cannot

ANSWERS: list[tuple[int, bytes, bytes]] = [
    (GET_IMAGE, b"", b"\x02"),
    (0x52, b"", b"\x02"),
    (UP_IMAGE, b"", b"\x15"),
    (TO_TEMPLATE, b"\x01", b"\x15"),
    (UP_CHAR, b"\x01", b"\x0d"),
    (DOWN_IMAGE, b"", b"\x00"),
    (DOWN_CHAR, b"\x01", b"\x00"),
    (SET_PARAMETER, b"\x06\x00", b"\x00"),
    (SET_PARAMETER, b"\x04\x0c", b"\x00"),
    (SET_PARAMETER, b"\x04\x0d", b"\x1b"),
    (SET_PARAMETER, b"\x04\x64", b"\x1b"),
    (SET_PARAMETER, b"\x05\x06", b"\x1b"),
    (SET_PARAMETER, b"\x06\x04", b"\x1b"),
    (SET_PARAMETER, b"\x07\x00", b"\x1a"),
    (READ_PARAMETERS, b"", bytes.fromhex("00 0000 0009 00c8 0003 ffffffff 0002 0006")),
    (SET_PASSWORD, b"\0\0\0\1", b"\x00"),
    (VERIFY, b"\0\0\0\0", b"\x00"),
    (VERIFY, b"\0\0\0\1", b"\x13"),
    (0x1D, b"", b"\x00\0\0"),
    (0x1F, b"\x00", b"\x00" + bytes(32)),
    (0x1F, b"\x04", b"\x0b"),
    (0x35, b"\1\x80\1\0", b"\x00"),
    (0x50, b"", b"\x00"),
    (0x51, b"", b"\x00"),
    (0x53, b"", b"\x55"),
    (0x77, b"", b"\x19"),
    (VERIFY, b"\0", b"\x01"),
]


@pytest.mark.parametrize(("code", "payload", "expected"), ANSWERS)
def test_a_module_without_a_finger_answers(code: int, payload: bytes, expected: bytes) -> None:
    assert answer(small(touched=False), code, payload) == expected


def test_every_command_of_the_facts_is_tried_above() -> None:
    assert set(COMMANDS) <= {code for code, _, _ in ANSWERS} | {SET_ADDRESS}


def test_the_new_address_answers_and_the_old_one_is_wrong() -> None:
    module = small()
    (acknowledge,) = frames(module, SET_ADDRESS, b"\0\0\xbe\xef")
    assert acknowledge[2:6] == b"\0\0\xbe\xef"
    assert answer(module, READ_PARAMETERS) == b"\x20"
    assert answer(module, READ_PARAMETERS, address=0xBEEF)[0] == 0


def test_a_module_with_a_password_wants_it_first_and_after_each_power_on() -> None:
    module = Ef01Module(Ef01Settings(password=7, boot_s=0.0))
    for _ in range(2):
        assert answer(module, GET_IMAGE) == b"\x21"
        assert answer(module, VERIFY, b"\0\0\0\7") == b"\x00"
        assert answer(module, GET_IMAGE) == b"\x02"
        module.power_on(0.0)


def test_a_wrong_checksum_of_the_host_is_a_receive_error() -> None:
    (acknowledge,) = small().receive(frame(ANYONE, 0x01, b"\x01")[:-1] + b"\xff", 0.0)
    assert acknowledge.data[9] == 0x01


def test_an_image_without_ridges_gives_too_few_points() -> None:
    module = small(touched=False)
    module.press(np.full((64, 64), 200, np.uint8))
    frames(module, GET_IMAGE)
    assert answer(module, TO_TEMPLATE, b"\x01") == b"\x07"


def test_nothing_is_heard_while_the_module_boots_and_some_say_when_they_are_ready() -> None:
    module = Ef01Module(Ef01Settings(boot_s=0.25, hello=True))
    assert module.power_on(10.0) == [Burst(10.25, b"\x55", 57600)]
    asked = frame(ANYONE, 0x01, b"\x0f")
    assert module.receive(asked, 10.2) == []
    assert len(module.receive(asked, 10.3)) == 1


def test_a_finger_is_seen_once_it_has_settled() -> None:
    module = Ef01Module(Ef01Settings(width=64, height=64, boot_s=0.0, settle_s=0.3), clock=lambda: 5.0)
    module.press(TOUCH)
    asked = frame(ANYONE, 0x01, b"\x01")
    assert [module.receive(asked, now)[0].data[9] for now in (5.1, 5.4)] == [0x02, 0x00]


def test_a_finger_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"this sensor needs u8\[64, 64\], not uint8\[288, 256\]"):
        small().press(FINGER)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"packet_size": 100}, "packet size"),
        ({"baud": 57000}, "9600 times"),
        ({"width": 191}, "even width"),
        ({"ppi": 0}, "100 to 2000 ppi"),
    ],
)
def test_settings_that_no_module_has_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Ef01Settings(**wrong)


@pytest.mark.parametrize("size", PACKET_SIZES)
def test_an_image_comes_in_packets_of_the_size_set_and_only_the_last_is_marked(size: int) -> None:
    module = small()
    assert answer(module, SET_PARAMETER, bytes([6, PACKET_SIZES.index(size)])) == b"\x00"
    frames(module, GET_IMAGE)
    _, *data = frames(module, UP_IMAGE)
    assert b"".join(raw[9:-2] for raw in data) == pack(TOUCH)
    assert {len(raw) for raw in data} == {size + 11}
    assert [raw[6] for raw in data] == [0x02] * (len(data) - 1) + [0x08]


def test_counters_say_what_the_host_did() -> None:
    module = small()
    for code in (GET_IMAGE, UP_IMAGE, UP_IMAGE, 0x77):
        frames(module, code)
    counters = module.counters()
    assert counters.commands == {"GetImage": 1, "UpImage": 2, "0x77": 1}
    assert (counters.images_taken, counters.images_sent) == (1, 2)


# Any split, any garbage

ASKED = [frame(ANYONE, 0x01, payload) for payload in (b"\x13\0\0\0\0", b"\x0f", b"\x01", b"\x0a", b"\x1d")]
NOISE = st.binary(max_size=40).map(lambda raw: raw.replace(b"\xef", b""))


@given(cuts=st.lists(st.integers(0, len(b"".join(ASKED))), max_size=12))
def test_any_split_of_the_commands_is_answered_alike(cuts: list[int]) -> None:
    whole = b"".join(ASKED)
    edges = [0, *sorted(cuts), len(whole)]
    pieces = small()
    got = [b for start, end in pairwise(edges) for b in pieces.receive(whole[start:end], 0.0)]
    assert got == small().receive(whole, 0.0)


@given(noise=st.lists(NOISE, min_size=len(ASKED), max_size=len(ASKED)))
def test_noise_between_commands_is_skipped(noise: list[bytes]) -> None:
    noisy = b"".join(before + asked for before, asked in zip(noise, ASKED, strict=True))
    assert small().receive(noisy, 0.0) == small().receive(b"".join(ASKED), 0.0)


@given(noise=st.lists(st.binary(max_size=60) | st.sampled_from([b"\xef\x01", b"\xef", *ASKED])))
def test_no_bytes_of_the_host_upset_the_module(noise: list[bytes]) -> None:
    module = small()
    for data in noise:
        module.receive(data, 0.0)
    (acknowledge, *_) = module.receive(frame(ANYONE, 0x01, b"\x53"), 10.0)  # later: half packets are forgotten
    assert acknowledge.data[9] == 0x55


# Faults on the wire

Change = Callable[[bytes, bytes], bool]


def _loses(count: int) -> Change:
    return lambda clean, spoiled: len(spoiled) == len(clean) - count and spoiled[:9] == clean[:9]


def _gains(count: int) -> Change:
    return lambda clean, spoiled: len(spoiled) == len(clean) + count and spoiled[:9] == clean[:9]


def _bits_differ(count: int) -> Change:
    def change(clean: bytes, spoiled: bytes) -> bool:
        pairs = zip(clean, spoiled, strict=True)
        return sum((a ^ b).bit_count() for a, b in pairs) == count and spoiled[:9] == clean[:9]

    return change


def _only_checksum(clean: bytes, spoiled: bytes) -> bool:
    return spoiled[:-2] == clean[:-2] and spoiled[-2:] != clean[-2:]


def _preceded_by(count: int) -> Change:
    return lambda clean, spoiled: len(spoiled) == len(clean) + count and spoiled.endswith(clean)


WIRE: list[tuple[str, dict[str, Any], Change]] = [
    ("checksum", {}, _only_checksum),
    ("drop", {}, _loses(1)),
    ("drop", {"bytes": 3}, _loses(3)),
    ("drop", {"bytes": 9999}, lambda clean, spoiled: spoiled == clean[:9]),
    ("double", {"bytes": 3}, _gains(3)),
    ("flip", {}, _bits_differ(1)),
    ("flip", {"bits": 5}, _bits_differ(5)),
    ("garbage", {"bytes": 20}, _preceded_by(20)),
    ("stray55", {}, lambda clean, spoiled: spoiled == b"\x55" + clean),
    ("wrong_address", {"address": 0xABCD}, lambda clean, spoiled: spoiled == clean[:2] + b"\0\0\xab\xcd" + clean[6:]),
]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("name", "params", "changed"), WIRE)
@pytest.mark.parametrize(("place", "packet"), [("data", -1), ("data", 0), ("data", 3), ("data", 999), ("answer", -1)])
def test_a_fault_of_the_wire_strikes_one_packet_once(
    name: str, params: dict[str, Any], changed: Change, place: str, packet: int, seed: int
) -> None:
    module = small(seed)
    frames(module, GET_IMAGE)
    clean = frames(module, UP_IMAGE)
    module.inject(name, at=place, packet=packet, **params)
    spoiled = frames(module, UP_IMAGE)
    (struck,) = [i for i, (a, b) in enumerate(zip(clean, spoiled, strict=True)) if a != b]
    assert changed(clean[struck], spoiled[struck])
    assert struck == 0 if place == "answer" else struck >= 1
    if place == "data" and packet >= 0:
        assert struck == min(1 + packet, len(clean) - 1)
    assert frames(module, UP_IMAGE) == clean


@pytest.mark.parametrize(("place", "packet", "prompt"), [("answer", -1, 0), ("data", 0, 1), ("data", 5, 6)])
def test_late_delays_everything_from_one_packet_on(place: str, packet: int, prompt: int) -> None:
    module = small()
    frames(module, GET_IMAGE)
    module.inject("late", at=place, packet=packet, seconds=2.5)
    times = [burst.at for burst in bursts(module, UP_IMAGE)]
    assert times == [0.0] * prompt + [2.5] * (len(times) - prompt)
    assert {burst.at for burst in bursts(module, UP_IMAGE)} == {0.0}


@pytest.mark.parametrize(("name", "more"), [("short", -100), ("long", 100)])
def test_short_and_long_change_the_count_and_close_the_image_properly(name: str, more: int) -> None:
    module = small()
    frames(module, GET_IMAGE)
    module.inject(name, bytes=100)
    _, *data = frames(module, UP_IMAGE)
    assert sum(len(raw) - 11 for raw in data) == SMALL.image_bytes + more
    assert [raw[6] for raw in data] == [0x02] * (len(data) - 1) + [0x08]
    assert all(sum(raw[6:-2]) & 0xFFFF == int.from_bytes(raw[-2:]) for raw in data)


SAID = [("capture_fail", GET_IMAGE, 0x03), ("messy", GET_IMAGE, 0x06), ("no_upload", UP_IMAGE, 0x0F)]


@pytest.mark.parametrize(("name", "code", "confirmation"), [*SAID, ("receive_error", READ_PARAMETERS, 0x01)])
def test_a_fault_in_what_is_said_strikes_as_often_as_asked(name: str, code: int, confirmation: int) -> None:
    module = small()
    frames(module, GET_IMAGE)
    module.inject(name, times=2)
    assert [frames(module, code)[0][9] for _ in range(3)] == [confirmation, confirmation, 0x00]


def test_a_silent_module_speaks_again_when_its_faults_are_cleared() -> None:
    module = small()
    module.inject("silent")
    assert frames(module, READ_PARAMETERS) == frames(module, GET_IMAGE) == []
    module.clear_faults()
    assert answer(module, READ_PARAMETERS)[0] == 0


def test_a_stuck_finger_leaves_when_the_faults_are_cleared() -> None:
    module = small()
    module.inject("stuck")
    module.lift()
    assert answer(module, GET_IMAGE) == b"\x00"
    module.clear_faults()
    assert answer(module, GET_IMAGE) == b"\x02"


@pytest.mark.parametrize("deferred", [False, True])
def test_a_rate_holds_after_its_acknowledge_or_when_deferred_after_power_on(*, deferred: bool) -> None:
    module = small()
    if deferred:
        module.inject("baud_deferred")
    (acknowledge,) = bursts(module, SET_PARAMETER, b"\x04\x0c")
    assert acknowledge.baud == 57600
    assert answer(module, READ_PARAMETERS)[-1] == 12
    assert module.baud == (57600 if deferred else 115_200)
    module.power_on(1.0)
    assert module.baud == 115_200


def transcript(module: Ef01Module) -> list[Burst]:
    """All that a host hears of an image, of a lifted finger and of a new rate."""
    heard = bursts(module, GET_IMAGE) + bursts(module, UP_IMAGE)
    module.lift()
    heard += bursts(module, GET_IMAGE) + bursts(module, SET_PARAMETER, b"\x04\x0c")
    return heard + bursts(module, READ_PARAMETERS)


@pytest.mark.parametrize("name", EF01_FAULTS)
def test_every_fault_of_the_table_is_heard_and_gone_once_it_is_cleared(name: str) -> None:
    clean = transcript(small())
    module = small()
    module.inject(name)
    assert transcript(module) != clean
    cleared = small()
    cleared.inject(name, times=0)
    cleared.clear_faults()
    assert transcript(cleared) == clean


def test_the_same_seed_strikes_the_same_bytes() -> None:
    def spoiled(seed: int) -> list[bytes]:
        module = small(seed)
        frames(module, GET_IMAGE)
        module.inject("flip", bits=3)
        return frames(module, UP_IMAGE)

    assert spoiled(1) == spoiled(1) != spoiled(2)


# The vocabulary


@pytest.mark.parametrize(
    ("name", "details", "said"),
    [
        ("drp", {}, "there is no fault 'drp'; choose one of checksum, drop"),
        ("drop", {"byts": 2}, "fault drop has no parameter byts; it has at=data, packet=-1, bytes=1"),
        ("drop", {"bytes": "many"}, "bytes=many of fault drop must be like bytes=1"),
        ("drop", {"at": "Data"}, "at=Data of fault drop must be data or answer"),
        ("drop", {"times": -1}, "times must be 0"),
        ("drop", {"bytes": -1}, "bytes=-1 of fault drop must be 1 to"),
        ("flip", {"bits": 0}, "bits=0 of fault flip must be 1 to"),
        ("long", {"bytes": 10**9}, "must be 1 to 1000000"),
        ("checksum", {"packet": -2}, "must be -1 to"),
        ("wrong_address", {"address": "0x100000000"}, "must be 0 to"),
        ("late", {"seconds": "nan"}, "seconds=nan of fault late must be 0 to 3600"),
        ("late", {"seconds": float("inf")}, "must be 0 to 3600"),
        ("unplug", {"after": float("inf")}, "after=inf of fault unplug must be like after=0"),
    ],
)
def test_a_fault_that_is_not_there_says_what_is(name: str, details: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Faults().inject(name, **details)


def test_parameters_from_a_command_line_are_read_as_their_defaults_are() -> None:
    faults = Faults()
    faults.inject("wrong_address", address="0x1F", packet="3")
    assert faults.take("wrong_address", at="data") == {"at": "data", "packet": 3, "address": 0x1F}


def test_every_fault_is_in_the_readme_with_its_line() -> None:
    text = README.read_text(encoding="utf-8")
    for name, row in FAULTS.items():
        assert f"| `{name}` | {row.help} |" in text


# Clients that nobody here wrote, over the pseudo-terminal


@pytest.fixture(params=PACKET_SIZES)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Ef01Module, str]]:
    module = Ef01Module(Ef01Settings(packet_size=request.param, boot_s=0.0))
    module.press(FINGER)
    with PtyServer(module, tmp_path / "ttyFP0") as server:
        yield module, str(server.link)


@pytest.fixture
def adafruit(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - a library without types
    """The Adafruit library. It wants two modules of CircuitPython, of which it uses one name each."""
    monkeypatch.setitem(sys.modules, "busio", _module("busio", UART=object))
    monkeypatch.setitem(sys.modules, "micropython", _module("micropython", const=lambda value: value))
    import adafruit_fingerprint  # noqa: PLC0415

    return adafruit_fingerprint


def _module(name: str, **names: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(names)
    return module


def quantised(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The grey levels that are left of an image after four bits."""
    return image // 16 * np.uint8(17)


def test_pyfingerprint_reads_the_image_and_the_parameters(served: tuple[Ef01Module, str], tmp_path: Path) -> None:
    module, link = served
    client = PyFingerprint(link, 57600)
    assert client.verifyPassword()
    assert client.getMaxPacketSize() == module.packet_size
    assert client.getBaudRate() == 57600
    assert client.readImage()
    client.downloadImage(str(tmp_path / "finger.png"))
    with Image.open(tmp_path / "finger.png") as picture:
        assert (np.asarray(picture) == quantised(FINGER)).all()
    module.lift()
    assert not client.readImage()


def test_pyfingerprint_sends_a_template_and_reads_it_back(served: tuple[Ef01Module, str]) -> None:
    module, link = served
    template = list(np.random.default_rng(7).bytes(512))
    assert PyFingerprint(link, 57600).uploadCharacteristics(1, template)  # it compares what comes back
    assert module.template_buffer(1) == bytes(template)


# Not 32: the library recurses once a packet, and 1152 are too many for Python.
@pytest.mark.parametrize("served", [64, 128, 256], indirect=True)
def test_adafruit_reads_an_image_and_sends_one(served: tuple[Ef01Module, str], adafruit: SimpleNamespace) -> None:
    module, link = served
    other = pack(np.random.default_rng(8).integers(0, 256, (288, 256), np.uint8))
    with serial.Serial(link, 57600, timeout=2) as port:
        client = adafruit.Adafruit_Fingerprint(port)
        assert client.get_image() == 0
        assert bytes(client.get_fpdata("image")) == pack(FINGER)
        client.send_fpdata(list(other), "image")
        assert client.check_module()  # answered after the image has arrived
        assert module.image_buffer == other
        assert bytes(client.get_fpdata("image")) == other
    assert module.counters().images_received == 1


def test_a_damaged_image_of_the_host_leaves_the_buffer_empty() -> None:
    module = small()
    frames(module, GET_IMAGE)
    frames(module, DOWN_IMAGE)
    assert module.receive(frame(ANYONE, 0x02, bytes(128)), 0.0) == []
    assert module.receive(frame(ANYONE, 0x08, bytes(128))[:-1] + b"\x99", 0.0) == []
    assert answer(module, UP_IMAGE) == b"\x15"


def test_a_damaged_template_of_the_host_leaves_the_buffer_empty() -> None:
    module = small()
    for last in (frame(ANYONE, 0x08, bytes(128)), frame(ANYONE, 0x08, bytes(128))[:-1] + b"\x99"):
        assert answer(module, DOWN_CHAR, b"\x01") == b"\x00"
        module.receive(last, 0.0)
    assert module.template_buffer(1) is None
    assert answer(module, UP_CHAR, b"\x01") == b"\x0d"
