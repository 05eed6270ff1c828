"""A reference: what a probe is compared with, what may be shown, and its templates as the list stores them."""

from datetime import UTC, datetime

import pytest

from agent.events.event import Category
from agent.watchlist.reference import (
    Reference,
    TemplateCounts,
    count_comparable,
    entries_by_format,
    gallery_entries,
    reference_info,
    template_counts,
    with_imported_templates,
)
from drivers.sample import Position
from models.template import Template, TemplateError
from tests.conftest import template_of

INDEX, THUMB, UNKNOWN = Position.RIGHT_INDEX, Position.RIGHT_THUMB, Position.UNKNOWN


def reference(*templates: tuple[Position, Template], name: str = "r1") -> Reference:
    return Reference(name, "agreement-1", Category.WANTED, datetime(2026, 1, 1, tzinfo=UTC), templates)


def plain(name: str) -> Template:
    """A template of a format that only has a name."""
    return Template(name, b"")


@pytest.mark.parametrize(("position", "count"), [(INDEX, 3), (THUMB, 2), (UNKNOWN, 4), (Position.LEFT_THUMB, 1)])
def test_a_probe_is_compared_with_its_position_and_with_those_that_are_unknown(position: Position, count: int) -> None:
    stored = TemplateCounts({(INDEX, "f"): 2, (THUMB, "f"): 1, (UNKNOWN, "f"): 1, (INDEX, "other"): 5})
    assert count_comparable(position, "f", stored) == count


def test_the_templates_of_a_reference_are_counted_by_position_and_format() -> None:
    counted = template_counts(reference((INDEX, plain("f")), (INDEX, plain("f")), (THUMB, plain("g"))))
    assert counted == {(INDEX, "f"): 2, (THUMB, "g"): 1}


def test_entries_of_several_references_go_to_the_gallery_of_their_format() -> None:
    several = [
        reference((INDEX, plain("f")), (THUMB, plain("g"))),
        reference((THUMB, plain("f")), name="r2"),
    ]
    found = entries_by_format(gallery_entries(several))
    assert {name: [(e.key, e.position) for e in entries] for name, entries in found.items()} == {
        "f": [("r1", INDEX), ("r2", THUMB)],
        "g": [("r1", THUMB)],
    }


def test_what_may_be_shown_of_a_reference_has_no_template() -> None:
    info = reference_info(reference((INDEX, plain("f")), (THUMB, plain("g"))))
    assert (info.reference_id, info.category, info.positions) == ("r1", Category.WANTED, (INDEX, THUMB))
    assert not hasattr(info, "templates")


def test_the_list_stores_templates_in_its_own_format() -> None:
    template = template_of(101, 0)
    assert with_imported_templates(reference((INDEX, template))).templates == ((INDEX, template),)


def test_a_template_that_cannot_be_read_is_refused_with_the_name_of_its_reference() -> None:
    bad = Template(template_of(101, 0).format, b"invalid")
    with pytest.raises(TemplateError, match=r"^r1: "):
        with_imported_templates(reference((INDEX, bad)))
