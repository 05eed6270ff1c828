"""Driver of USB Video Class cameras on a bulk endpoint, over pyusb: infrared eye cameras, FX3 designs and similar ones.

A camera streams: it sends frames all the time, with or without a person. capture() returns the newest whole frame that
began after the call or, within a capture window (frame_age.py), after the last frame that it returned. The quality
measure decides whether there is an eye in it.

This file opens and captures. stream.py keeps the stream running, options.py chooses what to stream, probe_commit.py
negotiates it with the camera, descriptors.py, payload.py and formats.py parse the bytes.
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
from drivers.transport import parse_usb_url
from drivers.usb.connect import OpenLink, open_link
from drivers.usb.link import UsbLink
from drivers.uvc.descriptors import STREAMING, VIDEO, damage_of, streaming_interfaces
from drivers.uvc.formats import BadFrame, FrameDecoder, Grey
from drivers.uvc.frame_age import CaptureWindow
from drivers.uvc.options import STATE_CONTENTS, StreamChoice, UvcOptions, choose_stream
from drivers.uvc.stream import START_S, FrameReader, OnFrame, Stream, ignore_frame

log = logging.getLogger(__name__)

# Cameras are matched by their USB class, whoever made them.
MATCHES = (ClassMatch(VIDEO, STREAMING, "USB Video Class cameras", "usb"),)

DEFAULT_INTERFACE = 1  # in nearly every camera; the descriptors name it if it is another one


@dataclass(frozen=True, slots=True)
class _Streaming:
    """A camera that is streaming."""

    reader: FrameReader
    choice: StreamChoice
    decoder: FrameDecoder


class Uvc(SensorSession):
    """One camera."""

    modality = Modality.IRIS
    streams = True

    def __init__(
        self, url: str, options: Options, *, connect: OpenLink = open_link, on_frame: OnFrame = ignore_frame
    ) -> None:
        self._options = parse_options(UvcOptions, "uvc", options)
        self._url = parse_usb_url(url)
        super().__init__(f"uvc at {self._url}")
        self._connect = connect
        self._on_frame = on_frame  # receives every whole frame, in the reader thread
        self._window = CaptureWindow()
        self._streaming: _Streaming | None = None
        self._interface = DEFAULT_INTERFACE if self._options.interface is None else self._options.interface

    def open(self) -> DeviceInfo:
        """Claims the camera and starts its stream. Returns after the negotiation, before the first frame."""
        with self._opening(), self._named_errors():
            reader, choice = self._find()
            reader.start(Stream(reader.link, choice, self._options.light))
            contents = choice.contents
            self._streaming = _Streaming(reader, choice, FrameDecoder(contents.pixels, contents.width, contents.height))
            self._window.begin()
            return self._info(reader.link, choice)

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:  # noqa: ARG002 - see below
        """The newest whole frame that began after this call or, within a capture window, after the last one returned.

        `timeout` has no effect, because a camera does not wait for a person. A frame has its own deadline, at most
        seven seconds.
        """
        with self._attachment.attempt():
            streaming = self._require_open(self._streaming)
            with self._named_errors():
                image = self._next_image(streaming, position)
            return Sample(
                self.modality,
                position,
                image,
                streaming.decoder.depth_bits,
                self._options.ppi,
                datetime.now(UTC),
                device=self._name,
            )

    def begin_window(self) -> None:
        """The next capture() begins a capture window."""
        self._window.begin()

    def check_alive(self) -> None:
        """Raises the error that has ended the stream, if it has ended."""
        streaming = self._require_open(self._streaming)
        with self._named_errors():
            streaming.reader.check()

    def _release(self) -> None:
        self._streaming = None

    def _find(self) -> tuple[FrameReader, StreamChoice]:
        """Opens the streaming interface. Its number is in the descriptors, which can be read once a device is open."""
        reader = self._attach(self._interface)
        configuration = reader.link.configuration
        if damage := damage_of(configuration):
            log.info("%s: damaged descriptors (%s): used as far as they can be read", self._name, damage)
        choice = choose_stream(streaming_interfaces(configuration), self._options)
        if choice.stream.interface != self._interface:
            self._interface = choice.stream.interface
            reader = self._attach(self._interface)
        if self._options.light is not None:
            # The extension unit belongs to the control interface. While the kernel's driver holds that interface, the
            # system refuses writes to it.
            reader.link.claim(choice.stream.control_interface)
        return reader, choice

    def _attach(self, interface: int) -> FrameReader:
        self._attachment.detach()
        reader = FrameReader(self._connect(self._url, interface), self._on_frame)
        self._attachment.attach(reader)
        return reader

    def _next_image(self, streaming: _Streaming, position: Position) -> Grey:
        reader, choice = streaming.reader, streaming.choice
        called = reader.link.now()
        deadline = called + START_S + choice.frame_timeout_s
        moment = self._window.must_begin_after(position, called, choice.frame_interval_s)
        unreadable = ""
        while True:
            try:
                frame = reader.frame_after(moment, deadline)
            except ProtocolError as error:
                if unreadable and reader.link.now() >= deadline:
                    raise ProtocolError(f"{error}; the last one: {unreadable}") from None
                raise
            try:
                image = streaming.decoder.luma(frame.data)
            except BadFrame as error:
                log.debug("%s: frame %d: %s", self._name, frame.number, error)
                unreadable = f"{error}{STATE_CONTENTS if error.other_contents else ''}"
                moment = frame.began_at
            else:
                if doubt := streaming.decoder.doubt(frame.data):
                    log.warning("%s: %s", self._name, doubt)
                self._window.delivered(position, frame.began_at, reader.link.now())
                return image

    def _info(self, link: UsbLink, choice: StreamChoice) -> DeviceInfo:
        identity = link.identity
        return DeviceInfo(
            driver="uvc",
            model=f"{identity.vendor:04x}:{identity.product:04x} {choice.pixels.name} {choice.fps:g} fps",
            serial=identity.serial,
            firmware=f"{identity.bcd_device >> 8:x}.{identity.bcd_device & 0xFF:02x}",
            width=choice.contents.width,
            height=choice.contents.height,
            pixels_per_inch=self._options.ppi,
            depth_bits=choice.pixels.depth_bits,
        )


_: type[Sensor] = Uvc
_windowed: type[WindowedSensor] = Uvc
