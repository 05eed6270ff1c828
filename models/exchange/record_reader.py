"""Reads binary records from others: every step says where and in what the bytes end, if they do."""

import struct
from typing import Any

from models.template import TemplateError


class Reader:
    """Takes structures off the front of some bytes and knows where it is. `name` begins each message."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._name = name
        self._at = 0

    @property
    def at(self) -> int:
        """How many bytes were taken."""
        return self._at

    def take(self, structure: struct.Struct, what: str) -> tuple[Any, ...]:
        """The values of a structure. TemplateError when the bytes end within it."""
        return structure.unpack(self.bytes(structure.size, what))

    def bytes(self, count: int, what: str) -> bytes:
        """So many bytes. TemplateError when there are fewer."""
        if self._at + count > len(self._data):
            raise TemplateError(f"{self._name}: ends within the {what} that begins at byte {self._at}")
        self._at += count
        return self._data[self._at - count : self._at]

    def expect_end(self) -> None:
        """TemplateError when bytes are left."""
        if self._at != len(self._data):
            raise TemplateError(f"{self._name}: {len(self._data) - self._at} bytes follow the last view")
