"""Requests, responses and images of one SFM module over one transport.

A response names its command but not which of two requests it answers, so a request that was cut short (a cancel, a
time-out, damage) leaves the module `running`: before the next one it is brought to rest, and what is on its way let by.
"""

from collections.abc import Callable
from dataclasses import dataclass

from drivers.errors import ProtocolError
from drivers.sfm.framing import BLOCK_SUM_SIZE, END, Packet, Unframer, packet_size
from drivers.sfm.tables import (
    ALIVE,
    CANCEL,
    READ_PARAMETER,
    STATUS,
    WRITE_PARAMETER,
    Command,
    Next,
    Parameter,
    Result,
    Transfer,
    result,
)
from drivers.transport import Transport

ANSWER_S = 2.0  # a module that takes longer to answer counts as silent
LATE_S = 3.0  # the same where the answer before it is still to come: an exchange was cut short, and not by the module
GREETING_S = 0.3  # the same for the first contact: after power-on nothing is heard, so ask again soon
GAP_S = 0.5  # longest silence inside an image
SURPLUS_S = 0.02  # after the end of a plain image: bytes that arrive so soon are too many
SENDINGS = 3  # of one command whose answer was damaged or put it off, before the device is called unwell
AGAIN_S = 0.3  # so long after a module that is busy it is asked again
REFUSALS = 3  # data packets of one image that may arrive damaged and be sent again
BITS_PER_BYTE = 10  # 8N1
DEADLINE_FACTOR, DEADLINE_EXTRA_S = 1.5, 2.0  # an image may take its time on the wire times this, and this
DATA_BYTES = 4096  # of a data packet, as the maker's own client asks for
LOOK_BYTES = 256  # the same where the image is not wanted: so little is on its way before it can be stopped
MAX_IMAGE_BYTES = 1 << 21  # of one record with its template: a device gone mad must not fill the memory
DATA_OK, DATA_ERROR, DATA_SENT = 0x83, 0x82, 0x61  # flags in the extended transfer

Clock = Callable[[], float]


class NoAnswer(ProtocolError):
    """A command was sent and nothing whole came back."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a module says: the row of its result, and two numbers."""

    result: Result
    param: int
    size: int

    @property
    def at_rest(self) -> bool:
        """Of STATUS: the module waits for a command."""
        return self.result.then is Next.GO_ON and self.param == ALIVE

    @property
    def refusal(self) -> str:
        """As messages name it, where it is not what was hoped for."""
        return f"state 0x{self.param:02X}" if self.result.then is Next.GO_ON else str(self.result)


@dataclass(frozen=True, slots=True, repr=False)
class Upload:
    """The bytes of an image as they arrived; `damage` is empty when nothing was lost."""

    record: bytes
    damage: str


class Order:
    """Tells the next data packet of an image from a repeated and from a lost one.

    By the packets' indexes; a module that leaves all of them 0 sends in order. Its second packet shows that it does:
    the first, which begins with the head of the record, cannot be the same.
    """

    def __init__(self) -> None:
        self._taken = 0
        self._counts = True  # the module does number its packets
        self._last = b""

    def sort(self, index: int, body: bytes, left: int) -> bytes | None:
        """The body where it is the next. Empty: the one before, once more. None: another one, or too long."""
        if self._taken == 1 and index == 0 and body != self._last:
            self._counts = False
        if self._is_repeated(index, body):
            return b""
        if index != (self._taken if self._counts else 0) or len(body) > left:
            return None
        self._taken += 1
        self._last = body
        return body

    def _is_repeated(self, index: int, body: bytes) -> bool:
        if self._counts:
            return self._taken > 0 and index == self._taken - 1
        return index == 0 and body == self._last and len(set(body)) > 1  # blank parts of an image are all alike


