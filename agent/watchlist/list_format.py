"""The format in which a provider sends its list: a manifest, and parts with the entries. Reading and writing, no I/O.

The targets of a provider in the list repository (TUF):

    PROVIDER/manifest.json      the agreements, and which parts make the list (Manifest)
    PROVIDER/parts/NAME         zlib of lines of JSON (UTF-8), one object a line (PartLine)

A snapshot is the whole list, and has only the operation "put". A delta changes the list of one revision to that of
another: "put" adds an entry or replaces the one of the same reference id, "withdraw" removes it if it is there,
"confirm" moves its review date. All times have a time zone, and are UTC when read. Where the manifest says that the
list is sealed, its parts are encrypted (agent/watchlist/sealed_parts.py).

An entry or an agreement that lacks something is refused by name; the others are read. A manifest or a part that cannot
be read at all is a ListFormatError. No message quotes a template.
"""

import binascii
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails, from_json

from agent.config import Name
from agent.events.event import Category
from drivers.printable import printable
from drivers.sample import Modality, Position

FORMAT: Literal["kiosk-list/1"] = "kiosk-list/1"
MANIFEST = "manifest.json"
MANIFEST_BYTES = 4 << 20  # a list of a million persons has about 600 parts: 30 KB
PART_BYTES = 8 << 20  # unpacked; a part is cut before it is larger
MOST_PART_BYTES = 4 * PART_BYTES  # what a reader accepts, so that a small file cannot fill the memory
MOST_LINES = 1_000_000  # of a part; a withdrawal, the shortest line of use, takes more than 40 bytes
MOST_DELTAS = 1000  # of a manifest
MOST_TEMPLATES = 64  # of an entry
MOST_TEMPLATE_BYTES = 2 << 20  # an uncompressed iris image of 640 x 480 has 0.3 MB
YEARS = range(1900, 3000)  # times outside are a mistake, and may not be shifted to another time zone
MOST_PROBLEMS = 12  # that the reason of a refusal names
MOST_SHOWN = 100  # characters of the name of a field, and of what is wrong with it

# Every format of a template that a kiosk reads, and of what it is.
TEMPLATE_FORMATS = {
    "finger-minutiae/1": Modality.FINGER,
    "finger-minutiae/2": Modality.FINGER,
    "iso19794-2": Modality.FINGER,
    "iris-code/1": Modality.IRIS,
    "iso19794-6": Modality.IRIS,
}
COMPRESSION = 6


