"""TouchRig: a simulated touch sensor ready for use, and the finger to press on it."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Unpack

from drivers.sample import Modality, Position
from simulators.images import load_image
from simulators.pictures.levels import Grey
from simulators.polling import wait_until
from simulators.sensors.common.rig import Connection, DeviceModel, RigOptions, SensorRig
from simulators.transports.remote import Answer, Shown

FINGER_NAMES = tuple(position.value for position in Position if position.modality is Modality.FINGER)


@dataclass(frozen=True, slots=True)
class View:
    """The image size of a sensor in pixels, and its resolution in pixels per inch."""

    width: int
    height: int
    ppi: float


class TouchModel(DeviceModel, Protocol):
    """A simulated touch sensor."""

    @property
    def finger_on(self) -> bool:
        """Whether the device detects a finger."""

    def lift(self) -> None:
        """Remove the finger."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The title of a sensor for people, and the driver and options with which an agent uses it."""

    title: str
    driver: str
    options: Mapping[str, str | int | float]


def render(shown: Shown, view: View) -> Grey:
    """The image u8[height, width] that the sensor sees. ValueError (ImageFileError) names what is wrong."""
    if unknown := set(shown) - set(Shown.__annotations__):
        raise ValueError(
            f"there is no argument {', '.join(sorted(unknown))}; a press takes {', '.join(Shown.__annotations__)}"
        )
    if ("image" in shown) == ("person" in shown):
        raise ValueError("a finger is from an image file or from a synthetic person: give one of the two")
    if "image" in shown:
        return load_image(Path(shown["image"]), view.width, view.height, view.ppi, shown.get("source_ppi"))
    from simulators.people.person import Condition, Person  # noqa: PLC0415 - image files do not need synthetic people

    name = shown.get("condition")
    if name is not None and name not in tuple(Condition):
        raise ValueError(f"there is no condition {name!r}; choose one of {', '.join(Condition)}")
    condition = None if name is None else Condition(name)
    finger = Person(shown["person"]).finger(_position(shown))
    return finger.impression(shown.get("impression", 0), view.width, view.height, view.ppi, condition)


def describe(shown: Shown) -> str:
    """The finger as one line of text."""
    if "image" in shown:
        return str(shown["image"])
    skin = f", {shown['condition']}" if "condition" in shown else ""
    return f"person {shown['person']}, {_position(shown)}, impression {shown.get('impression', 0)}{skin}"


def _position(shown: Shown) -> Position:
    name = shown.get("finger", Position.RIGHT_INDEX)
    if name not in FINGER_NAMES:
        raise ValueError(f"there is no finger {name!r}; choose one of {', '.join(FINGER_NAMES)}")
    return Position(name)


class TouchRig(SensorRig):
    """One simulated touch sensor and its control socket, while the context lasts."""

    polls_to_notice = 1  # polls after a lift until the host has noticed it; 0 if the sensor reports it

    def __init__(
        self,
        kind: Kind,
        view: View,
        model: TouchModel,
        connection: Connection,
        link: Path,
        **options: Unpack[RigOptions],
    ) -> None:
        super().__init__(model, connection, link, **options)
        self.kind = kind
        self.view = view
        self.image: Grey | None = None  # the image of the finger that was loaded last
        self._model = model
        self._finger = ""

    @property
    def title(self) -> str:
        """What the sensor is, for people."""
        return self.kind.title

    @abstractmethod
    def show(self, image: Grey) -> None:
        """Press an image u8[view.height, view.width] on the sensor, ridges dark."""

    @abstractmethod
    def polls(self) -> int:
        """How often the host has asked for a finger."""

    def handlers(self) -> dict[str, Callable[..., Answer | None]]:
        """The requests that the control socket accepts."""
        return {"press": self.press, "load": self.load, "lift": self.lift, **super().handlers()}

    def load(self, **shown: Unpack[Shown]) -> Answer:
        """Choose the finger of the next press. If a finger is on the sensor, it changes immediately."""
        self.image, self._finger = render(shown, self.view), describe(shown)
        if self._model.finger_on:
            self.show(self.image)
        self._report(f"next finger: {self._finger}")
        return {"finger": self._finger}

    def press(self, **shown: Unpack[Shown]) -> Answer:
        """Press the finger described, or the one loaded last."""
        if shown:
            self.load(**shown)
        if self.image is None:
            raise ValueError("no finger is loaded: give --image FILE or --person SEED")
        self.show(self.image)
        self._report("finger on the sensor")
        return {"finger": self._finger}

    def lift(self) -> Answer:
        """Remove the finger, unless the fault `stuck` keeps it."""
        self._model.lift()
        self._report("finger stays (fault stuck)" if self._model.finger_on else "finger lifted")
        return {"finger_on": self._model.finger_on}

    def wait_until_lift_noticed(self, within: float) -> bool:
        """After a lift: wait until the host has noticed it. To a host that has not, the next finger is the same one."""
        enough = self.polls() + self.polls_to_notice
        return wait_until(lambda: self.polls() >= enough, within)

    def presented(self) -> Answer:
        """The size of the image and the finger on the sensor."""
        return {
            "size": f"{self.view.width}x{self.view.height}",
            "ppi": self.view.ppi,
            "finger_on": self._model.finger_on,
            "finger": self._finger,
        }
