"""Nothing lost: encounters while the agent is killed, the broker stopped and the hub away, all at random moments.

Afterwards the hub must have the event of every encounter that the kiosk answered, exactly once and in order.

    python -m tests.whole.drills.lost --encounters 200 --away 60
"""

import argparse
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
from tests.whole.drills.fingers import PEOPLE, enrol, meet

ANSWER_S = 10.0  # an encounter takes about a second; after a kill none comes
DRAIN_S = 120.0
MISHAP_RATE = 0.25


@dataclass
class Result:
    """What happened."""

    answered: list[str] = field(default_factory=list)
    unanswered: int = 0
    mishaps: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    events: int = 0
    duplicates_dropped: int = 0
    seconds: float = 0.0


class Drill:
    """One run from a seed."""

    def __init__(self, rig: KioskRig, watcher: Watcher, rng: random.Random, away_s: float) -> None:
        self._rig, self._watcher, self._rng, self._away_s = rig, watcher, rng, away_s
        self._timers: list[threading.Timer] = []
        self._guard = threading.Lock()  # a mishap and the mending of another do not mix
        self.result = Result()

    def run(self, encounters: int) -> None:
        """So many encounters are asked for; about one in four meets a mishap."""
        enrol(self._rig, self._watcher)
        away_at = encounters // 2
        for number in range(encounters):
            if number == away_at:
                self._hub_away()
            elif self._rng.random() < MISHAP_RATE:
                self._mishap()
            self._encounter(number)
            self._mend()
        for timer in self._timers:
            timer.join()
        self._mend()
        self._rig.hub.resume()

    def _encounter(self, number: int) -> None:
        person = self._rng.choice(PEOPLE)
        try:
            decided = meet(self._rig, self._watcher, person, 1 + number % 8, ANSWER_S)
        except TimeoutError:
            self.result.unanswered += 1
        else:
            self.result.answered.append(str(decided["event"]))

    def _kill_agent(self) -> None:
        self._note_an_end_of_its_own()
        self._rig.kill_agent()

    def _note_an_end_of_its_own(self) -> None:
        if self._rig.ended_with is not None:
            self.result.problems.append(f"the agent ended unexpectedly with status {self._rig.ended_with}")

    def _mishap(self) -> None:
        name, act = self._rng.choice(
            [("agent killed", self._kill_agent), ("broker stopped", self._rig.broker.stop),
             ("broker killed", self._rig.broker.kill)]
        )  # fmt: skip
        self.result.mishaps[name] += 1
        self._later(self._rng.uniform(0.0, 1.5), act)

    def _hub_away(self) -> None:
        self.result.mishaps["hub away"] += 1
        self._rig.hub.pause()
        self._later(self._away_s, self._rig.hub.resume)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, self._at_once, [act])
        self._timers.append(timer)
        timer.start()

    def _at_once(self, act: Callable[[], None]) -> None:
        with self._guard:
            act()

    def _mend(self) -> None:
        """What was stopped is started again, unless luck leaves the broker down for another traveller."""
        with self._guard:
            self._note_an_end_of_its_own()
            if not self._rig.running:
                self._rig.start_agent()
            if not self._rig.broker.running and self._rng.random() < 0.5:
                self._rig.broker.start()

    def finish(self) -> None:
        """Everything up again; wait until the outbox is empty."""
        self._rig.broker.start()
        self._note_an_end_of_its_own()
        if not self._rig.running:
            self._rig.start_agent()
        deadline = time.monotonic() + DRAIN_S
        while sum(self._rig.client.ask("status")["outbox_pending"].values()) and time.monotonic() < deadline:
            threading.Event().wait(0.1)
        self._note_an_end_of_its_own()


def judge(result: Result, events: list[dict[str, Any]], invalid: list[dict[str, Any]]) -> None:
    """Compare what the kiosk answered with what the hub stored."""
    keys = [event_key(event) for event in events]
    counted = Counter(keys)
    result.events = len(keys)
    result.problems += [f"lost: {key}" for key in result.answered if key not in counted]
    result.problems += [f"stored {n} times: {key}" for key, n in counted.items() if n != 1]
    result.problems += [f"answered twice: {key}" for key, n in Counter(result.answered).items() if n != 1]
    result.problems += [f"invalid: {row}" for row in invalid]
    result.problems += list(_disordered(events))


def _disordered(events: Iterable[dict[str, Any]]) -> Iterable[str]:
    sequences: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in events:
        sequences[event["epoch"], event["class"]].append(int(event["sequence"]))
    for (epoch, event_class), found in sequences.items():
        if found != list(range(1, len(found) + 1)):
            yield f"out of order or with holes: {epoch} {event_class}"


def run(encounters: int, seed: int, away_s: float) -> Result:
    """The whole drill."""
    start = time.monotonic()
    with KioskRig() as rig, Watcher(rig) as watcher:
        drill = Drill(rig, watcher, random.Random(seed), away_s)
        drill.run(encounters)
        drill.finish()
        judge(drill.result, rig.hub.events(), rig.hub.invalid())
        drill.result.duplicates_dropped = sum(p.duplicates for p in rig.hub.progress())
        drill.result.seconds = time.monotonic() - start
    return drill.result


def main() -> int:
    """Run it and say what was seen; 1 when anything was lost, doubled or out of order."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--encounters", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--away", type=float, default=60.0, help="seconds that the hub is away")
    asked = arguments.parse_args()
    result = run(asked.encounters, asked.seed, asked.away)
    print(
        f"{asked.encounters} encounters in {result.seconds:.0f} s, seed {asked.seed}: {len(result.answered)} answered, "
        f"{result.unanswered} not; {dict(result.mishaps)}"
    )
    print(f"the hub stored {result.events} events and dropped {result.duplicates_dropped} duplicates")
    for problem in result.problems[:20]:
        print(f"PROBLEM {problem}")
    print("nothing lost, nothing twice, all in order" if not result.problems else f"{len(result.problems)} PROBLEMS")
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
