"""A recording of drivers/recording.py, played back to the driver that it was made with: a device for a test.

player = Player(Path("recording").read_text(encoding="utf-8").splitlines())
sensor = player.sensor()
sensor.open()
sample = sensor.capture(timeout=20)      # takes no time, and needs no device
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, fields
from inspect import signature
from typing import Any
from urllib.parse import unquote

from drivers import sensor_class
from drivers.errors import ProtocolError, TransferTimeout
from drivers.recording import ERRORS, TITLE, Line, control_in_call, control_out_call
from drivers.sensor import Sensor
from drivers.usb.link import CONTROL_TIMEOUT_S, Inbox, PendingRead, UsbIdentity


class Player:
    """Plays one recording to a driver. Its clock stands where the recording stands.

    ProtocolError when the driver says anything else than the recorded one did. Polls that brought nothing may be more
    or fewer than recorded.
    """

    def __init__(self, text: Iterable[str]) -> None:
        lines = [line.rstrip("\n") for line in text]
        if not lines or lines[0] != TITLE:
            raise ValueError(f"not a recording of this version: it does not begin with {TITLE!r}")
        heads = [line.split(" ", 1) for line in lines[1:] if not line[:1].isdigit()]
        named = {head[0]: head[-1] for head in heads}
        if not {"driver", "url"} <= set(named):
            raise ValueError("not a whole recording: it does not say which driver was where")
        self.driver, self.url = named["driver"], named["url"]
        self.options = dict(head[-1].split("=", 1) for head in heads if head[0] == "option")
        self._lines = deque(Line.parse(line) for line in lines[1:] if line[:1].isdigit())
        self._now = 0.0

    def sensor(self) -> Sensor:
        """The driver that was recorded, with the recording for a device. ValueError: there is no such driver."""
        make = sensor_class(self.driver)
        clock = {"clock": self.now} if "clock" in signature(make).parameters else {}
        return make(self.url, self.options, connect=self.connect, **clock)

    def connect(self, *_: object) -> Any:  # noqa: ANN401 - a Transport or a UsbLink, as the driver's URL wants it
        """The next end that was opened: what a driver takes as `connect`. LinkLost where it could not be opened."""
        self.answer("open")
        on_usb = bool(self._lines) and self._lines[0].call.startswith("identity ")
        return self._link() if on_usb else PlayedTransport(self)

    def now(self) -> float:
        """The time of the recording."""
        return self._now

    @property
    def left(self) -> int:
        """How many lines have not been played."""
        return len(self._lines)

    def answer(self, call: str) -> bytes | None:
        """What the recorded call of this form brought; the recorded error where it had one."""
        while self._lines and self._lines[0].call != call and _is_empty_poll(self._lines[0]):
            self._play()
        if not self._lines or self._lines[0].call != call:
            if _polls(call):
                return None  # a poll more than recorded
            there = self._lines[0].call[:60] if self._lines else "the end"
            raise ProtocolError(f"recording: the driver does {call[:60]!r}, the recording has {there!r}")
        line = self._play()
        if line.error:
            raise ERRORS[line.error](f"recorded {line.error} of {call[:60]!r}")
        return None if line.answer == "-" else bytes.fromhex(line.answer)

    def until(self, moment: float) -> None:
        """Let time pass; what was recorded stays where it is."""
        self._now = max(self._now, moment)

    def _play(self) -> Line:
        line = self._lines.popleft()
        self._now = max(self._now, line.at)
        return line

    def _link(self) -> "PlayedLink":
        values = dict(pair.split("=", 1) for pair in self._play().call.split(" ")[1:])
        kinds = {field.name: int if field.type in (int, "int") else unquote for field in fields(UsbIdentity)}
        found = UsbIdentity(**{name: kinds[name](value) for name, value in values.items()})  # type: ignore[arg-type]
        return PlayedLink(self, found, self.answer("configuration") or b"")


def _polls(call: str) -> bool:
    return call.split(" ", 1)[0] in ("read", "next")


def _is_empty_poll(line: Line) -> bool:
    return _polls(line.call) and (line.answer in ("", "-") and line.error in ("", "TransferTimeout"))


@dataclass(frozen=True, slots=True)
class PlayedTransport:
    """A Transport out of a recording."""

    by: Player

    def read(self, timeout: float) -> bytes:
        """What was read then."""
        answer = self.by.answer("read")
        if not answer:
            self.by.until(self.by.now() + timeout)
        return answer or b""

    def write(self, data: bytes) -> None:
        """Must be what was written then."""
        self.by.answer(f"write {data.hex()}")

    def cancel(self) -> None:
        """A recording is never waited for."""

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(frozen=True, slots=True)
class _PlayedRead:
    by: Player
    endpoint: int

    def result(self, timeout: float) -> bytes:
        del timeout
        return self.by.answer(f"result {self.endpoint:02x}") or b""

    def abandon(self) -> None:
        """Nothing is in flight."""


@dataclass(frozen=True, slots=True)
class _PlayedInbox:
    by: Player
    endpoint: int

    def next(self, timeout: float) -> bytes | None:
        message = self.by.answer(f"next {self.endpoint:02x}")
        if message is None:
            self.by.until(self.by.now() + timeout)
        return message

    def close(self) -> None:
        """Nothing is pending."""


@dataclass(slots=True)
class PlayedLink:
    """A UsbLink out of a recording."""

    by: Player
    identity: UsbIdentity
    configuration: bytes

    def now(self) -> float:
        """The time of the recording."""
        return self.by.now()

    def pause(self, seconds: float) -> None:
        """Takes no time of ours."""
        self.by.until(self.by.now() + seconds)

    def control_in(
        self, request_type: int, request: int, value: int, index: int, length: int, timeout: float = CONTROL_TIMEOUT_S
    ) -> bytes:
        """What was answered then."""
        del timeout
        return self.by.answer(control_in_call(request_type, request, value, index, length)) or b""

    def control_out(
        self,
        request_type: int,
        request: int,
        value: int,
        index: int,
        data: bytes = b"",
        timeout: float = CONTROL_TIMEOUT_S,
    ) -> None:
        """Must be what was sent then."""
        del timeout
        self.by.answer(control_out_call(request_type, request, value, index, data))

    def read(self, endpoint: int, size: int, timeout: float) -> bytes:
        """What was read then."""
        answer = self.by.answer(f"read {endpoint:02x} {size}")
        if answer is None:
            self.by.until(self.by.now() + timeout)
            raise TransferTimeout("recording: nothing came")
        return answer

    def write(self, endpoint: int, data: bytes, timeout: float) -> None:
        """Must be what was written then."""
        del timeout
        self.by.answer(f"write {endpoint:02x} {data.hex()}")

    def begin_read(self, endpoint: int, size: int, timeout: float) -> PendingRead:
        """As recorded."""
        del timeout
        self.by.answer(f"begin_read {endpoint:02x} {size}")
        return _PlayedRead(self.by, endpoint)

    def listen(self, endpoint: int, size: int) -> Inbox:
        """As recorded."""
        self.by.answer(f"listen {endpoint:02x} {size}")
        return _PlayedInbox(self.by, endpoint)

    def claim(self, interface: int) -> None:
        """As recorded."""
        self.by.answer(f"claim {interface}")

    def clear_halt(self, endpoint: int) -> None:
        """As recorded."""
        self.by.answer(f"clear_halt {endpoint:02x}")

    def cancel(self) -> None:
        """A recording is never waited for."""

    def close(self) -> None:
        """Nothing to give back."""
