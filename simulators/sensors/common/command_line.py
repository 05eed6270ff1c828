"""What the commands of every simulated sensor share: options, messages on the screen, and running until Ctrl-C."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from simulators.sensors.common.rig import SensorRig
from simulators.transports.remote import LINK_VARIABLE, RemoteError, default_link
from simulators.transports.serial.pseudo_terminal import PortDied

WATCH_S = 0.2  # the interval at which changes are looked for

Link = Annotated[
    Path | None,
    typer.Option(
        help=f"The path of the sensor: the port of a serial sensor, for other sensors only a name. "
        f"Default: ${LINK_VARIABLE}, else {default_link()}",
        metavar="PATH",
    ),
]
Control = Annotated[Path | None, typer.Option(help="The control socket. Default: LINK.control", metavar="PATH")]
PersonSeed = Annotated[int | None, typer.Option(min=0, help="A synthetic person, by seed", metavar="SEED")]
Seed = Annotated[int, typer.Option(help="Seed for the random choices of faults")]
SerialVia = Annotated[str, typer.Option(help="pty: a pseudo-terminal, the only connection of a serial sensor")]
UsbVia = Annotated[
    str, typer.Option(help="usbip: export the sensor over USB/IP. libusb: show it only to PROGRAM, behind its libusb")
]
Program = Annotated[
    list[str] | None, typer.Argument(help="With --via libusb: the program to run with the sensor, after --")
]
Port = Annotated[int, typer.Option(help="TCP port of this computer for USB/IP; 0: any free port")]


def print_event(line: str) -> None:
    """Print one line with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


def exit_with_error(error: object) -> NoReturn:
    """Print one message and exit with status 1."""
    print(f"error: {error}", file=sys.stderr)
    raise typer.Exit(1)


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Turn errors that a technician can correct into one message and exit status 1."""
    try:
        yield
    except (RemoteError, PortDied, ValueError, OSError) as error:
        exit_with_error(error)


def parse_size(text: str, example: str) -> tuple[int, int]:
    """The width and height of --size, such as 640x480."""
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise ValueError(f"--size must be WIDTHxHEIGHT, such as {example}, not {text!r}") from None
    return width, height


def stop_signal() -> threading.Event:
    """An event that Ctrl-C or SIGTERM sets."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


def print_changes(rig: SensorRig, facts: Mapping[str, Callable[[], object]], stop: threading.Event) -> None:
    """Print a line whenever a fact or the cable changes, until `stop` is set or the thread of the sensor has died."""
    facts = {**facts, "unplugged": lambda: rig.unplugged.is_set()}  # noqa: PLW0108 - a new event after replugging
    known = {name: read() for name, read in facts.items()}
    while rig.alive and not stop.wait(WATCH_S):
        for name, read in facts.items():
            if (value := read()) != known[name]:
                known[name] = value
                print_event(f"{name}: {value}")
