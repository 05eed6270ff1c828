"""Text from outside is shown on one line and as what it is, whatever is in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.printable import MOST, printable, printable_values

HOSTILE = {
    "\x1b[2J\x1b]52;c;Zm9v\x07": r"\x1b[2J\x1b]52;c;Zm9v\x07",
    "a\r\n<3>forged": r"a\x0d\x0a<3>forged",
    "\x9b31m": r"\x9b31m",
    "\u202edrow\u2066": r"\u202edrow\u2066",
    "a\u200bb\ufeff\u2060": r"a\u200bb\ufeff\u2060",
    "\udc80": r"\udc80",
    "\u2028\u2029\x85": r"\u2028\u2029\x85",
    "\U000e0041": r"\U000e0041",
    "a\u3164\ufe0f": r"a\u3164\ufe0f",
    "e\u0301\u0302\u0303\u0304": "e\u0301\u0302" + r"\u0303\u0304",
}


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_what_a_terminal_does_not_show_as_itself_is_an_escape(text: str) -> None:
    assert printable(text) == HOSTILE[text]


@pytest.mark.parametrize("text", ["", "R307 optical", "Ñandú, 東京", "usb:1234:5678 [red]"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_a_long_text_is_cut_with_its_length() -> None:
    assert printable("x" * MOST) == "x" * MOST
    assert printable("x" * (MOST + 1)) == "x" * MOST + f"… ({MOST + 1} characters)"


@given(st.text(st.characters()))
def test_any_text_becomes_printable_once_and_for_all(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    shown.encode()


def test_the_values_of_an_answer_are_made_printable_with_their_keys() -> None:
    value = {"a\n": ["\x1b", 1, None, True, {"b": "\u202e"}], "c": 1.5}
    assert printable_values(value) == {r"a\x0a": [r"\x1b", 1, None, True, {"b": r"\u202e"}], "c": 1.5}
