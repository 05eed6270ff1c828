"""The uru4000 driver behind the real libusb, with recordings of readers that no recorded one is like.

A host that does what the facts say (tests/rigs/uru4000_host.py) talks to a simulated reader; what passed is played back
by umockdev, which compares every order of the driver with that host's. All are played in one child, a socket each.
"""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from simulators.sensors.uru4000.device import HEIGHT, READERS, WIDTH, Block, Uru4000Model, Uru4000Settings
from simulators.transports.faults import Value
from tests.rigs.umockdev import ROOT, needs_umockdev
from tests.rigs.uru4000_host import IMAGE_BYTES, SEED, FactsHost
from tests.rigs.usb_pcap import PcapRecorder
from tests.rigs.virtual_usb import VirtualUsb

CHILD_S = 60.0
ASLEEP, HUNG = 0x81, 0x85
SENT_BYTES = 64 + 289 * WIDTH  # of an image as a usual reader sends it
NEW_KEYS = (Block(2, 72), Block(0x82, 60), Block(2, 57), Block(0x82, 100))
HELD_KEYS = (Block(2, 72), Block(4, 3), Block(2, 60), Block(0, 2), Block(2, 152))
GAPS = (Block(2, 72), Block(1, 1), Block(0x82, 60), Block(0x81, 2), Block(2, 100), Block(4, 1), Block(2, 53))

CLIENT = """
import sys, traceback
from pathlib import Path
from drivers import open_sensor
for url, seeds, out in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3]):
    sensor = open_sensor("uru4000", url, {"seed": seeds})
    try:
        sensor.open()
        Path(out).write_bytes(sensor.capture(10.0).image.tobytes())
    except Exception:
        Path(out + ".error").write_text(traceback.format_exc())
    finally:
        sensor.close()
"""


@dataclass(frozen=True)
class Case:
    """A reader, what it does wrong, and the orders that must have passed for the case to be what it is called."""

    settings: Uru4000Settings = field(default_factory=Uru4000Settings)
    faults: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    seeds: str = f"{SEED:#x}"
    passed: Mapping[str, int] = field(default_factory=dict)  # register and value -> how often


CASES = {
    "a key that changes": Case(Uru4000Settings(blocks=NEW_KEYS), passed={"w33": 3, "r34": 3}),
    "a key that changes from 255 to 0": Case(Uru4000Settings(blocks=NEW_KEYS, first_key=254), passed={"w33": 3}),
    "a key that is held": Case(Uru4000Settings(blocks=HELD_KEYS), passed={"w33": 1}),
    "gaps, and a key that changes in one": Case(Uru4000Settings(blocks=GAPS), passed={"w33": 3}),
    "an image in the clear": Case(Uru4000Settings(scrambled=False), passed={"w33": 0}),
    "a challenge": Case(Uru4000Settings(reader="ms-reader-v2"), passed={"r2010": 1, "w2000": 1}),
    "a challenge after sleep": Case(Uru4000Settings(reader="ms-reader-v2", status=ASLEEP), passed={"r2010": 1}),
    "a reader that hangs": Case(Uru4000Settings(status=HUNG), passed={"w07=05": 1, "w07=81": 1}),
    "a reader that sleeps": Case(Uru4000Settings(status=ASLEEP), passed={"w07=01": 1, "w07=81": 0}),
    "a reader that is slow to wake": Case(Uru4000Settings(ignored_wakes=3), passed={"w07=01": 4}),
    "scan power that is told late": Case(faults={"late_power_on": {"seconds": 1.0}}, passed={"w07=81": 2}),
    "scan power that is told the third time": Case(faults={"no_power_on": {"times": 2}}, passed={"w07=81": 3}),
    "a fault with an empty image": Case(faults={"fault_report": {}}, passed={"w4e=20": 2}),
    "a header that counts too many lines": Case(faults={"bad_header": {}}, passed={"w4e=20": 2}),
    "an image that ends too early": Case(faults={"short": {"bytes": 5000}}, passed={"w4e=20": 2}),
    "four images that end too early": Case(faults={"short": {"bytes": 5000, "times": 4}}, passed={"w4e=20": 5}),
    "a refused image of full length": Case(
        faults={"bad_header": {}, "long": {"bytes": IMAGE_BYTES - SENT_BYTES}}, passed={"w4e=20": 2}
    ),
    "a seed for each key": Case(Uru4000Settings(blocks=NEW_KEYS), seeds="1, 0x2, 0xa1b2c3d4", passed={"w33": 3}),
    "a lift that is never told": Case(faults={"no_finger_off": {}}, passed={"w4e=70": 1}),
    "a keyboard": Case(Uru4000Settings(reader="keyboard"), passed={"w33": 1}),
}  # fmt: skip


def finger() -> NDArray[np.uint8]:
    """Ridges, and a margin: the reader's kind of scramble is told by the noise of the first lines."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    image: NDArray[np.uint8] = (127.5 + 127.5 * np.sin(0.3 * rows + 0.2 * columns)).astype(np.uint8)
    image[:4] = image[-4:] = 255
    return image


def record(case: Case, folder: Path, socket: int) -> list[str]:
    """What the host of the facts and this reader said to one another; the arguments of umockdev-run."""
    model = Uru4000Model(case.settings)
    for fault, params in case.faults.items():
        model.inject(fault, **params)  # type: ignore[arg-type]
    usb = VirtualUsb(model)
    recorder = PcapRecorder(usb)
    usb.time.later(3.0, lambda: model.press(finger().tobytes()))
    usb.time.later(4.0, model.lift)
    seeds = [int(seed, 0) for seed in case.seeds.split(",")]
    FactsHost(usb, challenges=READERS[case.settings.reader].challenges, seeds=seeds).run()
    registers = model.counters().registers
    assert {order: registers[order] for order in case.passed} == case.passed
    return recorder.save(folder, socket)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every recording played to the driver: a folder with the image, or the error, of each."""
    folder = tmp_path_factory.mktemp("readers")
    recordings, client = list[str](), list[str]()
    for socket, (name, case) in enumerate(CASES.items(), 1):
        reader = READERS[case.settings.reader]
        recordings += record(case, folder / str(socket), socket)
        client += [f"usb:{reader.vendor:04x}:{reader.product:04x}?port=1-{socket}", case.seeds, str(folder / name)]
    command = ["umockdev-run", *recordings, "--", sys.executable, "-c", CLIENT, *client]
    subprocess.run(command, cwd=ROOT, check=True, timeout=CHILD_S, capture_output=True)
    return folder


@needs_umockdev
@pytest.mark.parametrize("name", CASES)
def test_a_reader_that_was_never_recorded_gives_its_image(played: Path, name: str) -> None:
    error = played / f"{name}.error"
    assert not error.exists(), error.read_text(encoding="utf-8")
    case, expected = CASES[name], finger()
    image = np.frombuffer((played / name).read_bytes(), np.uint8).reshape(HEIGHT, WIDTH)
    gaps = sum(block.lines for block in case.settings.blocks if block.flags & 1)
    unsent = HEIGHT - sum(block.lines for block in case.settings.blocks)
    wrong_rows = np.count_nonzero((image != expected).any(axis=1))
    assert wrong_rows <= gaps + unsent + len(case.settings.blocks)
    assert np.count_nonzero(image != expected) <= WIDTH * (gaps + unsent) + len(case.settings.blocks)
