"""A synthetic traveller at the kiosk of a rig: presents fingers and eyes when the kiosk asks, and removes them."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from drivers.sample import Modality, Position
from simulators.kiosk_rig import ANSWER_S, KioskRig, Watcher
from simulators.people.person import Condition, EyeCondition, Person

POLL_S = 0.2  # between two checks whether an enrolment has ended, which the kiosk does not announce
REMOVE_PROMPTS = frozenset({"lift_finger", "look_away"})
NO_ACTION = frozenset({"working", "proceed", "go_to_officer", "out_of_service"})  # nothing to do

Json = Mapping[str, Any]


class Traveller:
    """One person. `first` is the number of the first impression or eye image; each presentation has a new number.

    `finger_condition` and `eye_condition` are the state of the skin and of the eye; None for the usual one.
    """

    def __init__(
        self,
        rig: KioskRig,
        watcher: Watcher,
        seed: int,
        *,
        first: int = 0,
        finger_condition: Condition | None = None,
        eye_condition: EyeCondition | None = None,
        show: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._rig = rig
        self._watcher = watcher
        self._person = Person(seed)
        self._number = first
        self._finger_condition = finger_condition
        self._eye_condition = eye_condition
        self._show = show
        self._presented: set[Position] = set()

    def enrol(self, positions: Sequence[Position], samples: int, reference_id: str) -> dict[str, Any]:
        """Enrol into the local list; returns the kiosk's answer. ControlError if the kiosk refuses."""
        arguments = {"positions": positions, "samples": samples, "into_local_list": True, "reference_id": reference_id}
        self._watcher.discard_pending()
        with ThreadPoolExecutor(1, "enrolment") as executor:
            answer = executor.submit(self._rig.client.ask, "enrol", arguments)
            while not answer.done():
                self._handle_next(POLL_S)
        self._remove_all()
        return answer.result()

    def pass_through(self) -> Json:
        """Go through one encounter, from the first step of the plan to the decision, which is returned."""
        self._watcher.discard_pending()
        self.present(self._rig.positions[0])
        while (announcement := self._watcher.next(ANSWER_S))["kind"] != "decided":
            self._react(announcement)
        self._remove_all()
        return announcement

    def present(self, position: Position) -> None:
        """Put the finger on the sensor, or look into the camera with the eye."""
        if position.modality is Modality.IRIS:
            self._show(f"person {self._person.seed} looks into the camera with the {position.replace('_', ' ')}")
            self._rig.look(self._person.seed, position, self._eye_condition)
        else:
            self._show(
                f"person {self._person.seed} presses the {position.replace('_', ' ')} finger"
                f" (impression {self._number})"
            )
            self._rig.press(self._person.seed, position, self._number, self._finger_condition)
        self._number += 1
        self._presented.add(position)

    def remove(self, position: Position) -> None:
        """Lift the finger, or look elsewhere. Returns when the kiosk has noticed."""
        if position in self._presented:
            self._presented.remove(position)
            self._rig.take_away(position)

    def _remove_all(self, modality: Modality | None = None) -> None:
        """Remove all fingers and eyes, or those of one modality."""
        for position in tuple(self._presented):
            if modality in (None, position.modality):
                self.remove(position)

    def _handle_next(self, within: float) -> None:
        try:
            announcement = self._watcher.next(within)
        except TimeoutError:
            return
        self._react(announcement)

    def _react(self, announcement: Json) -> None:
        """Do what the kiosk asks. Advice to an eye that is already in view asks for no new presentation."""
        if announcement["kind"] not in ("told", "step") or announcement["position"] == Position.UNKNOWN:
            return
        position = Position(announcement["position"])
        if announcement["kind"] == "step":
            self._on_step(position, usable=announcement["usable"])
        elif announcement["key"] in REMOVE_PROMPTS:
            self._remove_all(position.modality)  # all of them: the kiosk may mean the one presented before
        elif announcement["key"] not in NO_ACTION and position not in self._presented:
            self.present(position)

    def _on_step(self, position: Position, *, usable: bool) -> None:
        """After a step: a finger that was not good enough is lifted and placed again; an eye stays in view."""
        if usable or position.modality is not Modality.IRIS:
            self.remove(position)
