"""A simulated camera ready for use, exported over USB/IP: device, wire, control socket and who looks into it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from simulators.images import Grey
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.sensors.uvc.frames import looping
from simulators.sensors.uvc.scene import RING, Look, describe, frames_of, nobody, on_the_wire
from simulators.transports.faults import Value
from simulators.transports.remote import Answer, RemoteControl, RemoteError, control_path
from simulators.transports.usb.usbip import UsbIpServer

SHOWN_AGAIN = (2, 4, 8, 16, RING)  # so many frames of a look have been drawn: from now on they are shown


class Projector:
    """Lets a camera see one thing after another. The first frame of a look is shown at once, the others as drawn.

    `show` puts frames, as the camera sends them, before it: again and again, from the next frame on.
    """

    def __init__(self, settings: UvcSettings, show: Callable[[Sequence[bytes]], None]) -> None:
        self._show = show
        self._kind, self._size = settings.formats[0], settings.sizes[0]
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def show(self, frames: Iterator[Grey]) -> None:
        """From the next frame on; what was shown before ends."""
        self.stop()
        seen = [on_the_wire(self._kind, next(frames))]
        self._show(tuple(seen))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._draw, args=(frames, seen), name="projector", daemon=True)
        self._thread.start()

    def _draw(self, frames: Iterator[Grey], seen: list[bytes]) -> None:
        for grey in frames:
            if self._stopping.is_set():
                return
            seen.append(on_the_wire(self._kind, grey))
            if len(seen) in SHOWN_AGAIN:
                with suppress(RemoteError):  # a simulated machine may just have ended
                    self._show(tuple(seen))

    def away(self) -> None:
        """Nobody is there."""
        self.show(nobody(*self._size, seed) for seed in range(4))

    def look(self, look: Look) -> None:
        """Somebody or a picture is."""
        self.show(frames_of(look, *self._size))

    def stop(self) -> None:
        """End drawing; what was drawn goes on being shown."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()


class UvcRig:
    """One camera on a TCP port of this machine, while the context lasts. `say` hears what happens."""

    def __init__(
        self,
        settings: UvcSettings,
        link: Path,
        *,
        port: int = 0,
        control: Path | None = None,
        seed: int = 0,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.settings = settings
        self.link = link
        self.control = control_path(link) if control is None else control
        self.camera = UvcCamera(settings, seed=seed)
        self.server = UsbIpServer(self.camera, port)
        self._projector = Projector(settings, lambda frames: self.camera.show(looping(frames)))
        self._say = say
        self._seen = ""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._projector.stop)
            stack.enter_context(RemoteControl(self.control, self._handlers()))  # first: it refuses a second sensor
            stack.enter_context(self.server)
            self.away()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Where the driver finds it."""
        return self.server.url

    def _handlers(self) -> dict[str, Callable[..., Answer | None]]:
        return {
            "look": self.look,
            "away": self.away,
            "fault": self._fault,
            "faults": lambda: {"has": self.camera.faults.has},
            "clear": self.clear,
            "unplug": self.unplug,
            "replug": self.replug,
            "status": self.status,
        }

    def look(self, **look: Unpack[Look]) -> Answer:
        """Somebody looks into the camera, or a picture is held before it."""
        self._projector.look(look)
        self._seen = describe(look)
        self._say(f"before the camera: {self._seen}")
        return {"seen": self._seen}

    def away(self) -> Answer:
        """Nobody is there any more."""
        self._projector.away()
        self._seen = "nobody"
        self._say("nobody before the camera")
        return {"seen": self._seen}

    def fault(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Inject a fault, those of the plug included."""
        self.camera.inject(name, times=times, **params)
        self._say(f"fault {name} waits")

    def _fault(self, name: str, times: int | None = None, params: dict[str, Value] | None = None) -> None:
        self.fault(name, times=times, **(params or {}))

    def clear(self) -> None:
        """Forget all waiting faults."""
        self.camera.clear_faults()
        self._say("faults cleared")

    def unplug(self, after: int = 0) -> None:
        """Pull the cable, at once or after so many more bytes."""
        self.server.unplug_after(after)

    def replug(self) -> None:
        """Put the cable back."""
        self.server.replug()

    def status(self) -> Answer:
        """What the camera is, what is before it and what it has counted: JSON types only."""
        mode, counters = self.camera.mode, self.camera.counters()
        width, height = self.settings.sizes[0]
        return {
            "sensor": f"UVC camera, {self.settings.formats[0]} {width}x{height}",
            "link": str(self.link),
            "url": self.url,
            "plugged": not self.server.unplugged.is_set(),
            "seen": self._seen,
            "streaming": mode is not None,
            "light": self.camera.lamp_on,
            "faults": self.camera.faults.waiting(),
            "frames_sent": counters.frames_sent,
            "frames_skipped": counters.frames_skipped,
            "commits": counters.commits,
            "bytes_sent": self.server.port.bytes_sent,
        }
