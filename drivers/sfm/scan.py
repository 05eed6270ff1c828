"""Scans of SFM modules: waits for the lift of the last finger and for the next finger, and fetches its image."""

import logging
from datetime import UTC, datetime

from drivers.errors import CaptureRetry, ProtocolError, Retry
from drivers.session import Clock
from drivers.sfm.image import BadRecord, SfmImage, parse_record
from drivers.sfm.link import (
    ANSWER_S,
    DATA_BYTES,
    FINGER_CHECK_BYTES,
    RETRY_PAUSE_S,
    SEND_TRIES,
    Response,
    SfmLink,
)
from drivers.sfm.options import SfmOptions
from drivers.sfm.tables import EXTENDED, PLAIN, Command, NextStep

log = logging.getLogger(__name__)

OWN_TIMEOUT_S = 20.0  # the maximum of the module's own timeout for a finger, unless that was set to endless
UNKNOWN_S = 2.0  # as long as it is not known whether the module knows a scan command, one scan waits so long
READ_TRIES = 3  # how often the image of one scan is read before the person must present again


class Scanner:
    """The state of one module from scan to scan: how it transfers images, and whether the last finger must leave first.

    It outlives the links passed to scan().
    """

    def __init__(self, name: str, options: SfmOptions, clock: Clock) -> None:
        self._name = name
        self._options = options
        self._clock = clock
        self._transfer = PLAIN if options.transfer == "plain" else EXTENDED
        self._known = options.transfer != "auto"  # the module has answered the scan command of this transfer
        self._lift_first = False

    def scan(self, link: SfmLink, timeout: float) -> tuple[datetime, SfmImage]:
        """Waits for a finger, at most `timeout` seconds. Returns the time of the scan, and the image.

        CaptureRetry if the person must present again. LinkLost, ProtocolError and Cancelled as raised by the link.
        """
        deadline = self._clock() + max(timeout, self._options.look_s)
        self._await_lift(link, deadline)
        announced = self._await_finger(link, deadline)
        captured_at = datetime.now(UTC)
        image = self._fetch(link, announced)
        self._lift_first = True
        return captured_at, image

    def forget_finger(self) -> None:
        """The next scan takes an image of what is on the sensor."""
        self._lift_first = False

    # Waiting for the person

    def _await_lift(self, link: SfmLink, deadline: float) -> None:
        while self._lift_first:
            if not self._finger_present(link):
                self._lift_first = False
            elif (left := deadline - self._clock()) <= 0:
                raise CaptureRetry(Retry.LIFT_FINGER)
            else:
                link.pause(min(self._options.poll_s, left))

    def _finger_present(self, link: SfmLink) -> bool:
        """Whether a finger is on the sensor. Requests a scan and stops it as soon as it has detected one."""
        seen = self._scan(link, FINGER_CHECK_BYTES, self._options.look_s)
        link.ensure_idle()
        return seen is not None and seen.result.then is not NextStep.POLL_AGAIN

    def _await_finger(self, link: SfmLink, deadline: float) -> Response | None:
        """Waits for a scan. Returns the response that announces its image, or None if that was lost."""
        while (left := deadline - self._clock()) > 0:
            seen = self._scan(link, DATA_BYTES, min(left, OWN_TIMEOUT_S + ANSWER_S if self._known else UNKNOWN_S))
            if seen is not None and seen.result.then is not NextStep.POLL_AGAIN:
                return self._announcement(link, self._transfer.scan, seen)
            if not self._known:
                self._test_transfer(link)
            link.ensure_idle()  # raises if the module has become silent
        raise CaptureRetry(Retry.NOTHING_PRESENTED)

    def _test_transfer(self, link: SfmLink) -> None:
        """After a scan without an answer: uses the other transfer next, unless the module says that it cancels it.

        Some modules do not answer a command that they do not know, as if nobody presented a finger.
        """
        self._known = link.cancel_scan(self._transfer.scan)
        if not self._known:
            self._transfer = PLAIN if self._transfer is EXTENDED else EXTENDED

    def _scan(self, link: SfmLink, data_bytes: int, seconds: float) -> Response | None:
        """Requests a scan. Returns its first response about a finger; None if nothing whole arrives in `seconds`."""
        trouble = ""
        for _ in range(SEND_TRIES):
            link.ensure_idle()
            link.start(self._transfer.scan, data_bytes)
            seen = link.receive_response(self._transfer.scan, seconds)
            if seen is None or seen.result.then not in (NextStep.SEND_AGAIN, NextStep.FALL_BACK, NextStep.REOPEN):
                self._known = self._known or seen is not None
                return seen
            if (
                seen.result.then is NextStep.FALL_BACK
                and self._transfer is EXTENDED
                and self._options.transfer == "auto"
            ):
                log.info("%s: does not support the extended transfer", self._name)
                self._transfer = PLAIN
            elif seen.result.then is NextStep.SEND_AGAIN:
                link.pause(RETRY_PAUSE_S)
            else:
                seen.result.check(self._name, self._transfer.scan.name)
            trouble = str(seen.result)
        raise ProtocolError(f"{self._name}: {SEND_TRIES} times: {trouble}")

    # The image

    def _announcement(self, link: SfmLink, command: Command, seen: Response | None) -> Response | None:
        """The response that announces an image, or says why it cannot be sent now. None if it was lost."""
        while seen is not None and seen.result.then is NextStep.WAIT_ON:
            seen = link.receive_response(command, ANSWER_S)
        if seen is not None and isinstance(seen.result.then, Retry):
            raise CaptureRetry(seen.result.then, seen.result.meaning)
        # A module that does not know how to send an image again has no such image: the person presents again.
        unknown = NextStep.REOPEN if command is self._transfer.read else NextStep.FALL_BACK
        if seen is not None and seen.result.then in (NextStep.REOPEN, unknown):
            seen.result.check(self._name, command.name)
        return seen

    def _fetch(self, link: SfmLink, announced: Response | None) -> SfmImage:
        """The scanned image. Requests it again if it arrives damaged, or if the module is busy."""
        found = self._read(link, self._transfer.scan, announced)
        for _ in range(READ_TRIES - 1):
            if isinstance(found, SfmImage):
                break
            announced = self._request_again(link, busy=_is_busy(announced))
            found = self._read(link, self._transfer.read, announced)
        if isinstance(found, SfmImage):
            return found
        if _is_busy(announced):
            raise ProtocolError(f"{self._name}: {READ_TRIES} times: {found}")
        raise CaptureRetry(Retry.MOVED, found)

    def _request_again(self, link: SfmLink, *, busy: bool) -> Response | None:
        if busy:
            link.pause(RETRY_PAUSE_S)
        link.ensure_idle()
        link.start(self._transfer.read, DATA_BYTES)
        return self._announcement(link, self._transfer.read, link.receive_response(self._transfer.read, ANSWER_S))

    def _read(self, link: SfmLink, command: Command, announced: Response | None) -> SfmImage | str:
        """The image, or a text that says what was damaged."""
        if announced is None:
            return "the announcement of an image was lost"
        if announced.result.then is not NextStep.GO_ON:
            return str(announced.result)
        upload = link.receive(self._transfer, command, announced.size)
        if upload.damage:
            return upload.damage
        try:
            return parse_record(upload.record, self._name)
        except BadRecord as bad:
            return str(bad)


def _is_busy(announced: Response | None) -> bool:
    return announced is not None and announced.result.then is NextStep.SEND_AGAIN
