"""A terminal interprets nothing of what it shows; only our own marks are styles."""

import sys

import pytest

from agent.cli.terminal import BOLD_RED, END, Terminal, text_of


def test_only_our_own_marks_are_styles() -> None:
    text = text_of(f"a {BOLD_RED}b [red]{END} :smile: [bold]c[/]")
    assert text.plain == "a b [red] :smile: [bold]c[/]"
    assert [(span.start, span.end, span.style) for span in text.spans] == [(2, 9, "bold red")]


def test_control_characters_are_shown_as_escapes() -> None:
    assert text_of("a\x1b[2J\x01\n").plain == r"a\x1b[2J\x01\x0a"


@pytest.mark.parametrize("terminal", [True, False])
def test_lines_and_tables_are_printed_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: object
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    out = Terminal()
    out.print("usb:1234:5678 :1234: [red]")
    out.print_table(("url", "state"), ("usb:1f:600", "[red]x"))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "usb:1234:5678 :1234: [red]"
    assert lines[2].split() == ["usb:1f:600", "[red]x"]
