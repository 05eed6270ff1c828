"""Sends commands to one EF01 module over a transport, and receives acknowledges and images.

An acknowledge does not name its command, so a late one must not be taken for the answer to the next command. If an
exchange was interrupted (by cancel, timeout or damage), its answer is outstanding: the next command first waits for it.
"""

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from drivers.ef01.framing import OVERHEAD, Damaged, Foreign, Frame, Packet, PacketKind, Unframer
from drivers.ef01.tables import (
    ACCESS_REFUSED,
    GET_IMAGE,
    MODEL_BY_IMAGE_BYTES,
    OK,
    PACKET_SIZES,
    VFY_PWD,
    Command,
    Confirmation,
    NextStep,
    confirmation,
)
from drivers.errors import ProtocolError
from drivers.session import Clock
from drivers.transport import Transport

ACKNOWLEDGE_TIMEOUT_S = 2.0  # a module that takes longer to answer counts as silent
HANDSHAKE_TIMEOUT_S = 0.3  # for the first contact; short, because a module ignores commands for 0.25 s after power-on
HANDSHAKES = 2  # in one greeting
PROBE_TIMEOUT_S = 1.0  # for GetImage as the first contact: the module takes an image
LATE_ANSWER_S = 3.0  # an outstanding answer may come this late
MAX_GAP_S = 0.5  # longest silence inside an image
MAX_SENDS = 3  # how often a command with a damaged answer is sent before ProtocolError
BITS_PER_BYTE = 10  # 8N1
DEADLINE_FACTOR, DEADLINE_EXTRA_S = 1.5, 2.0  # deadline of an image: transmission time * factor + extra
MAX_IMAGE_BYTES = 1 << 20  # limit of one image, so that a faulty device cannot fill the memory

_DATA_KINDS = (PacketKind.DATA, PacketKind.LAST_DATA)


class NoAnswer(ProtocolError):
    """A command was sent and no undamaged answer came."""


class _Outstanding(Enum):
    NONE = auto()
    ACKNOWLEDGE = auto()
    IMAGE = auto()  # and possibly the acknowledge before it


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """An acknowledge: its confirmation code and payload."""

    confirmation: Confirmation
    payload: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Upload:
    """The payload of an image as it arrived; `damage` is empty if nothing was lost."""

    payload: bytes
    damage: str


