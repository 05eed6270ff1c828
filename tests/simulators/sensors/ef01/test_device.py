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

from simulators.sensors.ef01.commands import PACKET_SIZES, pack
from simulators.sensors.ef01.device import EF01_FAULTS, Ef01Module, Ef01Settings, frame
from simulators.transports.serial.pseudo_terminal import PtyServer
from simulators.transports.serial.uart import LINE_FAULTS, Burst
from tests.rigs.ef01_module import (
    ANYONE,
    DOWN_CHAR,
    DOWN_IMAGE,
    GET_IMAGE,
    READ_PARAMETERS,
    SET_PARAMETER,
    UP_CHAR,
    UP_IMAGE,
    VERIFY,
    answer,
    bursts,
    frames,
    small,
)

FINGER = np.random.default_rng(5).integers(0, 256, (288, 256), np.uint8)


# Golden vectors: traces of real modules


# Every command, and what it says when it cannot


def test_a_wrong_checksum_of_the_host_is_a_receive_error() -> None:
    (acknowledge,) = small().receive(frame(ANYONE, 0x01, b"\x01")[:-1] + b"\xff", 0.0)
    assert acknowledge.data[9] == 0x01


def test_nothing_is_heard_while_the_module_boots_and_some_say_when_they_are_ready() -> None:
    module = Ef01Module(Ef01Settings(boot_s=0.25, hello=True))
    assert module.power_on(10.0) == [Burst(10.25, b"\x55", 57600)]
    asked = frame(ANYONE, 0x01, b"\x0f")
    assert module.receive(asked, 10.2) == []
    assert len(module.receive(asked, 10.3)) == 1


def test_a_finger_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"this sensor needs u8\[64, 64\], not uint8\[288, 256\]"):
        small().press(FINGER)


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


def transcript(module: Ef01Module) -> list[Burst]:
    """All that a host hears of an image, of a lifted finger and of a new rate."""
    heard = bursts(module, GET_IMAGE) + bursts(module, UP_IMAGE)
    module.lift()
    heard += bursts(module, GET_IMAGE) + bursts(module, SET_PARAMETER, b"\x04\x0c")
    return heard + bursts(module, READ_PARAMETERS)


@pytest.mark.parametrize("name", [name for name in EF01_FAULTS if name not in LINE_FAULTS])
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


def test_data_that_no_command_announced_and_commands_to_another_address_are_ignored() -> None:
    module = small()
    frames(module, GET_IMAGE)
    image = module.image_buffer
    assert module.receive(frame(ANYONE, 0x08, bytes(128)), 0.0) == []
    assert module.image_buffer == image
    assert answer(module, GET_IMAGE, address=7) == b"\x20"


def test_a_module_may_refuse_or_ignore_one_command_or_every_optional_one() -> None:
    module = small()
    module.inject("refuses", command=0x0F)
    assert answer(module, READ_PARAMETERS) == b"\x01"
    assert answer(module, VERIFY, bytes(4)) == b"\x00"
    module.inject("refuses", code=0x19)
    assert answer(module, VERIFY, bytes(4)) == b"\x19"
    assert answer(module, GET_IMAGE) == b"\x00"
    module.inject("ignores")
    assert frames(module, READ_PARAMETERS) == []
    assert frames(module, 0x77) == []  # a code that no module knows
    assert answer(module, GET_IMAGE) == b"\x00"
