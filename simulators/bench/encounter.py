"""kiosk-bench encounter: two fingers and two eyes against many people; measures the time from last sample to answer.

The code is the agent's own, from collector to outbox; its sensors return synthetic samples. The list is filled with
people made as minutiae and codes (simulators/people/finger_minutiae.py, simulators/people/iris_codes.py) and is on disk
as in a kiosk. The last sample is held back until all samples before it have been judged and the traveller has had time
to lift the hand and put it down again.
"""

import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import track

from agent.clock import SystemClock
from agent.config import AgreementConfig, Config, OutboxConfig, Step, parse
from agent.encounter.announcements import Announcement, StepDone
from agent.encounter.capture import Collector
from agent.encounter.encounter import EncounterPath
from agent.encounter.station import Station
from agent.events.event import Category
from agent.hub.outbox import Outbox
from agent.storage.encryption import KEY_BYTES, StoreKey
from agent.watchlist.reference import Reference
from agent.watchlist.watchlist import Watchlist
from drivers.errors import CaptureRetry, Retry
from drivers.sample import Modality, Position, Sample
from drivers.sensor import DeviceInfo
from models import load_encoder
from models.encoder import Encoder
from models.iris.template import pack as pack_iris
from models.template import Template
from simulators.bench.figures import out, write_figures
from simulators.bench.files import writable
from simulators.bench.search_finger import template_of
from simulators.people.finger_minutiae import fingers
from simulators.people.iris_codes import codes_of, responses
from simulators.people.person import Condition, EyeCondition, Person

FINGERS = (Position.RIGHT_INDEX, Position.LEFT_INDEX)
EYES = (Position.RIGHT_EYE, Position.LEFT_EYE)
TRAVELLER = 7
PAUSE_S = 0.5  # minimum time between two samples: one finger is lifted and another one put down
LOAD_BATCH = 1000  # people made at a time
WAIT_S = 60.0
CONFIG = """
[kiosk]
site = "bench"
name = "bench"
[sensors.finger]
driver = "ef01"
url = "serial:/dev/null?baud=57600"
[sensors.camera]
driver = "uvc"
url = "usb:0000:0000"
[plan]
steps = [{steps}]
[models]
threads = {threads}
"""


@dataclass(frozen=True, slots=True)
class EncounterFigures:
    """Times in seconds; medians over the encounters."""

    persons: int
    threads: int
    encounters: int
    leads: int
    after_last_finger_s: float
    after_last_finger_longest_s: float
    after_last_eye_s: float
    after_last_eye_longest_s: float
    search_s: float
    fill_s: float  # time to fill the store and the galleries


class SampleSensor:
    """A sensor that returns prepared samples. The sample of the position `held` waits until `released` is set."""

    modality = Modality.FINGER
    streams = False

    def __init__(self, samples: Mapping[Position, Sequence[Sample]]) -> None:
        self._samples = {position: iter(several) for position, several in samples.items()}
        self.held: Position | None = None
        self.released = threading.Event()
        self.delivered_at = 0.0

    def open(self) -> DeviceInfo:
        """Succeeds always."""
        return DeviceInfo("bench", "bench", "", "", 0, 0, 500.0, 8)

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        """The next sample of the position."""
        if position is self.held and not self.released.wait(timeout):
            raise CaptureRetry(Retry.NOTHING_PRESENTED)
        self.delivered_at = time.perf_counter()
        return next(self._samples[position])

    def cancel(self) -> None:
        """Release the sample that is held back."""
        self.released.set()

    def close(self) -> None:
        """There is nothing to release."""


