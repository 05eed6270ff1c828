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

from agent import console as words
from drivers.sample import Position
from simulators.broker import HOST
from simulators.hub_store import event_key
from simulators.people import Condition, Person
from simulators.rig import KioskRig, Watcher
from simulators.sensors import SensorName, make_sensor

LISTED, UNLISTED, UNREADABLE = 7, 11, 13  # seeds of synthetic people
FINGER = Position.RIGHT_INDEX
HUB_S = 15.0

AT_THE_END = ("proceed", "go_to_officer")

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
        """Put the first traveller on the local list, from three other impressions of the finger."""
        out.print(f"\n[bold]0  Enrolment of synthetic person {LISTED}[/], three samples, into the local list")
        answer: list[Json] = []
        request = {"samples": 3, "into_local_list": True, "reference_id": "reference-0001"}
        asking = threading.Thread(target=lambda: answer.append(self._rig.client.ask("enrol", request)))
        asking.start()
        for impression in range(3):
            self._watcher.wait_for("told")
            self._press(LISTED, impression, Condition.NORMAL)
            self._watcher.wait_for("step")
            self._rig.lift()
        asking.join()
        if not answer:
            raise RuntimeError("the enrolment failed: see the lines above")
        words.enrolled(answer[0])

    def play(self, number: int, traveller: Traveller) -> str:
        """One traveller from the first touch to the answer; returns the outcome."""
        out.print(f"\n[bold]{number}  {traveller.title}[/]")
        for attempt in range(10):
            self._press(traveller.seed, 10 + attempt, traveller.condition)
            step = self._watcher.wait_for("step")
            self._rig.lift()
            if step["usable"] or self._watcher.wait_for("told")["key"] in AT_THE_END:
                break
        decided = self._watcher.wait_for("decided")
        if not self._rig.hub.wait(lambda hub: _holds(hub.events(), decided["event"]), HUB_S):
            raise RuntimeError("the hub did not get the event: see the agent's log")
        return str(decided["outcome"])

    def _press(self, seed: int, impression: int, condition: Condition | None) -> None:
        out.print(f"  [dim]person {seed} presses the {FINGER.replace('_', ' ')} finger (impression {impression})[/]")
        view = self._rig.sensor.view
        image = Person(seed).finger(FINGER).impression(impression, view.width, view.height, view.ppi, condition)
        self._rig.sensor.show(image)


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
        with KioskRig(say=_show_hub, sensor=chosen, mosquitto=False if rumqttd else None) as rig:
            _introduce(rig)
            with Watcher(rig, words.announced) as watcher:
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
