import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.events.event import Category
from agent.watchlist.list_format import (
    FORMAT,
    MANIFEST_BYTES,
    MOST_LINES,
    MOST_PART_BYTES,
    PART_BYTES,
    TEMPLATE_FORMATS,
    AgreementTerms,
    Confirm,
    Delta,
    ListEntry,
    ListFormatError,
    ListTemplate,
    Manifest,
    PartLine,
    Put,
    Refused,
    Snapshot,
    Withdraw,
    count_templates,
    line_bytes,
    pack_lines,
    parse_manifest,
    read_part,
    write_manifest,
    write_parts,
)
from drivers.sample import Position

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
FINGER = ListTemplate(position=Position.RIGHT_INDEX, format="finger-minutiae/1", data=b"minutiae of a finger")
EYE = ListTemplate(position=Position.LEFT_EYE, format="iris-code/1", data=b"\x00\xff code of an eye")


def entry(reference_id: str = "ref-1", **changes: object) -> ListEntry:
    fields: dict[str, Any] = {
        "reference_id": reference_id, "agreement": "border", "category": Category.MISSING, "instruction": "CALL-7",
        "necessity": "N1", "listed_at": NOW, "not_before": NOW, "expires_at": NOW + timedelta(days=90),
        "review_by": NOW + timedelta(days=30), "templates": (FINGER, EYE),
    }  # fmt: skip
    return ListEntry(**fields | changes)


def terms(name: str = "border", **changes: object) -> AgreementTerms:
    fields: dict[str, Any] = {
        "id": name, "provider": "police", "purpose": "search", "legal_basis": "article 1", "necessity": "N1",
        "recipients": ("hub",), "keep_days": 365, "review_by": NOW + timedelta(days=100),
    }  # fmt: skip
    return AgreementTerms(**fields | changes)


def manifest(**changes: object) -> Manifest:
    fields: dict[str, Any] = {
        "provider": "police", "revision": 7, "published_at": NOW, "agreements": (terms(),), "snapshot": snapshot(7),
        "deltas": (delta(5, 6), delta(6, 7)),
    }  # fmt: skip
    return Manifest(**fields | changes)


def snapshot(revision: int) -> Snapshot:
    return Snapshot(revision=revision, parts=("parts/a.part",), entries=1, templates={"iris-code/1": 1}, bytes=99)


def delta(from_revision: int, to_revision: int) -> Delta:
    return Delta(
        from_revision=from_revision, to_revision=to_revision, parts=("parts/b.part",), entries=0, templates={}, bytes=9
    )


def part_of(*lines: bytes) -> bytes:
    return zlib.compress(b"\n".join(lines))


def changed(path: str, value: object) -> bytes:
    """The line of an entry in which one field has another value; `...` takes it away."""
    line = json.loads(line_bytes(Put(entry())))
    *way, last = path.split(".")
    place: Any = line
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(line).encode()


def refusal(line: bytes) -> Refused:
    (read,) = read_part(part_of(line))
    assert isinstance(read, Refused)
    return read


# Parts: what is written is read.

LINES = (Put(entry()), Withdraw("ref-2"), Confirm("ref-3", NOW), Confirm("ref-4", NOW, NOW + timedelta(days=1)))


def test_what_is_written_is_read_again_in_the_same_order() -> None:
    (data,) = write_parts(LINES)
    assert tuple(read_part(data)) == LINES


def test_a_line_is_json_that_others_can_write() -> None:
    line = json.loads(line_bytes(Put(entry(recipients=("hub", "police")))))
    assert line["op"] == "put"
    assert line["entry"]["templates"][1] == {
        "position": "left_eye", "format": "iris-code/1", "data": "AP8gY29kZSBvZiBhbiBleWU=",
    }  # fmt: skip
    assert line["entry"]["recipients"] == ["hub", "police"]
    assert line["entry"]["listed_at"] == "2026-11-29T12:00:00Z"


def test_a_confirmation_may_name_no_expiry_in_either_way() -> None:
    assert b"expires_at" not in line_bytes(LINES[2])
    line = b'{"op":"confirm","reference_id":"ref-3","review_by":"2026-11-29T12:00:00Z","expires_at":null}'
    assert list(read_part(part_of(line))) == [LINES[2]]


def test_an_entry_without_recipients_of_its_own_has_none() -> None:
    (data,) = write_parts([Put(entry())])
    (read,) = read_part(data)
    assert isinstance(read, Put)
    assert read.entry.recipients is None


def test_times_of_other_zones_are_utc_when_read() -> None:
    lima = datetime(2026, 11, 29, 7, tzinfo=timezone(timedelta(hours=-5)))
    assert entry(listed_at=lima).listed_at.isoformat() == "2026-11-29T12:00:00+00:00"


