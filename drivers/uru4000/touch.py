"""Decides when a finger on a U.are.U reader is a new one, from the reader's messages, and verifies late messages.

    mode 10 -> 0101, a finger is there -> its image -> mode 12 -> 0200, it has left

This is documented (../shared/facts/usb-fingerprint.md, section 5). It is not documented whether a reader reports a
finger that was there before the mode was set, and whether it reports again if the mode is set again. This code relies
on neither: a message is trusted, and a missing message neither loses a touch nor blocks the next person for ever.
"""

from collections.abc import Collection

from drivers.errors import Cancelled, CaptureRetry, Retry
from drivers.uru4000.link import Uru4000Link
from drivers.uru4000.tables import Interrupt, Mode

ANSWER_S = 0.2  # the reader's time to report a finger that is there; not the person's time
LATE_S = 3.0  # how long after a wait for a finger its message may still come
LATE_MESSAGES = 2  # the maximum number of late messages
CHECK_S = 3.0  # of waiting for a finger, until the reader is asked whether it still does
VERIFY_S = 0.15  # for each of the two modes that verify a finger
ASK_AGAIN_S = 2.0  # then the mode is set again, because the message of the lift may have been lost
MAX_UNANSWERED = 2  # waits for a lift without a message before it is checked whether the finger is still there
PROBES, PROBE_S = 2, 0.5  # number and duration of those checks: one message may be lost or late


class FingerPresence:
    """Whether there is a finger on one reader, from power-up on."""

    def __init__(self, link: Uru4000Link) -> None:
        self._link = link
        self._lift_first = False
        self._unanswered = 0  # waits for a lift that got no message, not counting the mode set after the image
        self._verify_until = 0.0  # until then, a finger message may be of a finger that has left

    def sample_taken(self) -> None:
        """A sample was taken of this finger: it must leave before the next one."""
        self._lift_first, self._unanswered = True, 0
        self._link.set_mode(Mode.AWAIT_FINGER_OFF)

    def capture_ended(self, ended: CaptureRetry | Cancelled) -> None:
        """The capture ended without a sample: switches the reader off, unless it goes on waiting for a lift."""
        if self._lift_first and not isinstance(ended, Cancelled):
            return
        self._link.switch_off()
        self._unanswered = max(self._unanswered, 1)
        self._verify_until = self._link.now() + LATE_S

    def forget_finger(self) -> None:
        """The finger of the last sample counts as lifted."""
        self._lift_first = False

    # The lift

    def await_lift(self, deadline: float) -> None:
        """Waits until the finger of the last sample has left. CaptureRetry(LIFT_FINGER)."""
        wait_s = 0.0 if self._unanswered else ANSWER_S
        if self._lift_first and self._link.await_message(Interrupt.FINGER_OFF, wait_s):
            self._lift_first = False
        while self._lift_first:
            self._lift_first = not self._has_left(deadline)
            if self._lift_first and self._link.now() >= deadline:
                raise CaptureRetry(Retry.LIFT_FINGER)

    def _has_left(self, deadline: float) -> bool:
        """Whether the lift is reported after setting the mode again, or is found by a check."""
        self._link.set_mode(Mode.OFF)
        self._link.set_mode(Mode.AWAIT_FINGER_OFF)
        left = max(deadline - self._link.now(), ANSWER_S)
        if self._link.await_message(Interrupt.FINGER_OFF, min(left, ASK_AGAIN_S)):
            return True
        self._unanswered += 1
        return self._unanswered >= MAX_UNANSWERED and not self._still_present()

    def _still_present(self) -> bool:
        """Checks for a finger by waiting for a new one: for a reader that lost the lift message and does not repeat it.

        A reader that does not report a finger that was there before is silent too. This gives no second sample of that
        finger: the next message is of a finger that comes.
        """
        self._unanswered = 0
        for _ in range(PROBES):
            self._link.set_mode(Mode.OFF)
            message = self._answer_to(Mode.AWAIT_FINGER_ON, (Interrupt.FINGER_ON, Interrupt.FINGER_OFF), PROBE_S)
            if message is Interrupt.FINGER_OFF:  # it was only late
                return False
            if message is Interrupt.FINGER_ON:
                self._link.set_mode(Mode.AWAIT_FINGER_OFF)
                return True
        return False

    # The next finger

    def await_finger(self, deadline: float) -> None:
        """Waits until a finger is there. CaptureRetry(NOTHING_PRESENTED)."""
        self._ask_for_finger(deadline)
        while self._is_gone():
            self._ask_for_finger(deadline)

    def _ask_for_finger(self, deadline: float) -> None:
        self._link.discard_messages()
        self._link.set_mode(Mode.AWAIT_FINGER_ON)
        asked_at = self._link.now()
        until = max(deadline, asked_at + ANSWER_S)
        while True:
            wait_s = min(until, asked_at + CHECK_S) - self._link.now()
            message = self._link.await_first((Interrupt.FINGER_ON, Interrupt.POWER_ON), max(wait_s, 0.0))
            if message is Interrupt.FINGER_ON:
                return
            if message is Interrupt.POWER_ON:
                self._link.power_reported()
            elif self._link.now() >= until:
                raise CaptureRetry(Retry.NOTHING_PRESENTED)
            else:
                self._link.check_alive()
                asked_at = self._link.now()

    def _is_gone(self) -> bool:
        """Whether the message was late, of a finger that has left. If the reader is silent, the finger is there."""
        for _ in range(LATE_MESSAGES):
            if self._link.now() >= self._verify_until:
                return False
            self._link.discard_messages()
            if not self._answer_to(Mode.AWAIT_FINGER_ON, (Interrupt.FINGER_ON,), VERIFY_S):
                return bool(self._answer_to(Mode.AWAIT_FINGER_OFF, (Interrupt.FINGER_OFF,), VERIFY_S))
        return False

    def _answer_to(self, mode: Mode, messages: Collection[Interrupt], within: float) -> Interrupt | None:
        """The message that follows setting a mode. If setting the mode is slow, the message may be slow as well."""
        began_at = self._link.now()
        self._link.set_mode(mode)
        return self._link.await_first(messages, within + 2 * (self._link.now() - began_at))
