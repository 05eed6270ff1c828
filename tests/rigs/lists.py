"""Entries and agreements of an invented provider, for tests of lists."""

from datetime import UTC, datetime, timedelta
from typing import Any

from agent.events.event import Category
from agent.watchlist.list_format import AgreementTerms, ListEntry, ListTemplate
from drivers.sample import Position

LISTED = datetime(2026, 11, 29, 12, tzinfo=UTC)
A_FINGER = ListTemplate(position=Position.RIGHT_INDEX, format="finger-minutiae/1", data=b"minutiae of a finger")
AN_EYE = ListTemplate(position=Position.LEFT_EYE, format="iris-code/1", data=b"\x00\xff code of an eye")


def list_entry(reference_id: str = "ref-1", **changes: object) -> ListEntry:
    """An entry under the agreement "border", with a finger and an eye that no gallery can read."""
    fields: dict[str, Any] = {
        "reference_id": reference_id, "agreement": "border", "category": Category.MISSING, "instruction": "CALL-7",
        "necessity": "N1", "listed_at": LISTED, "not_before": LISTED, "expires_at": LISTED + timedelta(days=90),
        "review_by": LISTED + timedelta(days=30), "templates": (A_FINGER, AN_EYE),
    }  # fmt: skip
    return ListEntry(**fields | changes)


def agreement_terms(name: str = "border", provider: str = "police", **changes: object) -> AgreementTerms:
    """An agreement of the provider."""
    fields: dict[str, Any] = {
        "id": name, "provider": provider, "purpose": "search", "legal_basis": "article 1", "necessity": "N1",
        "recipients": ("hub",), "keep_days": 365, "review_by": LISTED + timedelta(days=100),
    }  # fmt: skip
    return AgreementTerms(**fields | changes)
