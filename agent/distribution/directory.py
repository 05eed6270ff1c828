"""Reads a list repository from a folder, such as a USB stick. Whoever made the stick chose its links and its names."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from tuf.api.exceptions import DownloadError, DownloadHTTPError

from agent.distribution.fetcher import CHUNK, Fetcher, never, too_long
from agent.distribution.refusal import SourceUnreachable

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a named pipe must not stop us
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
NOT_FOUND = 404


class DirectoryFetcher(Fetcher):
    """Plain files below a folder. Symbolic links in it are not followed; the folder itself may be reached by one."""

    def __init__(self, folder: Path, stopped: Callable[[], bool] = never) -> None:
        super().__init__(str(folder), stopped)
        self._folder = folder

    def read(self, url: str, most: int) -> bytes:
        """As Fetcher.read."""
        parts = [unquote(part) for part in url.removeprefix(f"{self.address}/").split("/")]
        shown = "/".join(parts)
        if any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
            raise DownloadError(f"{shown}: is not the name of a file in the folder")
        try:
            with self._opened(parts) as file:
                return self._content(file, shown, most)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise DownloadError(f"{shown}: is a symbolic link, which is not followed") from error
            # A stick that was pulled out leaves an empty folder: then no file is missing, but everything.
            if error.errno in _ABSENT and self._has_metadata():
                raise DownloadHTTPError(f"{shown}: there is no such file", NOT_FOUND) from error
            why = "it has no folder metadata" if error.errno in _ABSENT else f"{shown}: {error.strerror}"
            raise SourceUnreachable(why) from error

    def _has_metadata(self) -> bool:
        try:
            return stat.S_ISDIR((self._folder / "metadata").stat().st_mode)
        except OSError:  # also of a stick that no longer answers
            return False

    @contextmanager
    def _opened(self, parts: list[str]) -> Iterator[int]:
        """The file descriptor of a file, opened from folder to folder."""
        at = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for number, part in enumerate(parts, 1):
                try:
                    inner = os.open(part, _FILE if number == len(parts) else _FOLDER, dir_fd=at)
                except NotADirectoryError as error:  # so the system names a link that is not followed
                    if stat.S_ISLNK(os.lstat(part, dir_fd=at).st_mode):
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
                    raise
                os.close(at)
                at = inner
            yield at
        finally:
            os.close(at)

    def _content(self, file: int, shown: str, most: int) -> bytes:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise DownloadError(f"{shown}: is not a plain file")
        if about.st_size > most:
            raise too_long(most)
        found = bytearray()
        while chunk := os.read(file, CHUNK):
            self.check_stopped()
            found += chunk
            if len(found) > most:  # it grows while we read
                raise too_long(most)
        return bytes(found)
