"""The picture of the demo in README.md: which part of the output it shows, and that it loads nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from simulators import demo_picture
from tests.structure.mirror import ROOT

OUTPUT = (
    "starting ...\n"
    "\x1b[1m0  Enrolment of synthetic person 7\x1b[0m, into the local list\n"
    "\n\x1b[1m1  A traveller who is on the list\x1b[0m\n"
    "  decision \x1b[33mlead\x1b[0m: candidate above threshold\n"
    "\n\x1b[1m2  A traveller who is not on the list\x1b[0m\n"
    "  decision clear: no candidate\n"
    "\n\x1b[1m3  A traveller whose finger cannot be read\x1b[0m\n"
    "  decision refer: failure to capture\n"
    "\n\x1b[32mAll results are correct\x1b[0m: lead, clear, refer\n"
    "  hub  state offline\n"
)


def test_the_picture_shows_two_travellers_and_the_result() -> None:
    shown = demo_picture.excerpt(OUTPUT)
    for part in ("on the list", "lead", "clear: no candidate", "All results are correct"):
        assert part in shown
    for part in ("starting", "Enrolment", "cannot be read", "offline"):
        assert part not in shown


@pytest.mark.parametrize("heading", ["1  A", "3  A", "All r"])
def test_output_that_lacks_a_part_is_refused(heading: str) -> None:
    with pytest.raises(ValueError, match="not the output of a complete demo"):
        demo_picture.excerpt(OUTPUT.replace(heading, "x"))


def test_the_picture_is_an_svg_that_loads_nothing() -> None:
    picture = demo_picture.draw(demo_picture.excerpt(OUTPUT))
    assert picture.startswith("<svg")
    assert "candidate&#160;above&#160;threshold" in picture
    assert re.findall(r"(?:href|src|url)\s*[=(]\s*[\"']?https?:", picture) == []


def test_the_committed_picture_is_one_of_a_demo() -> None:
    picture = (ROOT / "simulators" / "demo.svg").read_text(encoding="utf-8")
    for part in ("A&#160;traveller&#160;who&#160;is&#160;on&#160;the&#160;list", "lead", "clear"):
        assert part in picture
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "").replace("https://www.textualize.io", "")


def test_the_command_writes_the_picture_and_passes_a_failure_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status = 0

    def demo(*_: object, **__: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess([], status, OUTPUT)

    monkeypatch.setattr(subprocess, "run", demo)  # the demo itself has tests of its own
    monkeypatch.setattr(sys, "argv", ["demo_picture", str(tmp_path / "demo.svg")])
    demo_picture.main()
    assert (tmp_path / "demo.svg").read_text(encoding="utf-8").startswith("<svg")
    assert capsys.readouterr().out == f"{tmp_path / 'demo.svg'}\n"
    status = 3
    with pytest.raises(SystemExit, match="3"):
        demo_picture.main()
