"""The references of one provider, or of the local list, in memory. Immutable: a change makes another segment.

A segment keeps all its references: those that are hidden (not yet valid, expired, not reviewed in time) are in its
galleries too, but a search skips them. So a provider's confirmation needs no template again. What has expired for long
enough is removed by a change.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agent.watchlist.reference import Agreement, ListedReference, entries_by_format, gallery_entries
from agent.watchlist.searches_first import at_once
from agent.watchlist.table import Confirmation, ReferenceTable
from models import gallery_class
from models.gallery import BlockGallery

LOCAL = "local"  # the segment of the local list; a provider cannot have this name

AnyGallery = BlockGallery[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """References of one source. `galleries` has one for each template format.

    `searched` are the same galleries without the references that are hidden at the trusted time `now` (seconds); from
    `until` on, others are hidden.
    """

    name: str
    revision: int
    table: ReferenceTable
    galleries: Mapping[str, AnyGallery]
    now: int = 0
    until: int = field(init=False)
    active: NDArray[np.bool_] = field(init=False)
    searched: Mapping[str, AnyGallery] = field(init=False)

    def __post_init__(self) -> None:
        """Hide what must not be searched now."""
        active = self.table.active(self.now)
        object.__setattr__(self, "active", active)
        object.__setattr__(self, "until", self.table.next_change(self.now))
        object.__setattr__(self, "searched", self._without_hidden(active))

    @classmethod
    def empty(cls, name: str, now: int) -> Self:
        """A segment without references."""
        return cls(name, 0, ReferenceTable.of((), {}), {}, now)

    def __len__(self) -> int:
        """The number of references, hidden ones too."""
        return len(self.table)

    @property
    def references(self) -> int:
        """The number of references that are searched."""
        return int(self.active.sum())

    @property
    def nbytes(self) -> int:
        """The bytes of the packed blocks in memory."""
        return sum(block.nbytes for gallery in self.galleries.values() for block in gallery.blocks)

    def at(self, now: int) -> Self:
        """The segment at a later time; the same object if nothing changes."""
        return self if now < self.until else replace(self, now=now)

    def changed(
        self,
        revision: int,
        put: Sequence[ListedReference] = (),
        removed: frozenset[str] = frozenset(),
        confirmed: Mapping[str, Confirmation] | None = None,
        agreements: Mapping[str, Agreement] | None = None,
        give_way: Callable[[], None] = at_once,
    ) -> Self:
        """A segment without `removed`, with `put` instead of references of the same id, and with the confirmations.

        `agreements`: in place of those that the segment has. `give_way` is called before each block.

        The templates of `put` are in the formats of this release. TemplateError names the reference of one that cannot
        be read. Blocks that do not change are shared.
        """
        replaced = removed | {one.reference_id for one in put if self.table.find(one.reference_id) is not None}
        added = entries_by_format(gallery_entries(put))
        galleries: dict[str, AnyGallery] = {}
        for name in dict.fromkeys((*self.galleries, *added)):
            gallery = self.galleries.get(name) or built(name, ())
            if replaced or name in added:
                gallery = gallery.changed(added.get(name, ()), replaced, give_way)
            galleries[name] = gallery
        kept = {name: gallery for name, gallery in galleries.items() if len(gallery)}
        table = self.table.changed(put, removed, confirmed, agreements)
        return type(self)(self.name, revision, table, kept, self.now)

    def _without_hidden(self, active: NDArray[np.bool_]) -> Mapping[str, AnyGallery]:
        if active.all():
            return self.galleries
        hidden = frozenset(self.table.ids[row] for row in np.flatnonzero(~active))
        return {name: gallery.hiding(hidden) for name, gallery in self.galleries.items()}


def built(template_format: str, entries: Iterable[Any]) -> AnyGallery:
    """A gallery of a template format."""
    gallery = gallery_class(template_format).build(entries)
    assert isinstance(gallery, BlockGallery)
    return gallery
