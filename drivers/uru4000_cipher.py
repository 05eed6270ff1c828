"""The scramble of the U.are.U 4000 family: a 32-bit shift register whose bits mask the pixels.

A step of the key shifts it right by one; the new top bit is the parity of its tapped bits. So the keys of all steps are
windows of one bit sequence s, in which key number t is s[t : t + 32], lowest bit first, and

    s[t + 32] = XOR of s[t + tap] for every tap

Over GF(2) the square of that recurrence is the same with every distance doubled, which lets numpy make the sequence in
ever longer runs in place of a Python loop of a step a pixel.
"""

import numpy as np
from numpy.typing import NDArray

KEY_BITS = 32
STEP_TAPS = 0x9248144D
MASK_TAPS = (4, 8, 11, 14, 18, 21, 24, 29)  # bits of the key that become bits 0 to 7 of a mask byte

_TAPS = tuple(bit for bit in range(KEY_BITS) if STEP_TAPS >> bit & 1)

Bytes = NDArray[np.uint8]


class KeyStream:
    """The mask bytes that follow from one key, one a step."""

    def __init__(self, key: int) -> None:
        self._position = 0
        self._stride = 1  # the distances of the recurrence are those of a step times this
        self._bits = np.array([key >> bit & 1 for bit in range(KEY_BITS)], np.uint8)

    def take(self, count: int) -> Bytes:
        """The next `count` mask bytes."""
        start = self._position
        self.skip(count)
        while self._bits.size < self._position + KEY_BITS:
            self._double()
        masks = np.zeros(count, np.uint8)
        for bit, tap in enumerate(MASK_TAPS):
            masks |= self._bits[start + tap : start + tap + count] << np.uint8(bit)
        return masks

    def skip(self, count: int) -> None:
        """Let `count` steps pass unused."""
        self._position += count

    def _double(self) -> None:
        """Twice as many bits: as many runs as the key has bits, each as long as the shortest distance looks back."""
        stride, known = self._stride, self._bits.size
        bits = np.empty(2 * known, np.uint8)
        bits[:known] = self._bits
        for start in range(known, 2 * known, stride):
            behind = start - KEY_BITS * stride
            taps = [bits[behind + tap * stride : behind + (tap + 1) * stride] for tap in _TAPS]
            np.bitwise_xor.reduce(taps, axis=0, out=bits[start : start + stride])
        self._bits, self._stride = bits, 2 * stride