class ListFormatError(ValueError):
    """A manifest or a part cannot be read. The message is printable and short; it does not quote a template."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


def _in_utc(time: datetime) -> datetime:
    if time.year not in YEARS:
        raise ValueError(f"must lie in the years {YEARS.start} to {YEARS.stop - 1}")
    return time.astimezone(UTC)


def _decoded(data: object) -> object:
    if not isinstance(data, str):
        return data
    try:
        return binascii.a2b_base64(data.encode("ascii"), strict_mode=True)
    except ValueError:  # binascii.Error, and letters outside ASCII
        raise ValueError("is not base64") from None


def _known_format(name: str) -> str:
    if name not in TEMPLATE_FORMATS:
        raise ValueError("must be one of " + ", ".join(TEMPLATE_FORMATS))
    return name


Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Code = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9-]{0,15}$")]
Line = Annotated[str, Field(min_length=1, max_length=1000)]
Recipients = Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)]
Revision = Annotated[int, Field(ge=1, lt=1 << 53)]
Count = Annotated[int, Field(ge=0, lt=1 << 53)]
PartName = Annotated[str, Field(pattern=r"^parts/[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
TemplateFormat = Annotated[str, AfterValidator(_known_format)]
TemplateBytes = Annotated[
    bytes,
    BeforeValidator(_decoded),
    Field(min_length=1, max_length=MOST_TEMPLATE_BYTES),
    PlainSerializer(lambda data: binascii.b2a_base64(data, newline=False).decode(), return_type=str),
]
ListedCategory = Literal[
    Category.WANTED,
    Category.REFUSED_ENTRY,
    Category.MISSING,
    Category.CHILD_AT_RISK,
    Category.TRAFFICKING_VICTIM,
    Category.VULNERABLE,
]

_LINES = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
_CONFIG = ConfigDict(frozen=True, **_LINES)


class _Strict(BaseModel):
    model_config = _CONFIG


class AgreementTerms(_Strict):
    """Why a provider may list people, for whom and for how long. Everything is required."""

    id: Name
    provider: Name
    purpose: Line
    legal_basis: Line
    necessity: Code
    recipients: Recipients = Field(description="who may receive the references and the leads that they cause")
    keep_days: int = Field(ge=1, le=36_500, description="the longest that an entry is kept after it was listed")
    review_by: Time


class ListTemplate(_Strict):
    """A template or a record of one finger or eye; UNKNOWN where the provider does not know which."""

    position: Position
    format: TemplateFormat
    data: TemplateBytes = Field(repr=False)

    @model_validator(mode="after")
    def _check_position(self) -> Self:
        if self.position.modality not in (None, TEMPLATE_FORMATS[self.format]):
            raise ValueError(f"position: {self.position} does not go with {self.format}")
        return self


class ListEntry(_Strict):
    """One person as the provider sends it, without a name. The agreement is one of the manifest, by its id."""

    reference_id: Name
    agreement: Name
    category: ListedCategory
    instruction: Code = Field(description="what the officer shall do, as a code of the agreement")
    necessity: Code
    listed_at: Time
    not_before: Time
    expires_at: Time
    review_by: Time
    recipients: Recipients | None = Field(default=None, description="narrows those of the agreement")
    templates: tuple[ListTemplate, ...] = Field(min_length=1, max_length=MOST_TEMPLATES)

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.expires_at <= self.not_before:
            raise ValueError("expires_at: must lie after not_before")
        return self


# The lines of a part. Built by hand they are checked as well: Withdraw("no such id!") is a ValidationError.
@dataclass(frozen=True, config=_LINES)
class Put:
    """Add an entry, or replace the one of the same reference id."""

    entry: ListEntry
    op: Literal["put"] = "put"


@dataclass(frozen=True, config=_LINES)
class Withdraw:
    """Remove an entry."""

    reference_id: Name
    op: Literal["withdraw"] = "withdraw"


@dataclass(frozen=True, config=_LINES)
class Confirm:
    """The provider has reviewed an entry: it stays, to be reviewed again by then. Without an expiry it keeps its."""

    reference_id: Name
    review_by: Time
    expires_at: Time | None = None
    op: Literal["confirm"] = "confirm"


@dataclass(frozen=True, config=_LINES)
class Refused:
    """What cannot be accepted, and why: the names of the fields, with what is wrong, printable and short.

    `reference_id` is that of the entry (or agreement); "line N" (or "agreement N") if it has none that can be shown.
    """

    reference_id: str
    reason: str


PartLine = Put | Withdraw | Confirm | Refused

_LINE: TypeAdapter[Put | Withdraw | Confirm] = TypeAdapter(
    Annotated[Put | Withdraw | Confirm, Field(discriminator="op")]
)
_NAME: TypeAdapter[str] = TypeAdapter(Name)


class PartSet(_Strict):
    """Parts that are read one after another, and what they hold together: the figures are checked before loading."""

    parts: tuple[PartName, ...]
    entries: Count = Field(description="entries put; for a delta, all lines")
    templates: dict[TemplateFormat, Count] = Field(description="templates put, by format")
    bytes: Count = Field(description="of all parts, unpacked")

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if len(set(self.parts)) < len(self.parts):
            raise ValueError("parts: one of them is named twice")
        return self


class Snapshot(PartSet):
    """The whole list at a revision."""

    revision: Revision


class Delta(PartSet):
    """What changes the list of one revision to that of another."""

    from_revision: Annotated[int, Field(ge=0, lt=1 << 53)]
    to_revision: Revision

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.to_revision <= self.from_revision:
            raise ValueError("to_revision: must be higher than from_revision")
        return self


class Manifest(_Strict):
    """The list of one provider at one revision. `revision` of the snapshot may be lower: deltas lead on from it."""

    format: Literal["kiosk-list/1"] = FORMAT
    provider: Name
    revision: Revision
    published_at: Time
    agreements: tuple[AgreementTerms, ...]
    snapshot: Snapshot
    deltas: Annotated[tuple[Delta, ...], Field(max_length=MOST_DELTAS)] = ()
    sealed: bool = Field(default=False, description="the parts are encrypted; left out where they are not")
    # Set by parse_manifest: agreements that lack something. Entries under them have no agreement.
    refused_agreements: tuple[Refused, ...] = Field(default=(), exclude=True)

    @model_validator(mode="after")
    def _check_agreements(self) -> Self:
        ids = [one.id for one in self.agreements]
        if len(set(ids)) < len(ids):
            raise ValueError("agreements: two of them have the same id")
        if any(one.provider != self.provider for one in self.agreements):
            raise ValueError("agreements: one of them is of another provider")
        return self

    @model_validator(mode="after")
    def _check_revisions(self) -> Self:
        if max(self.snapshot.revision, *(one.to_revision for one in self.deltas), 0) > self.revision:
            raise ValueError("revision: the snapshot or a delta has a higher one")
        if self.deltas_from(self.snapshot.revision) is None:
            raise ValueError("deltas: none leads from the snapshot to this revision")
        return self

    def agreement(self, name: str) -> AgreementTerms | None:
        """The agreement with this id; None if there is none, or it was refused."""
        return next((one for one in self.agreements if one.id == name), None)

    def deltas_from(self, revision: int) -> tuple[Delta, ...] | None:
        """The fewest deltas that lead from a revision to this one, in order; None if none do: take the snapshot."""
        found: dict[int, tuple[Delta, ...]] = {self.revision: ()}
        for one in sorted(self.deltas, key=lambda delta: delta.from_revision, reverse=True):
            rest, known = found.get(one.to_revision), found.get(one.from_revision)
            if rest is not None and (known is None or len(rest) + 1 < len(known)):
                found[one.from_revision] = (one, *rest)
        return found.get(revision)


def parse_manifest(data: bytes) -> Manifest:
    """The manifest. ListFormatError if it cannot be read; an agreement that lacks something is only left out."""
    if len(data) > MANIFEST_BYTES:
        raise ListFormatError(f"the manifest has {len(data)} bytes; at most {MANIFEST_BYTES} are read")
    try:
        content = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise ListFormatError(f"the manifest is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ListFormatError("the manifest is not an object of JSON")
    if content.get("format") != FORMAT:
        raise ListFormatError(f"the manifest is not of the format {FORMAT}: this release of the kiosk cannot read it")
    if "refused_agreements" in content:
        raise ListFormatError("the manifest has an unknown field refused_agreements")
    agreements = content.get("agreements")
    refused: tuple[Refused, ...] = ()
    if isinstance(agreements, list):
        content["agreements"], refused = _sorted_agreements(agreements, content.get("provider"))
    try:
        read = Manifest.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise ListFormatError(f"the manifest is not valid: {_problems(error)}") from None
    return read.model_copy(update={"refused_agreements": refused})


def write_manifest(manifest: Manifest) -> bytes:
    """The bytes of manifest.json."""
    left_out = None if manifest.sealed else {"sealed"}
    return manifest.model_dump_json(indent=1, exclude=left_out).encode() + b"\n"


def read_part(data: bytes) -> Iterator[PartLine]:
    """The lines of a part, in their order. Lines that are not acceptable are Refused, with the reason.

    The data is unpacked before this returns: ListFormatError if it is not a part, is cut short, or is too large.
    """
    return _lines(io.BytesIO(_unpacked(data)))


def read_line(line: bytes) -> Put | Withdraw | Confirm:
    """One line of a part. ListFormatError names what is wrong."""
    try:
        return _LINE.validate_json(line)
    except ValidationError as error:
        raise ListFormatError(_problems(error)) from None


def line_bytes(line: Put | Withdraw | Confirm) -> bytes:
    """One line of a part, with its newline."""
    return _LINE.dump_json(line, exclude_none=True) + b"\n"


def write_parts(lines: Iterable[Put | Withdraw | Confirm]) -> Iterator[bytes]:
    """The parts with these lines, each of at most PART_BYTES unpacked. ListFormatError if one line is too long."""
    return pack_lines(map(line_bytes, lines))


def pack_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The same for lines that line_bytes() has written before."""
    pieces: list[bytes] = []
    packer, size = zlib.compressobj(COMPRESSION), 0
    for line in lines:
        if len(line) > PART_BYTES:
            raise ListFormatError(f"an entry of {len(line)} bytes; at most {PART_BYTES} fit: send smaller images")
        if size + len(line) > PART_BYTES:
            yield b"".join([*pieces, packer.flush()])
            pieces, packer, size = [], zlib.compressobj(COMPRESSION), 0
        pieces.append(packer.compress(line))
        size += len(line)
    if size:
        yield b"".join([*pieces, packer.flush()])


