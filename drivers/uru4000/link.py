"""One U.are.U reader on a USB link: its registers, power, messages, images and image keys.

Source: ../shared/facts/usb-fingerprint.md, sections 2 to 5.
"""

import logging
import math
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, repeat

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from drivers.errors import Cancelled, ProtocolError, SensorError, Stalled, TransferTimeout
from drivers.uru4000.image import IMAGE_BYTES
from drivers.uru4000.tables import (
    CHALLENGE_BYTES,
    CHALLENGE_KEY,
    DEVICE_INFO_BYTES,
    IMAGE_ENDPOINT,
    INTERRUPT_BYTES,
    INTERRUPT_ENDPOINT,
    POLL_S,
    POLLS,
    POWER_ON_S,
    POWER_UP_S,
    POWER_UPS,
    READ,
    REGISTER_REQUEST,
    REGISTER_S,
    STATUS_KEPT_BITS,
    WRITE,
    Interrupt,
    Mode,
    Model,
    Register,
    Status,
)
from drivers.usb.link import PendingRead, UsbLink

log = logging.getLogger(__name__)

SEED_BITS = 32

IMAGE_S = 2.0  # the maximum time of an image from the command to its last byte; 0.13 s was measured
STALE_READS, STALE_READ_S = 4, 0.2  # the maximum number of reads to empty the pipe, and the timeout of each
MESSAGE_FLOOD_S = 1.0  # the maximum time that messages may follow each other without a pause after the end of a wait
MAX_MESSAGES = 256
REPLUG = "is it the device that its id names? unplug it and plug it in again"
RESTARTED_AFTER_S = 5.0  # a POWER_ON message this long after the power-up tells of another one
# A reader whose mode register cannot be read is powered up again after so long without a finger. The time doubles up to
# the second value, because its light may flicker.
POWER_AGAIN_S, POWER_AGAIN_MAX_S = 10.0, 160.0
RESTARTED = "fell back to its power-on state; if that happens often, check cable and hub"
OFF_S = 0.1  # the maximum time for switching off: a cancel does not wait for a dead reader


