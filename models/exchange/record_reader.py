"""Reads binary records from other systems. If the bytes end early, the error names the field and its position."""

import struct
from typing import Any

from models.template import TemplateError


class RecordReader:
    """Takes structures from the front of a record and tracks the position. `name` is the start of each message."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._name = name
        self._at = 0

    @property
    def at(self) -> int:
        """The number of bytes taken so far."""
        return self._at

    def take(self, structure: struct.Struct, what: str) -> tuple[Any, ...]:
        """The values of the next structure. TemplateError if the record ends within it."""
        return structure.unpack(self.bytes(structure.size, what))

    def bytes(self, count: int, what: str) -> bytes:
        """The next `count` bytes. TemplateError if there are fewer."""
        if self._at + count > len(self._data):
            raise TemplateError(f"{self._name}: ends within the {what} that begins at byte {self._at}")
        self._at += count
        return self._data[self._at - count : self._at]

    def expect_length(self, length: int) -> None:
        """TemplateError if the record does not have the length that its header says."""
        if length != len(self._data):
            raise TemplateError(f"{self._name}: the header says {length} bytes, there are {len(self._data)}")

    def expect_end(self) -> None:
        """TemplateError if bytes are left."""
        if self._at != len(self._data):
            raise TemplateError(f"{self._name}: {len(self._data) - self._at} bytes follow the last view")