class SfmLink:
    """Owned by one thread. Every method raises LinkLost, ProtocolError and Cancelled."""

    def __init__(self, transport: Transport, name: str, terminal: int | None, baud: int, clock: Clock) -> None:
        self._transport = transport
        self._name = name
        self._terminal = terminal
        self._baud = baud
        self._clock = clock
        self._unframer = Unframer(terminal)
        self._sent = Packet(0)
        self._image_s = 0.0
        self._owed = False  # the answer to what was sent last: it may come late
        self.running = False  # a scan or a transfer may be under way in the module
        self.oddity = ""  # what was heard in place of an answer, for messages
        self.refusal = ""  # what a module that does answer says in place of being at rest

    def runs_at(self, baud: int) -> None:
        """The rate of the line, learned after the first contact; expect_images() goes by it."""
        self._baud = baud

    def expect_images(self, image_bytes: int) -> None:
        """Set the deadline of an image from its size and the rate of the line."""
        blocks = image_bytes // LOOK_BYTES + 1
        wire_bytes = image_bytes + blocks * (2 * packet_size(self._terminal) + BLOCK_SUM_SIZE)
        self._image_s = wire_bytes * BITS_PER_BYTE / self._baud * DEADLINE_FACTOR + DEADLINE_EXTRA_S

    # At rest

    def greet(self, tries: int) -> bool:
        """Bring the module to rest, whatever a former owner left. False: nobody answers."""
        return self._comes_to_rest(tries, GREETING_S)

    def ready(self) -> None:
        """Have the module wait for a command. ProtocolError: it does not answer, or does not stop."""
        if not self.running:
            self.ask(STATUS)
            return
        if not self._comes_to_rest(SENDINGS, ANSWER_S):
            said = f": {self.refusal}" if self.refusal else self.oddity
            raise NoAnswer(f"{self._name}: does not come to rest{said}")

    def hang_up(self) -> None:
        """Tell the module to stop, without waiting."""
        if self.running:
            self._send(CANCEL)

    def _comes_to_rest(self, tries: int, silence: float) -> bool:
        for left in reversed(range(tries)):
            if self._rest(silence):
                return True
            if self.refusal and left:
                self.pause(AGAIN_S)
        return False

    def _rest(self, silence: float) -> bool:
        """Cancel what runs; the answer to STATUS comes behind all that was on its way."""
        self._send(CANCEL)
        self._response(CANCEL, GREETING_S, self._image_s)  # an idle module may have nothing to say to it
        self._send(STATUS)
        answer = self._response(STATUS, silence, silence + self._image_s)
        at_rest = answer is not None and answer.at_rest
        self.refusal = "" if answer is None or at_rest else answer.refusal
        self.running = self.running and not at_rest
        return at_rest

    def ask(self, command: Command, parameter: int = 0, value: int = 0) -> Response:
        """Send a command and wait for its answer; again when it was damaged on the way, or the module is busy.

        Behind it nothing is left.
        """
        trouble, put_off = "", False
        for _ in range(SENDINGS):
            if put_off:
                self.pause(AGAIN_S)
            if command.code == self._sent.command and command is not STATUS:
                self.ask(STATUS)  # or a second copy of the last answer would be taken for this one's
            patience = LATE_S if self._owed else ANSWER_S
            self._send(command, value, parameter)
            answer = self._response(command, patience, patience + self._image_s)
            if answer is None and not self.oddity:
                raise NoAnswer(f"{self._name}: no answer to {command.name} in {patience:g} s")
            if answer is not None and answer.result.then is not Next.SEND_AGAIN:
                return answer
            trouble = self.oddity if answer is None else f": {answer.result}"
            put_off = answer is not None
        raise NoAnswer(f"{self._name}: {command.name} was sent {SENDINGS} times in vain{trouble}")

    def read(self, parameter: Parameter) -> int | None:
        """A system parameter; None when the module does not know it."""
        answer = self.ask(READ_PARAMETER, parameter)
        return answer.size if answer.result.then is Next.GO_ON else None

    def write(self, parameter: Parameter, value: int) -> Result:
        """Set a system parameter until power-off; returns what the module said to it."""
        return self.ask(WRITE_PARAMETER, parameter, value).result

    def pause(self, seconds: float) -> None:
        """Wait between looks, so that cancel() and unplugging are noticed. What arrives was not asked for."""
        end = self._clock() + seconds
        while (left := end - self._clock()) > 0:
            self._transport.read(left)

    # Images

    def start(self, command: Command, data_bytes: int) -> None:
        """Ask for a scan, or for the last scan again, in data packets of this size where the transfer has any."""
        self.running = True
        self._send(command, data_bytes)

    def hear(self, command: Command, seconds: float) -> Response | None:
        """The next response to `command`. None: no whole one within `seconds`."""
        return self._response(command, seconds, seconds)

    def receive(self, transfer: Transfer, command: Command, total: int) -> Upload:
        """The image of `total` bytes that `command` announced. ProtocolError: nobody has so large an image."""
        if not 0 < total <= MAX_IMAGE_BYTES:
            raise ProtocolError(f"{self._name}: announces an image of {total} bytes")
        self.expect_images(total)
        upload = self._blocks(command, total) if transfer.extended else self._plain(total)
        self.running = bool(upload.damage)
        return upload

    def _plain(self, total: int) -> Upload:
        body = self._body(total + 1, self._clock() + self._image_s)
        if body is None:
            return Upload(b"", f"silence after {self._unframer.pending} of {total} bytes")
        self._unframer.feed(self._transport.read(SURPLUS_S))
        if body[-1] != END or self._unframer.pending:
            return Upload(b"", f"not exactly {total} bytes")
        return Upload(body[:-1], "")

    def _blocks(self, command: Command, total: int) -> Upload:
        """The data packets of an extended transfer. One that is damaged is asked for again."""
        deadline = self._clock() + self._image_s
        parts, size, refusals = list[bytes](), 0, 0
        order = Order()
        while size < total:
            block = self._block(command, order, total - size, deadline)
            self._send(command, flag=DATA_ERROR if block is None else DATA_OK)
            if block:
                parts.append(block)
                size += len(block)
            elif block is None:
                refusals += 1
            if refusals > REFUSALS or self._clock() >= deadline:
                return Upload(b"", f"only {size} of {total} bytes arrived whole")
        return Upload(b"".join(parts), "")

    def _block(self, command: Command, order: Order, left: int, deadline: float) -> bytes | None:
        """The body of the next data packet. Empty: it was the one before, once more. None: damaged, or none came."""
        head = self._packet(command, GAP_S, deadline)
        if head is None or head.flag != DATA_SENT or not 0 < head.size <= MAX_IMAGE_BYTES:
            return None
        body = self._body(head.size + BLOCK_SUM_SIZE, deadline)
        if body is None or sum(body[:-BLOCK_SUM_SIZE]) != int.from_bytes(body[-BLOCK_SUM_SIZE:], "little"):
            return None
        return order.sort(head.param >> 16, body[:-BLOCK_SUM_SIZE], left)

    # Bytes

    def _send(self, command: Command, size: int = 0, flag: int = 0) -> None:
        self._transport.read(0)  # what is there already answers nothing of ours
        self._unframer.clear()
        self._sent = Packet(command.code, 0, size, flag, self._terminal)
        self._transport.write(self._sent.to_bytes())
        self._owed = True

    def _response(self, command: Command, silence: float, within: float) -> Response | None:
        """The answer to `command`. None: none came before `silence`, or all the time something else."""
        found = self._packet(command, silence, self._clock() + within)
        self._owed = self._owed and found is None
        skipped = self._unframer.skipped
        self.oddity = f" ({skipped} bytes that are no packet of it)" if skipped else ""
        return None if found is None else Response(result(found.flag), found.param, found.size)

    def _packet(self, command: Command, silence: float, deadline: float) -> Packet | None:
        """The next packet about `command`. None when no byte comes for `silence` seconds, or at the deadline."""
        quiet_at, final = self._clock() + silence, False
        while True:
            while found := self._unframer.packet(final=final):
                if found.command == command.code and found != self._sent:  # some adapters echo what is sent
                    return found
            left = min(deadline, quiet_at) - self._clock()
            if final:
                return None
            if left <= 0:
                final = True
            elif data := self._transport.read(left):
                self._unframer.feed(data)
                # Noise, or the rest of a packet: what was whole of it has come, or comes at once.
                odd = self._unframer.skipped or self._unframer.pending
                quiet_at = self._clock() + (min(silence, GAP_S) if odd else silence)

    def _body(self, count: int, deadline: float) -> bytes | None:
        """The next `count` raw bytes. None: silence inside them, or the deadline."""
        while (body := self._unframer.body(count)) is None:
            left = min(deadline - self._clock(), GAP_S)
            data = self._transport.read(left) if left > 0 else b""
            if not data:
                return None
            self._unframer.feed(data)
        return body
