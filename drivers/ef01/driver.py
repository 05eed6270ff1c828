"""Driver of EF01 fingerprint modules on a serial line: R301T, R305, R307, R503, R551, AS608, ZFM-20/60/70, FPM10A.

The protocol is half duplex, has no event for a finger and no retransmission. The driver polls with GetImage and uploads
the image with UpImage; if a byte of the image is lost, the person must present again. Images have 16 grey levels.

This file opens and captures, link.py does one exchange, tables.py gives the meaning of the bytes.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from drivers.ef01.link import LATE_ANSWER_S, MAX_GAP_S, Ef01Link, NoAnswer, Reply
from drivers.ef01.options import Ef01Options
from drivers.ef01.tables import (
    ACCESS_REFUSED,
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
    Command,
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
from drivers.session import Clock, SerialSession
from drivers.transport import SerialUrl, Transport, Url, open_transport

log = logging.getLogger(__name__)

MATCHES = SERIAL_ADAPTERS  # the modules have no USB

DEPTH_BITS = 4
ADVICE = (
    "check power, wiring, rate (baud in the URL, option probe_bauds) and, if it was changed, the address of the module "
    "(option address)"
)
ADVICE_SOCKET = (
    "check power and wiring, that the adapter uses the rate of the module, and, if it was changed, the address of the "
    "module (option address)"
)
MESSY_S = 1.0  # a finger that is being placed may give bad images this long; then the person must present again


class Ef01(SerialSession):
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
        super().__init__(
            "ef01", url, DEFAULT_BAUD, baud=self._options.baud, probe_bauds=self._options.probe_bauds, clock=clock,
            connect=connect,
        )  # fmt: skip
        self._link: Ef01Link | None = None
        self._configured = self._options.image_model()
        self._image = self._configured  # the image size that the module sends, once known
        self._unexpected_bytes = 0  # the size of the last image, if it was not the expected one
        self._rate_written = self._packet_size_written = False
        self._lift_first = False
        self._answers_late = False  # possibly: the module did not answer the first command when it was opened

    def open(self) -> DeviceInfo:
        """Claims the port and reads the parameters of the module. Tries each rate of the options until one does."""
        with self._opening():
            link, parameters = self._set_up(*self._find(self._rates_to_try()))
            told = parameters or SystemParameters(
                self._options.address, self._options.packet_size or min(PACKET_SIZES), BAUD_UNIT
            )
            baud = self._url.baud if isinstance(self._url, SerialUrl) else told.baud
            image_bytes = self._image.image_bytes if self._image else max(MODEL_BY_IMAGE_BYTES)
            link.expect_images(image_bytes, told.packet_size, baud)
            self._link = link
            return self._info()

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        """Waits for a finger and returns its image."""
        with self._capturing(timeout):
            link = self._require_open(self._link)
            deadline = self._clock() + timeout
            self._await_lift(link, deadline)
            self._await_finger(link, deadline)
            captured_at = datetime.now(UTC)
            payload, model = self._fetch(link)
            self._lift_first = True
            image = expand(payload, model.width, model.height)
            return Sample(
                self.modality, position, image, DEPTH_BITS, model.pixels_per_inch, captured_at, device=self._name
            )

    def forget_finger(self) -> None:
        """The next capture takes an image of what is on the sensor."""
        self._lift_first = False

    def check_alive(self) -> None:
        """Polls once; whether a finger is there does not matter."""
        with self._capturing(0.0):
            self._poll(self._require_open(self._link))

    def _release(self) -> None:
        self._link = None

    # Finding the module

    def _rates_to_try(self) -> list[Url]:
        """The URL at the rate of the option, of the last contact, of the URL itself, and at the rates to probe."""
        known = [url.baud for url in (self._url, self._configured_url) if isinstance(url, SerialUrl)]
        return self._at_rates([self._options.baud, *known] if self._options.baud else known)

    def _find(self, urls: list[Url]) -> tuple[Ef01Link, SystemParameters | None]:
        """Tries each rate; uses the first one that is answered."""
        unexpected, commands = "", 0

        def greet(url: Url) -> tuple[Ef01Link, Confirmation] | None:
            nonlocal unexpected, commands
            link = self._link_at(url)
            answer = link.greet(self._options.password)
            unexpected, commands = link.unexpected or unexpected, commands + link.commands
            return None if answer is None else (link, answer)

        found = self._find_at(urls, greet)
        if found is not None:
            link, answer = found
            self._answers_late = commands > 1
            self._check_password(answer)
            return link, self._parameters(link)
        rates = [str(url.baud) for url in urls if isinstance(url, SerialUrl)]
        at = f" at {', '.join(rates)} baud" if rates else ""
        raise ProtocolError(f"{self._name}: no answer{at}{unexpected}; {ADVICE if rates else ADVICE_SOCKET}")

    def _link_at(self, url: Url) -> Ef01Link:
        baud = url.baud if isinstance(url, SerialUrl) else DEFAULT_BAUD
        return Ef01Link(self._attach(url), self._name, self._options.address, baud, self._clock)

    def _check_password(self, answer: Confirmation) -> None:
        """ProtocolError if the password is wrong. A module that does not know VfyPwd needs no password."""
        if answer.code in ACCESS_REFUSED:
            self._require_ok(answer, "VfyPwd")
        if answer.then is not NextStep.GO_ON:
            level = logging.WARNING if self._options.password else logging.INFO
            log.log(level, "%s: takes no password: VfyPwd refused: %s", self._name, answer)

    def _require_ok(self, answer: Confirmation, command: str) -> None:
        """ProtocolError unless the module confirmed the command."""
        if answer.then is not NextStep.GO_ON:
            raise ProtocolError(f"{self._name}: {command} refused: {answer}")

    def _ask_optional(self, link: Ef01Link, command: Command, arguments: bytes = b"") -> Reply | str:
        """The answer to a command that some modules do not have; a text that says why there is none.

        ProtocolError if the module only wants its password or its address first, or has become silent.
        """
        try:
            reply = link.request(command, arguments)
        except NoAnswer as error:
            if link.greet(self._options.password) is None:
                raise
            link.settle(LATE_ANSWER_S)
            return str(error).removeprefix(f"{self._name}: ")
        if reply.confirmation.code in ACCESS_REFUSED:
            self._require_ok(reply.confirmation, command.name)
        return reply if reply.confirmation.then is NextStep.GO_ON else f"{command.name} refused: {reply.confirmation}"

    # Configuring it

    def _set_up(self, link: Ef01Link, parameters: SystemParameters | None) -> tuple[Ef01Link, SystemParameters | None]:
        wanted = self._options.packet_size
        if wanted and (not self._packet_size_written if parameters is None else wanted != parameters.packet_size):
            parameters = self._set_packet_size(link, wanted, parameters)
        return self._set_rate(link, parameters)

    def _set_packet_size(
        self, link: Ef01Link, wanted: int, parameters: SystemParameters | None
    ) -> SystemParameters | None:
        """Sets the packet size. If the module does not tell its own, only once: it is stored in flash memory."""
        self._packet_size_written = True
        answer = self._ask_optional(link, SET_SYS_PARA, bytes([PACKET_SIZE_PARAMETER, PACKET_SIZES.index(wanted)]))
        if isinstance(answer, str):
            log.warning("%s: does not change its packet size: %s", self._name, answer)
            return parameters
        if parameters is None:
            return None
        parameters = self._parameters(link)
        if parameters is not None and parameters.packet_size != wanted:
            log.warning("%s: still uses packets of %d bytes", self._name, parameters.packet_size)
        return parameters

    def _set_rate(
        self, link: Ef01Link, parameters: SystemParameters | None
    ) -> tuple[Ef01Link, SystemParameters | None]:
        """Changes the rate if the option names another one. Only once: it is stored in flash memory, which wears.

        Some modules confirm the change but use the new rate only after the next power-on.
        """
        wanted, now = self._options.baud, self._url
        if not isinstance(now, SerialUrl) or wanted is None or wanted == now.baud or self._rate_written:
            return link, parameters
        self._rate_written = True
        refusal = self._ask_for_rate(link, wanted)
        if refusal is not None:
            log.warning("%s: refuses %d baud: %s", self._name, wanted, refusal)
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

    def _parameters(self, link: Ef01Link) -> SystemParameters | None:
        """The parameters of the module. None if it does not tell them: R303, R305 and R308 have no ReadSysPara."""
        answer = self._ask_optional(link, READ_SYS_PARA)
        if not isinstance(answer, str):
            try:
                return SystemParameters.from_bytes(answer.payload, self._name)
            except ProtocolError as error:
                answer = str(error).removeprefix(f"{self._name}: ")
        # The refusal may be the answer to an earlier command; then all answers would be taken for those of later ones.
        link.settle(LATE_ANSWER_S if self._answers_late else MAX_GAP_S)
        log.info("%s: does not tell its parameters (%s); those of the options are assumed", self._name, answer)
        return None

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

    def _fetch(self, link: Ef01Link) -> tuple[bytes, Model]:
        """The image and the model that sends images of its size.

        An unexpected size is verified: half an image of one model may be a whole image of another. The image is still
        in the module, so it is sent again. Some modules send it only once; then the next image verifies the size.
        """
        payload = self._upload(link)
        if (model := self._expected(len(payload))) is not None:
            return payload, model
        before, self._unexpected_bytes = self._unexpected_bytes, len(payload)
        if len(payload) != before:
            payload = self._upload_again(link, len(payload))
        model = self._expected(len(payload)) or self._other_model(len(payload))
        return payload, model

    def _upload_again(self, link: Ef01Link, image_bytes: int) -> bytes:
        """The same image once more. CaptureRetry if the module does not send it again, or in another wrong size."""
        detail = (
            f"the image has {image_bytes} bytes, which is not the expected size; if this happens again, correct the "
            "option model, or width and height"
        )
        try:
            payload = self._upload(link)
        except CaptureRetry as error:
            raise CaptureRetry(Retry.MOVED, detail) from error
        if len(payload) != image_bytes and self._expected(len(payload)) is None:
            raise CaptureRetry(Retry.MOVED, detail)
        return payload

    def _expected(self, image_bytes: int) -> Model | None:
        """The model of the options or of earlier images, if it sends images of this size; at first, any known one."""
        known = MODEL_BY_IMAGE_BYTES.get(image_bytes)
        expected = self._image or (known and self._options.with_ppi(known))
        if not expected or image_bytes != expected.image_bytes:
            return None
        self._image, self._unexpected_bytes = expected, 0
        return expected

    def _other_model(self, image_bytes: int) -> Model:
        """The model of a module that certainly sends images of this size, which was not expected."""
        known = MODEL_BY_IMAGE_BYTES.get(image_bytes)
        if self._configured:
            size = f"{known.width}x{known.height}" if known else f"{image_bytes} bytes an image"
            raise ProtocolError(f"{self._name}: sends {size}: correct the option model, or width and height")
        if not known:
            raise ProtocolError(
                f"{self._name}: sends {image_bytes} bytes, unlike any known model: set width and height"
                f"{_square(image_bytes)}"
            )
        self._image, self._unexpected_bytes = self._options.with_ppi(known), 0
        return self._image


def _square(image_bytes: int) -> str:
    """A proposal for the size, if a square image has so many bytes."""
    side = math.isqrt(2 * image_bytes)
    return f" (width={side} and height={side} would fit)" if side * side == 2 * image_bytes else ""


def expand(payload: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """Expands two pixels per byte (high nibble left) to u8[height, width] with the full range 0 to 255."""
    return expand_4bit(np.frombuffer(payload, np.uint8)).reshape(height, width)


_: type[Sensor] = Ef01
