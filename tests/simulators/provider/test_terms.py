from datetime import timedelta

import pytest
from pydantic import ValidationError

from agent.events.event import Category
from drivers.sample import Position
from models.template import Template
from simulators.provider.terms import EntryTerms
from tests.rigs.lists import LISTED


def terms(category: Category = Category.WANTED) -> EntryTerms:
    times = LISTED, LISTED, LISTED + timedelta(days=9), LISTED + timedelta(days=5)
    return EntryTerms("border", category, "REFER", "N1", *times, recipients=("hub",))


def test_an_entry_has_the_terms_and_its_own_templates() -> None:
    made = terms().entry("a", [(Position.LEFT_EYE, Template("iris-code/1", b"code"))])
    assert (made.reference_id, made.agreement, made.category) == ("a", "border", Category.WANTED)
    assert (made.instruction, made.necessity, made.recipients) == ("REFER", "N1", ("hub",))
    assert (made.expires_at - made.listed_at, made.review_by - made.not_before) == (
        timedelta(days=9),
        timedelta(days=5),
    )
    assert [(one.position, one.format, one.data) for one in made.templates] == [
        (Position.LEFT_EYE, "iris-code/1", b"code")
    ]


def test_what_cannot_be_listed_is_refused() -> None:
    with pytest.raises(ValidationError, match="category"):
        terms(Category.LOCAL_TEST).entry("a", [(Position.LEFT_EYE, Template("iris-code/1", b"code"))])
    with pytest.raises(ValidationError, match="templates"):
        terms().entry("a", [])
