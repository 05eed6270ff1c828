"""USB Video Class cameras on a bulk endpoint, over pyusb: infrared eye cameras, FX3 designs and kin.

A camera streams: it sends frames whether or not anybody looks. capture() returns the newest whole frame that began
after the call or, within a look (frame_age.py), after the last frame that it returned; whether there is an eye on it is
for the quality measure to say.

This file opens and captures; stream.py keeps the stream going, options.py chooses what to stream,
probe_commit.py agrees on it, descriptors.py, payload.py and formats.py say what the bytes mean.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from drivers.errors import LinkLost, SensorError
from drivers.matches import ClassMatch
from drivers.options import Options, parse_options
from drivers.sample import Modality, Position, Sample
from drivers.sensor import DeviceInfo, Sensor, WindowedSensor
from drivers.transport import Attachment, parse_usb_url
from drivers.usb.connect import open_link
from drivers.usb.link import UsbLink
from drivers.usb.url import AnyUsbUrl
from drivers.uvc.descriptors import STREAMING, VIDEO, streams
from drivers.uvc.formats import BadFrame, Grey
from drivers.uvc.frame_age import Looks
from drivers.uvc.options import Choice, UvcOptions, choose
from drivers.uvc.stream import START_S, FrameReader, OnFrame, Stream, ignore

log = logging.getLogger(__name__)

# Cameras are known by their class, whoever made them.
MATCHES = (ClassMatch(VIDEO, STREAMING, "USB Video Class cameras", "usb"),)

USUAL_INTERFACE = 1  # nearly every camera streams there; where another one does, its descriptors say so

OpenLink = Callable[[AnyUsbUrl, int], UsbLink]


class Uvc:
    """One camera."""

    modality = Modality.IRIS
    streams = True

    def __init__(
        self, url: str, options: Options, *, connect: OpenLink = open_link, on_frame: OnFrame = ignore
    ) -> None:
        self._options = parse_options(UvcOptions, "uvc", options)
        self._url = parse_usb_url(url)
        self._name = f"uvc at {self._url}"
        self._connect = connect
        self._on_frame = on_frame  # hears every whole frame, in the thread that reads them
        self._attachment = Attachment()
        self._looks = Looks()
        self._reader: FrameReader | None = None
        self._choice: Choice | None = None
        self._interface = USUAL_INTERFACE if self._options.interface is None else self._options.interface

    def open(self) -> DeviceInfo:
        """Claim the camera and let it stream. Returns when it has agreed to; the first frame may take a while."""
        self.close()
        with self._attachment.attempt(), self._closed_on_failure(), self._named():
            reader, choice = self._find()
            reader.start(Stream(reader.link, choice, self._options.led))
            self._reader, self._choice = reader, choice
            self._looks.begin()
            return self._info(reader.link, choice)

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:  # noqa: ARG002 - see below
        """The newest whole frame that began after this call; within a look, after the last one given.

        Nobody is waited for, so `timeout` bounds nothing; a frame has a deadline of its own, of seven seconds at most.
        """
        with self._attachment.attempt(), self._named():
            if self._reader is None or self._choice is None:
                raise LinkLost("not open")
            image = self._next_image(self._reader, self._choice, position)
            return Sample(
                self.modality,
                position,
                image,
                self._choice.pixels.depth_bits,
                self._options.ppi,
                datetime.now(UTC),
                device=self._name,
            )

    def begin_window(self) -> None:
        """The next capture() begins a look."""
        self._looks.begin()

    def cancel(self) -> None:
        """End the running capture or open, or the next one, with Cancelled."""
        self._attachment.cancel()

    def close(self) -> None:
        """Stop the stream and give the camera back."""
        self._reader = self._choice = None
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

    def _find(self) -> tuple[FrameReader, Choice]:
        """Open the interface that streams; where that is stands in the descriptors, which an open device shows."""
        reader = self._attach(self._interface)
        choice = choose(streams(reader.link.configuration), self._options)
        if choice.stream.interface != self._interface:
            self._interface = choice.stream.interface
            reader = self._attach(self._interface)
        if self._options.led is not None:
            # The extension unit is of the control interface. While the kernel's driver holds that, the system refuses
            # what is written to it.
            reader.link.claim(choice.stream.control_interface)
        return reader, choice

    def _attach(self, interface: int) -> FrameReader:
        self._attachment.detach()
        reader = FrameReader(self._connect(self._url, interface), self._on_frame)
        self._attachment.attach(reader)
        return reader

    def _next_image(self, reader: FrameReader, choice: Choice, position: Position) -> Grey:
        called = reader.link.now()
        deadline = called + START_S + choice.late_s
        moment = self._looks.begun_after(position, called, choice.seconds)
        while True:
            frame = reader.frame_after(moment, deadline)
            try:
                image = choice.pixels.luma(frame.data, choice.frame.width, choice.frame.height)
            except BadFrame as error:
                log.debug("%s: frame %d: %s", self._name, frame.number, error)
                moment = frame.began_at
            else:
                self._looks.gave(position, frame.began_at, reader.link.now())
                return image

    def _info(self, link: UsbLink, choice: Choice) -> DeviceInfo:
        identity = link.identity
        return DeviceInfo(
            driver="uvc",
            model=f"{identity.vendor:04x}:{identity.product:04x} {choice.pixels.name} {1 / choice.seconds:g} fps",
            serial=identity.serial,
            firmware=f"{identity.bcd_device >> 8:x}.{identity.bcd_device & 0xFF:02x}",
            width=choice.frame.width,
            height=choice.frame.height,
            pixels_per_inch=self._options.ppi,
            depth_bits=choice.pixels.depth_bits,
        )


_: type[Sensor] = Uvc
_windowed: type[WindowedSensor] = Uvc
