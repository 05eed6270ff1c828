"""Requests, responses and images of one SFM module over one transport.

A response names its command, but not which of two requests it answers. So a request that was interrupted (by a cancel,
a timeout or damage) leaves the module `running`: before the next request it is made idle, and late bytes are skipped.
"""

from dataclasses import dataclass

from drivers.errors import ProtocolError
from drivers.session import Clock
from drivers.sfm.framing import BLOCK_SUM_SIZE, END, Packet, Unframer, packet_size
from drivers.sfm.tables import (
    ALIVE,
    CANCEL,
    READ_PARAMETER,
    STATUS,
    WRITE_PARAMETER,
    Command,
    NextStep,
    Parameter,
    Result,
    Transfer,
    result,
)
from drivers.transport import Transport

ANSWER_S = 2.0  # a module that takes longer to answer counts as silent
LATE_ANSWER_S = 3.0  # limit for an answer while an earlier one is pending because an exchange was interrupted
FIRST_ANSWER_S = 0.3  # limit at the first contact: a module that was just powered on misses the first requests
GAP_S = 0.5  # the longest silence inside an image
EXTRA_BYTES_S = 0.02  # bytes that arrive within this time after a plain image do not belong to it
SEND_TRIES = 3  # how often a command is sent if the answer is damaged or the module busy, before ProtocolError
RETRY_PAUSE_S = 0.3  # before a busy module is asked again
MAX_DAMAGED_PACKETS = 3  # data packets of one image that may arrive damaged and be sent again
BITS_PER_BYTE = 10  # 8N1
TRANSFER_FACTOR, TRANSFER_EXTRA_S = 1.5, 2.0  # the deadline of an image: its time on the wire times this, plus this
DATA_BYTES = 4096  # size of a data packet, as in the manufacturer's client
FINGER_CHECK_BYTES = 256  # size if the image is not wanted: few bytes are sent before the module stops
MAX_IMAGE_BYTES = 1 << 21  # size of one record with its template, so that a faulty device cannot fill the memory
DATA_OK, DATA_ERROR, DATA_SENT = 0x83, 0x82, 0x61  # flags in the extended transfer


class NoAnswer(ProtocolError):
    """A command got no complete answer."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response of a module: the row of its result, and two numbers."""

    result: Result
    param: int
    size: int

    @property
    def idle(self) -> bool:
        """Whether this response to STATUS says that the module is idle.

        A module without STATUS says only that it answers, and CANCEL has stopped it.
        """
        return self.result.then is NextStep.FALL_BACK or (self.result.then is NextStep.GO_ON and self.param == ALIVE)

    @property
    def refusal(self) -> str:
        """The text of an unwanted response in error messages."""
        return f"state 0x{self.param:02X}" if self.result.then is NextStep.GO_ON else str(self.result)


@dataclass(frozen=True, slots=True, repr=False)
class Upload:
    """The bytes of an image as received; `damage` is empty if nothing was lost."""

    record: bytes
    damage: str


class PacketSequence:
    """Detects repeated and lost data packets of an image.

    It uses the indexes of the packets. A module that leaves all of them 0 sends in order. The second packet shows this:
    it differs from the first one, which begins with the header of the record.
    """

    def __init__(self) -> None:
        self._taken = 0
        self._numbered = True  # the module numbers its packets
        self._last = b""

    def accept(self, index: int, body: bytes, left: int) -> bytes | None:
        """`body` if it is the next one, b"" if it is the last one repeated, None if it is another or too large."""
        if self._taken == 1 and index == 0 and body != self._last:
            self._numbered = False
        if self._is_repeated(index, body):
            return b""
        if index != (self._taken if self._numbered else 0) or len(body) > left:
            return None
        self._taken += 1
        self._last = body
        return body

    def _is_repeated(self, index: int, body: bytes) -> bool:
        if self._numbered:
            return self._taken > 0 and index == self._taken - 1
        return index == 0 and body == self._last and len(set(body)) > 1  # blank parts of an image are equal


