"""Driver of DigitalPersona U.are.U 4000, 4000B and 4500 and similar Microsoft readers: optical, USB, 8 bits, 384x290.

The reader reports when a finger comes and goes. Its image is scrambled with a key that the reader sends on request.

This file opens and captures. touch.py waits for fingers, link.py has registers, power and messages, image.py and
cipher.py decode the image, tables.py says what the bytes mean.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from drivers.errors import Cancelled, CaptureRetry, ProtocolError
from drivers.options import Options, parse_options
from drivers.sample import Modality, Position, Sample
from drivers.sensor import DeviceInfo, Sensor
from drivers.session import SensorSession
from drivers.transport import parse_usb_url
from drivers.uru4000.image import HEIGHT, WIDTH, FingerImage, Header, decode, read_header
from drivers.uru4000.link import Uru4000Link
from drivers.uru4000.options import Uru4000Options
from drivers.uru4000.tables import (
    MODEL_OF_IDS,
    MODELS,
    READER_INTERFACE,
    VERSIONS,
    Model,
)
from drivers.uru4000.touch import FingerPresence
from drivers.usb.connect import OpenLink, begin_link
from drivers.usb.link import UsbLink
from drivers.usb.url import UsbUrl

log = logging.getLogger(__name__)

MATCHES = tuple(model.match for model in MODELS)

DEPTH_BITS = 8
MIN_TRIES, MAX_TRIES = 3, 20  # at an image; the timeout decides how many


class Uru4000(SensorSession):
    """One reader."""

    modality = Modality.FINGER
    streams = False

    def __init__(
        self,
        url: str,
        options: Options,
        *,
        connect: OpenLink = begin_link,
    ) -> None:
        self._options = parse_options(Uru4000Options, "uru4000", options)
        self._url = parse_usb_url(url)
        if isinstance(self._url, UsbUrl) and (self._url.vendor, self._url.product) not in MODEL_OF_IDS:
            raise ValueError(f"driver uru4000: {url!r} is not one of its readers; they are: {_known_ids()}")
        super().__init__(f"uru4000 at {self._url}")
        self._connect = connect
        self._link: Uru4000Link | None = None
        self._presence: FingerPresence | None = None
        self._upside_down = False

    def open(self) -> DeviceInfo:
        """Claims the reader and powers it up."""
        with self._opening():
            usb = self._connect(self._url, READER_INTERFACE)
            self._attachment.attach(usb)
            model = self._model_of(usb)
            self._link = Uru4000Link(usb, model, self._name, self._options.seed)
            self._link.power_up()
            self._presence, self._upside_down = FingerPresence(self._link), model.upside_down
            return self._info(model, usb.identity.serial, self._link.device_info())

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        """Waits for a finger and returns its image."""
        with self._attachment.attempt():
            link, presence = self._require_open(self._link), self._require_open(self._presence)
            with _ended_without_sample(presence):
                deadline = link.now() + timeout
                presence.await_lift(deadline)
                presence.await_finger(deadline)
                captured_at = datetime.now(UTC)
                image = self._take_image(link, deadline)
            presence.sample_taken()
            return Sample(
                self.modality,
                position,
                image.pixels,
                DEPTH_BITS,
                self._options.ppi,
                captured_at,
                device=self._name,
            )

    def forget_finger(self) -> None:
        """The next capture takes an image of what is on the reader, if it reports a finger."""
        if self._presence is not None:
            self._presence.forget_finger()

    def check_alive(self) -> None:
        """Asks the reader whether it still has scan power and its mode."""
        with self._attachment.attempt():
            self._require_open(self._link).check_alive()

    def _release(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.switch_off()
            link.close()

    def _open_failed(self, _error: BaseException) -> None:
        self._link = None  # there is no mode to end
        self._attachment.detach()

    # Opening

    def _model_of(self, usb: UsbLink) -> Model:
        identity = usb.identity
        model = MODEL_OF_IDS.get((identity.vendor, identity.product))
        if model is None:
            raise ProtocolError(
                f"{self._name}: {identity.vendor:04x}:{identity.product:04x} is not one of its readers; "
                f"they are: {_known_ids()}"
            )
        return model

    def _info(self, model: Model, serial: str, device_info: bytes) -> DeviceInfo:
        return DeviceInfo(
            driver="uru4000",
            model=model.name,
            serial=serial,
            firmware=".".join(device_info[version].hex() for version in VERSIONS),
            width=WIDTH,
            height=HEIGHT,
            pixels_per_inch=self._options.ppi,
            depth_bits=DEPTH_BITS,
        )

    # Capturing

    def _take_image(self, link: Uru4000Link, deadline: float) -> FingerImage:
        """Takes and decodes the image of the finger on the reader."""
        raw, header = self._take_valid_image(link, deadline)
        image = decode(raw, header, link.read_key, upside_down=self._upside_down)
        if image.filled_rows:
            log.info("%s: %d rows were not sent; filled with neighbouring rows", self._name, image.filled_rows)
        return image

    def _take_valid_image(self, link: Uru4000Link, deadline: float) -> tuple[bytes, Header]:
        """Takes an image; again if it is damaged or empty."""
        link.discard_stale_image()
        for tries in range(1, MAX_TRIES):
            raw = link.take_image()
            try:
                return raw, read_header(raw)
            except CaptureRetry as damage:
                log.debug("%s: %s", self._name, damage)
                if tries >= MIN_TRIES and link.now() >= deadline:
                    raise
        raw = link.take_image()
        return raw, read_header(raw)


@contextmanager
def _ended_without_sample(presence: FingerPresence) -> Iterator[None]:
    """Ends the capture after CaptureRetry or Cancelled. After an error nothing is sent: the reader is reopened."""
    try:
        yield
    except (CaptureRetry, Cancelled) as ended:
        presence.capture_ended(ended)
        raise


def _known_ids() -> str:
    return ", ".join(f"{vendor:04x}:{product:04x}" for vendor, product in MODEL_OF_IDS)


_: type[Sensor] = Uru4000
