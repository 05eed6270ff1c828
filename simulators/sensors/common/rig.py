"""SensorRig: a simulated sensor ready for use, with its device model, its cable and its control socket."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypedDict, Unpack

from simulators.transports.faults import Value
from simulators.transports.remote import Answer, RemoteControl, control_path


class PendingFaults(Protocol):
    """The faults of a device."""

    def pending(self) -> dict[str, int]:
        """Name and remaining times of each pending fault."""

    @property
    def has(self) -> tuple[str, ...]:
        """Names of the faults that the device supports."""


class DeviceModel(Protocol):
    """The simulated device."""

    @property
    def faults(self) -> PendingFaults:
        """The faults of the device."""

    def inject(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Add a pending fault."""

    def clear_faults(self) -> None:
        """Remove all pending faults."""


class Connection(Protocol):
    """Serves the device to a host while its context lasts: a pseudo-terminal or a USB/IP server."""

    @property
    def unplugged(self) -> threading.Event:
        """Set while the cable is unplugged."""

    def __enter__(self) -> object:
        """Plug the device in."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None:
        """Remove the device."""

    def unplug_after(self, count: int) -> None:
        """Unplug the cable after `count` more bytes to the host."""

    def replug(self) -> None:
        """Plug the cable in again."""


class RigOptions(TypedDict, total=False):
    """Options of every rig."""

    control: Path | None  # the control socket; LINK.control if not given
    report: Callable[[str], None]  # receives one line per event


class SensorRig(ABC):
    """One simulated sensor and its control socket, while the context lasts.

    `link` is the path that commands use for this sensor: the port of a serial sensor, otherwise only a name.
    """

    def __init__(self, model: DeviceModel, connection: Connection, link: Path, **options: Unpack[RigOptions]) -> None:
        self.link = link
        self.control = options.get("control") or control_path(link)
        self._device = model
        self._connection = connection
        self._report: Callable[[str], None] = options.get("report") or (lambda _line: None)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        """Start every part; `stack` stops them in reverse order."""
        stack.enter_context(RemoteControl(self.control, self.handlers()))  # first: it refuses a second sensor
        stack.enter_context(self._connection)

    @property
    @abstractmethod
    def title(self) -> str:
        """What the sensor is, for people."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL that a driver opens."""

    @abstractmethod
    def presented(self) -> Answer:
        """The part of status() about what is on or in front of the sensor: JSON types only."""

    @abstractmethod
    def facts(self) -> Answer:
        """The part of status() that only this kind of sensor has, such as its counters: JSON types only."""

    @property
    def unplugged(self) -> threading.Event:
        """Set while the cable is unplugged."""
        return self._connection.unplugged

    @property
    def alive(self) -> bool:
        """False once a bug has ended the thread that serves the device."""
        return getattr(self._connection, "died_of", None) is None

    def handlers(self) -> dict[str, Callable[..., Answer | None]]:
        """The requests that the control socket accepts."""
        return {
            "fault": self._fault,
            "faults": lambda: {"has": self._device.faults.has},
            "clear": self.clear,
            "unplug": self.unplug,
            "replug": self.replug,
            "status": self.status,
        }

    def fault(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Inject a fault, `unplug` included."""
        self._device.inject(name, times=times, **params)
        self._report(f"fault {name} pending")

    def _fault(self, name: str, times: int | None = None, params: dict[str, Value] | None = None) -> None:
        self.fault(name, times=times, **(params or {}))

    def clear(self) -> None:
        """Remove all pending faults."""
        self._device.clear_faults()
        self._report("faults cleared")

    def unplug(self, after: int = 0) -> None:
        """Unplug the cable, immediately or after `after` more bytes to the host."""
        self._connection.unplug_after(after)

    def replug(self) -> None:
        """Plug the cable in again."""
        self._connection.replug()

    def status(self) -> Answer:
        """What the sensor is, what is on it, its pending faults and its counters: JSON types only."""
        return {
            "sensor": self.title,
            "link": str(self.link),
            "url": self.url,
            "plugged": not self.unplugged.is_set(),
            **self.presented(),
            "faults": self._device.faults.pending(),
            **self.facts(),
        }
