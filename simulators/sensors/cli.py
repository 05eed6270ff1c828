"""What the commands of every simulated sensor share: their options, press, lift, status and fault, and running one."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from simulators.sensors.fault_sets import sensors_with
from simulators.sensors.touch_rig import FINGER_NAMES, TouchRig
from simulators.transports.faults import ALWAYS, FAULTS, Fault
from simulators.transports.remote import LINK_VARIABLE, RemoteError, SensorRemote, Shown, default_link
from simulators.transports.serial.pseudo_terminal import PortDied

WATCH_S = 0.2  # how often the counters are looked at for the lines on the screen
MENDS = {"clear": "forget all waiting faults", "replug": "put the cable back"}

SAID = {
    "clear": "done",
    "replug": "done",
    "unplug": "the cable is pulled, or after so many bytes (kiosk-sim fault replug puts it back)",
}

Link = Annotated[
    Path | None,
    typer.Option(help=f"The sensor's port. Default: ${LINK_VARIABLE}, else {default_link()}", metavar="PATH"),
]
Control = Annotated[Path | None, typer.Option(help="The control socket. Default: LINK.control", metavar="PATH")]
Picture = Annotated[Path | None, typer.Option(help="A picture of a finger (PNG, JPEG, BMP, TIFF)", metavar="FILE")]
SourcePpi = Annotated[float, typer.Option(help="Resolution of the picture, pixels per inch")]
PersonSeed = Annotated[int | None, typer.Option(min=0, help="A synthetic person, by seed", metavar="SEED")]
FingerName = Annotated[
    str, typer.Option(help=f"Which finger of the person: {', '.join(FINGER_NAMES)}", metavar="FINGER")
]
Impression = Annotated[int, typer.Option(min=0, help="Which touch of that finger, from 0")]
Skin = Annotated[
    str | None,
    typer.Option(help="normal, dry, wet, partial, light, heavy or unreadable. Default: what people usually have"),
]
SerialVia = Annotated[str, typer.Option(help="pty: a pseudo-terminal, the one wire that a serial sensor has")]


def say(line: str) -> None:
    """One line of what happens, with its time."""
    print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


def fail(error: object) -> NoReturn:
    """One message and exit status 1."""
    print(f"error: {error}", file=sys.stderr)
    raise typer.Exit(1)


@contextmanager
def plainly() -> Iterator[None]:
    """Errors that a technician can mend become one message and exit status 1."""
    try:
        yield
    except (RemoteError, PortDied, ValueError, OSError) as error:
        fail(error)


def shown_by(
    image: Path | None, source_ppi: float, person: int | None, finger: str, impression: int, condition: str | None
) -> Shown:
    """What the options name; empty when they name nothing."""
    if finger not in FINGER_NAMES:
        raise ValueError(f"there is no finger {finger!r}; choose one of {', '.join(FINGER_NAMES)}")
    shown = Shown()
    if image is not None:
        shown |= {"image": image, "source_ppi": source_ppi}
    if person is not None:
        shown |= {"person": person, "finger": finger, "impression": impression}
    if condition is not None:
        if person is None:
            raise ValueError("--condition is of a synthetic finger: give --person SEED too")
        shown |= {"condition": condition}
    return shown


def stop_signal() -> threading.Event:
    """Set by Ctrl-C or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


def run(
    rig: TouchRig,
    introduction: list[str],
    facts: Mapping[str, Callable[[], object]],
    shown: Shown,
    *,
    pressed: bool,
) -> None:
    """Serve a sensor until Ctrl-C; a line for every change of `facts`."""
    if shown:
        rig.load(**shown)
    stop = stop_signal()  # not before: until here Ctrl-C ends at once, without waiting for a picture
    with rig:
        for line in introduction:
            say(line)
        say(f"press a finger from another terminal:  kiosk-sim press --link {rig.link} --person 7")
        say("Ctrl-C ends")
        if pressed:
            rig.press()
        _watch(rig, {**facts, "unplugged": rig.unplugged.is_set}, stop)
    say("sensor stopped")


