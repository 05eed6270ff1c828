"""References and agreements of a provider's list, for tests."""

from datetime import UTC, datetime, timedelta

from agent.events.event import Category
from agent.watchlist.reference import NEVER, Agreement, ListedReference, Period, Terms
from drivers.sample import Position
from models.template import Template
from tests.conftest import template_of

START = datetime(2027, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
INDEX, THUMB = Position.RIGHT_INDEX, Position.RIGHT_THUMB


def agreement(name: str = "a-1", **terms: object) -> Agreement:
    """An agreement without limits, unless `terms` has some."""
    fields = {
        "provider": "partner",
        "purpose": "missing persons",
        "legal_basis": "treaty, article 4",
        "necessity": "N1",
        "recipients": ("hub", "police"),
    }
    return Agreement(name, **(fields | terms))  # type: ignore[arg-type]  # fields of Agreement


def reference(
    name: str,
    templates: tuple[tuple[Position, Template], ...] = (),
    *,
    not_before: datetime = START,
    expires_at: datetime = START + YEAR,
    review_by: datetime = NEVER,
    listed_at: datetime = START,
    terms: Terms | None = None,
) -> ListedReference:
    """A reference of agreement "a-1"."""
    period = Period(not_before, expires_at, review_by, listed_at)
    return ListedReference(name, terms or Terms("a-1", Category.WANTED), period, templates)


def person(seed: int, *positions: Position, name: str = "", impression: int = 0) -> ListedReference:
    """A reference with the fingers of a synthetic person; by default the right index finger."""
    templates = tuple((p, template_of(seed, impression, p)) for p in positions or (INDEX,))
    return reference(name or f"r{seed}", templates)
