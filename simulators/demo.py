"""The demo: a provider, a complete kiosk on this computer and four travellers. `make demo` or `kiosk-sim demo` runs it.

The provider publishes a signed list, the kiosk fetches it, and a listed traveller becomes a lead. Then the provider
withdraws the entry, and the next encounter of the same person is clear.
"""

import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from agent.cli import console, watchlist_report
from agent.events.event import Category
from agent.watchlist.list_format import AgreementTerms
from drivers.sample import Position
from simulators.hub.broker import HOST
from simulators.hub.store import event_key
from simulators.kiosk_rig import PROVIDER, KioskRig, Watcher
from simulators.people.person import Condition, EyeCondition
from simulators.provider.provider import ListProvider
from simulators.provider.synthetic import people
from simulators.provider.terms import EntryTerms
from simulators.sensors.table import SensorName, make_sensor
from simulators.traveller import Traveller

LISTED, UNLISTED, UNREADABLE, OTHER = 7, 11, 13, 17  # seeds of synthetic people; OTHER stays on the list
AGREEMENT = "missing-persons"
FINGERS = (Position.RIGHT_INDEX, Position.LEFT_INDEX)
EYES = (Position.RIGHT_EYE, Position.LEFT_EYE)
HUB_S = 15.0

Json = Mapping[str, Any]
out = Console(highlight=False, emoji=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Who comes to the kiosk, and the outcome that is correct."""

    title: str
    seed: int
    outcome: str
    condition: Condition | None = None
    withdrawn: bool = False  # the provider withdraws this person before


SCENARIOS = (
    Scenario("A traveller who is on the list", LISTED, "lead", Condition.NORMAL),
    Scenario("A traveller who is not on the list", UNLISTED, "clear", Condition.NORMAL),
    Scenario("A traveller whose finger cannot be read", UNREADABLE, "refer", Condition.UNREADABLE),
    Scenario("The first traveller again, withdrawn from the list", LISTED, "clear", Condition.NORMAL, withdrawn=True),
)


class Demo:
    """Plays travellers at a kiosk and shows what the traveller, the kiosk and the hub do."""

    def __init__(self, rig: KioskRig, watcher: Watcher) -> None:
        self._rig = rig
        self._watcher = watcher

    def publish(self) -> None:
        """The provider lists two synthetic people and publishes; the kiosk fetches the list."""
        out.print(f"\n[bold]0  The provider {PROVIDER} lists synthetic people {LISTED} and {OTHER}[/], and publishes")
        now = datetime.now(UTC)
        lists = self._lists
        lists.agree(_agreement(now))
        terms = _terms(now)
        lists.put([terms.entry(*made) for made in people((LISTED, OTHER), self._rig.positions)])
        self._publish_and_fetch()

    def withdraw(self, seed: int) -> None:
        """The provider withdraws somebody; the kiosk deletes the reference and signs a receipt."""
        out.print(f"\n[bold]The provider {PROVIDER} withdraws person-{seed}[/], and publishes")
        self._lists.withdraw([f"person-{seed}"])
        self._publish_and_fetch()

    @property
    def _lists(self) -> ListProvider:
        assert self._rig.lists is not None
        return self._rig.lists

    def _publish_and_fetch(self) -> None:
        (published,) = self._lists.publish()
        done = f"signed: revision {published.revision} with {published.entries} entries"
        out.print(f"  [dim]{done}, encrypted for {published.readers} kiosk[/]")
        watchlist_report.show_update(self._rig.client.ask("watchlist-update"))

    def play(self, number: int, scenario: Scenario) -> str:
        """Play one scenario from the first touch to the decision; returns the outcome."""
        if scenario.withdrawn:
            self.withdraw(scenario.seed)
        out.print(f"\n[bold]{number}  {scenario.title}[/]")
        traveller = Traveller(
            self._rig,
            self._watcher,
            scenario.seed,
            first=10,
            finger_condition=scenario.condition,
            eye_condition=EyeCondition.NORMAL,
            show=_show_traveller,
        )
        decided = traveller.pass_through()
        if not self._rig.hub.wait(lambda hub: _holds(hub.events(), decided["event"]), HUB_S):
            raise RuntimeError("the hub did not get the event: see the agent's log")
        return str(decided["outcome"])


def _show_traveller(line: str) -> None:
    out.print(f"  [dim]{line}[/]")


def _holds(events: list[dict[str, Any]], key: str) -> bool:
    return any(key == event_key(event) for event in events)


def _show_hub(line: str) -> None:
    out.print(f"  [blue]hub[/]  {escape(line)}")


def _introduce(rig: KioskRig) -> None:
    out.print("[bold]A border kiosk on this computer.[/] People are synthetic. A hit is a lead for people to examine.")
    agent = rig.agent.pid if rig.agent else "-"
    out.print(f"  broker {rig.broker.name} at {HOST}:{rig.broker.port}")
    out.print(f"  hub    stores events in {rig.hub.path}")
    out.print(f"  sensor simulated {rig.sensor.kind.title}, at {rig.sensor.url}")
    if rig.camera is not None:
        out.print(f"  camera simulated, 640x480 in the near infrared, at {rig.camera.url}")
    out.print(f"  lists  signed by {PROVIDER}, in {rig.lists.public if rig.lists else '-'}")
    out.print(f"  agent  process {agent}, log {rig.log}")


def _summary(rig: KioskRig, outcomes: list[str]) -> bool:
    """Print the results; whether all are correct."""
    expected = [scenario.outcome for scenario in SCENARIOS]
    arrived = [e["class"] for e in rig.hub.events() if e["class"] in ("lead", "encounter")]
    wanted = sorted("lead" if outcome == "lead" else "encounter" for outcome in expected)
    correct = outcomes == expected and sorted(arrived) == wanted
    colour = "green" if correct else "red"
    out.print(
        f"\n[bold {colour}]{'All results are correct' if correct else 'The results are WRONG'}[/]: "
        f"{', '.join(outcomes)}; the hub has stored the events of {len(arrived)} encounters"
    )
    return correct


def _stay(rig: KioskRig) -> None:
    """Wait until Ctrl-C."""
    link = rig.sensor.link
    out.print("\nThe kiosk keeps running. In another terminal, put a finger on the sensor and lift it:")
    out.print(f"  .venv/bin/kiosk-sim press --link {link} --person 21 --hold 1", style="bold")
    out.print(f"  .venv/bin/kiosk-sim press --link {link} --image FILE.png --hold 1", style="bold")
    if rig.camera is not None:
        out.print("Look into the camera:")
        out.print(f"  .venv/bin/kiosk-sim look --link {rig.camera.link} --person 21 --eye right", style="bold")
    out.print("Show the state of the daemon:")
    out.print(f"  .venv/bin/kiosk-agent status --config {rig.config}", style="bold")
    out.print("Ctrl-C ends the demo.\n")
    threading.Event().wait()


def command(
    *,
    sensor: Annotated[SensorName, typer.Option(help="Which sensor the kiosk has.")] = SensorName.EF01,
    once: Annotated[
        bool, typer.Option("--once", help="End after the four travellers; exit status 1 if a result is wrong.")
    ] = False,
    camera: Annotated[bool, typer.Option(help="Add a camera, and two eyes to the plan.")] = True,
    pace: Annotated[bool, typer.Option("--pace", help="Transfer bytes at the speed of the real connection.")] = False,
    rumqttd: Annotated[bool, typer.Option("--rumqttd", help="Use rumqttd even where Mosquitto is installed.")] = False,
) -> None:
    """Run a provider, a broker, a hub, simulated sensors and the agent, and play four travellers. Then try others."""
    out.print("[dim]starting: broker, hub, sensor, agent ...[/]")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)  # a shell ignores Ctrl-C for what it runs in the background: set it in any case
    correct = False
    try:
        chosen = partial(make_sensor, sensor, pace=pace)
        positions = FINGERS + (EYES if camera else ())
        broker = False if rumqttd else None
        with KioskRig(say=_show_hub, sensor=chosen, positions=positions, mosquitto=broker, lists=True) as rig:
            _introduce(rig)
            with Watcher(rig, console.show_announcement) as watcher:
                correct = _play_all(rig, watcher)
                if not once:
                    _stay(rig)
    except _Ended:
        out.print("\nended")
    if not correct:
        raise typer.Exit(1)


def _play_all(rig: KioskRig, watcher: Watcher) -> bool:
    """Play the provider and the travellers; whether all results are correct."""
    demo = Demo(rig, watcher)
    demo.publish()
    outcomes = [demo.play(number, scenario) for number, scenario in enumerate(SCENARIOS, 1)]
    return _summary(rig, outcomes)


def _agreement(now: datetime) -> AgreementTerms:
    return AgreementTerms(
        id=AGREEMENT,
        provider=PROVIDER,
        purpose="search for missing persons",
        legal_basis="agreement of 2026-03-01, article 4",
        necessity="M-1",
        recipients=("hub",),
        keep_days=30,
        review_by=now + timedelta(days=30),
    )


def _terms(now: datetime) -> EntryTerms:
    later = now + timedelta(days=7)
    return EntryTerms(AGREEMENT, Category.MISSING, "P-2", "M-1", now, now - timedelta(minutes=5), later, later)


class _Ended(BaseException):
    """Ctrl-C or SIGTERM."""


def _end(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the demo is ending already
    raise _Ended
