"""The part of open(), capture(), cancel() and close() that is the same in every driver."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from drivers.errors import LinkLost, SensorError
from drivers.transport import Attachment

Link = TypeVar("Link")


class SensorSession:
    """Base class of the drivers: holds the device in an Attachment, and releases it after a failed open().

    A driver implements _release(). It overrides _open_failed() if a failed open() must not do all that close() does.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._attachment = Attachment()

    def cancel(self) -> None:
        """Ends the running capture or open, or the next one, with Cancelled."""
        self._attachment.cancel()

    def close(self) -> None:
        """Releases the device. Never raises; may be called twice and after any error."""
        self._release()
        self._attachment.detach()

    def _release(self) -> None:
        """Restores what open() changed in the device, and forgets the link. Never raises; may be called twice."""
        raise NotImplementedError

    def _open_failed(self, _error: BaseException) -> None:
        """Called after an error in open()."""
        self.close()

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """Around open(): closes the device first, and again after an error."""
        self.close()
        with self._attachment.attempt():
            try:
                yield
            except BaseException as error:
                self._open_failed(error)
                raise

    def _require_open(self, link: Link | None) -> Link:
        """Returns `link`. LinkLost if the device is not open."""
        if link is None:
            raise LinkLost(f"{self._name}: not open")
        return link

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Adds the name of the device to errors. Only for code whose errors do not have it: that of cameras."""
        try:
            yield
        except SensorError as error:
            raise type(error)(f"{self._name}: {error}") from error
