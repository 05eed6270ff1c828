"""The stream cipher of the U.are.U 4000 family: a 32-bit linear feedback shift register whose bits mask the pixels.

A step shifts the key right by one; the new top bit is the parity of the tapped bits. So the keys of all steps are
windows of one bit sequence s, in which key number t is s[t : t + 32], lowest bit first, and

    s[t + 32] = XOR of s[t + tap] for every tap

So 32 consecutive bits follow from the 32 bits before them by multiplication with one bit matrix. Over GF(2) the square
of the recurrence is the same recurrence with every distance doubled: the same matrix computes 32 runs of 2, 4, 8 ...
bits from the 32 runs before them. So numpy can compute the sequence, without a Python loop over the pixels.
"""

import numpy as np
from numpy.typing import NDArray

KEY_BITS = 32
STEP_TAPS = 0x9248144D
MASK_TAPS = (4, 8, 11, 14, 18, 21, 24, 29)  # bits of the key that become bits 0 to 7 of a mask byte

_TAPS = tuple(bit for bit in range(KEY_BITS) if STEP_TAPS >> bit & 1)

RUN_COLUMNS = (
    128  # columns of one product: for larger ones BLAS starts threads, which wait for each other on a busy machine
)

Bytes = NDArray[np.uint8]


def _next_bits() -> NDArray[np.float32]:
    """[new bit, old bit] f32: which of 32 consecutive bits are summed in each of the next 32."""
    sums = [1 << bit for bit in range(KEY_BITS)]
    for step in range(KEY_BITS):
        new = 0
        for tap in _TAPS:
            new ^= sums[step + tap]
        sums.append(new)
    return np.array([[row >> bit & 1 for bit in range(KEY_BITS)] for row in sums[KEY_BITS:]], np.float32)


_NEXT_BITS = _next_bits()


class KeyStream:
    """The mask bytes that follow from one key, one per step."""

    def __init__(self, key: int) -> None:
        self._position = 0
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
        """Skips `count` steps."""
        self._position += count

    def _double(self) -> None:
        """Doubles the known bits: computes the next 32 runs from the last 32 runs of the same length."""
        run = min(self._bits.size // KEY_BITS, RUN_COLUMNS)
        known = self._bits.reshape(KEY_BITS, -1, run).swapaxes(0, 1)
        sums = _NEXT_BITS @ known.astype(np.float32)  # at most 32: exact
        new = sums.astype(np.uint8) & np.uint8(1)
        self._bits = np.concatenate([self._bits, new.swapaxes(0, 1).reshape(-1)])
