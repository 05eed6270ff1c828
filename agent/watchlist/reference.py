"""One person on the list: the templates by position, what may be shown, and what a probe is compared with."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from agent.events.event import Category
from drivers.sample import Position
from models import imported
from models.encoder import Entry
from models.template import Template, TemplateError


@dataclass(frozen=True, slots=True)
class Reference:
    """One person on the list, without a name: templates by position, and the agreement that allows them."""

    reference_id: str
    agreement: str
    category: Category
    expires_at: datetime
    templates: tuple[tuple[Position, Template], ...]


@dataclass(frozen=True, slots=True)
class ReferenceInfo:
    """What may be shown of a reference: no template."""

    reference_id: str
    agreement: str
    category: Category
    expires_at: datetime
    positions: tuple[Position, ...]


TemplateCounts = Counter[tuple[Position, str]]  # how many templates a reference has of each position and format


def template_counts(reference: Reference) -> TemplateCounts:
    """The templates that a probe can be compared with, counted."""
    return Counter((position, template.format) for position, template in reference.templates)


def count_comparable(position: Position, template_format: str, counts: TemplateCounts) -> int:
    """How many of a reference's templates a search compares with a probe. Follows the rule of the galleries."""
    return sum(
        count
        for (stored, stored_format), count in counts.items()
        if stored_format == template_format and (stored is position or Position.UNKNOWN in (stored, position))
    )


def gallery_entries(references: Iterable[Reference]) -> Iterator[Entry]:
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


def reference_info(reference: Reference) -> ReferenceInfo:
    """What may be shown of a reference."""
    positions = tuple(position for position, _ in reference.templates)
    return ReferenceInfo(
        reference.reference_id, reference.agreement, reference.category, reference.expires_at, positions
    )


def import_template(reference_id: str, template: Template) -> Template:
    """The template in the format that the list stores. TemplateError names the reference."""
    try:
        return imported(template)
    except TemplateError as error:
        raise TemplateError(f"{reference_id}: {error}") from error


def with_imported_templates(reference: Reference) -> Reference:
    """The reference with its templates in the format that the list stores. TemplateError names the reference."""
    kept = tuple(
        (position, import_template(reference.reference_id, template)) for position, template in reference.templates
    )
    return replace(reference, templates=kept)
