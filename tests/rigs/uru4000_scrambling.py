"""The scrambling of an image line by a U.are.U reader, exactly as described in the facts.

Source: ../shared/facts/usb-fingerprint.md, section 5.
"""

MASK_BITS, TAPS = (4, 8, 11, 14, 18, 21, 24, 29), 0x9248144D


def next_key(key: int) -> int:
    """One step of the shift register."""
    return key >> 1 | (key & TAPS).bit_count() % 2 << 31


def unmasked(line: bytes, key: int) -> bytes:
    """The pixels of a scrambled line whose first byte has no meaning; `key` is that of its first pixel."""
    out = bytearray()
    for byte in line[1:]:
        out.append(byte ^ sum((key >> bit & 1) << place for place, bit in enumerate(MASK_BITS)))
        key = next_key(key)
    return bytes(out)
