"""NEXT Biometrics NB-1010-U: a thermal fingerprint sensor on USB, 8 bits, 256x180. It speaks only when asked.

This file opens and captures; tables.py says what the bytes mean.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from drivers.errors import CaptureRetry, LinkLost, ProtocolError, Retry, Stalled, TransferTimeout
from drivers.matches import UsbMatch
from drivers.nb1010.options import Nb1010Options
from drivers.nb1010.tables import (
    ANSWER_BYTES,
    CAPTURE,
    CONTACT_AT,
    FINGER_CHECK,
    HEIGHT,
    IMAGE_BYTES,
    MESSAGES,
    PIXELS_AT,
    PIXELS_END,
    PRE_CAPTURE,
    WIDTH,
    Command,
    fault_of,
    fault_of_lines,
)
from drivers.options import Options, parse_options
from drivers.sample import Modality, Position, Sample
from drivers.sensor import DeviceInfo, Sensor
from drivers.transport import Attachment, parse_usb_url
from drivers.usb.connect import begin_link
from drivers.usb.link import UsbLink
from drivers.usb.url import AnyUsbUrl, UsbUrl

log = logging.getLogger(__name__)

MATCHES = (UsbMatch(0x298D, 0x1010, "NEXT Biometrics NB-1010-U", "usb"),)

DEPTH_BITS = 8
OUT, IN = 0x02, 0x83
ANSWER_S = 0.5  # the longest that the sensor takes for one message
QUIET_S = 0.1  # nothing for so long: what it still had to say is said
LATE_S = 3.0  # so late may come what the sensor owes after it kept us waiting: a bus that was asleep, a busy hub
ASKED_AGAIN = 4  # times that a look for a finger is taken once more, where its answer was none
ORDER_TRIES = 3
DRAIN_S = 5.0  # a sensor that talks for longer without being asked is none


class Nb1010:
    """One sensor."""

    modality = Modality.FINGER
    streams = False

    def __init__(self, url: str, options: Options, *, connect: Callable[[AnyUsbUrl], UsbLink] = begin_link) -> None:
        self._options = parse_options(Nb1010Options, "nb1010", options)
        self._url = parse_usb_url(url)
        if isinstance(self._url, UsbUrl):
            _refuse_others(self._url.vendor, self._url.product, ValueError)
        self._name = f"nb1010 at {self._url}"
        self._connect = connect
        self._attachment = Attachment()
        self._link: UsbLink | None = None
        self._unread = False  # something may be on its way that nobody waits for any more
        self._owed = 0  # answers that were asked for and have not come
        self._lift_first = False
        self._seen_at: float | None = None  # when the greeting met a finger; nothing is asked twice

    def open(self) -> DeviceInfo:
        """Claim the sensor and hear whether it answers."""
        self.close()
        with self._attachment.attempt(), self._closed_on_failure():
            link = self._connect(self._url)
            self._attachment.attach(link)
            _refuse_others(link.identity.vendor, link.identity.product, ProtocolError)
            self._lift_first = False
            self._greet(link)
            self._link = link
            return self._info(link)

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        """Wait for a finger and return its image."""
        with self._attachment.attempt():
            if self._link is None:
                raise LinkLost(f"{self._name}: not open")
            self._drain(self._link)
            deadline = self._link.now() + timeout
            self._await_lift(self._link, deadline)
            image, captured_at = self._image_of_a_finger(self._link, deadline)
            self._lift_first = True
            return Sample(self.modality, position, image, DEPTH_BITS, self._options.ppi, captured_at, device=self._name)

    def cancel(self) -> None:
        """End the running capture or open, or the next one, with Cancelled."""
        self._attachment.cancel()

    def close(self) -> None:
        """Give the sensor back."""
        # A message that came twice would be taken for the next answer, and so on for ever.
        self._unread, self._owed = self._unread or self._link is not None, 0
        self._link = None
        self._attachment.detach()

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

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

    # Asking

    def _greet(self, link: UsbLink) -> None:
        """Hear one sound answer; what was left unread, by us or an earlier owner, comes before it."""
        self._seen_at = None
        self._drain(link)
        if self._contact(link) > self._options.contact:
            self._seen_at = link.now()

    def _ask(self, link: UsbLink, command: Command) -> bytes:
        """One exchange. ProtocolError: no sound answer, and it is not known what will come next."""
        unread, self._unread = self._unread, True
        with self._halts_cleared(link):
            link.write(OUT, command.message, ANSWER_S)
            self._owed += 1
            answer = link.read(IN, ANSWER_BYTES, ANSWER_S)
            self._owed = 0
        fault = fault_of(answer, command.answer, ANSWER_BYTES)
        if fault:
            raise ProtocolError(f"{self._name}: {command.name}: {fault}; is this an NB-1010-U?")
        self._unread = unread
        return answer

    def _contact(self, link: UsbLink) -> int:
        """How much of the sensor is touched, 0 to 255.

        The question changes nothing in the sensor, so it is put again where the answer was damaged or late.
        """
        try:
            return self._level(link)
        except ProtocolError as error:
            return self._contact_after(link, error)

    def _contact_after(self, link: UsbLink, error: ProtocolError) -> int:
        """The same after an answer that was none."""
        for _ in range(ASKED_AGAIN):
            log.debug("%s: asks again: %s", self._name, error)
            came = self._drain(link)
            silent = isinstance(error, TransferTimeout) and not came
            try:
                level = self._level(link)
            except ProtocolError as again:
                if silent and isinstance(again, TransferTimeout):
                    raise
                error = again
                continue
            self._unread = True
            if not self._drain(link):
                return level
            error = ProtocolError(f"{self._name}: answers more often than it is asked")  # which was to this question?
        raise error

    def _level(self, link: UsbLink) -> int:
        return self._ask(link, FINGER_CHECK)[CONTACT_AT]

    def _drain(self, link: UsbLink) -> bool:
        """Let the sensor finish what a cancelled, damaged or stalled transfer has left on its way.

        Whether anything came. An answer that it owes is waited for: it would be taken for that to the next question,
        and so on for ever.
        """
        deadline, came = link.now() + DRAIN_S, False
        while self._unread:
            try:
                with self._halts_cleared(link):
                    link.read(IN, IMAGE_BYTES, LATE_S if self._owed else QUIET_S)
                came, self._owed = True, max(self._owed - 1, 0)
            except TransferTimeout:
                self._unread, self._owed = False, 0
            if self._unread and link.now() > deadline:
                raise ProtocolError(f"{self._name}: talks without end; unplug it and plug it in again")
        return came

    @contextmanager
    def _halts_cleared(self, link: UsbLink) -> Iterator[None]:
        """After a refused transfer the next one works."""
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
        """Whether the greeting met a finger, no longer ago than two looks are apart. Told once."""
        seen_at, self._seen_at = self._seen_at, None
        return seen_at is not None and link.now() - seen_at <= self._options.poll_s

    def _poll_pause(self, link: UsbLink, deadline: float, reason: Retry) -> None:
        left = deadline - link.now()
        if left <= 0:
            raise CaptureRetry(reason)
        link.pause(min(self._options.poll_s, left))

    def _image_of_a_finger(
        self, link: UsbLink, deadline: float, tries: int = ORDER_TRIES
    ) -> tuple[NDArray[np.uint8], datetime]:
        """Wait for a finger and take its image; all of it again where an order had another order's answer.

        A message that came twice puts every later answer behind by one: the finger may then be one that has left.
        """
        self._await_finger(link, deadline)
        captured_at = datetime.now(UTC)
        try:
            return self._take_image(link), captured_at
        except ProtocolError as error:
            if tries == 1:
                raise
            log.debug("%s: begins again: %s", self._name, error)
        self._drain(link)
        return self._image_of_a_finger(link, deadline, tries - 1)

    def _take_image(self, link: UsbLink) -> NDArray[np.uint8]:
        """The image that comes after the two orders, in 90 messages of two lines."""
        self._ask(link, PRE_CAPTURE)
        self._ask(link, CAPTURE)
        self._unread = True
        pixels = b"".join(self._lines(link, number) for number in range(MESSAGES))
        self._unread = False
        return np.frombuffer(pixels, np.uint8).reshape(HEIGHT, WIDTH)

    def _lines(self, link: UsbLink, number: int) -> bytes:
        """Two lines. CaptureRetry when they did not come, or not they: the sensor is asked afresh."""
        try:
            with self._halts_cleared(link):
                message = link.read(IN, IMAGE_BYTES, ANSWER_S)
        except (TransferTimeout, Stalled) as error:
            raise CaptureRetry(Retry.MOVED, f"the image ends in message {number + 1} of {MESSAGES}") from error
        fault = fault_of_lines(message, number)
        if fault:
            raise CaptureRetry(Retry.MOVED, fault)
        return message[PIXELS_AT:PIXELS_END]


def _refuse_others(vendor: int, product: int, error: type[Exception]) -> None:
    match = MATCHES[0]
    if (vendor, product) != (match.vendor, match.product):
        wanted = f"{match.vendor:04x}:{match.product:04x}"
        raise error(f"driver nb1010: {vendor:04x}:{product:04x} is no {match.name}: that is {wanted}")


_: type[Sensor] = Nb1010