def _watch(rig: TouchRig, facts: Mapping[str, Callable[[], object]], stop: threading.Event) -> None:
    """Say what the host does with the sensor, until told to stop or its thread has died."""
    known = {name: read() for name, read in facts.items()}
    while rig.alive and not stop.wait(WATCH_S):
        for name, read in facts.items():
            if (value := read()) != known[name]:
                known[name] = value
                say(f"{name}: {value}")


def press(
    *,
    link: Link = None,
    image: Picture = None,
    source_ppi: SourcePpi = 500,
    person: PersonSeed = None,
    finger: FingerName = "right_index",
    impression: Impression = 0,
    condition: Skin = None,
    hold: Annotated[float | None, typer.Option(min=0, help="Lift by itself after so many seconds")] = None,
    control: Control = None,
) -> None:
    """Lay a finger on the simulated sensor; without --image or --person the one that was there last."""
    with plainly():
        remote = SensorRemote(link, control=control)
        answer = remote.press(**shown_by(image, source_ppi, person, finger, impression, condition))
        print(f"on the sensor: {answer['finger']}")
        if hold is None:
            print("lift it with:  kiosk-sim lift" + ("" if link is None else f" --link {link}"))
            return
        try:
            time.sleep(hold)
        finally:
            _lift(remote)


def lift(*, link: Link = None, control: Control = None) -> None:
    """Take the finger off the simulated sensor."""
    with plainly():
        _lift(SensorRemote(link, control=control))


def _lift(remote: SensorRemote) -> None:
    stays = remote.lift()["finger_on"]
    print("lifted, but the sensor still feels it (fault stuck): kiosk-sim fault clear" if stays else "lifted")


def status(*, link: Link = None, control: Control = None) -> None:
    """What the simulated sensor is, what is on it, which faults wait and what it has counted."""
    with plainly():
        for name, value in SensorRemote(link, control=control).status().items():
            pairs = [f"{key} {count}" for key, count in value.items()] if isinstance(value, dict) else [str(value)]
            print(f"{name:13} {', '.join(pairs) or '-'}")


def fault(
    name: Annotated[str, typer.Argument(help="One of the list; or clear, replug, list")],
    *,
    param: Annotated[list[str] | None, typer.Option(help="A parameter of the fault, as name=value")] = None,
    times: Annotated[int | None, typer.Option(help="How often it strikes; 0: until cleared")] = None,
    link: Link = None,
    control: Control = None,
) -> None:
    """Make the simulated sensor misbehave: kiosk-sim fault list shows how."""
    with plainly():
        if name == "list":
            print(fault_table() if link is None and control is None else fault_table_of(_remote(link, control)))
            return
        if name not in (*FAULTS, *MENDS):
            raise ValueError(f"there is no fault {name!r}; there are: {', '.join([*FAULTS, *MENDS])}, list")
        remote = _remote(link, control)
        plain = {"clear": remote.clear, "replug": remote.replug}
        if name in plain:
            plain[name]()
        else:
            remote.fault(name, times=times, **dict(_pair(text) for text in param or ()))
        print(f"{name}: {SAID.get(name, 'waits for its moment (kiosk-sim fault clear ends it)')}")


def _remote(link: Path | None, control: Path | None) -> SensorRemote:
    return SensorRemote(link, control=control)


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise ValueError(f"--param is like bytes=2, not {text!r}")
    return key, value


def fault_table() -> str:
    """Every fault in one line: name, the sensors that have it, what happens, how often, parameters."""
    return _table(FAULTS, lambda name: f"{' '.join(sensors_with(name)):30} ")


def fault_table_of(remote: SensorRemote) -> str:
    """The same of the faults that a running sensor has."""
    has = remote.faults()
    return _table({name: row for name, row in FAULTS.items() if name in has}, lambda _: "")


def _table(rows: Mapping[str, Fault], column: Callable[[str], str]) -> str:
    lines = [_row(name, row, column(name)) for name, row in rows.items()]
    return "\n".join(lines + [f"{name:15} {what}" for name, what in MENDS.items()])


def _row(name: str, row: Fault, column: str) -> str:
    often = "until cleared" if row.times == ALWAYS else f"{row.times}x"
    params = " ".join(
        f"{key}={value:#x}" if key == "address" else f"{key}={value}" for key, value in row.params.items()
    )
    return f"{name:15} {column}{row.help} [{often}] {params}".rstrip()
