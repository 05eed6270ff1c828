"""kiosk-bench: measure speed and accuracy, on synthetic people or on your own images."""

import json
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from agent.encounter.messages import MessageKey
from drivers.errors import Retry
from drivers.sample import Position
from models.encoder import Flaw
from simulators.bench import compare_finger, compare_iris, encode_finger, encode_iris, search_iris
from simulators.bench.encounter import encounter
from simulators.bench.figures import out, print_table
from simulators.bench.files import image_files
from simulators.bench.report import report
from simulators.bench.search_finger import search
from simulators.bench.watchlist import measure_list
from simulators.extras import explain_missing_library
from simulators.images import load_image
from simulators.people.person import Person
from simulators.pictures.errors import ImageFileError
from simulators.sensors.ef01.commands import Ef01Settings
from simulators.sensors.ef01.rig import Ef01Rig

with explain_missing_library():
    from simulators.hub.store import event_key
    from simulators.kiosk_rig import ANSWER_S, KioskRig, Watcher

FINGER = Position.RIGHT_INDEX
SYNTHETIC_FINGERS, SYNTHETIC_IMPRESSIONS = 10, 8
POLL_S = 0.2  # how often to check for the end of an enrolment that the kiosk does not announce

app = typer.Typer(name="kiosk-bench", help=__doc__, no_args_is_help=True, add_completion=False)
compare_finger.app.command()(compare_iris.iris)
encode_finger.app.command()(encode_iris.iris)
search.command()(search_iris.iris)
app.add_typer(compare_finger.app, name="compare")
app.add_typer(encode_finger.app, name="encode")
app.add_typer(search)
app.command()(report)
app.command()(encounter)
app.command("list")(measure_list)

Image = NDArray[np.uint8]
Json = Mapping[str, Any]

# The messages that ask the traveller to touch the sensor, or to touch it again.
PROMPTS = {MessageKey.PRESENT, Retry.MOVED, Retry.TOO_MESSY, *Flaw}


@dataclass(frozen=True, slots=True)
class Touch:
    """The image of one impression of one finger."""

    finger: str
    impression: int
    image: Image


@dataclass(frozen=True, slots=True)
class PathFigures:
    """Results of the whole path. Impression 1 of each finger is enrolled, the others are identified."""

    fingers: int
    probes: int
    found: int
    wrong: int
    missed: int
    referred: int
    not_enrolled: int
    seconds_median: float
    seconds_longest: float
    steps_ms_median: dict[str, float]
    paced_baud: int | None


def synthetic(settings: Ef01Settings) -> Iterator[Touch]:
    """A small set of synthetic people, with as many fingers and impressions as the public test sets."""
    for seed in range(SYNTHETIC_FINGERS):
        finger = Person(1000 + seed).finger(FINGER)
        for n in range(SYNTHETIC_IMPRESSIONS):
            yield Touch(str(seed), n + 1, finger.impression(n, settings.width, settings.height, settings.ppi))


def images_of(folder: Path, settings: Ef01Settings, source_ppi: float | None) -> Iterator[Touch]:
    """The images FINGER_IMPRESSION.png (or .bmp, .tif, .jpg) of a folder."""
    files = image_files(folder)
    if not files:
        raise typer.BadParameter(f"{folder}: contains no image FINGER_IMPRESSION.png")
    for path in files:
        finger, _, impression = path.stem.rpartition("_")
        if not finger or not impression.isdigit():
            raise typer.BadParameter(f"{path.name}: the name of an image must be FINGER_IMPRESSION.png, as 101_1.png")
        image = load_image(path, settings.width, settings.height, settings.ppi, source_ppi)
        yield Touch(finger, int(impression), image)


