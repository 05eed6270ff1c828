"""The tables of the watchlist's store: how they are created and upgraded, and the contents of their rows."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlite_utils import Database

from agent.config import AgreementConfig
from agent.events.event import Category
from agent.watchlist.reference import Reference, ReferenceInfo, import_template
from drivers.sample import Position
from models.template import Template


def _create(db: Database) -> None:
    db.execute(
        "CREATE TABLE agreement (id TEXT PRIMARY KEY, provider TEXT NOT NULL, purpose TEXT NOT NULL,"
        " legal_basis TEXT NOT NULL, recipients TEXT NOT NULL)"
    )
    db.execute(
        "CREATE TABLE reference (id TEXT PRIMARY KEY, agreement TEXT NOT NULL REFERENCES agreement (id),"
        " category TEXT NOT NULL, expires_at TEXT NOT NULL, revision INTEGER NOT NULL)"
    )
    db.execute(
        "CREATE TABLE template (reference TEXT NOT NULL REFERENCES reference (id) ON DELETE CASCADE,"
        " position TEXT NOT NULL, format TEXT NOT NULL, data BLOB NOT NULL)"
    )
    db.execute("CREATE INDEX template_of ON template (reference)")
    db.execute("CREATE TABLE list (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, confirmed_at TEXT)")
    db.execute("INSERT INTO list (id, revision) VALUES (1, 0)")


def _upgrade_fingerprints(db: Database) -> None:
    """Convert templates to "finger-minutiae/2", which contains what a search needs, so that opening only copies."""
    query = "SELECT rowid, reference, format, data FROM template WHERE format = 'finger-minutiae/1'"
    for row, reference, name, data in db.execute(query).fetchall():
        made = import_template(reference, Template(name, data))
        db.execute("UPDATE template SET format = ?, data = ? WHERE rowid = ?", [made.format, made.data, row])


MIGRATIONS = (_create, _upgrade_fingerprints)


def reference_info_from_row(row: Mapping[str, str], kinds: Sequence[tuple[Position, str]]) -> ReferenceInfo:
    """What may be shown of a stored reference. `kinds` are the positions and formats of its templates."""
    expires_at = datetime.fromisoformat(row["expires_at"])
    positions, _ = zip(*kinds, strict=True) if kinds else ((), ())
    return ReferenceInfo(row["id"], row["agreement"], Category(row["category"]), expires_at, positions)


def agreement_row(name: str, agreement: AgreementConfig) -> dict[str, str]:
    """The row of an agreement in the table "agreement"."""
    return {
        "id": name,
        "provider": agreement.provider,
        "purpose": agreement.purpose,
        "legal_basis": agreement.legal_basis,
        "recipients": json.dumps(agreement.recipients),
    }


def reference_row(reference: Reference, revision: int) -> dict[str, str | int]:
    """The row of a reference in the table "reference"."""
    return {
        "id": reference.reference_id,
        "agreement": reference.agreement,
        "category": str(reference.category),
        "expires_at": reference.expires_at.isoformat(),
        "revision": revision,
    }


def template_rows(reference: Reference) -> Iterable[dict[str, str | bytes]]:
    """The rows of a reference's templates in the table "template"."""
    for position, template in reference.templates:
        yield {
            "reference": reference.reference_id,
            "position": str(position),
            "format": template.format,
            "data": template.data,
        }
