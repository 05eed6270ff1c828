"""A host for a U.are.U reader that follows the facts literally. It shares no code with the driver.

Its recorded traffic with the simulated reader is played back to the driver.
Source: ../shared/facts/usb-fingerprint.md, sections 2 to 5.
"""

from collections.abc import Sequence

from simulators.sensors.uru4000.device import CHALLENGES
from tests.rigs.virtual_usb import VirtualUsb

SEED = 0x51EA2124
IMAGE_BYTES = 64 + 384 * 290
NOISE = 5000
PERSON_S = 10.0


class FactsHost:
    """One session: start-up, one capture, the end. `challenges`: the reader needs the challenge.

    `seeds`: of the keys, in order; all further keys use the last one.
    """

    def __init__(self, usb: VirtualUsb, *, challenges: bool = False, seeds: Sequence[int] = (SEED,)) -> None:
        self._link = usb.open_link()
        self._seeds = [*seeds]
        self._challenges = challenges
        self._inbox = self._link.listen(0x81, 64)

    def run(self) -> None:
        """Run the whole session."""
        self.start_up()
        self.capture()
        self._inbox.close()
        self._link.close()

    def start_up(self) -> None:
        """Section 4."""
        for _ in range(3):
            status = self._read(0x07, 1)[0]
            if status & 0x84 == 0x84:
                status = self._reboot(status)
            if not status & 0x80:
                self._write(0x07, status | 0x80)
            self._power_up(status)
            if self._receives("56aa", 0.3):
                break
        else:
            raise AssertionError("no scan power")
        self._read(0xF0, 16)

    def _reboot(self, status: int) -> int:
        self._write(0x07, status & 0x0F)
        for _ in range(100):
            now = self._read(0x07, 1)[0]
            if now & 1:
                return now
            self._link.pause(0.01)
        raise AssertionError("does not restart")

    def _power_up(self, status: int) -> None:
        for _ in range(100):
            self._write(0x07, status & 0x0F)
            if not self._read(0x07, 1)[0] & 0x80:
                return
            self._link.pause(0.01)
            if self._challenges:
                asked = self._read(0x2010, 16)
                self._link.control_out(0x40, 4, 0x2000, 0, dict(CHALLENGES)[asked])
        raise AssertionError("stays in low-power mode")

    def capture(self) -> None:
        """Section 5."""
        self._write(0x4E, 0x10)
        assert self._receives("0101", PERSON_S)
        raw = self._image()
        while not _is_valid(raw):
            raw = self._image()
        self._ask_for_keys(raw)
        self._write(0x4E, 0x12)
        self._receives("0200", PERSON_S)
        self._write(0x4E, 0x70)

    def _image(self) -> bytes:
        pending = self._link.begin_read(0x82, IMAGE_BYTES, 5.0)
        self._write(0x4E, 0x20)
        return pending.result(5.0)

    def _ask_for_keys(self, raw: bytes) -> None:
        pairs = [a + b for a, b in zip(raw[64:448], raw[448:832], strict=True)]
        mean = sum(pairs) / len(pairs)
        if sum((pair - mean) ** 2 for pair in pairs) / len(pairs) < NOISE:
            return
        number = raw[6]
        self._ask_for_key(number)
        for flags, lines in zip(raw[16:46:2], raw[17:46:2], strict=True):
            if not lines:
                return
            if flags & 0x80:
                number += 1
                self._ask_for_key(number)

    def _ask_for_key(self, number: int) -> None:
        seed = self._seeds.pop(0) if len(self._seeds) > 1 else self._seeds[0]
        self._link.control_out(0x40, 4, 0x33, 0, bytes([number & 0xFF]) + seed.to_bytes(4, "little"))
        self._read(0x34, 4)

    def _read(self, register: int, size: int) -> bytes:
        return self._link.control_in(0xC0, 4, register, 0, size)

    def _write(self, register: int, value: int) -> None:
        self._link.control_out(0x40, 4, register, 0, bytes([value]))

    def _receives(self, wanted: str, timeout: float) -> bool:
        until = self._link.now() + timeout
        while message := self._inbox.next(max(until - self._link.now(), 0.0)):
            if message[:2].hex() == wanted:
                return True
        return False


def _is_valid(raw: bytes) -> bool:
    if len(raw) < 64:
        return False
    lines = int.from_bytes(raw[4:6], "little")
    return lines < 290 and len(raw) >= 64 + 384 * lines
