"""The tables of the watchlist: the rows of a reference, and templates of earlier releases."""

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.config import AgreementConfig
from agent.events.event import Category
from agent.storage.database import open_store
from agent.watchlist.reference import Reference
from agent.watchlist.store import MIGRATIONS, agreement_row, reference_info_from_row, reference_row, template_rows
from drivers.sample import Position
from models.template import Template, TemplateError
from tests.conftest import template_of
from tests.rigs.store_key import TEST_KEY

AGREEMENT = AgreementConfig(provider="p", purpose="test", legal_basis="a 1", recipients=("hub", "b"), keep_s=3600)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REFERENCE = Reference(
    "r1",
    "agreement-1",
    Category.MISSING,
    NOON,
    ((Position.RIGHT_INDEX, Template("f", b"1")), (Position.RIGHT_THUMB, Template("g", b"2"))),
)


def test_a_reference_is_read_as_it_was_stored(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "w.db", "watchlist", MIGRATIONS, key=TEST_KEY)) as db:
        db.table("agreement").insert(agreement_row("agreement-1", AGREEMENT))
        db.table("reference").insert(reference_row(REFERENCE, 7))
        db.table("template").insert_all(template_rows(REFERENCE))
        (row,) = db.table("reference").rows
        kinds = [(Position(t["position"]), t["format"]) for t in db.table("template").rows]
        (agreement,) = db.table("agreement").rows
    info = reference_info_from_row(row, kinds)
    assert (info.reference_id, info.agreement, info.category) == ("r1", "agreement-1", Category.MISSING)
    assert (info.expires_at, info.positions) == (NOON, (Position.RIGHT_INDEX, Position.RIGHT_THUMB))
    assert json.loads(agreement["recipients"]) == ["hub", "b"]


def test_a_reference_without_templates_can_still_be_shown() -> None:
    row = {name: str(value) for name, value in reference_row(REFERENCE, 7).items()}
    assert reference_info_from_row(row, []).positions == ()


def test_the_templates_of_a_deleted_reference_are_deleted_with_it(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "w.db", "watchlist", MIGRATIONS, key=TEST_KEY)) as db:
        db.table("agreement").insert(agreement_row("agreement-1", AGREEMENT))
        db.table("reference").insert(reference_row(REFERENCE, 7))
        db.table("template").insert_all(template_rows(REFERENCE))
        db.table("reference").delete("r1")
        assert list(db.table("template").rows) == []


def _stored_in_version_1(path: Path, data: bytes) -> None:
    with closing(open_store(path, "watchlist", MIGRATIONS[:1], key=TEST_KEY)) as db:
        db.table("agreement").insert(agreement_row("agreement-1", AGREEMENT))
        db.table("reference").insert(reference_row(REFERENCE, 1))
        old = {"reference": "r1", "position": "right_index", "format": "finger-minutiae/1", "data": data}
        db.table("template").insert(old)


def test_fingerprints_of_an_earlier_release_get_what_a_search_needs(tmp_path: Path) -> None:
    wanted = template_of(101, 0)
    _stored_in_version_1(tmp_path / "w.db", wanted.data[:3] + b"\1" + wanted.data[4:10] + wanted.data[1578:])
    with closing(open_store(tmp_path / "w.db", "watchlist", MIGRATIONS, key=TEST_KEY)) as db:
        (row,) = db.table("template").rows
    assert (row["format"], row["data"]) == (wanted.format, wanted.data)


def test_a_fingerprint_of_an_earlier_release_that_cannot_be_read_names_its_reference(tmp_path: Path) -> None:
    _stored_in_version_1(tmp_path / "w.db", b"invalid")
    with pytest.raises(TemplateError, match="r1"):
        open_store(tmp_path / "w.db", "watchlist", MIGRATIONS, key=TEST_KEY)