def count_templates(entries: Iterable[ListEntry]) -> Counter[str]:
    """How many templates of each format the entries have."""
    return Counter(template.format for entry in entries for template in entry.templates)


def _sorted_agreements(agreements: list[Any], provider: object) -> tuple[list[Any], tuple[Refused, ...]]:
    """Those that can be read, as they were; and the others with the reason."""
    kept, refused = list[Any](), list[Refused]()
    for number, one in enumerate(agreements, 1):
        name = _shown_name(one.get("id") if isinstance(one, dict) else None) or f"agreement {number}"
        try:
            terms = AgreementTerms.model_validate_json(json.dumps(one))
        except ValidationError as error:
            refused.append(Refused(name, _problems(error)))
            continue
        if terms.provider != provider:
            refused.append(Refused(name, "provider: is not the provider of this list"))
        else:
            kept.append(one)
    return kept, tuple(refused)


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, MOST_PART_BYTES + 1)
    except zlib.error:
        raise ListFormatError("the part is not zlib data, or is damaged") from None
    if len(content) > MOST_PART_BYTES:
        raise ListFormatError(f"the part has more than {MOST_PART_BYTES} bytes unpacked, and is not read")
    if not unpacker.eof:
        raise ListFormatError("the part is cut short")
    if unpacker.unused_data:
        raise ListFormatError("the part has other bytes after its end")
    return content