def test_parts_are_cut_before_they_are_larger_than_their_size() -> None:
    big = entry(templates=(ListTemplate(position=Position.LEFT_EYE, format="iso19794-6", data=b"i" * (2 << 20)),))
    parts = list(write_parts(Put(big) for _ in range(5)))
    assert len(parts) == 3
    assert all(len(zlib.decompress(part)) <= PART_BYTES for part in parts)
    assert [line for part in parts for line in read_part(part)] == [Put(big)] * 5


def test_no_line_is_no_part() -> None:
    assert list(write_parts([])) == []


def test_an_entry_larger_than_a_part_cannot_be_written() -> None:
    with pytest.raises(ListFormatError, match="send smaller images"):
        list(pack_lines([b"x" * (PART_BYTES + 1)]))


def test_empty_lines_are_no_lines() -> None:
    assert list(read_part(part_of(b"", line_bytes(LINES[1]), b"  ", b""))) == [LINES[1]]


def test_templates_are_counted_by_format() -> None:
    assert count_templates([entry(), entry(templates=(EYE,))]) == {"finger-minutiae/1": 1, "iris-code/1": 2}


@pytest.mark.parametrize("template_format", TEMPLATE_FORMATS)
def test_every_format_goes_with_an_unknown_position(template_format: str) -> None:
    assert ListTemplate(position=Position.UNKNOWN, format=template_format, data=b"x").format == template_format


def test_a_representation_shows_no_template() -> None:
    assert "minutiae of" not in repr(Put(entry()))


# Parts: what is not acceptable.

REQUIRED = (
    "reference_id", "agreement", "category", "instruction", "necessity", "listed_at", "not_before", "expires_at",
    "review_by", "templates",
)  # fmt: skip


@pytest.mark.parametrize("field", REQUIRED)
def test_an_entry_that_lacks_a_field_is_refused_with_its_name(field: str) -> None:
    found = refusal(changed(f"entry.{field}", ...))
    assert found.reason == f"{field}: missing"
    assert found.reference_id == ("line 1" if field == "reference_id" else "ref-1")


WRONG: list[tuple[str, Any, str]] = [
    ("reference_id", "no id", "reference_id: String should match pattern"),
    ("reference_id", "id\n", "reference_id: String should match pattern"),
    ("reference_id", 7, "reference_id: Input should be a valid string"),
    ("category", "local_test", "category: not an accepted value"),
    ("category", 1, "category: not an accepted value"),
    ("instruction", "call", "instruction: String should match pattern"),
    ("necessity", "N" * 17, "necessity: String should match pattern"),
    ("listed_at", "2026-11-29T12:00:00", "listed_at: Input should have timezone info"),
    ("listed_at", 1_700_000_000, "listed_at: Input should be a valid datetime"),
    ("review_by", "0001-01-01T00:00:00+14:00", "review_by: must lie in the years 1900 to 2999"),
    ("review_by", "9999-12-31T23:59:59-14:00", "review_by: must lie in the years 1900 to 2999"),
    ("expires_at", "2026-11-29T12:00:00Z", "expires_at: must lie after not_before"),
    ("recipients", [], "recipients: must not be empty"),
    ("recipients", "hub", "recipients: Input should be a valid"),
    ("templates", [], "templates: must not be empty"),
    ("templates", {}, "templates: Input should be a valid"),
    ("templates", [{}], "templates.0.position: missing; templates.0.format: missing; templates.0.data: missing"),
    ("templates.0.position", "nose", "templates.0.position: not an accepted value"),
    ("templates.0.position", "left_eye", "templates.0: position: left_eye does not go with finger-minutiae/1"),
    ("templates.0.format", "png", "templates.0.format: must be one of finger-minutiae/1, finger-minutiae/2"),
    ("templates.0.data", "*", "templates.0.data: is not base64"),
    ("templates.0.data", "\N{LATIN SMALL LETTER E WITH ACUTE}", "templates.0.data: is not base64"),
    ("templates.0.data", "QQ", "templates.0.data: is not base64"),
    ("templates.0.data", 7, "templates.0.data: Input should be a valid bytes"),
    ("templates.0.data", "", "templates.0.data: must not be empty"),
    ("name", "Somebody", "name: unknown field"),
    ("na\x1b[2Jme", "x", "na\\x1b[2Jme: unknown field"),
]


@pytest.mark.parametrize(("field", "value", "reason"), WRONG)
def test_an_entry_with_a_wrong_field_is_refused_with_its_name(field: str, value: object, reason: str) -> None:
    assert refusal(changed(f"entry.{field}", value)).reason.startswith(reason)


