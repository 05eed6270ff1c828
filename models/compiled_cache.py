"""Keeps compiled code on disk: next to its source, and only where it can be trusted as far as the source.

Compiled code on disk is Python pickles and machine code: who can write it, runs code in this process. numba would also
take it from the home directory and from folders that environment variables name. Here it is read only from the folder
`__pycache__` of the source, and only if nobody can write there who cannot write the source.

On a kiosk the program belongs to root, who compiles during the installation; the daemon only reads. A function that is
not there is compiled in memory, for this process. Import this module only where numba is installed.
"""

import functools
import logging
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, InTreeCacheLocator

log = logging.getLogger(__name__)

BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def keep_next_to_source(dispatcher: Any, function: Callable[..., Any], stamp: str) -> None:  # noqa: ANN401 - numba's
    """Give a compiled function its cache. `stamp`: what the code is compiled from; the code of another stamp is old."""
    cache: Any = TrustedCache(function)  # type: ignore[no-untyped-call]
    cache._cache_file._source_stamp = stamp  # noqa: SLF001 - numba has no other place for it
    dispatcher._cache = cache  # noqa: SLF001 - as numba's enable_caching() does, with its own places


def distrusted(paths: Iterable[Path], source: os.stat_result) -> str:
    """Why one of these is not trusted as the source is; empty if all are. OSError if one is missing."""
    return next(filter(None, (_distrusted(path, source) for path in paths)), "")


def _distrusted(path: Path, source: os.stat_result) -> str:
    found = path.stat()
    if found.st_uid not in (0, source.st_uid):
        return f"{path} belongs to user {found.st_uid}"
    other_group = found.st_mode & stat.S_IWGRP and found.st_gid != source.st_gid
    if other_group or found.st_mode & BY_OTHERS & ~source.st_mode:
        return f"{path} can be written by more people than its source"
    return ""


def _like_source(path: Path, source: os.stat_result) -> None:
    """Let the same people read a file or folder of ours as its source, and nobody else write it, whatever the umask."""
    if path.stat().st_uid == os.geteuid():
        path.chmod(source.st_mode & 0o644 | (0o711 if path.is_dir() else 0o600))


@functools.cache
def _log_once(level: int, message: str) -> None:
    """Dozens of functions have the same to report."""
    log.log(level, "%s", message)


class _NextToSource(InTreeCacheLocator):
    def ensure_cache_path(self) -> None:
        """Accept a folder that this account cannot write: it can be read."""


class _OnePlace(CompileResultCacheImpl):
    _locator_classes = [_NextToSource]  # noqa: RUF012 - a list in numba


class TrustedCache(FunctionCache):
    """The compiled code of one function."""

    _impl_class = _OnePlace

    def _load_overload(self, sig: object, target_context: object) -> object:
        """The compiled code on disk; None if there is none, or none that is trusted."""
        found = None
        try:
            if reason := self._distrusted():
                _log_once(logging.WARNING, f"compiled code is not used: {reason}; delete it")
            else:
                found = super()._load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except OSError:  # none there, or not readable for this account
            pass
        if found is None:
            _log_once(logging.INFO, "compiling the searches: half a minute, once after an installation")
        return found

    def _save_overload(self, sig: object, data: object) -> None:
        """Keep the compiled code, if this account can, and if it will be trusted there."""
        try:
            Path(self._cache_path).mkdir(exist_ok=True)
            if self._distrusted():  # numba reads the index before it writes it
                return
            super()._save_overload(sig, data)  # type: ignore[no-untyped-call]
            for path in self._paths():
                _like_source(path, self._source())
        except OSError as error:
            _log_once(
                logging.WARNING,
                f"compiled searches cannot be kept next to their source ({error.strerror}). Each start takes half a "
                "minute longer, until somebody who can write there has run `kiosk-agent check-config` once.",
            )

    def _distrusted(self) -> str:
        """Why the folder or a file is not trusted. A folder of ours that a lax umask left open is closed first."""
        folder, *files = self._paths()
        source = self._source()
        _like_source(folder, source)
        return distrusted([folder, *files], source)

    def _source(self) -> os.stat_result:
        return Path(self._py_func.__code__.co_filename).stat()

    def _paths(self) -> list[Path]:
        """The folder and the files of this function."""
        folder = Path(self._cache_path)
        return [folder, *folder.glob(f"{self._impl.filename_base}.*")]