class Ef01Link:
    """The exchange with one module, in one thread. Every method raises LinkLost, ProtocolError and Cancelled."""

    def __init__(self, transport: Transport, name: str, address: int, baud: int, clock: Clock) -> None:
        self._transport = transport
        self._name = name
        self._address = address
        self._clock = clock
        self._unframer = Unframer(address)
        self._frames = deque[Frame]()
        self._received = 0  # bytes since the last command was sent
        self._outstanding = _Outstanding.NONE
        self._image_s = 0.0
        self.commands = 0  # sent so far
        self.unexpected = ""  # what came instead of an answer; for messages
        self.expect_images(max(MODEL_BY_IMAGE_BYTES), min(PACKET_SIZES), baud)

    def expect_images(self, image_bytes: int, packet_size: int, baud: int) -> None:
        """Sets the deadline of an image from its size, the packet size and the rate."""
        wire_bytes = image_bytes + OVERHEAD * math.ceil(image_bytes / packet_size)
        self._image_s = wire_bytes * BITS_PER_BYTE / baud * DEADLINE_FACTOR + DEADLINE_EXTRA_S

    def greet(self, password: int) -> Confirmation | None:
        """Makes the first contact by verifying the password; returns the answer. None if nothing answers.

        Some modules do not answer VfyPwd. A module that then answers GetImage is taken for one without a password,
        unless it asks for one.
        """
        final = [NextStep.GO_ON, NextStep.REOPEN]
        for _ in range(HANDSHAKES):
            self._send(VFY_PWD, password.to_bytes(4, "big"))
            answer = self._acknowledge(VFY_PWD, HANDSHAKE_TIMEOUT_S)
            # "No finger" and similar codes answer a poll that was sent before the port was opened again.
            if isinstance(answer, Reply) and answer.confirmation.then in final:
                return answer.confirmation
            final = [*final, NextStep.SEND_AGAIN]  # a second time it does not mean damage, but an unknown command
        return self._probe()

    def _probe(self) -> Confirmation | None:
        self._send(GET_IMAGE)
        answer = self._acknowledge(GET_IMAGE, PROBE_TIMEOUT_S)
        if not isinstance(answer, Reply):
            return None
        if answer.confirmation.code in ACCESS_REFUSED:
            self.unexpected = f" (GetImage is refused: {answer.confirmation})"
            return None
        self.settle()
        return confirmation(OK)

    def settle(self, silence: float = MAX_GAP_S) -> None:
        """Waits for a silence: an answer that is late would be taken for that of the next command."""
        while self._transport.read(silence):
            pass
        self._outstanding = _Outstanding.NONE

    def request(self, command: Command, arguments: bytes = b"") -> Reply:
        """Sends a command and waits for its acknowledge. Sends it again if the answer was damaged."""
        for _ in range(MAX_SENDS):
            self._skip_late_answer()
            self._send(command, arguments)
            answer = self._acknowledge(command, ACKNOWLEDGE_TIMEOUT_S)
            if answer is None:
                raise NoAnswer(
                    f"{self._name}: no answer to {command.name} in {ACKNOWLEDGE_TIMEOUT_S:g} s{self.unexpected}"
                )
            if isinstance(answer, Reply) and answer.confirmation.then is not NextStep.SEND_AGAIN:
                return answer
        raise NoAnswer(f"{self._name}: no undamaged answer to {command.name} in {MAX_SENDS} tries{self.unexpected}")

    def receive_image(self) -> Upload:
        """Receives the data packets after the acknowledge of UpImage, up to the last one.

        There is no retransmission, so damage is noted and the rest is still received. ProtocolError if no packet comes
        or the image does not end.
        """
        deadline = self._clock() + self._image_s
        parts, size, damage, last = list[bytes](), 0, "", False
        while not last and (frame := self._next(deadline, MAX_GAP_S)) is not None:
            if not isinstance(frame, Packet) or frame.kind not in _DATA_KINDS:
                damage = damage or f"after {size} bytes: {_describe(frame)}"
                continue
            parts.append(frame.payload)
            size += len(frame.payload)
            last = frame.kind is PacketKind.LAST_DATA
            if size > MAX_IMAGE_BYTES:
                raise ProtocolError(f"{self._name}: an image of more than {MAX_IMAGE_BYTES} bytes")
        if not last and self._clock() >= deadline:
            raise ProtocolError(f"{self._name}: the image did not end in {self._image_s:.1f} s")
        if last:  # otherwise the rest may only be late
            self._outstanding = _Outstanding.NONE
        if not parts and not damage:
            raise ProtocolError(f"{self._name}: no image follows the acknowledge")
        return Upload(b"".join(parts), damage or ("" if last else f"silence after {size} bytes"))

    def pause(self, seconds: float) -> None:
        """Waits between polls. cancel() and unplugging end the wait; what arrives meanwhile is ignored."""
        end = self._clock() + seconds
        while (left := end - self._clock()) > 0:
            self._transport.read(left)

    def _send(self, command: Command, arguments: bytes = b"") -> None:
        packet = Packet(PacketKind.COMMAND, bytes([command.code]) + arguments, self._address)
        self._transport.read(0)  # what has already arrived does not answer this command
        self._unframer.reset()
        self._frames.clear()
        self._received = 0
        self.commands += 1
        self._transport.write(packet.to_bytes())
        self._outstanding = _Outstanding.IMAGE if command.sends_data else _Outstanding.ACKNOWLEDGE

    def _acknowledge(self, command: Command, within: float) -> Reply | Damaged | None:
        """The answer; Damaged if it was damaged; None if nothing answers. ProtocolError if the module never stops."""
        started, silence, damage = self._clock(), within, None
        deadline = started + within
        self.unexpected = ""
        while (frame := self._next(deadline, silence)) is not None:
            if isinstance(frame, Packet) and (reply := _reply(command, frame)):
                if not (command.sends_data and reply.confirmation.then is NextStep.GO_ON):
                    self._outstanding = _Outstanding.NONE
                return reply
            if isinstance(frame, Packet) and frame.kind in _DATA_KINDS:
                frame = Damaged("image data instead of an answer")
            if isinstance(frame, Damaged):
                # Possibly part of an old image. The answer, if the module received the command, comes after it.
                damage, silence, deadline = frame, MAX_GAP_S, started + self._image_s
            self.unexpected = f" ({_describe(frame)})"
        if not self.unexpected and self._received:
            self.unexpected = f" ({self._received} bytes that are no packet: is the rate right?)"
        if damage is not None and self._clock() >= deadline:
            raise ProtocolError(f"{self._name}: does not stop sending{self.unexpected}")
        if damage is not None:
            self._outstanding = _Outstanding.NONE
        return damage

    def _skip_late_answer(self) -> None:
        """Skips the outstanding answer of an interrupted exchange. A module always sends an image to its end."""
        if self._outstanding is _Outstanding.NONE:
            return
        deadline, silence = self._clock() + self._image_s + LATE_ANSWER_S, LATE_ANSWER_S
        while (frame := self._next(deadline, silence)) is not None and not self._is_end_of_answer(frame):
            silence = MAX_GAP_S
        if frame is None and self._clock() >= deadline:
            raise ProtocolError(f"{self._name}: does not stop sending")
        self._outstanding = _Outstanding.NONE

    def _is_end_of_answer(self, frame: Frame) -> bool:
        due = PacketKind.ACKNOWLEDGE if self._outstanding is _Outstanding.ACKNOWLEDGE else PacketKind.LAST_DATA
        return isinstance(frame, Packet) and frame.kind is due

    def _next(self, deadline: float, silence: float) -> Frame | None:
        """The next frame. None if no byte comes for `silence` seconds, or at the deadline even if bytes still come.

        Frames that arrived before the deadline are still returned after it; nothing more is read.
        """
        quiet_at = self._clock() + silence
        while not self._frames:
            left = min(deadline, quiet_at) - self._clock()
            if left <= 0:
                self._frames.extend(self._unframer.reset())
                break
            data = self._transport.read(left)
            self._received += len(data)
            self._frames.extend(self._unframer.feed(data))
            if data:
                quiet_at = self._clock() + silence
        return self._frames.popleft() if self._frames else None


def _reply(command: Command, packet: Packet) -> Reply | None:
    """The acknowledge in `packet`, if it can belong to `command`. A refusal consists of its code only."""
    if packet.kind is not PacketKind.ACKNOWLEDGE or not packet.payload:
        return None
    found = confirmation(packet.payload[0])
    if found.then is NextStep.GO_ON and len(packet.payload) != 1 + command.reply_size:
        return None
    return Reply(found, packet.payload[1:])


def _describe(frame: Frame) -> str:
    match frame:
        case Damaged():
            return f"a packet with {frame.why}"
        case Foreign():
            return f"a packet from address 0x{frame.address:08X}: if it is this module, set the option address to it"
        case Packet():
            return f"{frame.kind.name.lower()} packet of {len(frame.payload)} bytes"
