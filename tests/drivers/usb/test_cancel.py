"""A cancel of a USB sensor at each thing that its driver asks for: it ends that capture or the next, and only one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from drivers.errors import Cancelled, CaptureRetry, ProtocolError
from drivers.nb1010.driver import Nb1010
from drivers.sensor import Sensor
from drivers.uru4000.driver import Uru4000
from simulators.sensors.nb1010.device import Nb1010Model
from simulators.sensors.uru4000.device import Uru4000Model
from simulators.transports.usb.port import HostTransfer
from tests.rigs import nb1010_rig, uru4000_rig
from tests.rigs.virtual_usb import VirtualUsb

Model = Nb1010Model | Uru4000Model
SENSORS: dict[str, Callable[[VirtualUsb], Sensor]] = {
    "nb1010": lambda usb: Nb1010("usb:298d:1010", {}, connect=usb.open_link),
    "uru4000": lambda usb: Uru4000("usb:05ba:000a", {}, connect=usb.open_link),
}
MODELS: dict[str, Callable[[], Model]] = {"nb1010": Nb1010Model, "uru4000": Uru4000Model}
FINGERS = {"nb1010": lambda: nb1010_rig.noise(1).tobytes(), "uru4000": lambda: uru4000_rig.noise(1).tobytes()}
STORIES: dict[str, tuple[str, ...]] = {  # the faults of an image; None: nobody is there
    "nobody": (),
    "finger": (),
    "damaged": ("short", "short", "short"),
    "refused": ("stall",),
    "lost": ("lost",),
}


@dataclass
class Bench:
    """An open sensor that is cancelled at the request of the host that `at` counts to."""

    driver: str
    story: str
    at: int = -1

    def __post_init__(self) -> None:
        self.model = MODELS[self.driver]()
        self.usb = VirtualUsb(self.model)
        self.sensor = SENSORS[self.driver](self.usb)
        self.sensor.open()
        self.asked = 0
        port = self.usb.port
        submit, clear_halt = port.submit, port.clear_halt

        def counted_submit(transfer: HostTransfer) -> None:
            self._count()
            submit(transfer)

        def counted_clear_halt(endpoint: int) -> None:
            self._count()
            clear_halt(endpoint)

        port.submit, port.clear_halt = counted_submit, counted_clear_halt  # type: ignore[method-assign]
        if self.story != "nobody":
            self.model.press(FINGERS[self.driver]())
        for fault in STORIES[self.story]:
            self.model.inject(fault, at="data") if fault == "stall" else self.model.inject(fault)

    def _count(self) -> None:
        if self.asked == self.at:
            self.sensor.cancel()
        self.asked += 1

    def capture(self) -> str:
        try:
            self.sensor.capture(0.3)
        except (CaptureRetry, Cancelled, ProtocolError) as ended:
            return type(ended).__name__
        return "sample"


@pytest.fixture(name="benches", params=[(driver, story) for driver in SENSORS for story in STORIES], ids=" ".join)
def _benches(request: pytest.FixtureRequest) -> Iterator[Callable[[int], Bench]]:
    driver, story = request.param
    made = list[Bench]()

    def make(at: int) -> Bench:
        made.append(Bench(driver, story, at))
        return made[-1]

    yield make
    for bench in made:
        bench.sensor.close()
        assert bench.usb.claims == 0


def test_a_cancel_at_any_request_ends_one_capture_and_is_never_lost(benches: Callable[[int], Bench]) -> None:
    whole = benches(-1)
    whole.capture()
    last = whole.asked - 1
    for at in sorted({*range(min(12, last)), *range(0, last, 17), *range(max(last - 6, 0), last + 1)}):
        bench = benches(at)
        ended = [bench.capture() for _ in range(3)]
        assert ended.count("Cancelled") == 1, f"request {at} of {last}: {ended}"
        assert "Cancelled" in ended[:2], f"request {at} of {last}: {ended}"


def test_a_cancel_of_a_sensor_at_rest_ends_the_next_capture_alone(benches: Callable[[int], Bench]) -> None:
    bench = benches(-1)
    bench.sensor.cancel()
    assert [bench.capture() for _ in range(2)].count("Cancelled") == 1