class PathBench:
    """Presses each touch on the simulated sensor of a whole kiosk."""

    def __init__(self, rig: KioskRig, watcher: Watcher) -> None:
        self._rig, self._watcher = rig, watcher

    def enrol(self, touch: Touch) -> bool:
        """Enrol one touch in the local list. False: failure to enrol."""
        wanted = {"samples": 1, "into_local_list": True, "reference_id": f"f{touch.finger}"}
        answer: list[Any] = []

        def ask() -> None:
            try:
                answer.append(self._rig.client.ask("enrol", wanted))
            except Exception as error:  # noqa: BLE001 - a failure to enrol is a result
                answer.append(error)

        self._watcher.discard_pending()
        asking = threading.Thread(target=ask)
        asking.start()
        while asking.is_alive():
            with suppress(TimeoutError):
                self._press_if_asked(self._watcher.next(POLL_S), touch)
        self._rig.lift()
        return isinstance(answer[0], dict)

    def _press_if_asked(self, message: Json, touch: Touch) -> None:
        """Once for each time that the kiosk asks: a press too many would be the next traveller's."""
        if message["kind"] == "told" and message["key"] in PROMPTS:
            self._rig.lift()
            self._rig.sensor.show(touch.image)

    def identify(self, touch: Touch) -> tuple[str, list[str], float, dict[str, float]]:
        """(outcome, reference ids of the lead, seconds from the first touch to the answer, milliseconds by step)."""
        self._watcher.discard_pending()
        start = time.perf_counter()
        self._rig.sensor.show(touch.image)
        while (message := self._watcher.next(ANSWER_S))["kind"] != "decided":
            self._press_if_asked(message, touch)
        seconds = time.perf_counter() - start
        self._rig.lift()
        return message["outcome"], self._lead(message["event"]), seconds, message["timings_ms"]

    def _lead(self, key: str) -> list[str]:
        def stored() -> list[Any]:
            rows = self._rig.hub.events()
            return [e for e in rows if event_key(e) == key]

        if not self._rig.hub.wait(lambda _: bool(stored()), ANSWER_S):
            raise RuntimeError("the hub did not get the event")
        return [c["reference_id"] for c in json.loads(stored()[0]["body"]).get("candidates", ())]


def measure_path(touches: Sequence[Touch], settings: Ef01Settings, *, pace: bool) -> PathFigures:
    """Enrol and identify through the simulated sensor, the driver and the daemon. ValueError without a probe."""
    first = {touch.finger: touch for touch in reversed(touches)}
    probes = [t for t in touches if t is not first[t.finger]]
    if not probes:
        raise ValueError("no finger has a second impression: the first one is enrolled, the others are identified")
    with KioskRig(sensor=lambda link: Ef01Rig(settings, link, pace=pace)) as rig, Watcher(rig) as watcher:
        bench = PathBench(rig, watcher)
        enrolled = {t.finger for t in track(list(first.values()), "enrolling", console=out) if bench.enrol(t)}
        results = [(t, *bench.identify(t)) for t in track(probes, "identifying", console=out)]
    right = [f"f{t.finger}" in leads[:1] for t, _, leads, _, _ in results]
    wrong = [any(lead != f"f{t.finger}" for lead in leads) for t, _, leads, _, _ in results]
    seconds = [s for _, _, _, s, _ in results]
    steps = [timings for *_, timings in results]
    names = dict.fromkeys(name for timings in steps for name in timings)
    return PathFigures(
        fingers=len(first),
        probes=len(probes),
        found=sum(right),
        wrong=sum(wrong),
        missed=sum(outcome == "clear" for _, outcome, _, _, _ in results),
        referred=sum(outcome == "refer" for _, outcome, _, _, _ in results),
        not_enrolled=len(first) - len(enrolled),
        seconds_median=round(statistics.median(seconds), 3),
        seconds_longest=round(max(seconds), 3),
        steps_ms_median={n: round(statistics.median(t[n] for t in steps if n in t), 1) for n in names},
        paced_baud=settings.baud if pace else None,
    )


@app.command()
def path(
    images: Annotated[
        Path | None, typer.Option(help="Folder of FINGER_IMPRESSION.png; default: synthetic people.")
    ] = None,
    source_ppi: Annotated[
        float | None, typer.Option(help="Resolution of those images. Default: what each file states, else 500.")
    ] = None,
    baud: Annotated[int, typer.Option(help="Rate of the simulated sensor.")] = 57600,
    most: Annotated[int | None, typer.Option(min=2, help="Use only this many images, the first ones.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
    *,
    pace: Annotated[bool, typer.Option("--pace", help="Send bytes at the speed of a UART.")] = False,
) -> None:
    """Measure the whole path: simulated sensor, driver, encoder, search, decision, hub."""
    settings = Ef01Settings(baud=baud)
    try:
        touches = list(images_of(images, settings, source_ppi) if images else synthetic(settings))[:most]
    except (ImageFileError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    try:
        figures = measure_path(touches, settings, pace=pace)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    rows = asdict(figures)
    rows |= {f"{name}, ms": value for name, value in rows.pop("steps_ms_median").items()}
    print_table(rows)
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(figures), indent=1), encoding="utf-8")


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
