"""Cameras on an isochronous endpoint, through the kernel's own driver: v4l2:/dev/video0.

NOT TRIED ON HARDWARE. Written from linux/videodev2.h and tried against a kernel made for the tests only.

A camera streams, as with the driver uvc: capture() returns a whole frame that began after the call or, within a look
(drivers/uvc/frame_age.py), after the last one given. The kernel keeps the frames that came while nobody asked; they are
let by.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from drivers.errors import LinkLost, SensorError
from drivers.matches import ClassMatch
from drivers.options import Options, parse_options
from drivers.sample import Modality, Position, Sample
from drivers.sensor import DeviceInfo, Sensor, WindowedSensor
from drivers.transport import Attachment, parse_video_url
from drivers.uvc.descriptors import STREAMING, VIDEO
from drivers.uvc.formats import BadFrame, Grey, PixelFormat
from drivers.uvc.frame_age import Looks
from drivers.uvc.options import CameraOptions, overdue
from drivers.v4l2.abi import Capability, Picture
from drivers.v4l2.device import BUFFERS, VideoDevice, VideoFrame
from drivers.v4l2.kernel import Kernel, LinuxKernel

log = logging.getLogger(__name__)

MATCHES = (ClassMatch(VIDEO, STREAMING, "cameras of the kernel's UVC driver", "video4linux"),)
START_S = 3.0  # a sensor that is switched on takes so long at most until its first frame
FRAME_S = 2.0  # a stream that brings no good frame for so long has stopped


@dataclass(frozen=True, slots=True)
class _Live:
    """A camera that streams."""

    device: VideoDevice
    pixels: PixelFormat
    picture: Picture

    def image_of(self, frame: VideoFrame) -> Grey:
        """BadFrame: it is none."""
        return self.pixels.luma(frame.data, self.picture.width, self.picture.height)


class V4l2:
    """One camera."""

    modality = Modality.IRIS
    streams = True

    def __init__(self, url: str, options: Options, *, kernel: Kernel | None = None) -> None:
        self._options = parse_options(CameraOptions, "v4l2", options)
        self._url = parse_video_url(url)
        self._name = f"v4l2 at {self._url.path}"
        self._kernel = LinuxKernel() if kernel is None else kernel
        self._attachment = Attachment()
        self._looks = Looks()
        self._live: _Live | None = None

    def open(self) -> DeviceInfo:
        """Claim the camera, let it stream and wait for its first frame."""
        self.close()
        with self._attachment.attempt(), self._closed_on_failure(), self._named():
            device = VideoDevice(self._kernel, self._url.path)
            self._attachment.attach(device)
            capability = device.identify()
            pixels, picture = device.configure(self._options)
            device.start()
            device.next_frame(picture, self._kernel.now() + START_S)
            self._live = _Live(device, pixels, picture)
            self._looks.begin()
            return self._info(capability, self._live)

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:  # noqa: ARG002 - see below
        """A whole frame that began after this call; within a look, the next after the last one given.

        Nobody is waited for, so `timeout` bounds nothing; a frame has a deadline of its own, of six seconds at most.
        """
        with self._attachment.attempt(), self._named():
            if self._live is None:
                raise LinkLost("not open")
            image = self._next_image(self._live, position)
            depth = self._live.pixels.depth_bits
            return Sample(
                self.modality, position, image, depth, self._options.ppi, datetime.now(UTC), device=self._name
            )

    def begin_window(self) -> None:
        """The next capture() begins a look."""
        self._looks.begin()

    def cancel(self) -> None:
        """End the running capture or open, or the next one, with Cancelled."""
        self._attachment.cancel()

    def close(self) -> None:
        """Stop the stream and give the camera back."""
        self._live = None
        self._attachment.detach()

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors say which camera."""
        try:
            yield
        except SensorError as error:
            raise type(error)(f"{self._name}: {error}") from error

    def _next_image(self, live: _Live, position: Position) -> Grey:
        called = self._kernel.now()
        deadline = called + FRAME_S + overdue(live.device.interval)
        moment = self._looks.begun_after(position, called, live.device.interval)
        unstamped = 0
        while True:
            frame = live.device.next_frame(live.picture, deadline)
            unstamped += frame.began_at is None
            # Of frames without a time: as many as the kernel may have kept, and the one that was under way.
            if frame.began_at <= moment if frame.began_at is not None else unstamped <= BUFFERS + 1:
                continue
            try:
                image = live.image_of(frame)
            except BadFrame as error:
                log.debug("%s: %s", self._name, error)
                continue
            if frame.began_at is not None:
                self._looks.gave(position, frame.began_at, self._kernel.now())
            return image

    def _info(self, capability: Capability, live: _Live) -> DeviceInfo:
        return DeviceInfo(
            driver="v4l2",
            model=f"{capability.card} {live.pixels.name} (driver untested on hardware)",
            serial="",
            firmware="",
            width=live.picture.width,
            height=live.picture.height,
            pixels_per_inch=self._options.ppi,
            depth_bits=live.pixels.depth_bits,
        )


_: type[Sensor] = V4l2
_windowed: type[WindowedSensor] = V4l2
