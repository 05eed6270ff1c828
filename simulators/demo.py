"""The demo: a whole kiosk on this machine and three travellers. `make demo`, or `kiosk-sim demo`."""

import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from agent.cli import console
from drivers.sample import Position
from simulators.hub.broker import HOST
from simulators.hub.store import event_key
from simulators.kiosk_rig import KioskRig, Watcher
from simulators.people.person import Condition, EyeCondition
from simulators.sensors.table import SensorName, make_sensor
from simulators.traveller import Visitor

LISTED, UNLISTED, UNREADABLE = 7, 11, 13  # seeds of synthetic people
FINGERS = (Position.RIGHT_INDEX, Position.LEFT_INDEX)
EYES = (Position.RIGHT_EYE, Position.LEFT_EYE)
HUB_S = 15.0

Json = Mapping[str, Any]
out = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Traveller:
    """Who comes to the kiosk and what must come of it."""

    title: str
    seed: int
    outcome: str
    condition: Condition | None = None


TRAVELLERS = (
    Traveller("A traveller who is on the list", LISTED, "lead", Condition.NORMAL),
    Traveller("A traveller who is not on the list", UNLISTED, "clear", Condition.NORMAL),
    Traveller("A traveller whose finger cannot be read", UNREADABLE, "refer", Condition.UNREADABLE),
)


class Demo:
    """Plays travellers at a kiosk and shows what everybody sees."""

    def __init__(self, rig: KioskRig, watcher: Watcher) -> None:
        self._rig = rig
        self._watcher = watcher

    def enrol(self) -> None:
        """Put the first traveller on the local list, from two samples of each finger and eye of the plan."""
        out.print(f"\n[bold]0  Enrolment of synthetic person {LISTED}[/], into the local list")
        visitor = Visitor(self._rig, self._watcher, LISTED, finger_condition=Condition.NORMAL, say=_show_visitor)
        console.show_enrolment(visitor.enrol(self._rig.positions, 2, "reference-0001"))

    def play(self, number: int, traveller: Traveller) -> str:
        """One traveller from the first touch to the answer; returns the outcome."""
        out.print(f"\n[bold]{number}  {traveller.title}[/]")
        visitor = Visitor(
            self._rig,
            self._watcher,
            traveller.seed,
            first=10,
            finger_condition=traveller.condition,
            eye_condition=EyeCondition.NORMAL,
            say=_show_visitor,
        )
        decided = visitor.pass_through()
        if not self._rig.hub.wait(lambda hub: _holds(hub.events(), decided["event"]), HUB_S):
            raise RuntimeError("the hub did not get the event: see the agent's log")
        return str(decided["outcome"])


def _show_visitor(line: str) -> None:
    out.print(f"  [dim]{line}[/]")


def _holds(events: list[dict[str, Any]], key: str) -> bool:
    return any(key == event_key(event) for event in events)


def _show_hub(line: str) -> None:
    out.print(f"  [blue]hub[/]  {escape(line)}")


def _introduce(rig: KioskRig) -> None:
    out.print("[bold]A border kiosk on this machine.[/] People are synthetic. A hit is a lead for people to judge.")
    agent = rig.agent.pid if rig.agent else "-"
    out.print(f"  broker {rig.broker.name} at {HOST}:{rig.broker.port}")
    out.print(f"  hub    stores in {rig.hub.path}")
    out.print(f"  sensor simulated {rig.sensor.kind.title}, at {rig.sensor.url}")
    if rig.camera is not None:
        out.print(f"  camera simulated, 640x480 in the near infrared, at {rig.camera.url}")
    out.print(f"  agent  process {agent}, log {rig.log}")


def _summary(rig: KioskRig, outcomes: list[str]) -> bool:
    """Whether all came out as they must, in words."""
    wanted = [traveller.outcome for traveller in TRAVELLERS]
    arrived = [e["class"] for e in rig.hub.events() if e["class"] in ("lead", "encounter")]
    good = outcomes == wanted and sorted(arrived) == ["encounter", "encounter", "lead"]
    colour = "green" if good else "red"
    out.print(
        f"\n[bold {colour}]{'All as it must be' if good else 'NOT as it must be'}[/]: "
        f"{', '.join(outcomes)}; the hub holds {len(arrived)} encounters' events"
    )
    return good


def _stay(rig: KioskRig) -> None:
    """Until Ctrl-C."""
    link = rig.sensor.link
    out.print("\nThe kiosk goes on. In another terminal, press and lift a finger:")
    out.print(f"  .venv/bin/kiosk-sim press --link {link} --person 21 --hold 1", style="bold")
    out.print(f"  .venv/bin/kiosk-sim press --link {link} --image FILE.png --hold 1", style="bold")
    if rig.camera is not None:
        out.print("and look into the camera:")
        out.print(f"  .venv/bin/kiosk-sim look --link {rig.camera.link} --person 21 --eye right", style="bold")
    out.print("Or ask the daemon how it is:")
    out.print(f"  .venv/bin/kiosk-agent status --config {rig.config}", style="bold")
    out.print("Ctrl-C ends everything.\n")
    threading.Event().wait()


def command(
    *,
    sensor: Annotated[SensorName, typer.Option(help="Which sensor the kiosk has.")] = SensorName.EF01,
    once: Annotated[
        bool, typer.Option("--once", help="End after the three travellers; exit 1 if one came out wrong.")
    ] = False,
    camera: Annotated[bool, typer.Option(help="A camera too, and two eyes in the plan.")] = True,
    pace: Annotated[bool, typer.Option("--pace", help="Let bytes take the time of the real wire.")] = False,
    rumqttd: Annotated[bool, typer.Option("--rumqttd", help="Use rumqttd even where Mosquitto is installed.")] = False,
) -> None:
    """Broker, hub, simulated sensor and the agent as its own process; three travellers; then press another finger."""
    out.print("[dim]starting: broker, hub, sensor, agent ...[/]")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)  # also where a shell had switched Ctrl-C off for what it runs in the background
    good = False
    try:
        chosen = partial(make_sensor, sensor, pace=pace)
        positions = FINGERS + (EYES if camera else ())
        with KioskRig(say=_show_hub, sensor=chosen, positions=positions, mosquitto=False if rumqttd else None) as rig:
            _introduce(rig)
            with Watcher(rig, console.show_announcement) as watcher:
                good = _perform(rig, watcher)
                if not once:
                    _stay(rig)
    except _Ended:
        out.print("\nended")
    if not good:
        raise typer.Exit(1)


def _perform(rig: KioskRig, watcher: Watcher) -> bool:
    """The enrolment and the three travellers; whether all came out as they must."""
    demo = Demo(rig, watcher)
    demo.enrol()
    outcomes = [demo.play(number, traveller) for number, traveller in enumerate(TRAVELLERS, 1)]
    return _summary(rig, outcomes)


class _Ended(BaseException):
    """Ctrl-C, or SIGTERM."""


def _end(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # once is enough: the end is on its way
    raise _Ended
