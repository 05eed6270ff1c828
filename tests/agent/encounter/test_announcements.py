"""Announcements as they go over the control socket."""

import json

from agent.encounter.announcements import Announcement, Started, StepDone, TravellerMessage, tell_traveller
from agent.encounter.messages import MessageKey
from agent.events.event import Direction
from drivers.sample import Position


def test_a_message_for_the_traveller_has_its_key_and_its_text() -> None:
    announced: list[Announcement] = []
    tell_traveller(announced.append, MessageKey.PRESENT, Position.RIGHT_THUMB)
    assert announced == [
        TravellerMessage(
            key="present", text="Please place your right thumb on the reader.", position=Position.RIGHT_THUMB
        )
    ]


def test_each_announcement_names_its_kind_on_the_socket() -> None:
    announced: list[Announcement] = []
    tell_traveller(announced.append, MessageKey.WORKING)
    announced.append(Started(encounter_id="e-1", direction=Direction.ENTRY))
    announced.append(StepDone(position=Position.RIGHT_THUMB, attempt=1, usable=True))
    assert [json.loads(each.model_dump_json())["kind"] for each in announced] == ["told", "started", "step"]
