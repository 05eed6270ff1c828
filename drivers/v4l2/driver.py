"""Driver of cameras on an isochronous endpoint, through the kernel's driver: v4l2:/dev/video0.

NOT TESTED ON HARDWARE. Written from linux/videodev2.h and tested only against a fake kernel (tests/rigs).

A camera streams, as with the driver uvc: capture() returns a whole frame that began after the call or, within a capture
window (drivers/uvc/frame_age.py), after the last one returned. The kernel keeps frames that came between two calls;
they are skipped.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from drivers.errors import ProtocolError
from drivers.matches import ClassMatch
from drivers.options import Options, parse_options
from drivers.sample import Modality, Position, Sample
from drivers.sensor import DeviceInfo, Sensor, WindowedSensor
from drivers.session import SensorSession
from drivers.transport import parse_video_url
from drivers.uvc.descriptors import STREAMING, VIDEO
from drivers.uvc.formats import BadFrame, FrameDecoder, Grey
from drivers.uvc.frame_age import CaptureWindow
from drivers.uvc.options import STATE_CONTENTS, CameraOptions, frame_timeout
from drivers.v4l2.abi import Capability, FrameLayout
from drivers.v4l2.device import BUFFERS, VideoDevice
from drivers.v4l2.kernel import Kernel, LinuxKernel

log = logging.getLogger(__name__)

MATCHES = (ClassMatch(VIDEO, STREAMING, "cameras of the kernel's UVC driver", "video4linux"),)
START_S = 3.0  # the maximum time from switching a sensor on to its first frame
FRAME_S = 2.0  # a stream without a good frame for this long has stopped


@dataclass(frozen=True, slots=True)
class _OpenStream:
    """A camera that is streaming."""

    device: VideoDevice
    decoder: FrameDecoder
    layout: FrameLayout


class V4l2(SensorSession):
    """One camera."""

    modality = Modality.IRIS
    streams = True

    def __init__(self, url: str, options: Options, *, kernel: Kernel | None = None) -> None:
        self._options = parse_options(CameraOptions, "v4l2", options)
        self._url = parse_video_url(url)
        super().__init__(f"v4l2 at {self._url.path}")
        self._kernel = LinuxKernel() if kernel is None else kernel
        self._window = CaptureWindow()
        self._stream: _OpenStream | None = None

    def open(self) -> DeviceInfo:
        """Claims the camera, starts its stream and waits for the first frame."""
        with self._opening(), self._named_errors():
            device = VideoDevice(self._kernel, self._url.path)
            self._attachment.attach(device)
            capability = device.identify()
            contents, layout = device.configure(self._options)
            if self._options.emitter is not None:
                device.switch_on(self._options.emitter)
            device.start()
            device.next_frame(layout, self._kernel.now() + START_S)
            decoder = FrameDecoder(contents.pixels, contents.width, contents.height)
            self._stream = _OpenStream(device, decoder, layout)
            self._window.begin()
            return self._info(capability, self._stream)

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:  # noqa: ARG002 - see below
        """A whole frame that began after this call or, within a capture window, the next after the last one returned.

        `timeout` has no effect, because a camera does not wait for a person. A frame has its own deadline, at most six
        seconds.
        """
        with self._attachment.attempt():
            stream = self._require_open(self._stream)
            with self._named_errors():
                image = self._next_image(stream, position)
            depth = stream.decoder.depth_bits
            return Sample(
                self.modality, position, image, depth, self._options.ppi, datetime.now(UTC), device=self._name
            )

    def begin_window(self) -> None:
        """The next capture() begins a capture window."""
        self._window.begin()

    def check_alive(self) -> None:
        """Waits for the next frame and drops it."""
        with self._attachment.attempt():
            stream = self._require_open(self._stream)
            with self._named_errors():
                stream.device.next_frame(
                    stream.layout, self._kernel.now() + FRAME_S + frame_timeout(stream.device.interval)
                )

    def _release(self) -> None:
        self._stream = None

    def _next_image(self, stream: _OpenStream, position: Position) -> Grey:
        called = self._kernel.now()
        deadline = called + FRAME_S + frame_timeout(stream.device.interval)
        moment = self._window.must_begin_after(position, called, stream.device.interval)
        unstamped, unreadable = 0, ""
        while True:
            try:
                frame = stream.device.next_frame(stream.layout, deadline)
            except ProtocolError as error:
                raise ProtocolError(unreadable or str(error)) from error
            unstamped += frame.began_at is None
            # Frames without a time: skip as many as the kernel may have kept, and the one that was being recorded.
            if frame.began_at <= moment if frame.began_at is not None else unstamped <= BUFFERS + 1:
                continue
            try:
                image = stream.decoder.luma(frame.data)
            except BadFrame as error:
                log.debug("%s: %s", self._name, error)
                advice = STATE_CONTENTS if error.other_contents else ""
                unreadable = f"the camera sends no readable frame; the last one: {error}{advice}"
                if self._kernel.now() >= deadline:  # however many come
                    raise ProtocolError(unreadable) from None
                continue
            if doubt := stream.decoder.doubt(frame.data):
                log.warning("%s: %s", self._name, doubt)
            if frame.began_at is not None:
                self._window.delivered(position, frame.began_at, self._kernel.now())
            return image

    def _info(self, capability: Capability, stream: _OpenStream) -> DeviceInfo:
        return DeviceInfo(
            driver="v4l2",
            model=f"{capability.card} {stream.decoder.pixels.name} (driver untested on hardware)",
            serial="",
            firmware="",
            width=stream.decoder.width,
            height=stream.decoder.height,
            pixels_per_inch=self._options.ppi,
            depth_bits=stream.decoder.depth_bits,
        )


_: type[Sensor] = V4l2
_windowed: type[WindowedSensor] = V4l2
