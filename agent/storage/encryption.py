"""Opens encrypted database files: SQLCipher with a raw key. This module and first_encryption.py alone import it.

Each page of 4096 bytes is encrypted (AES-256-CBC, own initialisation vector) and has an authentication code
(HMAC-SHA512), in the file and in the write-ahead log. A changed page is an error, never other contents. The names of
the files and their sizes are not secret.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlcipher3 import dbapi2

KEY_BYTES = 32
BUSY_TIMEOUT_S = 5.0  # how long a writer waits for another thread or process
PLAIN_HEADER = b"SQLite format 3\0"  # an encrypted file begins with random bytes

# The settings of SQLCipher 4, pinned: with others, a later version of the library could not open today's files.
SETTINGS = (
    "cipher_page_size = 4096",
    "cipher_use_hmac = ON",
    "cipher_hmac_algorithm = HMAC_SHA512",
    "cipher_kdf_algorithm = PBKDF2_HMAC_SHA512",
    "cipher_plaintext_header_size = 0",
)

DatabaseError = dbapi2.Error  # the family of all errors of the library
MistakeInAgent = dbapi2.ProgrammingError  # such as a handle used by a second thread


@dataclass(frozen=True, slots=True, repr=False)
class StoreKey:
    """The key of the kiosk's stores: 32 random bytes, used as they are. ValueError if there are more or fewer."""

    secret: bytes

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise ValueError(f"a store key has {KEY_BYTES} bytes")

    @property
    def literal(self) -> str:
        """The key as SQLCipher wants a raw key, from which nothing else is derived."""
        return f"x'{self.secret.hex()}'"

    def __repr__(self) -> str:
        """Does not show the key."""
        return "<StoreKey>"


def connect(path: Path, key: StoreKey | None) -> Any:  # noqa: ANN401 - the library has no types
    """A connection to a database file, encrypted with `key`; None only for a file that is not encrypted yet.

    A wrong key shows at the first read: SQLITE_NOTADB.
    """
    return _prepared(dbapi2.connect(str(path), timeout=BUSY_TIMEOUT_S, isolation_level=None), key)


def opens_with(path: Path, key: StoreKey) -> bool:
    """Whether an existing file can be read with this key. Reads its first page, and changes and locks nothing."""
    place = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        connection = _prepared(dbapi2.connect(place, uri=True, isolation_level=None), key)
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        finally:
            connection.close()
    except dbapi2.Error:
        return False
    return True


def is_plain(path: Path) -> bool:
    """Whether this is an SQLite file that is not encrypted. OSError if it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(PLAIN_HEADER)) == PLAIN_HEADER


def _prepared(connection: Any, key: StoreKey | None) -> Any:  # noqa: ANN401 - the library has no types
    try:
        # Otherwise the library writes lines of its own to standard error; what is wrong is in the exception.
        connection.execute("PRAGMA cipher_log_level = NONE").fetchone()
        if key is not None:
            unlock(connection, key)
        connection.execute("PRAGMA temp_store = MEMORY").fetchone()  # no temporary file, which would not be encrypted
    except BaseException:
        connection.close()
        raise
    return connection


def unlock(connection: Any, key: StoreKey) -> None:  # noqa: ANN401 - the library has no types
    """Give the key to a new connection."""
    connection.execute(f'PRAGMA key = "{key.literal}"').fetchone()
    for setting in SETTINGS:
        connection.execute(f"PRAGMA {setting}").fetchone()
