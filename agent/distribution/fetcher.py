"""What all sources of lists have in common. A file is held in memory only: a part of a list contains templates."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import IO

from tuf.api.exceptions import DownloadLengthMismatchError
from tuf.ngclient.fetcher import FetcherInterface

from agent.distribution.refusal import SourceUnreachable

MOST_BYTES = 32 * 1024 * 1024  # of any file; a part of a list has about 8 MiB before it is compressed
CHUNK = 64 * 1024


def never() -> bool:
    """Nobody stops the fetcher."""
    return False


class Fetcher(FetcherInterface):
    """Reads the files of one list repository: `metadata/` and `targets/` below its address.

    `stopped` is asked several times a second: once it is true, a read ends with SourceUnreachable.
    """

    def __init__(self, address: str, stopped: Callable[[], bool] = never) -> None:
        self.address = address.rstrip("/")
        self.metadata_url = f"{self.address}/metadata/"
        self.targets_url = f"{self.address}/targets/"
        self._stopped = stopped

    @abstractmethod
    def read(self, url: str, most: int) -> bytes:
        """The file at a URL, of at most `most` bytes.

        DownloadLengthMismatchError if it is longer, DownloadHTTPError 404 if there is none, SlowRetrievalError,
        SourceUnreachable, CertificateRefused, or another DownloadError.
        """

    def check_stopped(self) -> None:
        """SourceUnreachable if the agent is to stop."""
        if self._stopped():
            raise SourceUnreachable("the agent stops")

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """As FetcherInterface.download_bytes, without a temporary file."""
        return self.read(url, max_length)

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """As FetcherInterface.download_file, without a temporary file."""
        yield BytesIO(self.read(url, max_length))

    def _fetch(self, url: str) -> Iterator[bytes]:
        return iter((self.read(url, MOST_BYTES),))


def too_long(most: int) -> DownloadLengthMismatchError:
    """The error for a file with more than `most` bytes."""
    return DownloadLengthMismatchError(f"more than {most} bytes")
