"""A simulated camera ready for use, exported over USB/IP, with its control socket and what is in front of it."""

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Unpack

from simulators.pictures.levels import Grey
from simulators.sensors.common.rig import Connection, DeviceModel, RigOptions, SensorRig
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.sensors.uvc.frames import looping
from simulators.sensors.uvc.scene import FRAMES_PER_LOOK, Look, camera_bytes, describe, empty_room, frames_of
from simulators.transports.remote import Answer, RemoteError
from simulators.transports.usb.usbip import UsbIpServer

SHOW_AFTER = (2, 4, 8, 16, FRAMES_PER_LOOK)  # numbers of drawn frames after which the camera gets the new ones


class ScenePlayer:
    """Shows scenes to a camera. The first frame of a scene is shown immediately, the others as they are drawn.

    `show` receives frames in the format of the camera, to be repeated from the next frame on.
    """

    def __init__(self, settings: UvcSettings, show: Callable[[Sequence[bytes]], None]) -> None:
        self._show = show
        self._format, width, height = settings.pictured
        self._size = width, height
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def play(self, frames: Iterator[Grey]) -> None:
        """Show these frames from the next frame on, instead of the previous scene."""
        self.stop()
        drawn = [camera_bytes(self._format, next(frames))]
        self._show(tuple(drawn))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._draw, args=(frames, drawn), name="scene player", daemon=True)
        self._thread.start()

    def _draw(self, frames: Iterator[Grey], drawn: list[bytes]) -> None:
        for grey in frames:
            if self._stopping.is_set():
                return
            drawn.append(camera_bytes(self._format, grey))
            if len(drawn) in SHOW_AFTER:
                with suppress(RemoteError):  # a simulated USB host may just have ended
                    self._show(tuple(drawn))

    def play_empty_room(self) -> None:
        """Show a dark room without a person."""
        self.play(empty_room(*self._size, seed) for seed in range(4))

    def play_look(self, look: Look) -> None:
        """Show an eye or an image."""
        self.play(frames_of(look, *self._size))

    def stop(self) -> None:
        """Stop drawing. The camera continues to show the frames it has."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()


class CameraRig(SensorRig):
    """A simulated camera and what is in front of it."""

    def __init__(
        self,
        settings: UvcSettings,
        model: DeviceModel,
        connection: Connection,
        link: Path,
        **options: Unpack[RigOptions],
    ) -> None:
        super().__init__(model, connection, link, **options)
        self.settings = settings
        self._player = ScenePlayer(settings, self._show)
        self._seen = "nobody"

    @abstractmethod
    def _show(self, frames: Sequence[bytes]) -> None:
        """Let the camera repeat these frames."""

    def handlers(self) -> dict[str, Callable[..., Answer | None]]:
        """The requests that the control socket accepts."""
        return {"look": self.look, "away": self.away, **super().handlers()}

    def look(self, **look: Unpack[Look]) -> Answer:
        """Put an eye or an image in front of the camera."""
        self._player.play_look(look)
        self._seen = describe(look)
        self._report(f"in front of the camera: {self._seen}")
        return {"seen": self._seen}

    def away(self) -> Answer:
        """Take away what is in front of the camera."""
        self._player.play_empty_room()
        self._seen = "nobody"
        self._report("nobody in front of the camera")
        return {"seen": self._seen}

    def presented(self) -> Answer:
        """What is in front of the camera."""
        return {"seen": self._seen}


class UvcRig(CameraRig):
    """One camera on a TCP port of this computer, while the context lasts."""

    def __init__(
        self, settings: UvcSettings, link: Path, *, port: int = 0, seed: int = 0, **options: Unpack[RigOptions]
    ) -> None:
        self.camera = UvcCamera(settings, seed=seed)
        self.server = UsbIpServer(self.camera, port)
        super().__init__(settings, self.camera, self.server, link, **options)

    def _start(self, stack: ExitStack) -> None:
        stack.callback(self._player.stop)
        super()._start(stack)
        self.away()

    def _show(self, frames: Sequence[bytes]) -> None:
        self.camera.show(looping(frames))

    @property
    def title(self) -> str:
        """What the sensor is, for people."""
        width, height = self.settings.sizes[0]
        return f"UVC camera, {self.settings.formats[0]} {width}x{height}"

    @property
    def url(self) -> str:
        """The URL that a driver opens."""
        return self.server.url

    def presented(self) -> Answer:
        """What is in front of the camera, whether it streams, and its light."""
        return {**super().presented(), "streaming": self.camera.mode is not None, "light": self.camera.lamp_on}

    def facts(self) -> Answer:
        """Counters."""
        counters = self.camera.counters()
        return {
            "frames_sent": counters.frames_sent,
            "frames_skipped": counters.frames_skipped,
            "commits": counters.commits,
            "bytes_sent": self.server.port.bytes_sent,
        }
