"""Driver of the NEXT Biometrics NB-1010-U: a thermal fingerprint sensor on USB, 8 bits, 256x180.

The sensor sends only answers to commands. This file opens and captures; tables.py says what the bytes mean.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from drivers.errors import CaptureRetry, ProtocolError, Retry, Stalled, TransferTimeout
from drivers.matches import UsbMatch
from drivers.nb1010.options import Nb1010Options
from drivers.nb1010.tables import (
    ANSWER_BYTES,
    CAPTURE,
    CONTACT_OFFSET,
    FINGER_CHECK,
    HEIGHT,
    IMAGE_BYTES,
    MESSAGES,
    PIXELS_END,
    PIXELS_OFFSET,
    PRE_CAPTURE,
    WIDTH,
    Command,
    lines_fault,
    message_fault,
)
from drivers.options import Options, parse_options
from drivers.sample import Modality, Position, Sample
from drivers.sensor import DeviceInfo, Sensor
from drivers.session import TOTAL_S, SensorSession, TimeLimit
from drivers.transport import parse_usb_url
from drivers.usb.connect import begin_link
from drivers.usb.link import UsbLink
from drivers.usb.url import AnyUsbUrl, UsbUrl

log = logging.getLogger(__name__)

MATCHES = (UsbMatch(0x298D, 0x1010, "NEXT Biometrics NB-1010-U", "usb"),)

DEPTH_BITS = 8
OUT, IN = 0x02, 0x83
ANSWER_S = 0.5  # the maximum time for one message
QUIET_S = 0.1  # after this silence no unread data are left in the sensor
LATE_ANSWER_S = 3.0  # the maximum delay of an answer that is still pending: a suspended bus, a busy hub
CONTACT_RETRIES = 4  # how often a contact check is repeated if its answer was damaged or missing
IMAGE_TRIES = 3
DRAIN_S = 5.0  # a sensor that sends unrequested data for longer is not an NB-1010-U


class Nb1010(SensorSession):
    """One sensor."""

    modality = Modality.FINGER
    streams = False

    def __init__(self, url: str, options: Options, *, connect: Callable[[AnyUsbUrl], UsbLink] = begin_link) -> None:
        self._options = parse_options(Nb1010Options, "nb1010", options)
        self._url = parse_usb_url(url)
        if isinstance(self._url, UsbUrl):
            _check_ids(self._url.vendor, self._url.product, ValueError)
        super().__init__(f"nb1010 at {self._url}")
        self._connect = connect
        self._link: UsbLink | None = None
        self._limit = TimeLimit(self._name, time.monotonic)  # open() sets the clock of the link
        self._unread = False  # the sensor may still send data of an earlier transfer
        self._pending_answers = 0  # answers to commands that have not arrived
        self._lift_first = False
        self._contact_at: float | None = None  # when open() measured a finger, so that capture() need not ask again

    def open(self) -> DeviceInfo:
        """Claims the sensor and checks that it answers."""
        with self._opening():
            link = self._connect(self._url)
            self._attachment.attach(link)
            self._limit = TimeLimit(self._name, link.now)
            self._limit.start(TOTAL_S)
            _check_ids(link.identity.vendor, link.identity.product, ProtocolError)
            self._lift_first = False
            self._check_contact(link)
            self._link = link
            return self._info(link)

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        """Waits for a finger and returns its image."""
        with self._attachment.attempt():
            link = self._require_open(self._link)
            self._limit.start(timeout + TOTAL_S)
            self._drain(link)
            deadline = link.now() + timeout
            self._await_lift(link, deadline)
            image, captured_at = self._capture_image(link, deadline)
            self._lift_first = True
            return Sample(self.modality, position, image, DEPTH_BITS, self._options.ppi, captured_at, device=self._name)

    def forget_finger(self) -> None:
        """The next capture takes an image of what is on the sensor."""
        self._lift_first = False

    def check_alive(self) -> None:
        """Measures the contact once; its level does not matter."""
        with self._attachment.attempt():
            link = self._require_open(self._link)
            self._limit.start(TOTAL_S)
            self._drain(link)
            self._contact(link)

    def _release(self) -> None:
        # A duplicate message would be read as the next answer, and so on for ever.
        self._unread, self._pending_answers = self._unread or self._link is not None, 0
        self._link = None

    def _info(self, link: UsbLink) -> DeviceInfo:
        return DeviceInfo(
            driver="nb1010",
            model="NB-1010-U",
            serial=link.identity.serial,
            firmware=f"{link.identity.bcd_device:04x}",
            width=WIDTH,
            height=HEIGHT,
            pixels_per_inch=self._options.ppi,
            depth_bits=DEPTH_BITS,
        )

    # Commands

    def _check_contact(self, link: UsbLink) -> None:
        """Reads one valid answer, after the data that this or an earlier program left unread."""
        self._contact_at = None
        self._drain(link)
        if self._contact(link) > self._options.contact:
            self._contact_at = link.now()

    def _ask(self, link: UsbLink, command: Command) -> bytes:
        """Sends a command and reads its answer. ProtocolError if it is not valid; unread data may follow."""
        self._limit.left()
        unread, self._unread = self._unread, True
        with self._halts_cleared(link):
            link.write(OUT, command.message, ANSWER_S)
            self._pending_answers += 1
            answer = link.read(IN, ANSWER_BYTES, ANSWER_S)
            self._pending_answers = 0
        fault = message_fault(answer, command.answer, ANSWER_BYTES)
        if fault:
            raise ProtocolError(f"{self._name}: {command.name}: {fault}; is this an NB-1010-U?")
        self._unread = unread
        return answer

    def _contact(self, link: UsbLink) -> int:
        """How much of the sensor is touched, 0 to 255.

        The command changes nothing in the sensor, so it is repeated if the answer is damaged or late.
        """
        try:
            return self._read_contact(link)
        except ProtocolError as error:
            return self._contact_retried(link, error)

    def _contact_retried(self, link: UsbLink, error: ProtocolError) -> int:
        """The same, after an answer that was damaged or missing (`error`)."""
        for _ in range(CONTACT_RETRIES):
            log.debug("%s: checks again: %s", self._name, error)
            came = self._drain(link)
            silent = isinstance(error, TransferTimeout) and not came
            try:
                level = self._read_contact(link)
            except ProtocolError as again:
                if silent and isinstance(again, TransferTimeout):
                    raise
                error = again
                continue
            self._unread = True
            if not self._drain(link):
                return level
            error = ProtocolError(
                f"{self._name}: sends more answers than commands"
            )  # which answer belongs to this command?
        raise error

    def _read_contact(self, link: UsbLink) -> int:
        return self._ask(link, FINGER_CHECK)[CONTACT_OFFSET]

    def _drain(self, link: UsbLink) -> bool:
        """Reads and discards what a cancelled, damaged or stalled transfer has left in the sensor.

        Returns whether anything came. A pending answer is waited for: otherwise it would be read as the answer to the
        next command, and so on for ever.
        """
        deadline, came = link.now() + DRAIN_S, False
        while self._unread:
            self._limit.left()
            try:
                with self._halts_cleared(link):
                    link.read(IN, IMAGE_BYTES, LATE_ANSWER_S if self._pending_answers else QUIET_S)
                came, self._pending_answers = True, max(self._pending_answers - 1, 0)
            except TransferTimeout:
                self._unread, self._pending_answers = False, 0
            if self._unread and link.now() > deadline:
                raise ProtocolError(f"{self._name}: sends data without end; unplug it and plug it in again")
        return came

    @contextmanager
    def _halts_cleared(self, link: UsbLink) -> Iterator[None]:
        """Clears the halts after a stalled transfer, so that the next transfer works."""
        try:
            yield
        except Stalled:
            for endpoint in (OUT, IN):
                link.clear_halt(endpoint)
            raise

    # Capturing

    def _await_lift(self, link: UsbLink, deadline: float) -> None:
        while self._lift_first:
            if self._contact(link) <= self._options.contact:
                self._lift_first = False
            else:
                self._poll_pause(link, deadline, Retry.LIFT_FINGER)

    def _await_finger(self, link: UsbLink, deadline: float) -> None:
        while not self._just_seen(link) and self._contact(link) <= self._options.contact:
            self._poll_pause(link, deadline, Retry.NOTHING_PRESENTED)

    def _just_seen(self, link: UsbLink) -> bool:
        """Whether open() measured a finger at most one poll interval ago. True only once."""
        seen_at, self._contact_at = self._contact_at, None
        return seen_at is not None and link.now() - seen_at <= self._options.poll_s

    def _poll_pause(self, link: UsbLink, deadline: float, reason: Retry) -> None:
        left = deadline - link.now()
        if left <= 0:
            raise CaptureRetry(reason)
        link.pause(min(self._options.poll_s, left))

    def _capture_image(
        self, link: UsbLink, deadline: float, tries: int = IMAGE_TRIES
    ) -> tuple[NDArray[np.uint8], datetime]:
        """Waits for a finger and reads its image. Repeats all of it if a command got the answer to another command.

        A duplicate message shifts every later answer by one, so the contact answer may be of a finger that has left.
        """
        self._await_finger(link, deadline)
        captured_at = datetime.now(UTC)
        try:
            return self._take_image(link), captured_at
        except ProtocolError as error:
            if tries == 1:
                raise
            log.debug("%s: captures again: %s", self._name, error)
        self._drain(link)
        return self._capture_image(link, deadline, tries - 1)

    def _take_image(self, link: UsbLink) -> NDArray[np.uint8]:
        """Reads the image that follows the two commands, in 90 messages of two lines."""
        self._ask(link, PRE_CAPTURE)
        self._ask(link, CAPTURE)
        self._unread = True
        pixels = b"".join(self._read_lines(link, number) for number in range(MESSAGES))
        self._unread = False
        return np.frombuffer(pixels, np.uint8).reshape(HEIGHT, WIDTH)

    def _read_lines(self, link: UsbLink, number: int) -> bytes:
        """Reads two lines. CaptureRetry if they did not arrive or are damaged."""
        self._limit.left()
        try:
            with self._halts_cleared(link):
                message = link.read(IN, IMAGE_BYTES, ANSWER_S)
        except (TransferTimeout, Stalled) as error:
            raise CaptureRetry(Retry.MOVED, f"the image ends in message {number + 1} of {MESSAGES}") from error
        fault = lines_fault(message, number)
        if fault:
            raise CaptureRetry(Retry.MOVED, fault)
        return message[PIXELS_OFFSET:PIXELS_END]


def _check_ids(vendor: int, product: int, error: type[Exception]) -> None:
    match = MATCHES[0]
    if (vendor, product) != (match.vendor, match.product):
        wanted = f"{match.vendor:04x}:{match.product:04x}"
        raise error(f"driver nb1010: {vendor:04x}:{product:04x} is not {match.name}: that is {wanted}")


_: type[Sensor] = Nb1010
