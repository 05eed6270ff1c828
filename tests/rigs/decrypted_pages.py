"""Reads the pages of an encrypted store as somebody can who has the key: also those that no table uses any more.

The format is that of SQLCipher 4: AES-256-CBC; each page of 4096 bytes ends with its initialisation vector (16 bytes)
and its authentication code (64 bytes), which is not checked here. The first page begins with a salt of 16 bytes.
"""

from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from agent.storage.encryption import StoreKey

PAGE, VECTOR, RESERVE, SALT = 4096, 16, 80, 16
LOG_HEADER, FRAME_HEADER = 32, 24  # of SQLite's write-ahead log


def pages_of(path: Path, key: StoreKey) -> bytes:
    """Everything that is in the pages of a store and of its write-ahead log, decrypted."""
    return b"".join([*_pages(path, 0, PAGE, key), *_frames(path.with_name(path.name + "-wal"), key)])


def _pages(path: Path, start: int, step: int, key: StoreKey) -> Iterator[bytes]:
    content = path.read_bytes()
    for at in range(start, len(content) - PAGE + 1, step):
        yield _decrypted(content[at : at + PAGE], key, first=at == 0)


def _frames(log: Path, key: StoreKey) -> Iterator[bytes]:
    content = log.read_bytes() if log.exists() else b""
    for at in range(LOG_HEADER, len(content) - FRAME_HEADER - PAGE + 1, FRAME_HEADER + PAGE):
        number = int.from_bytes(content[at : at + 4], "big")
        page = content[at + FRAME_HEADER : at + FRAME_HEADER + PAGE]
        yield _decrypted(page, key, first=number == 1)


def _decrypted(page: bytes, key: StoreKey, *, first: bool) -> bytes:
    vector = page[PAGE - RESERVE : PAGE - RESERVE + VECTOR]
    decryptor = Cipher(algorithms.AES(key.secret), modes.CBC(vector)).decryptor()
    return decryptor.update(page[SALT if first else 0 : PAGE - RESERVE]) + decryptor.finalize()