class Uru4000Link:
    """One reader. An interrupt read is always pending; close() cancels it and leaves the USB link open."""

    def __init__(self, usb: UsbLink, model: Model, name: str, seeds: Sequence[int] = ()) -> None:
        self._usb = usb
        self._model = model
        self._name = name
        self._seeds = chain(seeds, repeat(seeds[-1])) if seeds else None
        self._up_by = math.inf
        self._powered_at = -math.inf
        self._seen_alive_at = -math.inf  # the last power-up or finger
        self._power_again_s = POWER_AGAIN_S
        self._mode: Mode | None = None  # the last one that was set
        self._mode_is_readable = False  # it is not documented whether the register can be read
        self._unread = False  # the image pipe may contain the rest of an image
        self._inbox = usb.listen(INTERRUPT_ENDPOINT, INTERRUPT_BYTES)

    def now(self) -> float:
        """Seconds, monotonic."""
        return self._usb.now()

    def pause(self, seconds: float) -> None:
        """Waits. Raises Cancelled."""
        self._usb.pause(seconds)

    def close(self) -> None:
        """Cancels the interrupt read. Never raises."""
        self._inbox.close()

    # Registers

    def read(self, register: Register, size: int) -> bytes:
        """Reads `size` bytes beginning at a register. ProtocolError if the reader sends fewer."""
        with self._naming(f"register {register}", REPLUG):
            data = self._usb.control_in(READ, REGISTER_REQUEST, register, 0, size, REGISTER_S)
        if len(data) != size:
            raise ProtocolError(f"{self._name}: register {register} returned {len(data)} of {size} bytes; {REPLUG}")
        return data

    def write(self, register: Register, data: bytes, timeout: float = REGISTER_S) -> None:
        """Writes registers beginning at this one."""
        recorded = register is Register.SCRAMBLE_INDEX and self._seeds
        hint = "does the option seed have the seeds of the recording, in the same order?" if recorded else REPLUG
        with self._naming(f"register {register}", hint):
            self._usb.control_out(WRITE, REGISTER_REQUEST, register, 0, data, timeout)

    @contextmanager
    def _naming(self, what: str, hint: str) -> Iterator[None]:
        """Adds to a transfer error what the transfer was for, and a hint."""
        try:
            yield
        except TransferTimeout as error:
            raise TransferTimeout(f"{self._name}: no answer from {what}; {hint}") from error
        except Stalled as error:
            raise Stalled(f"{self._name}: {what} was refused; {hint}") from error

    def set_mode(self, mode: Mode) -> None:
        """Sets the mode of the reader."""
        self._mode = mode
        self.write(Register.MODE, bytes([mode]))

    def switch_off(self) -> None:
        """Sets the mode OFF, if the reader still answers. Never raises."""
        deadline = self.now() + OFF_S
        self._mode = Mode.OFF
        with suppress(SensorError):
            try:
                self._write_off(OFF_S)
            except Cancelled:  # the sensor remembers it; the mode must be sent anyway
                with suppress(Cancelled):
                    self._write_off(max(deadline - self.now(), 0.0))

    def _write_off(self, timeout: float) -> None:
        self.write(Register.MODE, bytes([Mode.OFF]), timeout)

    def device_info(self) -> bytes:
        """Reads the device info."""
        return self.read(Register.DEVICE_INFO, DEVICE_INFO_BYTES)

    def _status(self) -> int:
        return self.read(Register.STATUS, 1)[0]

    def _set_status(self, status: int) -> None:
        if self.now() > self._up_by:
            raise ProtocolError(f"{self._name}: answers too slowly to be started; check cable and hub")
        self.write(Register.STATUS, bytes([status]))

    # Power

    def power_up(self) -> None:
        """Brings the reader to scan power from any state. ProtocolError if it does not power up."""
        self._up_by = self.now() + POWER_UP_S
        for attempt in range(POWER_UPS):
            status = self._restart_if_hung(self._status())
            if not status & Status.LOW_POWER:
                self._set_status(status | Status.LOW_POWER)
            self._wake(status)
            self._powered_at = self._seen_alive_at = self.now()
            if self.await_message(Interrupt.POWER_ON, POWER_ON_S):
                return
            log.debug("%s: no message of power-on, attempt %d", self._name, attempt + 1)
        raise ProtocolError(f"{self._name}: scan power does not come on; unplug it and plug it in again")

    def check_alive(self) -> None:
        """ProtocolError if the reader has lost its scan power or its mode, without leaving the bus.

        A reader that cannot tell its mode is powered up again, more and more rarely: nothing else would show the loss.
        """
        status = self._status()
        if status & (Status.LOW_POWER | Status.WRONG) or not status & Status.ALIVE:
            raise ProtocolError(f"{self._name}: {RESTARTED} (status {status:02x})")
        if self._mode is None:
            return
        mode = self.read(Register.MODE, 1)[0]
        if mode == self._mode:
            self._mode_is_readable = True
        elif self._mode_is_readable:
            raise ProtocolError(f"{self._name}: {RESTARTED} (mode {mode:02x} instead of {self._mode:02x})")
        elif self.now() - self._seen_alive_at >= self._power_again_s and self._mode is not Mode.AWAIT_FINGER_OFF:
            self._power_again_s = min(2 * self._power_again_s, POWER_AGAIN_MAX_S)
            self.power_up()
            self.set_mode(self._mode)

    def power_reported(self) -> None:
        """A POWER_ON message has just come. ProtocolError if it is not of the last power-up."""
        if self.now() - self._powered_at > RESTARTED_AFTER_S:
            raise ProtocolError(f"{self._name}: {RESTARTED}")

    def _restart_if_hung(self, status: int) -> int:
        """Restarts a reader that hangs; returns the status."""
        hangs = Status.LOW_POWER | Status.WRONG
        if status & hangs != hangs:
            return status
        self._set_status(status & STATUS_KEPT_BITS)
        for _ in range(POLLS):
            status = self._status()
            if status & Status.ALIVE:
                return status
            self.pause(POLL_S)
        raise ProtocolError(f"{self._name}: does not restart; unplug it and plug it in again")

    def _wake(self, status: int) -> None:
        for _ in range(POLLS):
            self._set_status(status & STATUS_KEPT_BITS)
            if not self._status() & Status.LOW_POWER:
                return
            self.pause(POLL_S)
            if self._model.challenge:
                self._answer_challenge()
        raise ProtocolError(f"{self._name}: stays in low power; unplug it and plug it in again")

    def _answer_challenge(self) -> None:
        challenge = self.read(Register.CHALLENGE, CHALLENGE_BYTES)
        self.write(Register.RESPONSE, challenge_response(challenge))

    # Messages

    def await_message(self, wanted: Interrupt, timeout: float) -> bool:
        """Whether a message arrives within `timeout` seconds. Others are skipped: POWER_ON comes several times."""
        return self.await_first((wanted,), timeout) is not None

    def await_first(self, wanted: Collection[Interrupt], timeout: float) -> Interrupt | None:
        """Which of several messages arrives first; None if none of them arrives within `timeout` seconds."""
        deadline = self.now() + timeout
        while (left := deadline - self.now()) > -MESSAGE_FLOOD_S:
            message = self._next_message(max(left, 0.0))
            if message is None:
                return None
            kind = int.from_bytes(message[:2])
            if kind in (Interrupt.FINGER_ON, Interrupt.FINGER_OFF):
                self._seen_alive_at = self.now()
            if kind in wanted:
                return Interrupt(kind)
            if kind == Interrupt.FAULT:
                log.info("%s: reports a fault; the next image may be empty", self._name)
        raise ProtocolError(f"{self._name}: sends messages without end")

    def discard_messages(self) -> None:
        """Discards the messages received so far."""
        for _ in range(MAX_MESSAGES):
            if self._next_message(0.0) is None:
                return

    def _next_message(self, timeout: float) -> bytes | None:
        try:
            return self._inbox.next(timeout)
        except Stalled:
            self._usb.clear_halt(INTERRUPT_ENDPOINT)
            return self._inbox.next(timeout)

    # Images

    def take_image(self) -> bytes:
        """Takes one image and returns it as sent, valid or not. TransferTimeout if none arrives."""
        self._unread = True
        deadline = self.now() + IMAGE_S
        pending = self._usb.begin_read(IMAGE_ENDPOINT, IMAGE_BYTES, IMAGE_S)
        try:
            self.set_mode(Mode.CAPTURE)  # after begin_read: the reader does not wait for the host to read
            raw = self._image_of(pending)
        finally:
            pending.abandon()
        # An image shorter than requested is complete, because its last packet was short; a cancelled read is not.
        self._unread = len(raw) >= IMAGE_BYTES or self.now() >= deadline
        return raw

    def _image_of(self, pending: PendingRead) -> bytes:
        try:
            with suppress(Stalled):
                return pending.result(IMAGE_S)
        except TransferTimeout as error:
            raise TransferTimeout(f"{self._name}: no image came within {IMAGE_S:g} s; {REPLUG}") from error
        self._usb.clear_halt(IMAGE_ENDPOINT)
        return b""

    def discard_stale_image(self) -> None:
        """Discards the rest of an earlier image, which must not become a part of another person's image.

        Not called between two tries at the same finger: no recorded host reads there, and the read would only time out.
        """
        if not self._unread:
            return
        with suppress(TransferTimeout):
            for _ in range(STALE_READS):
                self._usb.read(IMAGE_ENDPOINT, IMAGE_BYTES, STALE_READ_S)

    def read_key(self, number: int) -> int:
        """Reads the key of an image or of a part of it. The reader masks it with a seed from the host."""
        seed = next(self._seeds) if self._seeds else secrets.randbits(SEED_BITS)
        self.write(Register.SCRAMBLE_INDEX, bytes([number]) + seed.to_bytes(4, "little"))
        return int.from_bytes(self.read(Register.SCRAMBLE_KEY, 4), "little") ^ seed


def challenge_response(challenge: bytes) -> bytes:
    """The response to a challenge: one block of AES-128 with a key that all readers share."""
    # ECB of a single block, as the reader requires. It protects no secret.
    encryptor = Cipher(algorithms.AES(CHALLENGE_KEY), modes.ECB()).encryptor()  # noqa: S305 - see above
    return encryptor.update(challenge) + encryptor.finalize()
