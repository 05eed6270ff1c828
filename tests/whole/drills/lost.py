"""Checks that no event is lost when the agent, the broker or the hub stops at random moments.

The drill kills the agent, stops or kills the broker and disconnects the hub during encounters. Afterwards the
hub must have the event of every encounter that the kiosk decided, exactly once and in order.

python -m tests.whole.drills.lost --encounters 200 --away 60
"""

import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from simulators.hub.store import event_key
from simulators.kiosk_rig import KioskRig, Watcher
from tests.whole.drills.command_line import drill_parser, report_problems
from tests.whole.drills.fingers import PEOPLE, enrol, run_encounter

ANSWER_S = 10.0  # an encounter takes about a second; a killed agent sends no answer
DRAIN_S = 120.0
DISTURBED_SHARE = 0.25


@dataclass
class Result:
    """What happened in a run."""

    answered: list[str] = field(default_factory=list)
    unanswered: int = 0
    disturbances: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    events: int = 0
    duplicates_dropped: int = 0
    seconds: float = 0.0


class Drill:
    """One run of the drill."""

    def __init__(self, rig: KioskRig, watcher: Watcher, rng: random.Random, away_s: float) -> None:
        self._rig, self._watcher, self._rng, self._away_s = rig, watcher, rng, away_s
        self._timers: list[threading.Timer] = []
        self._lock = threading.Lock()  # a disturbance and a restart do not run at the same time
        self.result = Result()

    def run(self, encounters: int) -> None:
        """Run the encounters. About one in four is disturbed."""
        enrol(self._rig, self._watcher)
        pause_hub_at = encounters // 2
        for number in range(encounters):
            if number == pause_hub_at:
                self._pause_hub()
            elif self._rng.random() < DISTURBED_SHARE:
                self._disturb()
            self._encounter(number)
            self._restart()
        for timer in self._timers:
            timer.join()
        self._restart()
        self._rig.hub.resume()

    def _encounter(self, number: int) -> None:
        person = self._rng.choice(PEOPLE)
        try:
            decided = run_encounter(self._rig, self._watcher, person, 1 + number % 8, ANSWER_S)
        except TimeoutError:
            self.result.unanswered += 1
        else:
            self.result.answered.append(str(decided["event"]))

    def _kill_agent(self) -> None:
        self._check_unexpected_end()
        self._rig.kill_agent()

    def _check_unexpected_end(self) -> None:
        if self._rig.ended_with is not None:
            self.result.problems.append(f"the agent ended unexpectedly with status {self._rig.ended_with}")

    def _disturb(self) -> None:
        name, action = self._rng.choice(
            [("agent killed", self._kill_agent), ("broker stopped", self._rig.broker.stop),
             ("broker killed", self._rig.broker.kill)]
        )  # fmt: skip
        self.result.disturbances[name] += 1
        self._schedule(self._rng.uniform(0.0, 1.5), action)

    def _pause_hub(self) -> None:
        self.result.disturbances["hub away"] += 1
        self._rig.hub.pause()
        self._schedule(self._away_s, self._rig.hub.resume)

    def _schedule(self, seconds: float, action: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, self._run_locked, [action])
        self._timers.append(timer)
        timer.start()

    def _run_locked(self, action: Callable[[], None]) -> None:
        with self._lock:
            action()

    def _restart(self) -> None:
        """Start again what was stopped. The broker stays stopped for another traveller in half of the cases."""
        with self._lock:
            self._check_unexpected_end()
            if not self._rig.running:
                self._rig.start_agent()
            if not self._rig.broker.running and self._rng.random() < 0.5:
                self._rig.broker.start()

    def finish(self) -> None:
        """Start everything again and wait until the outbox is empty."""
        self._rig.broker.start()
        self._check_unexpected_end()
        if not self._rig.running:
            self._rig.start_agent()
        deadline = time.monotonic() + DRAIN_S
        while sum(self._rig.client.ask("status")["outbox_pending"].values()) and time.monotonic() < deadline:
            threading.Event().wait(0.1)
        self._check_unexpected_end()


def check(result: Result, events: list[dict[str, Any]], invalid: list[dict[str, Any]]) -> None:
    """Compare the decisions of the kiosk with the events stored by the hub, and add the problems to the result."""
    keys = [event_key(event) for event in events]
    counted = Counter(keys)
    result.events = len(keys)
    result.problems += [f"lost: {key}" for key in result.answered if key not in counted]
    result.problems += [f"stored {n} times: {key}" for key, n in counted.items() if n != 1]
    result.problems += [f"answered twice: {key}" for key, n in Counter(result.answered).items() if n != 1]
    result.problems += [f"invalid: {row}" for row in invalid]
    result.problems += list(_order_problems(events))


def _order_problems(events: Iterable[dict[str, Any]]) -> Iterable[str]:
    sequences: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in events:
        sequences[event["epoch"], event["class"]].append(int(event["sequence"]))
    for (epoch, event_class), found in sequences.items():
        if found != list(range(1, len(found) + 1)):
            yield f"out of order or incomplete: {epoch} {event_class}"


def run(encounters: int, seed: int, away_s: float) -> Result:
    """Run the whole drill."""
    start = time.monotonic()
    with KioskRig() as rig, Watcher(rig) as watcher:
        drill = Drill(rig, watcher, random.Random(seed), away_s)
        drill.run(encounters)
        drill.finish()
        check(drill.result, rig.hub.events(), rig.hub.invalid())
        drill.result.duplicates_dropped = sum(p.duplicates for p in rig.hub.progress())
        drill.result.seconds = time.monotonic() - start
    return drill.result


def main() -> int:
    """Run the drill and print the result. Exit status 1 if an event was lost, stored twice or out of order."""
    parser = drill_parser(__doc__, encounters=200)
    parser.add_argument("--away", type=float, default=60.0, help="seconds without the hub, default: 60")
    arguments = parser.parse_args()
    result = run(arguments.encounters, arguments.seed, arguments.away)
    print(
        f"{arguments.encounters} encounters in {result.seconds:.0f} s, seed {arguments.seed}: "
        f"{len(result.answered)} answered, {result.unanswered} not answered; {dict(result.disturbances)}"
    )
    print(f"the hub stored {result.events} events and dropped {result.duplicates_dropped} duplicates")
    if not result.problems:
        print("no event was lost, stored twice or out of order")
    return report_problems(result.problems)


if __name__ == "__main__":
    sys.exit(main())
