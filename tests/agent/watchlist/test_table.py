"""The table of a segment: what is searched when, the stricter of two rules, changes, and its bytes."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.event import Category
from agent.watchlist.reference import NEVER, ListedReference, Terms
from agent.watchlist.table import END, Confirmation, ReferenceTable, row_of, seconds_of
from drivers.sample import Position
from models.template import Template
from tests.rigs.listed import START, YEAR, agreement, reference

AGREEMENTS = {"a-1": agreement()}
NOW = seconds_of(START)
DAY = 86_400
PLAIN = ((Position.RIGHT_INDEX, Template("f", b"")), (Position.LEFT_EYE, Template("g", b"")))


def table(*references: ListedReference, **terms: Any) -> ReferenceTable:  # noqa: ANN401 - fields of Agreement
    return ReferenceTable.of(references, {"a-1": agreement(**terms)})


def searched(found: ReferenceTable, at: datetime) -> list[str]:
    active = found.active(seconds_of(at))
    return [name for name, one in zip(found.ids, active, strict=True) if one]


def test_a_reference_is_found_by_its_id() -> None:
    found = table(reference("c"), reference("a"), reference("b"))
    assert found.ids == ("a", "b", "c")
    assert [found.find(name) for name in ("a", "c", "d", "0")] == [0, 2, None, None]
    assert len(found) == 3


def test_a_reference_is_searched_from_its_beginning_to_its_end() -> None:
    found = table(reference("a", not_before=START + timedelta(days=1), expires_at=START + timedelta(days=3)))
    days = [searched(found, START + timedelta(days=day)) for day in range(5)]
    assert days == [[], ["a"], ["a"], [], []]
    assert found.next_change(NOW) == NOW + DAY
    assert found.next_change(NOW + DAY) == NOW + 3 * DAY
    assert found.next_change(NOW + 3 * DAY) == END


def test_a_reference_whose_review_is_overdue_is_not_searched_until_it_is_confirmed() -> None:
    found = table(reference("a", review_by=START + timedelta(days=2)))
    later = START + timedelta(days=2)
    assert searched(found, later) == []
    assert found.info_at(0, seconds_of(later)).hidden == "not reviewed in time"
    assert found.not_reviewed(seconds_of(later)) == 1
    confirmed = found.changed(
        (), confirmed={"a": Confirmation(START + timedelta(days=9)), "nobody": Confirmation(NEVER)}
    )
    assert searched(confirmed, later) == ["a"]
    assert confirmed.not_reviewed(seconds_of(later)) == 0
    longer = found.changed((), confirmed={"a": Confirmation(NEVER, START + 2 * YEAR)})
    assert longer.info_at(0, NOW).expires_at == START + 2 * YEAR


@pytest.mark.parametrize(
    ("limits", "expires", "review"),
    [
        ({}, 365, 200),
        ({"keep_days": 30}, 30, 200),
        ({"keep_days": 900}, 365, 200),
        ({"review_by": START + timedelta(days=50)}, 365, 50),
        ({"review_by": START + timedelta(days=500)}, 365, 200),
    ],
)
def test_the_stricter_of_agreement_and_reference_counts(limits: dict[str, object], expires: int, review: int) -> None:
    info = table(reference("a", review_by=START + timedelta(days=200)), **limits).info_at(0, NOW)
    assert info.expires_at == START + timedelta(days=expires)
    assert info.review_by == START + timedelta(days=review)


def test_a_confirmation_does_not_pass_the_limits_of_the_agreement() -> None:
    found = table(reference("a"), keep_days=30)
    longer = found.changed((), confirmed={"a": Confirmation(NEVER, START + 5 * YEAR)})
    assert longer.info_at(0, NOW).expires_at == START + timedelta(days=30)


@pytest.mark.parametrize(("own", "allowed"), [(None, ("hub", "police")), (("police", "army"), ("police",)), ((), ())])
def test_nobody_hears_of_a_reference_whom_its_agreement_does_not_allow(
    own: tuple[str, ...] | None, allowed: tuple[str, ...]
) -> None:
    info = table(reference("a", terms=Terms("a-1", Category.MISSING, "H-1", "N7", own))).info_at(0, NOW)
    assert info.recipients == allowed
    assert (info.provider, info.necessity, info.instruction) == ("partner", "N7", "H-1")
    assert (info.purpose, info.legal_basis, info.category) == ("missing persons", "treaty, article 4", Category.MISSING)


def test_the_necessity_of_the_agreement_counts_where_a_reference_has_none() -> None:
    assert table(reference("a")).info_at(0, NOW).necessity == "N1"


def test_a_reference_whose_agreement_has_ended_is_not_searched() -> None:
    found = table(reference("a")).changed((), agreements={})
    assert searched(found, START) == []
    info = found.info_at(0, NOW)
    assert (info.hidden, info.recipients, info.provider) == ("its agreement has ended", (), "")
    assert found.outside({}) == ("a",)
    assert found.outside(AGREEMENTS) == ()


@pytest.mark.parametrize(
    ("at", "hidden"), [(-1, "not yet valid"), (0, ""), (364, ""), (365, "expired"), (9999, "expired")]
)
def test_it_is_said_why_a_reference_is_hidden(at: int, hidden: str) -> None:
    now = seconds_of(START + timedelta(days=at))
    assert [info.hidden for info in table(reference("a")).infos(now)] == [hidden]


def test_what_expired_is_listed() -> None:
    found = table(reference("a"), reference("b", expires_at=START + 2 * YEAR))
    assert found.expired(seconds_of(START + YEAR) - 1) == ()
    assert found.expired(seconds_of(START + YEAR)) == ("a",)


def test_a_reference_that_never_expires_never_does() -> None:
    assert table(reference("a", expires_at=NEVER)).expired(END - 1) == ()


def test_references_are_counted_by_category_and_templates_by_position() -> None:
    missing = Terms("a-1", Category.MISSING)
    found = table(reference("a", PLAIN), reference("b", PLAIN[:1], terms=missing), reference("c", terms=missing))
    assert found.categories() == {"wanted": 1, "missing": 2}
    assert found.template_counts() == {(Position.RIGHT_INDEX, "f"): 2, (Position.LEFT_EYE, "g"): 1}
    assert found.counts_at(0) == {(Position.RIGHT_INDEX, "f"): 1, (Position.LEFT_EYE, "g"): 1}
    assert set(found.info_at(0, NOW).positions) == {Position.RIGHT_INDEX, Position.LEFT_EYE}


def test_only_agreements_with_a_reference_are_in_use() -> None:
    both = {"a-1": agreement(), "a-2": agreement("a-2")}
    assert ReferenceTable.of([reference("a")], both).used_agreements() == {"a-1": both["a-1"]}
    assert ReferenceTable.of([], both).used_agreements() == {}


NAMES = st.sampled_from("abcdef")
REFERENCES = st.builds(
    lambda name, category, days, templates: reference(
        name, templates, expires_at=START + timedelta(days=days), terms=Terms("a-1", category)
    ),
    NAMES,
    st.sampled_from([Category.WANTED, Category.MISSING]),
    st.integers(1, 9),
    st.sampled_from([(), PLAIN, PLAIN[:1]]),
)


@given(st.lists(st.tuples(st.lists(REFERENCES, max_size=4, unique_by=lambda r: r.reference_id), st.frozensets(NAMES))))
def test_changes_one_after_another_are_the_table_of_what_is_left(
    changes: list[tuple[list[ListedReference], frozenset[str]]],
) -> None:
    found, known = ReferenceTable.of((), AGREEMENTS), dict[str, ListedReference]()
    for put, removed in changes:
        found = found.changed(put, removed)
        known = {name: one for name, one in known.items() if name not in removed}
        known |= {one.reference_id: one for one in put}
    wanted = ReferenceTable.of(known.values(), AGREEMENTS)
    assert list(found.infos(NOW)) == list(wanted.infos(NOW))
    assert found.template_counts() == wanted.template_counts()
    again = ReferenceTable.unpacked(found.packed())
    assert list(again.infos(NOW)) == list(wanted.infos(NOW))
    assert again.agreements == AGREEMENTS


@pytest.mark.parametrize("cut", [0, 1, 40, 200])
def test_bytes_that_are_no_table_are_refused(cut: int) -> None:
    whole = table(reference("a", PLAIN), reference("b")).packed()
    with pytest.raises(ValueError, match=r"not a table|zip|magic|pickle"):
        ReferenceTable.unpacked(whole[:cut])


def test_a_table_whose_columns_do_not_agree_is_refused() -> None:
    bad = table(reference("a"))
    object.__setattr__(bad, "ids", ("a", "b"))
    with pytest.raises(ValueError, match="different lengths"):
        ReferenceTable.unpacked(bad.packed())
    bad = table(reference("a"))
    object.__setattr__(bad, "terms_of", np.array([7], np.uint32))
    with pytest.raises(ValueError, match="without its terms"):
        ReferenceTable.unpacked(bad.packed())


def test_a_row_has_no_template() -> None:
    row = row_of(reference("a", PLAIN))
    assert row.kinds == ((Position.LEFT_EYE, "g"), (Position.RIGHT_INDEX, "f"))
    assert not hasattr(row, "templates")
