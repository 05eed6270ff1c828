"""A simulated EF01 sensor ready for use: module, pseudo-terminal, control socket and the finger to be pressed."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from drivers.sample import Modality, Position
from simulators.ef01 import Ef01Module, Ef01Settings
from simulators.faults import Value
from simulators.images import Grey, load_image
from simulators.pty import PtyServer
from simulators.remote import Answer, RemoteControl, Shown, control_path

FINGER_NAMES = tuple(position.value for position in Position if position.modality is Modality.FINGER)


def render(shown: Shown, settings: Ef01Settings) -> Grey:
    """The picture u8[height, width] that the sensor sees. ValueError (ImageFileError) says what is wrong."""
    if unknown := set(shown) - set(Shown.__annotations__):
        raise ValueError(f"a finger has no {', '.join(sorted(unknown))}; it has {', '.join(Shown.__annotations__)}")
    if ("image" in shown) == ("person" in shown):
        raise ValueError("a finger is of an image file or of a person: give one of the two")
    if "image" in shown:
        source_ppi = shown.get("source_ppi", 500)
        return load_image(Path(shown["image"]), settings.width, settings.height, settings.ppi, source_ppi)
    from simulators.people import Condition, Person  # noqa: PLC0415 - a sensor that shows files needs no people

    asked = shown.get("condition")
    if asked is not None and asked not in tuple(Condition):
        raise ValueError(f"there is no condition {asked!r}; choose one of {', '.join(Condition)}")
    condition = None if asked is None else Condition(asked)
    finger = Person(shown["person"]).finger(_position(shown))
    return finger.impression(shown.get("impression", 0), settings.width, settings.height, settings.ppi, condition)


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


class Ef01Rig:
    """One simulated sensor at `link`, and its control socket, while the context lasts. `say` hears what happens."""

    def __init__(
        self,
        settings: Ef01Settings,
        link: Path,
        *,
        pace: bool = False,
        control: Path | None = None,
        seed: int = 0,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.settings = settings
        self.module = Ef01Module(settings, seed)
        self.server = PtyServer(self.module, link, pace=pace)
        self.control = control_path(link) if control is None else control
        self._say = say
        self._finger = ""
        self._picture: Grey | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(RemoteControl(self.control, self._handlers()))  # first: it refuses a second sensor
            stack.enter_context(self.server)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _handlers(self) -> dict[str, Callable[..., Answer | None]]:
        return {
            "press": self.press,
            "load": self.load,
            "lift": self.lift,
            "fault": self._fault,
            "clear": self.clear,
            "unplug": self.unplug,
            "replug": self.replug,
            "status": self.status,
        }

    def load(self, **shown: Unpack[Shown]) -> Answer:
        """Choose the finger of the next press; one that is on the sensor changes at once."""
        self._picture, self._finger = render(shown, self.settings), describe(shown)
        if self.module.finger_on:
            self.module.press(self._picture)
        self._say(f"next finger: {self._finger}")
        return {"finger": self._finger}

    def press(self, **shown: Unpack[Shown]) -> Answer:
        """Lay down the finger described, or the one loaded last."""
        if shown:
            self.load(**shown)
        if self._picture is None:
            raise ValueError("no finger is loaded: give --image FILE or --person SEED")
        self.module.press(self._picture)
        self._say("finger on the sensor")
        return {"finger": self._finger}

    def lift(self) -> Answer:
        """Take the finger away, unless the fault `stuck` keeps it."""
        self.module.lift()
        self._say("finger stays (fault stuck)" if self.module.finger_on else "finger lifted")
        return {"finger_on": self.module.finger_on}

    def fault(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Inject a fault, those of the plug included."""
        self.module.inject(name, times=times, **params)
        self._say(f"fault {name} waits")

    def _fault(self, name: str, times: int | None = None, params: dict[str, Value] | None = None) -> None:
        self.fault(name, times=times, **(params or {}))

    def clear(self) -> None:
        """Forget all waiting faults."""
        self.module.clear_faults()
        self._say("faults cleared")

    def unplug(self, after: int = 0) -> None:
        """Pull the cable, at once or after so many more bytes."""
        self.server.unplug_after(after)

    def replug(self) -> None:
        """Put the cable back."""
        self.server.replug()

    def status(self) -> Answer:
        """What the sensor is, what is on it and what it has counted: JSON types only."""
        counters = self.module.counters()
        return {
            "link": str(self.server.link),
            "plugged": not self.server.unplugged.is_set(),
            "size": f"{self.settings.width}x{self.settings.height}",
            "ppi": self.settings.ppi,
            "baud": self.module.baud,
            "packet_size": self.module.packet_size,
            "finger_on": self.module.finger_on,
            "finger": self._finger,
            "faults": self.module.faults.waiting(),
            "images_taken": counters.images_taken,
            "images_sent": counters.images_sent,
            "bytes_sent": self.server.bytes_sent,
            "commands": dict(counters.commands),
        }
