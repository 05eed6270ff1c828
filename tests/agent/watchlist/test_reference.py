"""A reference: what a probe is compared with, what may be shown, and its templates as the list stores them."""

from datetime import UTC, datetime

import pytest

from agent.config import AgreementConfig
from agent.events.event import Category
from agent.watchlist.reference import (
    ALWAYS,
    NEVER,
    ListedReference,
    Reference,
    TemplateCounts,
    count_comparable,
    entries_by_format,
    gallery_entries,
    kinds_of,
    listed,
    local_agreement,
    with_imported_templates,
)
from drivers.sample import Position
from models.template import Template, TemplateError
from tests.conftest import template_of

INDEX, THUMB, UNKNOWN = Position.RIGHT_INDEX, Position.RIGHT_THUMB, Position.UNKNOWN


EXPIRY = datetime(2026, 1, 1, tzinfo=UTC)


def reference(*templates: tuple[Position, Template], name: str = "r1") -> ListedReference:
    return listed(Reference(name, "agreement-1", Category.WANTED, EXPIRY, templates))


def plain(name: str) -> Template:
    """A template of a format that only has a name."""
    return Template(name, b"")


@pytest.mark.parametrize(("position", "count"), [(INDEX, 3), (THUMB, 2), (UNKNOWN, 4), (Position.LEFT_THUMB, 1)])
def test_a_probe_is_compared_with_its_position_and_with_those_that_are_unknown(position: Position, count: int) -> None:
    stored = TemplateCounts({(INDEX, "f"): 2, (THUMB, "f"): 1, (UNKNOWN, "f"): 1, (INDEX, "other"): 5})
    assert count_comparable(position, "f", stored) == count


def test_references_with_the_same_templates_share_their_kinds() -> None:
    one = kinds_of(reference((THUMB, plain("g")), (INDEX, plain("f")), (INDEX, plain("f"))))
    assert one == kinds_of(reference((INDEX, plain("f")), (INDEX, plain("f")), (THUMB, plain("g"))))
    assert TemplateCounts(one) == {(INDEX, "f"): 2, (THUMB, "g"): 1}


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


def test_a_reference_of_this_kiosk_has_the_terms_of_its_agreement_and_its_own_expiry() -> None:
    made = reference((INDEX, plain("f")))
    assert (made.terms.agreement, made.terms.category, made.terms.recipients) == ("agreement-1", Category.WANTED, None)
    assert (made.period.not_before, made.period.expires_at, made.period.review_by) == (ALWAYS, EXPIRY, NEVER)
    config = AgreementConfig(provider="p", purpose="test", legal_basis="l", recipients=("hub",), keep_s=60)
    agreement = local_agreement("agreement-1", config)
    assert (agreement.provider, agreement.recipients, agreement.keep_days) == ("p", ("hub",), None)


def test_the_list_stores_templates_in_its_own_format() -> None:
    template = template_of(101, 0)
    assert with_imported_templates(reference((INDEX, template))).templates == ((INDEX, template),)


def test_a_template_that_cannot_be_read_is_refused_with_the_name_of_its_reference() -> None:
    bad = Template(template_of(101, 0).format, b"invalid")
    with pytest.raises(TemplateError, match=r"^r1: "):
        with_imported_templates(reference((INDEX, bad)))
