"""What all entries that are added at once have in common, besides their ids and templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.events.event import Category
from agent.watchlist.list_format import ListEntry, ListTemplate
from drivers.sample import Position
from models.template import Template


@dataclass(frozen=True, slots=True)
class EntryTerms:
    """The fields of ListEntry that say why and until when."""

    agreement: str
    category: Category
    instruction: str
    necessity: str
    listed_at: datetime
    not_before: datetime
    expires_at: datetime
    review_by: datetime
    recipients: tuple[str, ...] | None = None

    def entry(self, reference_id: str, templates: Sequence[tuple[Position, Template]]) -> ListEntry:
        """An entry with these terms. ValidationError if a field is not possible."""
        return ListEntry(
            reference_id=reference_id,
            agreement=self.agreement,
            category=self.category,  # type: ignore[arg-type]  # LOCAL_TEST is refused
            instruction=self.instruction,
            necessity=self.necessity,
            listed_at=self.listed_at,
            not_before=self.not_before,
            expires_at=self.expires_at,
            review_by=self.review_by,
            recipients=self.recipients,
            templates=tuple(
                ListTemplate(position=position, format=template.format, data=template.data)
                for position, template in templates
            ),
        )