def _lines(content: io.BytesIO) -> Iterator[PartLine]:
    for number, line in enumerate(content, 1):
        if number > MOST_LINES:
            raise ListFormatError(f"the part has more than {MOST_LINES} lines")
        if line.isspace():
            continue
        if len(line) > PART_BYTES:
            yield Refused(f"line {number}", f"longer than {PART_BYTES} bytes")
            continue
        try:
            yield read_line(line)
        except ListFormatError as error:
            yield Refused(_reference_of(line) or f"line {number}", str(error))


def _reference_of(line: bytes) -> str | None:
    """The reference id of a line that is refused, if it has one that can be shown."""
    try:
        content = from_json(line)
    except ValueError:
        return None
    if not isinstance(content, Mapping):
        return None
    entry = content.get("entry")
    return _shown_name(entry.get("reference_id") if isinstance(entry, Mapping) else content.get("reference_id"))


def _shown_name(value: object) -> str | None:
    try:
        return _NAME.validate_python(value, strict=True)
    except ValidationError:
        return None


def _problems(error: ValidationError) -> str:
    """The names of the fields with what is wrong with each, without what the sender wrote there."""
    errors = error.errors(include_url=False, include_input=False)
    # A list without one valid item is also reported as too short: that is no other problem.
    inner = {tuple(one["loc"][:-1]) for one in errors} | {tuple(one["loc"][:-2]) for one in errors}
    kept = (one for one in errors if not (one["type"] == "too_short" and tuple(one["loc"]) in inner))
    found = list(dict.fromkeys(map(_problem, kept)))
    more = f" and {len(found) - MOST_PROBLEMS} more" if len(found) > MOST_PROBLEMS else ""
    return "; ".join(found[:MOST_PROBLEMS]) + more


_TEXTS = {
    "missing": "missing",
    "extra_forbidden": "unknown field",
    "literal_error": "not an accepted value",
    "enum": "not an accepted value",
    "too_short": "must not be empty",
    "union_tag_invalid": "op: must be put, withdraw or confirm",
    "union_tag_not_found": "op: missing",
    "dataclass_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "unexpected_keyword_argument": "unknown field",
}
_OPS = ("put", "withdraw", "confirm")


def _problem(one: ErrorDetails) -> str:
    path = list(one["loc"])
    if path[:1] and path[0] in _OPS:  # the kind of the line, which the reader of the message need not know
        path = path[1:]
    if path[:1] == ["entry"] and (path[1:] or one["type"] == "value_error"):
        path = path[1:]
    text = _TEXTS.get(one["type"]) or one["msg"].removeprefix("Value error, ")
    place = ".".join(map(str, path))
    return _short(place) + ": " + _short(text) if path else _short(text)


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= MOST_SHOWN else shown[:MOST_SHOWN] + "…"
