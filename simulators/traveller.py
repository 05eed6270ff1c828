"""A synthetic person before the kiosk of a rig: presents what it asks for, when it asks, and takes it away again."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from drivers.sample import Modality, Position
from simulators.kiosk_rig import ANSWER_S, KioskRig, Watcher
from simulators.people.person import Condition, EyeCondition, Person

POLL_S = 0.2  # how soon the end of an enrolment is seen, which the kiosk does not announce
PUT_AWAY = frozenset({"lift_finger", "look_away"})
SILENT = frozenset({"working", "proceed", "go_to_officer", "out_of_service"})  # they ask for nothing

Json = Mapping[str, Any]


class Visitor:
    """One person. `first` is the number of the first impression or look; each presentation is another one.

    `finger_condition` and `eye_condition` say what is the matter; None is what people usually have.
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
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._rig = rig
        self._watcher = watcher
        self._person = Person(seed)
        self._number = first
        self._finger_condition = finger_condition
        self._eye_condition = eye_condition
        self._say = say
        self._presented: set[Position] = set()

    def enrol(self, positions: Sequence[Position], samples: int, reference_id: str) -> dict[str, Any]:
        """Become a reference of the local list; the kiosk's answer. ControlError says why not."""
        wanted = {"positions": positions, "samples": samples, "into_local_list": True, "reference_id": reference_id}
        self._watcher.forget()
        with ThreadPoolExecutor(1, "enrolment") as asking:
            answer = asking.submit(self._rig.client.ask, "enrol", wanted)
            while not answer.done():
                self._hear_next(POLL_S)
        self._take_all_away()
        return answer.result()

    def pass_through(self) -> Json:
        """One encounter, begun with the first step of the plan; what the kiosk decided."""
        self._watcher.forget()
        self.present(self._rig.positions[0])
        while (heard := self._watcher.next(ANSWER_S))["kind"] != "decided":
            self._react(heard)
        self._take_all_away()
        return heard

    def present(self, position: Position) -> None:
        """Lay the finger on the sensor, or look into the camera with the eye."""
        if position.modality is Modality.IRIS:
            self._say(f"person {self._person.seed} looks into the camera with the {position.replace('_', ' ')}")
            self._rig.look(self._person.seed, position, self._eye_condition)
        else:
            self._say(
                f"person {self._person.seed} presses the {position.replace('_', ' ')} finger"
                f" (impression {self._number})"
            )
            self._rig.press(self._person.seed, position, self._number, self._finger_condition)
        self._number += 1
        self._presented.add(position)

    def take_away(self, position: Position) -> None:
        """Lift the finger, or look elsewhere; the kiosk has noticed when this returns."""
        if position in self._presented:
            self._presented.remove(position)
            self._rig.take_away(position)

    def _take_all_away(self, modality: Modality | None = None) -> None:
        """Of one modality, or all."""
        for position in tuple(self._presented):
            if modality in (None, position.modality):
                self.take_away(position)

    def _hear_next(self, within: float) -> None:
        try:
            heard = self._watcher.next(within)
        except TimeoutError:
            return
        self._react(heard)

    def _react(self, heard: Json) -> None:
        """Do what was asked. Advice to an eye that is looking already is not asking for another."""
        if heard["kind"] not in ("told", "step") or heard["position"] == Position.UNKNOWN:
            return
        position = Position(heard["position"])
        if heard["kind"] == "step":
            self._hear_judged(position, usable=heard["usable"])
        elif heard["key"] in PUT_AWAY:
            self._take_all_away(position.modality)  # what is in the way may be what was asked for before
        elif heard["key"] not in SILENT and position not in self._presented:
            self.present(position)

    def _hear_judged(self, position: Position, *, usable: bool) -> None:
        """A finger that was not good enough is lifted and placed again; an eye goes on looking."""
        if usable or position.modality is not Modality.IRIS:
            self.take_away(position)