class EncounterBench:
    """The encounter path with a filled list. Each call of run() is one encounter."""

    def __init__(
        self, config: Config, watchlist: Watchlist, outbox: Outbox, sensors: Mapping[str, SampleSensor], pause_s: float
    ) -> None:
        self._config = config
        self._sensors = sensors
        self._clock = SystemClock()
        self._judged = 0
        self._pause_s = pause_s
        self._last: Position | None = None
        encoders = _encoders(config)
        self._path = EncounterPath(config, encoders, watchlist, outbox, self._on_announcement, self._clock)
        self._stations = {
            name: Station(name, "bench", sensor, lambda *_: None, lambda *_: None) for name, sensor in sensors.items()
        }
        self._encoders = encoders
        for station in self._stations.values():
            station.start()

    def close(self) -> None:
        """End the stations."""
        for station in self._stations.values():
            station.stop()

    def run(self, last: Position) -> tuple[float, float, str]:
        """Seconds from the last sample to the decision, the seconds of the search, and the outcome."""
        self._judged, self._last = 0, last
        for sensor in self._sensors.values():
            sensor.held = last
            sensor.released.clear()
        collector = Collector(self._stations, self._encoders, self._on_announcement, self._clock, WAIT_S, lambda: None)
        started = time.perf_counter()
        decision = self._path.run(collector)
        ended = time.perf_counter()
        delivered = self._sensors[_sensor_of(last)].delivered_at
        assert started < delivered < ended
        return ended - delivered, self._search_s, str(decision.outcome)

    def _on_announcement(self, announcement: Announcement) -> None:
        timings = getattr(announcement, "timings_ms", {})
        self._search_s = timings.get("search", 0.0) / 1000
        if isinstance(announcement, StepDone):
            self._judged += 1
            if self._judged == len(self._config.plan.steps) - 1 and self._last is not None:
                threading.Timer(self._pause_s, self._sensors[_sensor_of(self._last)].released.set).start()


def _sensor_of(position: Position) -> str:
    return "camera" if position.modality is Modality.IRIS else "finger"


def _encoders(config: Config) -> Mapping[Modality, Encoder]:
    return {modality: load_encoder(modality, config.models.threads) for modality in (Modality.FINGER, Modality.IRIS)}


def synthetic_people(rng: np.random.Generator, number: int) -> Iterator[tuple[tuple[Position, Template], ...]]:
    """The templates of `number` synthetic people: two fingers and two eyes each."""
    prints = fingers(rng, number * len(FINGERS))
    codes = [code for _ in EYES for code in codes_of(rng, responses(rng, number), 0)]
    for person in range(number):
        own = [(FINGERS[f], template_of(prints.one(person * len(FINGERS) + f))) for f in range(len(FINGERS))]
        own += [(eye, pack_iris(codes[e * number + person])) for e, eye in enumerate(EYES)]
        yield tuple(own)


def references(size: int, traveller: tuple[tuple[Position, Template], ...]) -> Iterator[Reference]:
    """`size` references, with the traveller's in the middle."""
    rng, expires = np.random.default_rng(size), datetime.now(UTC) + timedelta(days=1)
    made = 0
    for at in track(range(0, size, LOAD_BATCH), "making people", console=out):
        for templates in synthetic_people(rng, min(LOAD_BATCH, size - at)):
            own = traveller if made == size // 2 else templates
            yield Reference(f"r{made}", "bench", Category.WANTED, expires, own)
            made += 1


def _samples(number: int, count: int) -> dict[Position, list[Sample]]:
    """Impressions and frames of the traveller, numbered from `number`."""
    now, person = datetime.now(UTC), Person(TRAVELLER)
    shown: dict[Position, list[Sample]] = {}
    for position in FINGERS:
        images = [person.finger(position).impression(n, 320, 416, 500, Condition.NORMAL) for n in _range(number, count)]
        shown[position] = [Sample(Modality.FINGER, position, image, 8, 500.0, now, "bench") for image in images]
    for position in EYES:
        images = [person.eye(position).frame(n, condition=EyeCondition.NORMAL) for n in _range(number, count)]
        shown[position] = [Sample(Modality.IRIS, position, image, 8, 0.0, now, "bench") for image in images]
    return shown


def _range(first: int, count: int) -> range:
    return range(first, first + count)