class SfmLink:
    """The exchange with one module, in one thread. Every method raises LinkLost, ProtocolError and Cancelled."""

    def __init__(self, transport: Transport, name: str, terminal: int | None, baud: int, clock: Clock) -> None:
        self._transport = transport
        self._name = name
        self._terminal = terminal
        self._baud = baud
        self._clock = clock
        self._unframer = Unframer(terminal)
        self._sent = Packet(0)
        self._image_s = 0.0
        self._answer_pending = False  # the answer to the last packet sent may come late
        self._probe = STATUS  # a command that the module answers
        self.running = False  # the module may be scanning or sending
        self.noise = ""  # what was received instead of an answer, for messages
        self.refusal = ""  # the response of a module that answers but is not idle

    def set_baud(self, baud: int) -> None:
        """Sets the rate of the line, which was read after the first contact. expect_images() uses it."""
        self._baud = baud

    def expect_images(self, image_bytes: int) -> None:
        """Sets the deadline of an image from its size and the rate of the line."""
        blocks = image_bytes // FINGER_CHECK_BYTES + 1
        wire_bytes = image_bytes + blocks * (2 * packet_size(self._terminal) + BLOCK_SUM_SIZE)
        self._image_s = wire_bytes * BITS_PER_BYTE / self._baud * TRANSFER_FACTOR + TRANSFER_EXTRA_S

    # Idle

    def bring_to_idle(self, tries: int) -> bool:
        """Makes the module idle, whatever an earlier host left running. False if it does not answer."""
        return self._becomes_idle(tries, FIRST_ANSWER_S)

    def ensure_idle(self) -> None:
        """Makes sure that the module waits for a command. ProtocolError if it does not answer or does not stop."""
        if not self.running:
            self._ask_probe()
            return
        if not self._becomes_idle(SEND_TRIES, ANSWER_S):
            detail = f": {self.refusal}" if self.refusal else self.noise
            raise NoAnswer(f"{self._name}: does not become idle{detail}")

    def stop(self) -> None:
        """Sends CANCEL without waiting for the answer."""
        if self.running:
            self._send(CANCEL)

    def cancel_scan(self, command: Command) -> bool:
        """Sends CANCEL. Returns whether the module answers that it has cancelled `command`: then it knows that command.

        Call ensure_idle() next.
        """
        self._send(CANCEL)
        return self._response(command, FIRST_ANSWER_S, GAP_S) is not None

    def _becomes_idle(self, tries: int, silence: float) -> bool:
        for left in reversed(range(tries)):
            if self._cancel_and_check(silence):
                return True
            if self.refusal and left:
                self.pause(RETRY_PAUSE_S)
        return False

    def _cancel_and_check(self, silence: float) -> bool:
        """Cancels a running scan or transfer. The answer to STATUS comes after all bytes that were in transit."""
        self._send(CANCEL)
        cancelled = self._response(CANCEL, FIRST_ANSWER_S, self._image_s)  # an idle module may not answer it
        self._send(STATUS)
        answer = self._response(STATUS, silence, silence + self._image_s)
        idle = answer is not None and answer.idle
        self.refusal = "" if answer is None or idle else answer.refusal
        if answer is not None:
            self._probe = STATUS
        elif not self.noise:
            idle = self._answers_without_status(cancelled, silence)
        self.running = self.running and not idle
        return idle

    def _answers_without_status(self, cancelled: Response | None, silence: float) -> bool:
        """Whether the module answers another command, because some do not answer STATUS."""
        self._send(READ_PARAMETER, flag=Parameter.IMAGE_FORMAT)
        answer = self._response(READ_PARAMETER, silence, silence + self._image_s)
        self._probe = CANCEL if answer is None else READ_PARAMETER
        answer = answer or cancelled
        busy = answer is not None and answer.result.then is NextStep.SEND_AGAIN
        self.refusal = answer.refusal if answer is not None and busy else ""
        return answer is not None and not busy and not self.noise

    def _ask_probe(self) -> None:
        """Asks the module for an answer. NoAnswer if there is none."""
        self.ask(self._probe, Parameter.IMAGE_FORMAT if self._probe is READ_PARAMETER else 0)

    def _separate(self, command: Command) -> None:
        """Has another command answered before `command` is sent a second time.

        A duplicate of the last answer would otherwise be read as the answer to this command.
        """
        if command.code != self._sent.command or command is self._probe:
            return
        self._ask_probe()

    def ask(self, command: Command, parameter: int = 0, value: int = 0) -> Response:
        """Sends a command and waits for its answer; repeats it if it was damaged, or the module is busy.

        No bytes follow the answer.
        """
        trouble, busy = "", False
        for _ in range(SEND_TRIES):
            if busy:
                self.pause(RETRY_PAUSE_S)
            self._separate(command)
            patience = LATE_ANSWER_S if self._answer_pending else ANSWER_S
            self._send(command, value, parameter)
            answer = self._response(command, patience, patience + self._image_s)
            if answer is None and not self.noise:
                raise NoAnswer(f"{self._name}: no answer to {command.name} in {patience:g} s")
            if answer is not None and answer.result.then is not NextStep.SEND_AGAIN:
                return answer
            trouble = self.noise if answer is None else f": {answer.result}"
            busy = answer is not None
        raise NoAnswer(f"{self._name}: {command.name} was sent {SEND_TRIES} times without success{trouble}")

    def read(self, parameter: Parameter) -> int | None:
        """Reads a system parameter; None if the module does not have it."""
        answer = self.ask(READ_PARAMETER, parameter)
        return answer.size if answer.result.then is NextStep.GO_ON else None

    def write(self, parameter: Parameter, value: int) -> Result:
        """Sets a system parameter until power-off; returns the result."""
        return self.ask(WRITE_PARAMETER, parameter, value).result

    def pause(self, seconds: float) -> None:
        """Waits between two polls; notices cancel() and unplugging. Bytes that arrive were not requested."""
        end = self._clock() + seconds
        while (left := end - self._clock()) > 0:
            self._transport.read(left)

    # Images

    def start(self, command: Command, data_bytes: int) -> None:
        """Requests a scan, or the last scan again, in data packets of this size if the transfer has packets."""
        self.running = True
        self._send(command, data_bytes)

    def receive_response(self, command: Command, seconds: float) -> Response | None:
        """The next response to `command`. None if no whole one arrives within `seconds`."""
        return self._response(command, seconds, seconds)

    def receive(self, transfer: Transfer, command: Command, total: int) -> Upload:
        """Receives the image of `total` bytes that `command` announced. ProtocolError if no image can be that large."""
        if not 0 < total <= MAX_IMAGE_BYTES:
            raise ProtocolError(f"{self._name}: announces an image of {total} bytes")
        self.expect_images(total)
        upload = self._blocks(command, total) if transfer.extended else self._plain(total)
        self.running = bool(upload.damage)
        return upload

    def _plain(self, total: int) -> Upload:
        body = self._body(total + 1, self._clock() + self._image_s)
        if body is None:
            return Upload(b"", f"only {self._unframer.pending} of {total} bytes arrived")
        self._unframer.feed(self._transport.read(EXTRA_BYTES_S))
        if body[-1] != END or self._unframer.pending:
            return Upload(b"", f"not exactly {total} bytes")
        return Upload(body[:-1], "")

    def _blocks(self, command: Command, total: int) -> Upload:
        """Receives the data packets of an extended transfer. A damaged one is requested again."""
        deadline = self._clock() + self._image_s
        parts, size, damaged = list[bytes](), 0, 0
        sequence = PacketSequence()
        while size < total:
            block = self._block(command, sequence, total - size, deadline)
            self._send(command, flag=DATA_ERROR if block is None else DATA_OK)
            if block:
                parts.append(block)
                size += len(block)
            elif block is None:
                damaged += 1
            if damaged > MAX_DAMAGED_PACKETS or self._clock() >= deadline:
                return Upload(b"", f"only {size} of {total} bytes arrived whole")
        return Upload(b"".join(parts), "")

    def _block(self, command: Command, sequence: PacketSequence, left: int, deadline: float) -> bytes | None:
        """The body of the next data packet. Empty if it is the last one repeated; None if it is damaged or missing."""
        head = self._packet(command, GAP_S, deadline)
        if head is None or head.flag != DATA_SENT or not 0 < head.size <= MAX_IMAGE_BYTES:
            return None
        body = self._body(head.size + BLOCK_SUM_SIZE, deadline)
        if body is None or sum(body[:-BLOCK_SUM_SIZE]) != int.from_bytes(body[-BLOCK_SUM_SIZE:], "little"):
            return None
        return sequence.accept(head.param >> 16, body[:-BLOCK_SUM_SIZE], left)

    # Bytes

    def _send(self, command: Command, size: int = 0, flag: int = 0) -> None:
        self._transport.read(0)  # bytes that are already there do not answer this packet
        self._unframer.clear()
        self._sent = Packet(command.code, 0, size, flag, self._terminal)
        self._transport.write(self._sent.to_bytes())
        self._answer_pending = True

    def _response(self, command: Command, silence: float, within: float) -> Response | None:
        """The answer to `command`. None after `silence` seconds without a byte, or `within` seconds of other bytes."""
        found = self._packet(command, silence, self._clock() + within)
        self._answer_pending = self._answer_pending and found is None
        skipped = self._unframer.skipped
        self.noise = f" ({skipped} bytes received that are not one of its packets)" if skipped else ""
        return None if found is None else Response(result(found.flag), found.param, found.size)

    def _packet(self, command: Command, silence: float, deadline: float) -> Packet | None:
        """The next packet about `command`. None after `silence` seconds without a byte, or at the deadline."""
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
                # Noise, or a part of a packet: the rest of a whole packet arrives immediately, if at all.
                odd = self._unframer.skipped or self._unframer.pending
                quiet_at = self._clock() + (min(silence, GAP_S) if odd else silence)

    def _body(self, count: int, deadline: float) -> bytes | None:
        """The next `count` raw bytes. None after a silence inside them, or at the deadline."""
        while (body := self._unframer.body(count)) is None:
            left = min(deadline - self._clock(), GAP_S)
            data = self._transport.read(left) if left > 0 else b""
            if not data:
                return None
            self._unframer.feed(data)
        return body
