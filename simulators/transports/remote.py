"""Control of a running simulated sensor from another process: press, lift, faults. One JSON line each way.

SensorRemote is the client, RemoteControl the server in the sensor. An image is given by its path, a synthetic person by
seed.
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

DEFAULT_LINK = Path("/tmp/kiosk-ef01")  # noqa: S108 - a link with a well-known name, not a file with contents
LINK_VARIABLE = "KIOSK_SIM_LINK"
TOUCH = ("ef01", "sfm", "nb1010", "uru4000")
SENSORS_FOR = {"press": TOUCH, "load": TOUCH, "lift": TOUCH, "look": ("uvc",), "away": ("uvc",)}  # else any
ANSWER_S = 10.0  # making a synthetic impression takes about a second
LONGEST_LINE = 65536
LONGEST_PATH = 107  # bytes in the path of a Unix socket

Answer = dict[str, Any]
Handlers = Mapping[str, Callable[..., Answer | None]]


class Shown(TypedDict, total=False):
    """The finger that is shown: either `image` or `person` is given."""

    image: Path
    source_ppi: float  # resolution of the image file; default: what it states, else 500
    person: int  # seed of a synthetic person
    finger: str  # which finger of that person; default right_index
    impression: int  # number of the impression of that finger; default 0
    condition: str  # a simulators.people.person.Condition; by default drawn at random, mostly normal


class RemoteError(Exception):
    """The sensor does not answer or refuses. The message says what to do."""


def default_link() -> Path:
    """The default link of commands: $KIOSK_SIM_LINK, else /tmp/kiosk-ef01."""
    return Path(os.environ.get(LINK_VARIABLE) or DEFAULT_LINK)


def control_path(link: Path) -> Path:
    """The control socket of the sensor at `link`."""
    return link.with_name(link.name + ".control")


class SensorRemote:
    """Sends requests to the simulated sensor at `link`. Every method raises RemoteError if it fails."""

    def __init__(self, link: Path | None = None, *, control: Path | None = None) -> None:
        self.link = default_link() if link is None else link
        self.control = control_path(self.link) if control is None else control

    def press(self, **shown: Unpack[Shown]) -> Answer:
        """Put a finger on the sensor: an image file, a synthetic person, or (no argument) the previous one."""
        return self.ask("press", **_absolute(shown))

    def load(self, **shown: Unpack[Shown]) -> Answer:
        """Choose the finger of the next press. If a finger is on the sensor, it is replaced immediately."""
        return self.ask("load", **_absolute(shown))

    def lift(self) -> Answer:
        """Take the finger away."""
        return self.ask("lift")

    def fault(self, name: str, *, times: int | None = None, **params: str | float) -> Answer:
        """Inject a fault of simulators.transports.faults."""
        return self.ask("fault", name=name, times=times, params=params)

    def faults(self) -> list[str]:
        """The names of the faults that this sensor supports."""
        has: list[str] = self.ask("faults")["has"]
        return has

    def clear(self) -> Answer:
        """Remove all pending faults."""
        return self.ask("clear")

    def unplug(self, after: int = 0) -> Answer:
        """Pull the cable, immediately or after this many more bytes."""
        return self.ask("unplug", after=after)

    def replug(self) -> Answer:
        """Put the cable back."""
        return self.ask("replug")

    def status(self) -> Answer:
        """The sensor's description, what is on it, and its counters."""
        return self.ask("status")

    def ask(self, do: str, **details: object) -> Answer:
        """Send one request; returns the answer without its "ok"."""
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
            raise RemoteError(_not_running(do, self.link, self.control)) from None
        except TimeoutError:
            raise RemoteError(f"the sensor at {self.link} did not answer within {ANSWER_S:g} s: restart it") from None
        except OSError as error:
            raise RemoteError(
                f"{self.control} cannot be used ({error.strerror or error}): check its owner and --link"
            ) from None
        if not line:
            raise RemoteError(f"the sensor at {self.link} stopped before it answered: start it again")
        parsed: Answer = json.loads(line)
        return parsed


def _read_line(wire: socket.socket) -> bytes:
    with wire.makefile("rb") as lines:
        return lines.readline(LONGEST_LINE)


def _not_running(do: str, link: Path, control: Path) -> str:
    first, *others = SENSORS_FOR.get(do, (*TOUCH, "uvc"))
    choice = f"   (or {', '.join(others)} in place of {first})" if others else ""
    return (
        f"no simulated sensor answers at {control}.\n"
        f"Start one in another terminal:  kiosk-sim {first} --link {link}{choice}\n"
        f"or name the running sensor:     --link PATH   (or set {LINK_VARIABLE}=PATH)"
    )


def _absolute(shown: Shown) -> dict[str, object]:
    """`shown` for JSON, with an absolute path, because the sensor may run in another folder."""
    return {**shown, "image": str(shown["image"].absolute())} if "image" in shown else {**shown}


class RemoteControl:
    """The server: calls `handlers` for requests at a Unix socket while the context lasts, one connection per request.

    A handler gets the details of the request as keywords. The client receives the text of what it raises as the reason.
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
        """Bind the socket. The socket of a killed sensor is replaced, that of a running one is not."""
        if len(os.fsencode(self._path)) > LONGEST_PATH:
            raise ValueError(f"{self._path} is too long: the path of a socket has at most {LONGEST_PATH} bytes")
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
                raise ValueError(f"requests are {', '.join(self._handlers)}")  # noqa: TRY301 - one way for refusals
            return {"ok": True, **(handler(**request) or {})}
        except Exception as error:  # noqa: BLE001 - whatever the request, the sensor continues and gives the reason
            return {"ok": False, "error": str(error) or type(error).__name__}