def test_the_fields_of_an_entry_that_are_wrong_are_all_named() -> None:
    found = refusal(b'{"op":"put","entry":{}}')
    assert found.reason == "; ".join(f"{field}: missing" for field in REQUIRED)


def test_a_reason_has_an_end() -> None:
    line = {"op": "put", "entry": {"reference_id": "ref-1"} | {str(n) + "k" * 500: 1 for n in range(100)}}
    found = refusal(json.dumps(line).encode())
    assert found.reason.endswith("…: unknown field and 97 more")
    assert len(found.reason) < 2500


LINES_REFUSED: list[tuple[bytes, str, str]] = [
    (b"no json", "line 1", "Invalid JSON"),
    (b"\xff", "line 1", "Invalid JSON"),
    (b"[" * 100_000, "line 1", "Invalid JSON: recursion limit"),
    (b"[]", "line 1", "Input should be an object"),
    (b"{}", "line 1", "op: missing"),
    (b'{"op":"put"}', "line 1", "entry: missing"),
    (b'{"op":"put","entry":7}', "line 1", "entry: must be an object"),
    (b'{"op":"delete","reference_id":"ref-9"}', "ref-9", "op: must be put, withdraw or confirm"),
    (b'{"op":"withdraw"}', "line 1", "reference_id: missing"),
    (b'{"op":"withdraw","reference_id":"ref-9","why":1}', "ref-9", "why: unknown field"),
    (b'{"op":"withdraw","reference_id":"../etc"}', "line 1", "reference_id: String should match"),
    (b'{"op":"confirm","reference_id":"ref-9"}', "ref-9", "review_by: missing"),
]


@pytest.mark.parametrize(("line", "name", "reason"), LINES_REFUSED)
def test_a_line_that_is_no_operation_is_refused(line: bytes, name: str, reason: str) -> None:
    found = refusal(line)
    assert found.reference_id == name
    assert found.reason.startswith(reason)


def test_the_others_are_read_where_a_line_is_refused() -> None:
    lines = list(read_part(part_of(line_bytes(LINES[1]).strip(), b"broken", line_bytes(LINES[2]).strip())))
    assert [lines[0], lines[2]] == [LINES[1], LINES[2]]
    assert lines[1] == Refused("line 2", "Invalid JSON: expected value at line 1 column 1")


def test_a_line_longer_than_a_part_is_refused_without_reading_it() -> None:
    lines = list(read_part(part_of(b'"' + b"x" * PART_BYTES + b'"', line_bytes(LINES[1]))))
    assert lines == [Refused("line 1", f"longer than {PART_BYTES} bytes"), LINES[1]]


def test_a_refusal_quotes_no_template() -> None:
    template = "c2VjcmV0IHRlbXBsYXRl"
    assert template not in refusal(changed("entry.templates.0.data", template + "*")).reason
    assert template not in refusal(line_bytes(Put(entry())).replace(b'"data":"', b'"data":' + template.encode())).reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cut short"),
        (b"plain text", "not zlib data"),
        (part_of(line_bytes(LINES[0]))[:-5], "cut short"),
        (part_of(line_bytes(LINES[0])) + b"more", "other bytes after its end"),
        (part_of(line_bytes(LINES[0]))[:-1] + b"?", "damaged"),
    ],
)
def test_what_is_not_a_whole_part_is_an_error_at_once(data: bytes, reason: str) -> None:
    with pytest.raises(ListFormatError, match=reason):
        read_part(data)


