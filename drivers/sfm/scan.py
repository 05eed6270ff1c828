"""Scans of SFM modules: awaiting the lift, awaiting a finger, and fetching its image."""

import logging
from datetime import UTC, datetime

from drivers.errors import CaptureRetry, ProtocolError, Retry
from drivers.sfm.image import BadRecord, Picture, read_record
from drivers.sfm.link import AGAIN_S, ANSWER_S, DATA_BYTES, LOOK_BYTES, SENDINGS, Clock, Response, SfmLink
from drivers.sfm.options import SfmOptions
from drivers.sfm.tables import EXTENDED, PLAIN, Command, Next

log = logging.getLogger(__name__)

OWN_TIMEOUT_S = 20.0  # a module waits so long for a finger at most, unless it was told to wait for ever
READINGS = 3  # of one scan, while its image arrives damaged, before the person is asked again


class Scanner:
    """What is known of one module from scan to scan: how it transfers images, and whether a finger must leave first.

    It outlives the links that it is given.
    """

    def __init__(self, name: str, options: SfmOptions, clock: Clock) -> None:
        self._name = name
        self._options = options
        self._clock = clock
        self._transfer = PLAIN if options.transfer == "plain" else EXTENDED
        self._lift_first = False

    def scan(self, link: SfmLink, timeout: float) -> tuple[datetime, Picture]:
        """Wait for a finger, `timeout` seconds at most; when it was scanned, and its image.

        CaptureRetry: the person presents again. LinkLost, ProtocolError, Cancelled as of the link.
        """
        deadline = self._clock() + max(timeout, self._options.look_s)
        self._await_lift(link, deadline)
        announced = self._await_finger(link, deadline)
        captured_at = datetime.now(UTC)
        picture = self._fetch(link, announced)
        self._lift_first = True
        return captured_at, picture

    # Waiting for the person

    def _await_lift(self, link: SfmLink, deadline: float) -> None:
        while self._lift_first:
            if not self._feels_finger(link):
                self._lift_first = False
            elif (left := deadline - self._clock()) <= 0:
                raise CaptureRetry(Retry.LIFT_FINGER)
            else:
                link.pause(min(self._options.poll_s, left))

    def _feels_finger(self, link: SfmLink) -> bool:
        """Whether a finger lies on the sensor: a scan that is stopped as soon as it has seen one."""
        seen = self._scan(link, LOOK_BYTES, self._options.look_s)
        link.ready()
        return seen is not None and seen.result.then is not Next.POLL_AGAIN

    def _await_finger(self, link: SfmLink, deadline: float) -> Response | None:
        """Wait for a scan; the response that announces its image, or None when that was lost."""
        while (left := deadline - self._clock()) > 0:
            seen = self._scan(link, DATA_BYTES, min(left, OWN_TIMEOUT_S + ANSWER_S))
            if seen is not None and seen.result.then is not Next.POLL_AGAIN:
                return self._announced(link, self._transfer.scan, seen)
            link.ready()  # or it has fallen silent
        raise CaptureRetry(Retry.NOTHING_PRESENTED)

    def _scan(self, link: SfmLink, data_bytes: int, seconds: float) -> Response | None:
        """Ask for a scan; its first response, when that is about a finger. None: nothing whole within `seconds`."""
        trouble = ""
        for _ in range(SENDINGS):
            link.ready()
            link.start(self._transfer.scan, data_bytes)
            seen = link.hear(self._transfer.scan, seconds)
            if seen is None or seen.result.then not in (Next.SEND_AGAIN, Next.FALL_BACK, Next.REOPEN):
                return seen
            if seen.result.then is Next.FALL_BACK and self._transfer is EXTENDED and self._options.transfer == "auto":
                log.info("%s: knows no extended transfer", self._name)
                self._transfer = PLAIN
            elif seen.result.then is Next.SEND_AGAIN:
                link.pause(AGAIN_S)
            else:
                seen.result.check(self._name, self._transfer.scan.name)
            trouble = str(seen.result)
        raise ProtocolError(f"{self._name}: {SENDINGS} times: {trouble}")

    # The image

    def _announced(self, link: SfmLink, command: Command, seen: Response | None) -> Response | None:
        """The response that announces an image, or why it cannot be sent now. None: it was lost."""
        while seen is not None and seen.result.then is Next.WAIT_ON:
            seen = link.hear(command, ANSWER_S)
        if seen is not None and isinstance(seen.result.then, Retry):
            raise CaptureRetry(seen.result.then, seen.result.meaning)
        if seen is not None and seen.result.then in (Next.REOPEN, Next.FALL_BACK):
            seen.result.check(self._name, command.name)
        return seen

    def _fetch(self, link: SfmLink, announced: Response | None) -> Picture:
        """The image that was scanned. When it arrives damaged, or cannot be sent yet, the module sends it again."""
        found = self._read(link, self._transfer.scan, announced)
        for _ in range(READINGS - 1):
            if isinstance(found, Picture):
                break
            announced = self._announced_again(link, put_off=_is_put_off(announced))
            found = self._read(link, self._transfer.read, announced)
        if isinstance(found, Picture):
            return found
        if _is_put_off(announced):
            raise ProtocolError(f"{self._name}: {READINGS} times: {found}")
        raise CaptureRetry(Retry.MOVED, found)

    def _announced_again(self, link: SfmLink, *, put_off: bool) -> Response | None:
        if put_off:
            link.pause(AGAIN_S)
        link.ready()
        link.start(self._transfer.read, DATA_BYTES)
        return self._announced(link, self._transfer.read, link.hear(self._transfer.read, ANSWER_S))

    def _read(self, link: SfmLink, command: Command, announced: Response | None) -> Picture | str:
        """The picture, or what was damaged."""
        if announced is None:
            return "the announcement of an image was lost"
        if announced.result.then is not Next.GO_ON:
            return str(announced.result)
        upload = link.receive(self._transfer, command, announced.size)
        if upload.damage:
            return upload.damage
        try:
            return read_record(upload.record, self._name)
        except BadRecord as bad:
            return str(bad)


def _is_put_off(announced: Response | None) -> bool:
    return announced is not None and announced.result.then is Next.SEND_AGAIN
