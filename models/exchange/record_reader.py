"""Reads binary records from other systems. If the bytes end early, the error names the field and its position."""

from collections.abc import Mapping

from models.template import TemplateError


class RecordReader:
    """Takes bytes from the front of a record and tracks the position. `name` is the start of each message."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self._data = data
        self._end = len(data)
        self._at = 0

    @property
    def at(self) -> int:
        """The number of bytes taken so far."""
        return self._at

    @property
    def left(self) -> int:
        """The number of bytes that remain of the record, without its padding."""
        return self._end - self._at

    def take(self, count: int, what: str) -> bytes:
        """The next `count` bytes. TemplateError if there are fewer."""
        if self._at + count > self._end:
            size = f"it takes {count} bytes, {self.left} are left"
            raise TemplateError(f"{self.name}: ends within the {what} that begins at byte {self._at}: {size}")
        self._at += count
        return self._data[self._at - count : self._at]

    def expect_identity(self, identifier: bytes, version: bytes, others: Mapping[bytes, str]) -> None:
        """TemplateError unless the record begins with these. `others` says what other versions are."""
        found, edition = self._data[: len(identifier)], self._data[len(identifier) : len(identifier) + len(version)]
        if found != identifier:
            raise TemplateError(f"{self.name}: the format identifier is {found!r}, expected {identifier!r}")
        if edition != version:
            other = f" ({others[edition]})" if edition in others else ""
            raise TemplateError(f"{self.name}: the version is {edition!r}{other}, expected {version!r}")

    def end_at(self, length: int) -> None:
        """End the record at the length that its header says. TemplateError unless only zeros, as padding, follow it."""
        if not self._at <= length <= len(self._data):
            raise TemplateError(f"{self.name}: the header says {length} bytes, there are {len(self._data)}")
        behind = self._data[length:]
        if behind.strip(b"\0"):
            first = length + len(behind) - len(behind.lstrip(b"\0"))
            said = f"the header says {length} bytes, there are {len(self._data)}"
            raise TemplateError(f"{self.name}: {said}; only zeros may follow, byte {first} is {self._data[first]}")
        self._end = length

    def expect_end(self) -> None:
        """TemplateError if bytes of the record are left."""
        if self.left:
            raise TemplateError(f"{self.name}: {self.left} bytes follow the last view")
