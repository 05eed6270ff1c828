"""Plays a recording of drivers/recordings/recording.py back to the driver that made it: a device for a test.

player = Player(Path("recording").read_text(encoding="utf-8").splitlines())
sensor = player.sensor()
sensor.open()
sample = sensor.capture(timeout=20)      # takes no time and needs no device
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, fields
from inspect import signature
from typing import Any
from urllib.parse import unquote

from drivers import sensor_class
from drivers.errors import ProtocolError, TransferTimeout
from drivers.options import split_mounting
from drivers.recordings.recording import ERRORS, TITLE, Line, control_in_call, control_out_call
from drivers.sensor import Sensor, mounted
from drivers.usb.link import CONTROL_TIMEOUT_S, Inbox, PendingRead, UsbIdentity


class Player:
    """Plays one recording to a driver. Its clock shows the time of the current line of the recording.

    ProtocolError if the driver makes another call than the recorded one. Only the number of polls without a result may
    differ.
    """

    def __init__(self, text: Iterable[str]) -> None:
        lines = [line.rstrip("\n") for line in text]
        if not lines or lines[0] != TITLE:
            raise ValueError(f"not a recording of this version: the first line must be {TITLE!r}")
        heads = [line.split(" ", 1) for line in lines[1:] if not line[:1].isdigit()]
        named = {head[0]: head[-1] for head in heads}
        if not {"driver", "url"} <= set(named):
            raise ValueError("the recording is not complete: the line `driver` or `url` is missing")
        self.driver, self.url = named["driver"], named["url"]
        self.options = dict(head[-1].split("=", 1) for head in heads if head[0] == "option")
        self._lines = deque(Line.parse(line) for line in lines[1:] if line[:1].isdigit())
        self._now = 0.0

    def sensor(self) -> Sensor:
        """Creates the recorded driver, with the recording as its device. ValueError if there is no such driver."""
        make = sensor_class(self.driver)
        mounting, options = split_mounting(self.driver, self.options)
        clock = {"clock": self.now} if "clock" in signature(make).parameters else {}
        return mounted(make(self.url, options, connect=self.connect, **clock), mounting)

    def connect(self, *_: object) -> Any:  # noqa: ANN401 - a Transport or a UsbLink, whichever was recorded
        """Returns the transport or link that was opened next. A driver takes this as `connect`.

        LinkLost if the recorded device could not be opened.
        """
        self.answer("open")
        on_usb = bool(self._lines) and self._lines[0].call.startswith("identity ")
        return self._link() if on_usb else PlayedTransport(self)

    def now(self) -> float:
        """The time of the recording."""
        return self._now

    @property
    def remaining(self) -> int:
        """The number of lines that have not been played."""
        return len(self._lines)

    def answer(self, call: str) -> bytes | None:
        """Returns the recorded answer of `call`, or raises its recorded error."""
        while self._lines and self._lines[0].call != call and _is_empty_poll(self._lines[0]):
            self._play()
        if not self._lines or self._lines[0].call != call:
            if _polls(call):
                return None  # one poll more than recorded
            there = self._lines[0].call[:60] if self._lines else "the end"
            raise ProtocolError(f"recording: the driver calls {call[:60]!r}, the recording has {there!r}")
        line = self._play()
        if line.error:
            raise ERRORS[line.error](f"recorded {line.error} of {call[:60]!r}")
        return None if line.answer == "-" else bytes.fromhex(line.answer)

    def advance_to(self, moment: float) -> None:
        """Sets the clock forward without playing a line."""
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
    """A Transport that plays a recording."""

    player: Player

    def read(self, timeout: float) -> bytes:
        """Returns what was read in the recording."""
        answer = self.player.answer("read")
        if not answer:
            self.player.advance_to(self.player.now() + timeout)
        return answer or b""

    def write(self, data: bytes) -> None:
        """ProtocolError if something else was written in the recording."""
        self.player.answer(f"write {data.hex()}")

    def set_baud(self, baud: int) -> None:
        """ProtocolError if the rate was not changed here in the recording."""
        self.player.answer(f"baud {baud}")

    def cancel(self) -> None:
        """Does nothing: a recording never waits."""

    def close(self) -> None:
        """Does nothing: there is no device to release."""


@dataclass(frozen=True, slots=True)
class _PlayedRead:
    player: Player
    endpoint: int

    def result(self, timeout: float) -> bytes:
        del timeout
        return self.player.answer(f"result {self.endpoint:02x}") or b""

    def abandon(self) -> None:
        """Does nothing: no transfer is in flight."""


@dataclass(frozen=True, slots=True)
class _PlayedInbox:
    player: Player
    endpoint: int

    def next(self, timeout: float) -> bytes | None:
        message = self.player.answer(f"next {self.endpoint:02x}")
        if message is None:
            self.player.advance_to(self.player.now() + timeout)
        return message

    def close(self) -> None:
        """Does nothing: no read is pending."""


@dataclass(slots=True)
class PlayedLink:
    """A UsbLink that plays a recording."""

    player: Player
    identity: UsbIdentity
    configuration: bytes

    def now(self) -> float:
        """The time of the recording."""
        return self.player.now()

    def pause(self, seconds: float) -> None:
        """Sets the clock forward; takes no real time."""
        self.player.advance_to(self.player.now() + seconds)

    def control_in(
        self, request_type: int, request: int, value: int, index: int, length: int, timeout: float = CONTROL_TIMEOUT_S
    ) -> bytes:
        """Returns the recorded answer."""
        del timeout
        return self.player.answer(control_in_call(request_type, request, value, index, length)) or b""

    def control_out(
        self,
        request_type: int,
        request: int,
        value: int,
        index: int,
        data: bytes = b"",
        timeout: float = CONTROL_TIMEOUT_S,
    ) -> None:
        """ProtocolError if something else was sent in the recording."""
        del timeout
        self.player.answer(control_out_call(request_type, request, value, index, data))

    def read(self, endpoint: int, size: int, timeout: float) -> bytes:
        """Returns what was read in the recording."""
        answer = self.player.answer(f"read {endpoint:02x} {size}")
        if answer is None:
            self.player.advance_to(self.player.now() + timeout)
            raise TransferTimeout("recording: nothing came")
        return answer

    def write(self, endpoint: int, data: bytes, timeout: float) -> None:
        """ProtocolError if something else was written in the recording."""
        del timeout
        self.player.answer(f"write {endpoint:02x} {data.hex()}")

    def begin_read(self, endpoint: int, size: int, timeout: float) -> PendingRead:
        """As in the recording."""
        del timeout
        self.player.answer(f"begin_read {endpoint:02x} {size}")
        return _PlayedRead(self.player, endpoint)

    def listen(self, endpoint: int, size: int) -> Inbox:
        """As in the recording."""
        self.player.answer(f"listen {endpoint:02x} {size}")
        return _PlayedInbox(self.player, endpoint)

    def claim(self, interface: int) -> None:
        """As in the recording."""
        self.player.answer(f"claim {interface}")

    def clear_halt(self, endpoint: int) -> None:
        """As in the recording."""
        self.player.answer(f"clear_halt {endpoint:02x}")

    def cancel(self) -> None:
        """Does nothing: a recording never waits."""

    def close(self) -> None:
        """Does nothing: there is no device to release."""
