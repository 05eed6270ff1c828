"""A simulated touch sensor ready for use: the device, its wire, a control socket and the finger to be pressed."""

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, Unpack

from drivers.sample import Modality, Position
from simulators.images import Grey, load_image
from simulators.polling import wait_until
from simulators.transports.faults import Value
from simulators.transports.remote import Answer, RemoteControl, Shown, control_path

FINGER_NAMES = tuple(position.value for position in Position if position.modality is Modality.FINGER)


@dataclass(frozen=True, slots=True)
class View:
    """What the sensor sees: pixels and pixels per inch."""

    width: int
    height: int
    ppi: float


class Waiting(Protocol):
    """The faults of a device."""

    def waiting(self) -> dict[str, int]:
        """Name and remaining times of what waits."""

    @property
    def has(self) -> tuple[str, ...]:
        """Names of those that the device can carry out."""


class TouchModel(Protocol):
    """The device behind the wire."""

    @property
    def faults(self) -> Waiting:
        """The faults that it has."""

    @property
    def finger_on(self) -> bool:
        """Whether the device feels a finger."""

    def lift(self) -> None:
        """Take the finger away."""

    def inject(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Let a fault wait."""

    def clear_faults(self) -> None:
        """Forget all waiting faults."""


class Wire(Protocol):
    """What serves the device to a host while its context lasts: a pseudo-terminal, a USB/IP server."""

    @property
    def unplugged(self) -> threading.Event:
        """Set while the cable is out."""

    def __enter__(self) -> object:
        """Plug it in."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None:
        """Take it away."""

    def unplug_after(self, count: int) -> None:
        """Pull the cable after so many more bytes to the host."""

    def replug(self) -> None:
        """Put it back."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How an agent reaches a sensor, and what to call it."""

    title: str
    driver: str
    options: Mapping[str, str | int | float]


def render(shown: Shown, view: View) -> Grey:
    """The picture u8[height, width] that the sensor sees. ValueError (ImageFileError) says what is wrong."""
    if unknown := set(shown) - set(Shown.__annotations__):
        raise ValueError(f"a finger has no {', '.join(sorted(unknown))}; it has {', '.join(Shown.__annotations__)}")
    if ("image" in shown) == ("person" in shown):
        raise ValueError("a finger is of an image file or of a person: give one of the two")
    if "image" in shown:
        source_ppi = shown.get("source_ppi", 500)
        return load_image(Path(shown["image"]), view.width, view.height, view.ppi, source_ppi)
    from simulators.people.person import Condition, Person  # noqa: PLC0415 - a sensor that shows files needs no people

    asked = shown.get("condition")
    if asked is not None and asked not in tuple(Condition):
        raise ValueError(f"there is no condition {asked!r}; choose one of {', '.join(Condition)}")
    condition = None if asked is None else Condition(asked)
    finger = Person(shown["person"]).finger(_position(shown))
    return finger.impression(shown.get("impression", 0), view.width, view.height, view.ppi, condition)


def describe(shown: Shown) -> str:
    """The finger in words."""
    if "image" in shown:
        return str(shown["image"])
    skin = f", {shown['condition']}" if "condition" in shown else ""
    return f"person {shown['person']}, {_position(shown)}, impression {shown.get('impression', 0)}{skin}"


def _position(shown: Shown) -> Position:
    name = shown.get("finger", Position.RIGHT_INDEX)
    if name not in FINGER_NAMES:
        raise ValueError(f"there is no finger {name!r}; choose one of {', '.join(FINGER_NAMES)}")
    return Position(name)


class TouchRig:
    """One simulated sensor and its control socket, while the context lasts. `say` hears what happens.

    `link` names it for a technician: a serial sensor's port; the control socket stands beside it unless told otherwise.
    A subclass gives `url`, show(), looks() and facts().
    """

    looks_to_notice = 1  # looks after a lift until the host knows of it; 0: the sensor tells it

    def __init__(
        self,
        kind: Kind,
        view: View,
        model: TouchModel,
        wire: Wire,
        link: Path,
        *,
        control: Path | None = None,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.kind = kind
        self.view = view
        self.link = link
        self.control = control_path(link) if control is None else control
        self._model = model
        self._wire = wire
        self._say = say
        self.picture: Grey | None = None  # of the finger that was loaded last
        self._finger = ""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(RemoteControl(self.control, self._handlers()))  # first: it refuses a second sensor
            stack.enter_context(self._wire)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Where the driver finds it."""
        raise NotImplementedError

    @property
    def unplugged(self) -> threading.Event:
        """Set while the cable is out."""
        return self._wire.unplugged

    @property
    def alive(self) -> bool:
        """False once a bug has ended the thread that serves it."""
        return getattr(self._wire, "died_of", None) is None

    def show(self, image: Grey) -> None:
        """Lay a picture u8[view.height, view.width] on the sensor, ridges dark."""
        raise NotImplementedError

    def looks(self) -> int:
        """How often the host has looked for a finger."""
        raise NotImplementedError

    def facts(self) -> Answer:
        """What only this kind of sensor has to say in status(): JSON types only."""
        raise NotImplementedError

    def _handlers(self) -> dict[str, Callable[..., Answer | None]]:
        return {
            "press": self.press,
            "load": self.load,
            "lift": self.lift,
            "fault": self._fault,
            "faults": lambda: {"has": self._model.faults.has},
            "clear": self.clear,
            "unplug": self.unplug,
            "replug": self.replug,
            "status": self.status,
        }

    def load(self, **shown: Unpack[Shown]) -> Answer:
        """Choose the finger of the next press; one that is on the sensor changes at once."""
        self.picture, self._finger = render(shown, self.view), describe(shown)
        if self._model.finger_on:
            self.show(self.picture)
        self._say(f"next finger: {self._finger}")
        return {"finger": self._finger}

    def press(self, **shown: Unpack[Shown]) -> Answer:
        """Lay down the finger described, or the one loaded last."""
        if shown:
            self.load(**shown)
        if self.picture is None:
            raise ValueError("no finger is loaded: give --image FILE or --person SEED")
        self.show(self.picture)
        self._say("finger on the sensor")
        return {"finger": self._finger}

    def lift(self) -> Answer:
        """Take the finger away, unless the fault `stuck` keeps it."""
        self._model.lift()
        self._say("finger stays (fault stuck)" if self._model.finger_on else "finger lifted")
        return {"finger_on": self._model.finger_on}

    def await_notice(self, within: float) -> bool:
        """After a lift: wait until the host must know of it; a finger that came before would be the same one to it."""
        enough = self.looks() + self.looks_to_notice
        return wait_until(lambda: self.looks() >= enough, within)

    def fault(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Inject a fault, those of the plug included."""
        self._model.inject(name, times=times, **params)
        self._say(f"fault {name} waits")

    def _fault(self, name: str, times: int | None = None, params: dict[str, Value] | None = None) -> None:
        self.fault(name, times=times, **(params or {}))

    def clear(self) -> None:
        """Forget all waiting faults."""
        self._model.clear_faults()
        self._say("faults cleared")

    def unplug(self, after: int = 0) -> None:
        """Pull the cable, at once or after so many more bytes."""
        self._wire.unplug_after(after)

    def replug(self) -> None:
        """Put the cable back."""
        self._wire.replug()

    def status(self) -> Answer:
        """What the sensor is, what is on it and what it has counted: JSON types only."""
        return {
            "sensor": self.kind.title,
            "link": str(self.link),
            "url": self.url,
            "plugged": not self._wire.unplugged.is_set(),
            "size": f"{self.view.width}x{self.view.height}",
            "ppi": self.view.ppi,
            "finger_on": self._model.finger_on,
            "finger": self._finger,
            "faults": self._model.faults.waiting(),
            **self.facts(),
        }
