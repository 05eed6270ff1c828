"""The fields of a record as tables: how wide each is, what we do with it, and the values that we accept.

A field is honoured (it is in the result, or changes it), checked (any value but the accepted ones is refused, by the
name of the field), or skipped: it tells about the capture and changes the meaning of no other field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from models.exchange.record_reader import RecordReader
from models.template import TemplateError

Values = dict[str, int]  # the value of each field, by its name


class Use(StrEnum):
    """What we do with a field."""

    HONOURED = "honoured"
    CHECKED = "checked"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Field:
    """A field: an unsigned number of some bits. `accepted` None accepts every value; `note` says what it does."""

    name: str
    bits: int
    use: Use
    note: str
    accepted: Mapping[int, str] | range | None = None

    def check(self, value: int, where: str) -> None:
        """TemplateError, which names the field, the value and the accepted ones, if this value is not accepted."""
        if self.accepted is not None and value not in self.accepted:
            raise TemplateError(f"{where}: {self.name} is {value}; {_listed(self.accepted)}")


def _listed(accepted: Mapping[int, str] | range) -> str:
    if isinstance(accepted, range):
        return f"{accepted.start} to {accepted.stop - 1} are accepted"
    return "accepted: " + ", ".join(f"{value} ({meaning})" for value, meaning in accepted.items())


@dataclass(frozen=True, slots=True)
class Layout:
    """Fields one after another, big-endian, the first one in the highest bits. `title` is for messages."""

    title: str
    fields: tuple[Field, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(field.bits for field in self.fields) // 8

    def read(self, reader: RecordReader) -> Values:
        """The values of the fields. TemplateError if the record ends within them, or a value is not accepted."""
        start = reader.at
        number = int.from_bytes(reader.take(self.size, self.title), "big")
        values, left = Values(), 8 * self.size
        for field in self.fields:
            at = start + self.size - -(-left // 8)
            left -= field.bits
            values[field.name] = number >> left & (1 << field.bits) - 1
            field.check(values[field.name], f"{reader.name}: byte {at}")
        return values

    def to_bytes(self, values: Mapping[str, int]) -> bytes:
        """The bytes of these values; 0 where none is given. OverflowError if a value does not fit."""
        number = 0
        for field in self.fields:
            value = values.get(field.name, 0)
            if not 0 <= value < 1 << field.bits:
                raise OverflowError(f"{field.name} {value} does not fit into {field.bits} bits")
            number = number << field.bits | value
        return number.to_bytes(self.size, "big")
