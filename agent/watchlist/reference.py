"""One person on the list: the templates by position, the terms under which they may be searched, and until when."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from agent.config import AgreementConfig
from agent.events.event import Category
from drivers.sample import Position
from models import imported
from models.encoder import Entry
from models.template import Template, TemplateError

# The end of what a datetime can hold: a reference that is not reviewed, or does not expire.
NEVER = datetime(9999, 12, 31, tzinfo=UTC)
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Why references may be searched, and the limits that no reference under it may pass."""

    agreement: str
    provider: str
    purpose: str
    legal_basis: str
    necessity: str  # code of the provider
    recipients: tuple[str, ...]
    keep_days: int | None = None  # since a reference was listed; None: no limit
    review_by: datetime = NEVER


@dataclass(frozen=True, slots=True)
class Terms:
    """What a reference says besides its agreement. Many references share them."""

    agreement: str
    category: Category
    instruction: str = ""  # code of the provider: what the officer does
    necessity: str = ""  # code of the provider: why just this person
    recipients: tuple[str, ...] | None = None  # fewer than those of the agreement; None: all of them


class Period(NamedTuple):
    """When a reference is searched: from `not_before` until the first of `expires_at` and `review_by`."""

    not_before: datetime
    expires_at: datetime
    review_by: datetime
    listed_at: datetime = ALWAYS


@dataclass(frozen=True, slots=True)
class Reference:
    """One person made on this kiosk (the local list), without a name: templates by position, and the agreement."""

    reference_id: str
    agreement: str
    category: Category
    expires_at: datetime
    templates: tuple[tuple[Position, Template], ...]


@dataclass(frozen=True, slots=True)
class ListedReference:
    """One person as a segment keeps them."""

    reference_id: str
    terms: Terms
    period: Period
    templates: tuple[tuple[Position, Template], ...]


@dataclass(frozen=True, slots=True)
class ReferenceInfo:
    """What may be shown of a reference: no template. The stricter of its own terms and its agreement's.

    `hidden` says why it is not searched now; empty if it is.
    """

    reference_id: str
    agreement: str
    category: Category
    expires_at: datetime
    positions: tuple[Position, ...]
    provider: str = ""
    purpose: str = ""
    legal_basis: str = ""
    necessity: str = ""
    recipients: tuple[str, ...] = ()
    instruction: str = ""
    not_before: datetime = ALWAYS
    review_by: datetime = NEVER
    hidden: str = ""


TemplateCounts = Counter[tuple[Position, str]]  # how many templates a reference has of each position and format
Kinds = tuple[tuple[Position, str], ...]  # the position and format of each template of a reference


def local_agreement(name: str, config: AgreementConfig) -> Agreement:
    """An agreement of this kiosk's configuration."""
    return Agreement(name, config.provider, config.purpose, config.legal_basis, "", tuple(config.recipients))


def listed(reference: Reference) -> ListedReference:
    """A reference of the local list as a segment keeps it."""
    period = Period(ALWAYS, reference.expires_at, NEVER)
    terms = Terms(reference.agreement, reference.category)
    return ListedReference(reference.reference_id, terms, period, reference.templates)


def kinds_of(reference: ListedReference) -> Kinds:
    """The position and format of each template, sorted, so that references with the same ones share the value."""
    return tuple(sorted((position, template.format) for position, template in reference.templates))


def count_comparable(position: Position, template_format: str, counts: TemplateCounts) -> int:
    """How many of a reference's templates a search compares with a probe. Follows the rule of the galleries."""
    return sum(
        count
        for (stored, stored_format), count in counts.items()
        if stored_format == template_format and (stored is position or Position.UNKNOWN in (stored, position))
    )


def gallery_entries(references: Iterable[ListedReference]) -> Iterator[Entry]:
    """All templates of the references, as gallery entries."""
    for reference in references:
        for position, template in reference.templates:
            yield Entry(reference.reference_id, position, template)


def entries_by_format(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The entries of each template format: each format has its own gallery."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.template.format, []).append(entry)
    return found


def import_template(reference_id: str, template: Template) -> Template:
    """The template in the format that the list stores. TemplateError names the reference."""
    try:
        return imported(template)
    except TemplateError as error:
        raise TemplateError(f"{reference_id}: {error}") from error


def with_imported_templates(reference: ListedReference) -> ListedReference:
    """The reference with its templates in the format that the list stores. TemplateError names the reference."""
    kept = tuple(
        (position, import_template(reference.reference_id, template)) for position, template in reference.templates
    )
    return replace(reference, templates=kept)