def _templates(config: Config) -> tuple[tuple[Position, Template], ...]:
    encoders = _encoders(config)
    return tuple(
        (position, encoders[samples[0].modality].encode(samples[0])) for position, samples in _samples(0, 1).items()
    )


def measure(size: int, encounters: int, threads: int, pause_s: float) -> EncounterFigures:
    """Fill a list, then run `encounters` that end with a finger and as many that end with an eye."""
    config = _config(threads)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kiosk-bench-")))
        key = StoreKey(secrets.token_bytes(KEY_BYTES))
        watchlist = stack.enter_context(closing(Watchlist(folder / "watchlist.db", SystemClock(), key=key)))
        outbox = stack.enter_context(closing(Outbox(folder / "outbox.db", "bench", OutboxConfig(), key=key)))
        listed = list(references(size, _templates(config)))
        started = time.perf_counter()
        watchlist.add_all(listed, AGREEMENT)
        fill_s = time.perf_counter() - started
        del listed
        bench = stack.enter_context(
            closing(EncounterBench(config, watchlist, outbox, _sensors(2 * encounters + 1), pause_s))
        )
        bench.run(FINGERS[-1])  # not counted: the first search reads the gallery from memory that was not used before
        ends = {last: [bench.run(last) for _ in range(encounters)] for last in (FINGERS[-1], EYES[-1])}
    return _figures(size, threads, encounters, fill_s, ends[FINGERS[-1]], ends[EYES[-1]])


AGREEMENT = AgreementConfig(provider="bench", purpose="bench", legal_basis="bench", recipients=("hub",), keep_s=86_400)


def _config(threads: int) -> Config:
    steps = [Step(sensor=_sensor_of(position), position=position) for position in (*FINGERS, *EYES)]
    lines = ", ".join(f'{{ sensor = "{step.sensor}", position = "{step.position}" }}' for step in steps)
    return parse(CONFIG.format(steps=lines, threads=threads), "bench")


def _sensors(count: int) -> dict[str, SampleSensor]:
    samples = _samples(10, count)
    return {
        "finger": SampleSensor({position: samples[position] for position in FINGERS}),
        "camera": SampleSensor({position: samples[position] for position in EYES}),
    }


Ends = Sequence[tuple[float, float, str]]


def _figures(size: int, threads: int, encounters: int, fill_s: float, finger: Ends, eye: Ends) -> EncounterFigures:
    return EncounterFigures(
        persons=size,
        threads=threads,
        encounters=2 * encounters,
        leads=sum(outcome == "lead" for _, _, outcome in (*finger, *eye)),
        after_last_finger_s=_median(seconds for seconds, _, _ in finger),
        after_last_finger_longest_s=round(max(seconds for seconds, _, _ in finger), 3),
        after_last_eye_s=_median(seconds for seconds, _, _ in eye),
        after_last_eye_longest_s=round(max(seconds for seconds, _, _ in eye), 3),
        search_s=_median(search for _, search, _ in (*finger, *eye)),
        fill_s=round(fill_s, 1),
    )


def _median(seconds: Iterable[float]) -> float:
    return round(statistics.median(seconds), 3)


def encounter(
    size: Annotated[int, typer.Option(min=2, help="Number of people on the list.")] = 100_000,
    encounters: Annotated[
        int, typer.Option(min=1, help="Encounters that end with a finger, and as many that end with an eye.")
    ] = 5,
    threads: Annotated[int, typer.Option(min=1, help="As models.threads of the configuration.")] = 2,
    pause: Annotated[float, typer.Option(min=0, help="Seconds between the last two samples.")] = PAUSE_S,
    json_file: Annotated[Path | None, typer.Option("--json", callback=writable, help="Write the figures here.")] = None,
) -> None:
    """Measure the time from the last sample to the answer, for two fingers and two eyes of a listed traveller."""
    write_figures(measure(size, encounters, threads, pause), json_file)
