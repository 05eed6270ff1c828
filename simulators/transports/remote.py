"""Press, lift and disturb a running simulated sensor from another process: one JSON line asked, one answered.

SensorRemote is the caller's side, RemoteControl the sensor's. A picture goes by its path, a synthetic person by seed.
"""

import json
import os
import selectors
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

DEFAULT_LINK = Path("/tmp/kiosk-ef01")  # noqa: S108 - a link that the technician knows, not a file with contents
LINK_VARIABLE = "KIOSK_SIM_LINK"
TOUCH = ("ef01", "sfm", "nb1010", "uru4000")
SENSORS_FOR = {"press": TOUCH, "load": TOUCH, "lift": TOUCH, "look": ("uvc",), "away": ("uvc",)}  # else any
ANSWER_S = 10.0  # making a synthetic impression takes a second or so
LONGEST_LINE = 65536
LONGEST_PATH = 107  # bytes of a Unix socket's path

Answer = dict[str, Any]
Handlers = Mapping[str, Callable[..., Answer | None]]


class Shown(TypedDict, total=False):
    """Which finger is shown: either `image` or `person` is given."""

    image: Path
    source_ppi: float  # of the picture file; 500 unless given
    person: int  # seed of a synthetic person
    finger: str  # of that person; right_index unless given
    impression: int  # which touch of that finger; 0 unless given
    condition: str  # of the skin (simulators.people.person.Condition); what people usually have unless given


class RemoteError(Exception):
    """The sensor is not there or refuses. The message says what to do."""


def default_link() -> Path:
    """The link that commands use when none is named: $KIOSK_SIM_LINK, else /tmp/kiosk-ef01."""
    return Path(os.environ.get(LINK_VARIABLE) or DEFAULT_LINK)


def control_path(link: Path) -> Path:
    """Where the sensor at `link` takes orders."""
    return link.with_name(link.name + ".control")


class SensorRemote:
    """Orders to the simulated sensor at `link`. Every method raises RemoteError when it is not there or refuses."""

    def __init__(self, link: Path | None = None, *, control: Path | None = None) -> None:
        self.link = default_link() if link is None else link
        self.control = control_path(self.link) if control is None else control

    def press(self, **shown: Unpack[Shown]) -> Answer:
        """Lay a finger on: of a picture file, of a synthetic person, or (nothing named) the one shown last."""
        return self.ask("press", **_absolute(shown))

    def load(self, **shown: Unpack[Shown]) -> Answer:
        """Choose the finger of the next press without pressing; one that is on the sensor changes at once."""
        return self.ask("load", **_absolute(shown))

    def lift(self) -> Answer:
        """Take the finger away."""
        return self.ask("lift")

    def fault(self, name: str, *, times: int | None = None, **params: str | float) -> Answer:
        """Inject a fault of simulators.transports.faults."""
        return self.ask("fault", name=name, times=times, params=params)

    def faults(self) -> list[str]:
        """Names of the faults that this sensor can be injected with."""
        has: list[str] = self.ask("faults")["has"]
        return has

    def clear(self) -> Answer:
        """Forget all waiting faults."""
        return self.ask("clear")

    def unplug(self, after: int = 0) -> Answer:
        """Pull the cable, at once or after so many more bytes."""
        return self.ask("unplug", after=after)

    def replug(self) -> Answer:
        """Put the cable back."""
        return self.ask("replug")

    def status(self) -> Answer:
        """What the sensor is, what is on it, and what it has counted."""
        return self.ask("status")

    def ask(self, do: str, **details: object) -> Answer:
        """One request, one answer without its "ok"."""
        answer = self._exchange(do, json.dumps({"do": do, **details}).encode() + b"\n")
        if not answer.pop("ok", False):
            raise RemoteError(str(answer.get("error", "the sensor refused without a reason")))
        return answer

    def _exchange(self, do: str, request: bytes) -> Answer:
        try:
            with socket.socket(socket.AF_UNIX) as wire:
                wire.settimeout(ANSWER_S)
                wire.connect(str(self.control))
                wire.sendall(request)
                line = _read_line(wire)
        except (FileNotFoundError, ConnectionRefusedError):
            raise RemoteError(_nobody_there(do, self.link, self.control)) from None
        except TimeoutError:
            raise RemoteError(f"the sensor at {self.link} did not answer within {ANSWER_S:g} s: restart it") from None
        except OSError as error:
            raise RemoteError(
                f"{self.control} cannot be used ({error.strerror or error}): check its owner and --link"
            ) from None
        if not line:
            raise RemoteError(f"the sensor at {self.link} stopped while it was asked: start it again")
        parsed: Answer = json.loads(line)
        return parsed


def _read_line(wire: socket.socket) -> bytes:
    with wire.makefile("rb") as lines:
        return lines.readline(LONGEST_LINE)


def _nobody_there(do: str, link: Path, control: Path) -> str:
    first, *others = SENSORS_FOR.get(do, (*TOUCH, "uvc"))
    choice = f"   (or {', '.join(others)} in place of {first})" if others else ""
    return (
        f"no simulated sensor answers at {control}.\n"
        f"Start one in another terminal:  kiosk-sim {first} --link {link}{choice}\n"
        f"or name the one that runs:      --link PATH   (or set {LINK_VARIABLE}=PATH)"
    )


def _absolute(shown: Shown) -> dict[str, object]:
    """The same for JSON; the path is made absolute, for the sensor may run in another folder."""
    return {**shown, "image": str(shown["image"].absolute())} if "image" in shown else {**shown}


class RemoteControl:
    """The sensor's end: serves `handlers` at a Unix socket while the context lasts, one short connection a request.

    A handler gets the request's details as keywords; what it raises goes to the caller as the reason.
    """

    def __init__(self, path: Path, handlers: Handlers) -> None:
        self._path = path
        self._handlers = handlers
        self._wake_read, self._wake_write = -1, -1

    def __enter__(self) -> Self:
        self._listener = self._listen()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, name=f"control {self._path.name}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._wake_write)
        self._thread.join()
        os.close(self._wake_read)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _listen(self) -> socket.socket:
        """Bind the socket. One that a killed sensor left behind is replaced; one that answers is not."""
        if len(os.fsencode(self._path)) > LONGEST_PATH:
            raise ValueError(f"{self._path} is too long: a socket's path has at most {LONGEST_PATH} bytes")
        listener = socket.socket(socket.AF_UNIX)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._remove_dead()
            listener.bind(str(self._path))
            self._path.chmod(0o600)
            listener.listen()
        except BaseException:
            listener.close()
            raise
        return listener

    def _remove_dead(self) -> None:
        if not self._path.is_socket():
            return
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self._path)) == 0:
                raise FileExistsError(f"a simulated sensor already runs at {self._path}: stop it or choose --link")
        self._path.unlink()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while self._wake_read not in (ready := [key.fd for key, _ in selector.select()]):
                if self._listener.fileno() in ready:
                    connection, _ = self._listener.accept()
                    with connection, suppress(OSError):
                        connection.settimeout(1.0)
                        connection.sendall(json.dumps(self._answer(connection)).encode() + b"\n")

    def _answer(self, connection: socket.socket) -> Answer:
        try:
            request = json.loads(_read_line(connection))
            handler = self._handlers.get(request.pop("do", None))
            if handler is None:
                raise ValueError(f"orders are {', '.join(self._handlers)}")  # noqa: TRY301 - one road for refusals
            return {"ok": True, **(handler(**request) or {})}
        except Exception as error:  # noqa: BLE001 - whatever was asked, the sensor goes on and says why not
            return {"ok": False, "error": str(error) or type(error).__name__}
