"""A lane with scripted sensors, real stations, real stores and the real encoder."""

import json
import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np

from agent.clock import SystemClock
from agent.config import AgreementConfig, Config
from agent.encounter.announcements import Announcement, Decided, TravellerMessage
from agent.encounter.enrolment import EnrolmentRequest
from agent.encounter.lane import JobContext, Lane
from agent.encounter.station import Station
from agent.events.event import Category, EventClass, StoredEvent
from agent.hub.outbox import Outbox
from agent.watchlist.reference import Reference
from drivers.sample import Position
from tests.conftest import template_of
from tests.rigs.scripted_sensor import ScriptedSensor
from tests.rigs.store_key import TEST_KEY

LISTED, UNLISTED = 101, 102
BLANK = np.full((288, 256), 240, np.uint8)
SOON = 20.0

CONFIG = """
[kiosk]
site = "s"
name = "k"
state_dir = "{folder}"
[sensors.one]
driver = "ef01"
url = "serial:/dev/null"
[sensors.two]
driver = "ef01"
url = "serial:/dev/null"
[plan]
steps = [{steps}]
step_timeout_s = {step_timeout_s}
[local_list]
enabled = {local_list}
[agreements.partner]
provider = "partner"
purpose = "identification of returnees"
legal_basis = "agreement 1"
recipients = ["hub"]
keep_s = 3600
[agreements.elsewhere]
provider = "partner"
purpose = "p"
legal_basis = "l"
recipients = ["another-hub"]
keep_s = 3600
"""
ONE_FINGER = '{ sensor = "one", position = "right_index" }'
TWO_FINGERS = ONE_FINGER + ', { sensor = "one", position = "right_thumb" }'
TWO_SENSORS = ONE_FINGER + ', { sensor = "two", position = "right_thumb" }'


@dataclass
class LaneRig:
    """A lane with its stations, and what was announced."""

    config: Config
    lane: Lane
    one: ScriptedSensor
    two: ScriptedSensor
    stations: dict[str, Station]
    announced: "queue.SimpleQueue[Announcement]" = field(default_factory=queue.SimpleQueue)
    crashes: "queue.SimpleQueue[tuple[str, BaseException]]" = field(default_factory=queue.SimpleQueue)
    on_announce: Callable[[Announcement], None] = lambda _: None

    def announce(self, announcement: Announcement) -> None:
        self.on_announce(announcement)
        self.announced.put(announcement)

    def until_decided(self) -> tuple[Decided, list[Announcement]]:
        """The next decision, and all announcements before it."""
        announced: list[Announcement] = []
        while not isinstance(announcement := self.announced.get(timeout=SOON), Decided):
            announced.append(announcement)
        return announcement, announced

    def events(self) -> list[StoredEvent]:
        """All events in the outbox, the most urgent class first."""
        with Outbox(self.config.kiosk.state_dir / "outbox.db", "k", key=TEST_KEY) as outbox:
            return [stored for event_class in EventClass for stored in outbox.pending(event_class, 1000)]

    def run_job(self, work: Callable[[JobContext], Any]) -> Any:  # noqa: ANN401 - what work returns
        """The result of a job, run between two travellers."""
        return self.lane.submit(work).result(timeout=SOON)

    def add_reference(
        self, seed: int, agreement: AgreementConfig | None = None, category: Category = Category.WANTED
    ) -> None:
        """Put the index finger and the thumb of a synthetic person on the list."""
        reference = Reference(
            f"r{seed}",
            "partner",
            category,
            SystemClock().now() + timedelta(hours=1),
            tuple((p, template_of(seed, 0, p)) for p in (Position.RIGHT_INDEX, Position.RIGHT_THUMB)),
        )
        self.run_job(lambda context: context.watchlist.add(reference, agreement or self.config.agreements["partner"]))

    def set_attended(self, *, attended: bool) -> None:
        """Whether the lane waits for travellers, or only runs jobs."""
        self.lane.attended = attended
        self.run_job(lambda _: None)  # until the lane has seen the change
        if attended:
            self.lane.interrupt()

    def stop(self) -> None:
        assert self.lane.stop()
        assert all(station.stop() for station in self.stations.values())


Make = Callable[..., LaneRig]


def drained(rig: LaneRig) -> list[Announcement]:
    """What has been announced so far."""
    announced = []
    while not rig.announced.empty():
        announced.append(rig.announced.get())
    return announced


def message_keys(announced: list[Announcement]) -> list[str]:
    """The message keys for the traveller."""
    return [a.key for a in announced if isinstance(a, TravellerMessage)]


def payload_of(stored: StoredEvent) -> dict[str, Any]:
    """The body of a stored event."""
    content = json.loads(stored.event.body)
    assert isinstance(content, dict)
    return content


def enrol(kiosk: LaneRig, *positions: Position, **request: Any) -> Any:  # noqa: ANN401 - fields of EnrolmentRequest
    """Run an enrolment as a job: what it returns."""
    wanted = EnrolmentRequest(positions or (Position.RIGHT_INDEX,), **request)
    return kiosk.run_job(lambda context: context.enroller.run(wanted, context.new_collector()))
