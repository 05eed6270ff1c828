"""Driver of EF01 fingerprint modules on a serial line: R301T, R305, R307, R503, R551, AS608, ZFM-20/60/70, FPM10A.

The protocol is half duplex, has no event for a finger and no retransmission. The driver polls with GetImage and uploads
the image with UpImage; if a byte of the image is lost, the person must present again. Images have 16 grey levels.

This file opens and captures, link.py does one exchange, tables.py gives the meaning of the bytes.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from drivers.ef01.link import Clock, Ef01Link, NoAnswer
from drivers.ef01.options import Ef01Options
from drivers.ef01.tables import (
    BAUD_PARAMETER,
    BAUD_UNIT,
    DEFAULT_BAUD,
    GET_IMAGE,
    MODEL_BY_IMAGE_BYTES,
    PACKET_SIZE_PARAMETER,
    PACKET_SIZES,
    READ_SYS_PARA,
    SET_SYS_PARA,
    UP_IMAGE,
    Confirmation,
    Model,
    NextStep,
    SystemParameters,
)
from drivers.errors import CaptureRetry, ProtocolError, Retry
from drivers.matches import SERIAL_ADAPTERS
from drivers.options import Options, parse_options
from drivers.sample import Modality, Position, Sample, expand_4bit
from drivers.sensor import DeviceInfo, Sensor
from drivers.session import SensorSession
from drivers.transport import SerialUrl, Transport, Url, open_transport, parse_url

log = logging.getLogger(__name__)

MATCHES = SERIAL_ADAPTERS  # the modules have no USB

DEPTH_BITS = 4
LAST_RATE_TRIES, OTHER_RATE_TRIES = 6, 3  # handshakes at the last rate to try, and at each one before
ADVICE = "check power, wiring and rate (baud in the URL, option probe_bauds)"
ADVICE_SOCKET = "check power and wiring, and that the adapter uses the rate of the module"
MESSY_S = 1.0  # a finger that is being placed may give bad images this long; then the person must present again


class Ef01(SensorSession):
    """One EF01 module."""

    modality = Modality.FINGER
    streams = False

    def __init__(
        self,
        url: str,
        options: Options,
        *,
        clock: Clock = time.monotonic,
        connect: Callable[[Url], Transport] = open_transport,
    ) -> None:
        self._options = parse_options(Ef01Options, "ef01", options)
        self._configured_url = parse_url(url, DEFAULT_BAUD)
        self._url = self._configured_url  # at the rate of the last successful contact
        if not isinstance(self._url, SerialUrl) and (self._options.baud or self._options.probe_bauds):
            raise ValueError(f"driver ef01: {url!r} has no rate to set: baud and probe_bauds need a serial: URL")
        super().__init__(f"ef01 at {self._url.path if isinstance(self._url, SerialUrl) else self._url}")
        self._clock = clock
        self._connect = connect
        self._link: Ef01Link | None = None
        self._configured = self._options.image_model()
        self._image = self._configured  # the image size that the module sends, once known
        self._unexpected_bytes = 0  # the size of the last image, if it was not the expected one
        self._rate_written = False
        self._lift_first = False

    def open(self) -> DeviceInfo:
        """Claims the port and reads the parameters of the module. Tries each rate of the options until one does."""
        with self._opening():
            link, parameters = self._set_up(*self._find(self._rates_to_try()))
            baud = self._url.baud if isinstance(self._url, SerialUrl) else parameters.baud
            image_bytes = self._image.image_bytes if self._image else max(MODEL_BY_IMAGE_BYTES)
            link.expect_images(image_bytes, parameters.packet_size, baud)
            self._link = link
            return self._info()

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        """Waits for a finger and returns its image."""
        with self._attachment.attempt():
            link = self._require_open(self._link)
            deadline = self._clock() + timeout
            self._await_lift(link, deadline)
            self._await_finger(link, deadline)
            captured_at = datetime.now(UTC)
            payload = self._upload(link)
            model = self._model_of(len(payload))
            self._lift_first = True
            image = expand(payload, model.width, model.height)
            return Sample(
                self.modality, position, image, DEPTH_BITS, model.pixels_per_inch, captured_at, device=self._name
            )

    def _release(self) -> None:
        self._link = None

    # Finding the module

    def _rates_to_try(self) -> list[Url]:
        """The URL at the rate of the option, of the last contact, of the URL itself, and at the rates to probe."""
        if not isinstance(self._url, SerialUrl) or not isinstance(self._configured_url, SerialUrl):
            return [self._url]
        wanted = [self._options.baud] if self._options.baud else []
        rates = dict.fromkeys([*wanted, self._url.baud, self._configured_url.baud, *self._options.probe_bauds])
        return [replace(self._url, baud=rate) for rate in rates]

    def _find(self, urls: list[Url]) -> tuple[Ef01Link, SystemParameters]:
        """Tries each rate; uses the first one that is answered."""
        unexpected = ""
        for url in urls:
            link = self._attach(url)
            tries = LAST_RATE_TRIES if url is urls[-1] else OTHER_RATE_TRIES
            handshake = link.handshake(self._options.password, tries)
            if handshake is not None:
                self._require_ok(handshake, "VfyPwd")
                self._url = url
                return link, self._parameters(link)
            unexpected = unexpected or link.unexpected
        rates = [str(url.baud) for url in urls if isinstance(url, SerialUrl)]
        at = f" at {', '.join(rates)} baud" if rates else ""
        raise ProtocolError(f"{self._name}: no answer{at}{unexpected}; {ADVICE if rates else ADVICE_SOCKET}")

    def _attach(self, url: Url) -> Ef01Link:
        self._attachment.detach()  # it may hold the same port
        transport = self._connect(url)
        self._attachment.attach(transport)
        baud = url.baud if isinstance(url, SerialUrl) else DEFAULT_BAUD
        return Ef01Link(transport, self._name, self._options.address, baud, self._clock)

    def _require_ok(self, answer: Confirmation, command: str) -> None:
        """ProtocolError unless the module confirmed the command."""
        if answer.then is not NextStep.GO_ON:
            raise ProtocolError(f"{self._name}: {command} refused: {answer.meaning} (0x{answer.code:02X})")

    # Configuring it

    def _set_up(self, link: Ef01Link, parameters: SystemParameters) -> tuple[Ef01Link, SystemParameters]:
        wanted = self._options.packet_size
        if wanted and wanted != parameters.packet_size:
            self._set(link, PACKET_SIZE_PARAMETER, PACKET_SIZES.index(wanted))
            parameters = self._parameters(link)
            if parameters.packet_size != wanted:
                log.warning("%s: still uses packets of %d bytes", self._name, parameters.packet_size)
        return self._set_rate(link, parameters)

    def _set_rate(self, link: Ef01Link, parameters: SystemParameters) -> tuple[Ef01Link, SystemParameters]:
        """Changes the rate if the option names another one. Only once: it is stored in flash memory, which wears.

        Some modules confirm the change but use the new rate only after the next power-on.
        """
        wanted, now = self._options.baud, self._url
        if not isinstance(now, SerialUrl) or wanted is None or wanted == now.baud or self._rate_written:
            return link, parameters
        self._rate_written = True
        refusal = self._ask_for_rate(link, wanted)
        if refusal is not None:
            log.warning("%s: refuses %d baud: %s (0x%02X)", self._name, wanted, refusal.meaning, refusal.code)
            return link, parameters
        found = self._find([replace(now, baud=wanted), now])
        if self._url == now:
            log.warning("%s: still uses %d baud; the new rate may need a power cycle", self._name, now.baud)
        return found

    def _ask_for_rate(self, link: Ef01Link, baud: int) -> Confirmation | None:
        """Returns the refusal of the module. None if it accepted, or if its acknowledge came at the new rate."""
        try:
            answer = link.request(SET_SYS_PARA, bytes([BAUD_PARAMETER, baud // BAUD_UNIT])).confirmation
        except NoAnswer:
            return None
        return None if answer.then is NextStep.GO_ON else answer

    def _set(self, link: Ef01Link, parameter: int, value: int) -> None:
        self._require_ok(link.request(SET_SYS_PARA, bytes([parameter, value])).confirmation, "SetSysPara")

    def _parameters(self, link: Ef01Link) -> SystemParameters:
        reply = link.request(READ_SYS_PARA)
        self._require_ok(reply.confirmation, "ReadSysPara")
        return SystemParameters.from_bytes(reply.payload, self._name)

    def _info(self) -> DeviceInfo:
        image = self._image
        return DeviceInfo(
            driver="ef01",
            model="/".join(image.names) if image else "",
            serial="",
            firmware="",
            width=image.width if image else 0,
            height=image.height if image else 0,
            pixels_per_inch=image.pixels_per_inch if image else 0.0,
            depth_bits=DEPTH_BITS,
        )

    # Capturing

    def _await_lift(self, link: Ef01Link, deadline: float) -> None:
        while self._lift_first:
            if self._poll(link).then is NextStep.POLL_AGAIN:
                self._lift_first = False
            else:
                self._poll_pause(link, deadline, Retry.LIFT_FINGER)

    def _await_finger(self, link: Ef01Link, deadline: float) -> None:
        messy_since: float | None = None
        while (seen := self._poll(link)).then is not NextStep.GO_ON:
            if not isinstance(seen.then, Retry):
                messy_since = None
            elif messy_since is None:
                messy_since = self._clock()
            elif self._clock() - messy_since >= MESSY_S:
                raise CaptureRetry(seen.then, seen.meaning)
            self._poll_pause(link, deadline, Retry.NOTHING_PRESENTED if messy_since is None else Retry.TOO_MESSY)

    def _poll(self, link: Ef01Link) -> Confirmation:
        """Polls once: a finger, no finger, or a finger that gives no good image yet."""
        seen = link.request(GET_IMAGE).confirmation
        if seen.then is NextStep.REOPEN:
            self._require_ok(seen, GET_IMAGE.name)
        return seen

    def _poll_pause(self, link: Ef01Link, deadline: float, reason: Retry) -> None:
        left = deadline - self._clock()
        if left <= 0:
            raise CaptureRetry(reason)
        link.pause(min(self._options.poll_s, left))

    def _upload(self, link: Ef01Link) -> bytes:
        answer = link.request(UP_IMAGE).confirmation
        if isinstance(answer.then, Retry):
            raise CaptureRetry(answer.then, answer.meaning)
        self._require_ok(answer, UP_IMAGE.name)
        upload = link.receive_image()
        if upload.damage:
            raise CaptureRetry(Retry.MOVED, upload.damage)
        return upload.payload

    def _model_of(self, image_bytes: int) -> Model:
        """The model that sends images of this size. It follows from the options or from the number of bytes.

        Half an image of one model may be a whole image of another, so a new size must come twice in a row.
        """
        known = MODEL_BY_IMAGE_BYTES.get(image_bytes)
        expected = self._image or (known and self._options.with_ppi(known))
        if expected and image_bytes == expected.image_bytes:
            self._image, self._unexpected_bytes = expected, 0
            return expected
        before, self._unexpected_bytes = self._unexpected_bytes, image_bytes
        if image_bytes != before:
            raise CaptureRetry(Retry.MOVED, f"the image has {image_bytes} bytes, which is not the expected size")
        if self._configured:
            size = f"{known.width}x{known.height}" if known else f"{image_bytes} bytes an image"
            raise ProtocolError(f"{self._name}: sends {size}: correct the option model, or width and height")
        if not known:
            raise ProtocolError(
                f"{self._name}: sends {image_bytes} bytes, unlike any known model: set width and height"
            )
        self._image = self._options.with_ppi(known)
        return self._image


def expand(payload: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """Expands two pixels per byte (high nibble left) to u8[height, width] with the full range 0 to 255."""
    return expand_4bit(np.frombuffer(payload, np.uint8)).reshape(height, width)


_: type[Sensor] = Ef01
