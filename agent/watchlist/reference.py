"""One person on a list: templates by position, what may be shown of them, and what a probe is compared with."""

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
    """What a probe can be compared with."""
    return Counter((position, template.format) for position, template in reference.templates)


def count_comparable(position: Position, template_format: str, kinds: TemplateCounts) -> int:
    """With how many of these a search compares such a probe, as the galleries do."""
    fitting = (
        n
        for (p, f), n in kinds.items()
        if f == template_format and (p is position or Position.UNKNOWN in (p, position))
    )
    return sum(fitting)


def gallery_entries(references: Iterable[Reference]) -> Iterator[Entry]:
    """All their templates, for galleries."""
    for reference in references:
        for position, template in reference.templates:
            yield Entry(reference.reference_id, position, template)


def entries_by_format(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The entries of each gallery."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.template.format, []).append(entry)
    return found


def reference_info(reference: Reference) -> ReferenceInfo:
    """What may be shown."""
    positions = tuple(position for position, _ in reference.templates)
    return ReferenceInfo(
        reference.reference_id, reference.agreement, reference.category, reference.expires_at, positions
    )


def import_template(reference_id: str, template: Template) -> Template:
    """As the list keeps it. TemplateError names the reference."""
    try:
        return imported(template)
    except TemplateError as error:
        raise TemplateError(f"{reference_id}: {error}") from error


def with_imported_templates(reference: Reference) -> Reference:
    """The same with its templates as the list keeps them. TemplateError names the reference."""
    kept = tuple(
        (position, import_template(reference.reference_id, template)) for position, template in reference.templates
    )
    return replace(reference, templates=kept)
