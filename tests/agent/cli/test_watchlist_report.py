"""What `kiosk-agent watchlist` prints: every fact of an answer, what is wrong, and text of others as it is."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from agent.cli import watchlist_report as report
from agent.errors import ControlError

Printed = Callable[[], str]

REFERENCE = {
    "reference_id": "p101", "list": "police", "agreement": "treaty", "category": "missing", "provider": "police",
    "purpose": "search for missing persons", "legal_basis": "treaty, article 4", "necessity": "N-7",
    "recipients": ["hub", "police"], "instruction": "H-1", "positions": ["right_index", "right_index", "left_eye"],
    "not_before": "2026-01-01T00:00:00+00:00", "expires_at": "2026-03-01T00:00:00+00:00",
    "review_by": "2026-02-01T00:00:00+00:00", "hidden": "",
}  # fmt: skip
STATE: dict[str, Any] = {
    "revision": 12, "references": 2, "confirmed_at": "2026-01-02T10:00:00+00:00", "checked_at": None,
    "valid_until": "2026-01-05T10:00:00+00:00", "list_expired": False, "list_unusable": False,
    "trusted_time": "2026-01-02T11:00:00+00:00", "clock_doubt": "", "disk_bytes": 3_400_000, "memory_bytes": 1_200_000,
    "missing": [], "problems": {},
    "lists": [{"name": "police", "revision": 7, "references": 2, "hidden": 0, "not_reviewed": 0,
               "categories": {"missing": 2},
               "agreements": [{"agreement": "treaty", "purpose": "search", "legal_basis": "article 4",
                               "review_by": "2026-10-01T00:00:00+00:00"}]}],
}  # fmt: skip


@pytest.fixture(name="printed")
def _printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """What was printed since the last call."""
    return lambda: capsys.readouterr().out


def test_the_state_of_a_list_is_shown_with_its_agreements(printed: Printed) -> None:
    report.show_state(STATE)
    text = printed()
    for fact in (
        "revision 12: 2 references are searched",
        "checked never",
        "signatures valid until 2026-01-05",
        "trusted time 2026-01-02",
        "3.4 MB on disk, 1.2 MB in memory",
        "list police: revision 7, 2 references\n",
        "  2 missing\n",
        "agreement treaty: search; article 4, review by 2026-10-01",
    ):
        assert fact in text
    for warning in ("EXPIRED", "doubt", "missing:", "hidden", "not reviewed"):
        assert warning not in text


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"list_expired": True}, "EXPIRED: every decision says so"),
    ({"list_expired": True, "list_unusable": True}, "EXPIRED: nobody is cleared"),
    ({"clock_doubt": "the clock was [moved]"}, "clock in doubt: the clock was [moved]"),
    ({"missing": ["border"]}, "missing: border: nobody is cleared before it is here"),
    ({"problems": {"": "unreachable"}}, "all lists: unreachable"),
    ({"problems": {"police": "went\nback"}}, "police: went\\x0aback"),
]


@pytest.mark.parametrize(("change", "line"), CHANGES, ids=[line for _, line in CHANGES])
def test_what_is_wrong_is_said(printed: Printed, change: dict[str, Any], line: str) -> None:
    report.show_state(STATE | change)
    assert line in printed()


def test_a_kiosk_without_providers_has_no_signatures_to_show(printed: Printed) -> None:
    local = STATE["lists"][0] | {
        "name": "local",
        "agreements": [STATE["lists"][0]["agreements"][0] | {"review_by": None}],
    }
    report.show_state(STATE | {"valid_until": None, "lists": [local]})
    text = printed()
    assert "signatures" not in text
    assert "review by" not in text


def test_what_is_on_a_list_and_not_searched_is_counted(printed: Printed) -> None:
    report.show_state(STATE | {"lists": [STATE["lists"][0] | {"hidden": 3, "not_reviewed": 1}]})
    assert "2 references, 3 hidden (1 not reviewed in time)" in printed()


def test_the_state_can_be_read_by_a_machine(printed: Printed) -> None:
    report.show_state(STATE, as_json=True)
    assert json.loads(printed()) == STATE


def test_references_are_shown_up_to_the_limit(printed: Printed) -> None:
    answer = {"revision": 3, "age_s": 3661.5, "total": 1, "references": [REFERENCE]}
    report.show_references(answer)
    lines = printed().splitlines()
    assert lines[0] == "revision 3, confirmed 1:01:01 ago, 1 references"
    assert lines[1].split() == ["reference", "category", "list", "agreement", "positions", "expires"]
    assert lines[2].split()[:6] == ["p101", "missing", "police", "treaty", "right_index,", "left_eye"]
    assert len(lines) == 3
    report.show_references(answer | {"total": 10, "age_s": None, "references": [REFERENCE | {"hidden": "expired"}]})
    text = printed()
    assert "never confirmed" in text
    assert "expired" in text
    assert "and 9 more: use --limit" in text


def test_an_empty_list_is_one_line(printed: Printed) -> None:
    report.show_references({"revision": 0, "age_s": None, "total": 0, "references": []})
    assert printed() == "revision 0, never confirmed, 0 references\n"


def test_an_update_says_what_it_did_to_each_list(printed: Printed) -> None:
    assert report.show_update({"lists": {"police": "nothing new", "": "unreachable [x]"}, "problems": {"": "x"}})
    assert printed() == "police: nothing new\nall lists: unreachable [x]\n"
    assert not report.show_update({"lists": {}, "problems": {}})
    assert "no lists of providers are configured: see [watchlist]" in printed()


def test_a_verification_says_what_it_found(printed: Printed) -> None:
    report.show_verification({"lists": {"police": "2 references, complete on disk and in memory"}})
    assert printed() == "police: 2 references, complete on disk and in memory\n"
    report.show_verification({"lists": {}})
    assert printed() == "there is no list on this kiosk\n"


def test_a_reference_is_explained(printed: Printed) -> None:
    report.show_explanation({"references": [REFERENCE]})
    lines = printed().splitlines()
    assert lines[0] == "reference p101 of police, searched"
    for line in (
        "  category: missing",
        "  instruction: H-1",
        "  legal basis: treaty, article 4",
        "  may be told to: hub, police",
        "  positions: right_index, left_eye",
    ):
        assert line in lines
    assert any(line.startswith("  review by: 2026-02-01") for line in lines)


def test_a_reference_that_is_not_searched_says_why_and_what_it_lacks_is_left_out(printed: Printed) -> None:
    report.show_explanation({"references": [REFERENCE | {"hidden": "not reviewed", "instruction": ""}]})
    text = printed()
    assert "p101 of police, not searched: not reviewed" in text
    assert "instruction" not in text


@pytest.mark.parametrize(
    "show",
    [
        report.show_state,
        report.show_references,
        report.show_update,
        report.show_verification,
        report.show_explanation,
    ],
)
def test_an_answer_that_is_none_is_an_error_of_the_command(show: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(ControlError, match="an invalid answer"):
        show({"lists": 7})