def test_a_part_that_unpacks_to_more_than_the_limit_is_not_unpacked() -> None:
    packer = zlib.compressobj()
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(MOST_PART_BYTES // (1 << 20) + 1)) + packer.flush()
    with pytest.raises(ListFormatError, match=f"more than {MOST_PART_BYTES} bytes"):
        read_part(bomb)


def test_a_part_may_be_as_large_as_the_limit() -> None:
    assert list(read_part(zlib.compress(b" " * MOST_PART_BYTES))) == []


def test_a_part_of_countless_lines_is_an_error() -> None:
    with pytest.raises(ListFormatError, match=f"more than {MOST_LINES} lines"):
        list(read_part(zlib.compress(b"\n" * (MOST_LINES + 1))))


@pytest.mark.parametrize(
    "made",
    [
        lambda: Withdraw("no id"),
        lambda: Confirm("ref-1", datetime(2026, 1, 1)),  # noqa: DTZ001
        lambda: Put(None),  # type: ignore[arg-type]
    ],
)
def test_a_line_that_would_be_refused_cannot_be_made(made: Callable[[], PartLine]) -> None:
    with pytest.raises(ValidationError):
        made()


# Any bytes, and any value at any place: read or refused, never another error.

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
CODES = st.from_regex(r"[A-Z0-9][A-Z0-9-]{0,15}", fullmatch=True)
TIMES = st.datetimes(datetime(1901, 1, 1), datetime(2998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
TEMPLATES = st.builds(
    ListTemplate, position=st.just(Position.UNKNOWN), format=st.sampled_from(list(TEMPLATE_FORMATS)),
    data=st.binary(min_size=1, max_size=99),
)  # fmt: skip
ENTRIES = st.builds(
    ListEntry, reference_id=NAMES, agreement=NAMES, instruction=CODES, necessity=CODES, listed_at=TIMES,
    category=st.sampled_from([one for one in Category if one is not Category.LOCAL_TEST]),
    not_before=st.datetimes(datetime(1901, 1, 1), datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    expires_at=st.datetimes(datetime(2001, 1, 1), datetime(2998, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    review_by=TIMES, recipients=st.none() | st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    templates=st.lists(TEMPLATES, min_size=1, max_size=3).map(tuple),
)  # fmt: skip
OPERATIONS = st.one_of(
    st.builds(Put, ENTRIES), st.builds(Withdraw, NAMES), st.builds(Confirm, NAMES, TIMES, st.none() | TIMES)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
PLACES = [*(f"entry.{field}" for field in REQUIRED), "entry", "op", "entry.templates.0.data", "entry.recipients", "x"]


def failure(read: Callable[[bytes], object], data: bytes) -> str:
    """The message of the error, the only one that may occur; empty without one."""
    try:
        read(data)
    except ListFormatError as error:
        return str(error)
    return ""


@given(st.lists(OPERATIONS, max_size=8))
def test_any_lines_are_read_as_they_were_written(lines: list[Put | Withdraw | Confirm]) -> None:
    assert [line for part in write_parts(lines) for line in read_part(part)] == lines


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for line in read_part(zlib.compress(data)):
        assert not isinstance(line, Refused) or line.reason.isprintable()
    for read in (read_part, parse_manifest):
        assert failure(read, data).isprintable()


@given(st.sampled_from(PLACES), JSON)
def test_any_value_at_any_place_is_read_or_refused_by_name(place: str, value: object) -> None:
    (read,) = read_part(part_of(changed(place, value)))
    if isinstance(read, Refused):
        assert read.reason
        assert read.reason.isprintable()
    else:
        assert list(read_part(part_of(line_bytes(read)))) == [read]


# The manifest.


def written(**changes: object) -> bytes:
    """A manifest in which some fields have other values; `...` takes one away."""
    content = json.loads(write_manifest(manifest())) | changes
    return json.dumps({name: value for name, value in content.items() if value is not ...}).encode()


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert parse_manifest(write_manifest(manifest())) == manifest()
    assert json.loads(write_manifest(manifest()))["format"] == FORMAT


@pytest.mark.parametrize("field", ["format", "provider", "revision", "published_at", "agreements", "snapshot"])
def test_a_manifest_that_lacks_a_field_is_an_error_with_its_name(field: str) -> None:
    with pytest.raises(ListFormatError, match=field):
        parse_manifest(written(**{field: ...}))


def test_only_a_manifest_of_encrypted_parts_says_so() -> None:
    assert "sealed" not in json.loads(write_manifest(manifest()))
    sealed = manifest(sealed=True)
    assert json.loads(write_manifest(sealed))["sealed"] is True
    assert parse_manifest(write_manifest(sealed)) == sealed
    with pytest.raises(ListFormatError, match="sealed: Input should be a valid boolean"):
        parse_manifest(written(sealed="yes"))


def test_a_manifest_without_deltas_has_none() -> None:
    assert parse_manifest(written(deltas=...)).deltas == ()


SNAPSHOT = {"revision": 7, "parts": ["parts/a"], "entries": 1, "templates": {}, "bytes": 1}
DELTA = {"from_revision": 6, "to_revision": 7, "parts": [], "entries": 0, "templates": {}, "bytes": 0}
MANIFESTS_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"format": "kiosk-list/2"}, "not of the format kiosk-list/1"),
    ({"provider": "../police"}, "provider: String should match"),
    ({"provider": ["police"]}, "provider: Input should be a valid string"),
    ({"revision": 0}, "revision: Input should be greater"),
    ({"revision": 10**400}, "revision: "),
    ({"revision": 6}, "revision: the snapshot or a delta has a higher one"),
    ({"revision": 8}, "deltas: none leads from the snapshot"),
    ({"published_at": "yesterday"}, "published_at"),
    ({"agreements": {}}, "agreements: Input should be a valid"),
    ({"agreements": 2 * [json.loads(terms().model_dump_json())]}, "agreements: two of them have the same id"),
    ({"refused_agreements": []}, "unknown field refused_agreements"),
    ({"more": 1}, "more: unknown field"),
    ({"snapshot": SNAPSHOT | {"parts": ["../other/parts/a"]}}, "snapshot.parts.0: String should match"),
    ({"snapshot": SNAPSHOT | {"entries": -1}}, "snapshot.entries"),
    ({"snapshot": SNAPSHOT | {"templates": {"face/1": 1}}}, "snapshot.templates"),
    ({"deltas": [DELTA | {"from_revision": 7}]}, "deltas.0: to_revision: must be higher"),
    ({"deltas": [DELTA | {"to_revision": 8}]}, "revision: the snapshot or a delta has a higher one"),
]


@pytest.mark.parametrize(("changes", "reason"), MANIFESTS_REFUSED)
def test_a_manifest_with_a_wrong_field_is_an_error_with_its_name(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ListFormatError) as caught:
        parse_manifest(written(**changes))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "not JSON"), (b"[]", "not an object"), (b"{" * 9999, "not JSON"), (b" " * (MANIFEST_BYTES + 1), "at most")],
)
def test_what_is_no_manifest_is_an_error(data: bytes, reason: str) -> None:
    with pytest.raises(ListFormatError, match=reason):
        parse_manifest(data)


AGREEMENT: dict[str, Any] = json.loads(terms("other").model_dump_json())


@pytest.mark.parametrize("field", AGREEMENT)
def test_an_agreement_that_lacks_a_field_is_refused_by_name_and_the_others_are_read(field: str) -> None:
    lacking = {name: value for name, value in AGREEMENT.items() if name != field}
    read = parse_manifest(written(agreements=[lacking, json.loads(terms().model_dump_json())]))
    assert read.agreements == (terms(),)
    assert read.refused_agreements == (Refused("agreement 1" if field == "id" else "other", f"{field}: missing"),)


@pytest.mark.parametrize(
    ("value", "name", "reason"),
    [
        (7, "agreement 1", "must be an object"),
        (AGREEMENT | {"provider": "army"}, "other", "provider: is not the provider of this list"),
        (AGREEMENT | {"keep_days": 36_501}, "other", "keep_days: Input should be less"),
        (AGREEMENT | {"keep_days": 1.5}, "other", "keep_days: Input should be a valid integer"),
        (AGREEMENT | {"recipients": []}, "other", "recipients: must not be empty"),
        (AGREEMENT | {"id": "no id"}, "agreement 1", "id: String should match"),
    ],
)
def test_a_wrong_agreement_is_refused_by_name(value: object, name: str, reason: str) -> None:
    (refused,) = parse_manifest(written(agreements=[value])).refused_agreements
    assert refused.reference_id == name
    assert refused.reason.startswith(reason)


def test_refused_agreements_are_not_written() -> None:
    assert b"refused" not in write_manifest(manifest(refused_agreements=(Refused("a", "b"),)))


def test_a_manifest_of_another_providers_agreement_cannot_be_made() -> None:
    with pytest.raises(ValidationError, match="of another provider"):
        manifest(agreements=(terms(provider="army"),))


def test_an_agreement_is_found_by_its_id() -> None:
    assert manifest().agreement("border") == terms()
    assert manifest().agreement("other") is None


def test_the_fewest_deltas_lead_to_the_revision() -> None:
    known = manifest(deltas=(delta(3, 4), delta(4, 7), delta(3, 5), delta(5, 6), delta(6, 7), delta(1, 2)))
    assert known.deltas_from(3) == (delta(3, 4), delta(4, 7))
    assert known.deltas_from(5) == (delta(5, 6), delta(6, 7))
    assert known.deltas_from(7) == ()
    assert known.deltas_from(1) is None
    assert known.deltas_from(8) is None


def test_a_snapshot_may_be_older_where_deltas_lead_on() -> None:
    old = manifest(snapshot=snapshot(5))
    assert parse_manifest(write_manifest(old)) == old


@given(st.sampled_from([*json.loads(write_manifest(manifest()))]), JSON)
def test_any_value_in_a_manifest_is_read_or_an_error(field: str, value: object) -> None:
    assert failure(parse_manifest, written(**{field: value})).isprintable()


def test_a_part_counts_once() -> None:
    with pytest.raises(ValidationError, match="one of them is named twice"):
        Snapshot(revision=1, parts=("parts/a", "parts/a"), entries=2, templates={}, bytes=10)
