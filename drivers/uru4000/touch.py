"""When a finger on a U.are.U reader counts as a new one: the messages of coming and going, and how they are doubted.

    mode 10 -> 0101, a finger is there -> its image -> mode 12 -> 0200, it has left

So much is written down (../shared/facts/usb-fingerprint.md, section 5); whether a reader tells of a finger that was
there before the order, and whether it tells again when the order is repeated, is not. So nothing here needs it: what a
reader tells is believed, and its silence never costs a touch nor holds the next person up for ever.
"""

from collections.abc import Collection

from drivers.errors import Cancelled, CaptureRetry, Retry
from drivers.uru4000.link import Uru4000Link
from drivers.uru4000.tables import Interrupt, Mode

ANSWER_S = 0.2  # the reader's own time to say whether a finger is there; not the person's
LATE_S = 3.0  # so long after a wait for a finger may the message come that would have ended it
LATE_MESSAGES = 2  # that may come of such waits
DOUBT_S = 0.15  # for each of the two questions that doubt a finger
ASK_AGAIN_S = 2.0  # a message of a lifted finger may have been lost
ASKS = 2  # for a lift, that go unanswered before another question is put
SOUNDINGS, SOUNDING_S = 2, 0.5  # one message may be lost, or late


class Touch:
    """The finger on one reader, from power-up on."""

    def __init__(self, link: Uru4000Link) -> None:
        self._link = link
        self._lift_first = False
        self._unanswered = 0  # orders to tell the lift, beside the one that stands since the image
        self._doubt_until = 0.0  # a message of a finger may be of one that has left

    def taken(self) -> None:
        """A sample was made of this finger: it must go before the next one comes."""
        self._lift_first, self._unanswered = True, 0
        self._link.set_mode(Mode.AWAIT_FINGER_OFF)

    def left_alone(self, ended: CaptureRetry | Cancelled) -> None:
        """A reader that nobody waits for is dark, but for the lift that it goes on watching for."""
        if self._lift_first and not isinstance(ended, Cancelled):
            return
        self._link.switch_off()
        self._unanswered = max(self._unanswered, 1)
        self._doubt_until = self._link.now() + LATE_S

    # Going

    def await_lift(self, deadline: float) -> None:
        """Wait until the finger of the last sample is gone. CaptureRetry(LIFT_FINGER)."""
        standing = 0.0 if self._unanswered else ANSWER_S
        if self._lift_first and self._link.await_message(Interrupt.FINGER_OFF, standing):
            self._lift_first = False
        while self._lift_first:
            self._lift_first = not self._has_left(deadline)
            if self._lift_first and self._link.now() >= deadline:
                raise CaptureRetry(Retry.LIFT_FINGER)

    def _has_left(self, deadline: float) -> bool:
        """Whether the lift is told after a fresh order, or else can be found out."""
        self._link.set_mode(Mode.OFF)
        self._link.set_mode(Mode.AWAIT_FINGER_OFF)
        left = max(deadline - self._link.now(), ANSWER_S)
        if self._link.await_message(Interrupt.FINGER_OFF, min(left, ASK_AGAIN_S)):
            return True
        self._unanswered += 1
        return self._unanswered >= ASKS and not self._lies_there()

    def _lies_there(self) -> bool:
        """Asked as if nobody had been there: for a reader whose message of the lift was lost and is not told again.

        One that does not tell of a finger that was there before is silent too. That gives no second sample of it: its
        next message is of a finger that comes.
        """
        self._unanswered = 0
        for _ in range(SOUNDINGS):
            self._link.set_mode(Mode.OFF)
            told = self._answer_to(Mode.AWAIT_FINGER_ON, (Interrupt.FINGER_ON, Interrupt.FINGER_OFF), SOUNDING_S)
            if told is Interrupt.FINGER_OFF:  # it was only late
                return False
            if told is Interrupt.FINGER_ON:
                self._link.set_mode(Mode.AWAIT_FINGER_OFF)
                return True
        return False

    # Coming

    def await_finger(self, deadline: float) -> None:
        """Wait until a finger is there. CaptureRetry(NOTHING_PRESENTED)."""
        self._ask_for_finger(deadline)
        while self._is_gone():
            self._ask_for_finger(deadline)

    def _ask_for_finger(self, deadline: float) -> None:
        self._link.forget_messages()
        self._link.set_mode(Mode.AWAIT_FINGER_ON)
        if not self._link.await_message(Interrupt.FINGER_ON, max(deadline - self._link.now(), ANSWER_S)):
            raise CaptureRetry(Retry.NOTHING_PRESENTED)

    def _is_gone(self) -> bool:
        """Whether the message came late, of a finger that has left. One that the reader is silent about is there."""
        for _ in range(LATE_MESSAGES):
            if self._link.now() >= self._doubt_until:
                return False
            self._link.forget_messages()
            if not self._answer_to(Mode.AWAIT_FINGER_ON, (Interrupt.FINGER_ON,), DOUBT_S):
                return bool(self._answer_to(Mode.AWAIT_FINGER_OFF, (Interrupt.FINGER_OFF,), DOUBT_S))
        return False

    def _answer_to(self, order: Mode, messages: Collection[Interrupt], within: float) -> Interrupt | None:
        """The message that soon follows an order; where the order itself takes its time, so may the message."""
        ordered_at = self._link.now()
        self._link.set_mode(order)
        return self._link.await_first(messages, within + 2 * (self._link.now() - ordered_at))
