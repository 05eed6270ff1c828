"""The options of kiosk-sim uru4000."""

import inspect
import re
from pathlib import Path

import pytest

from simulators.sensors import touch_cli
from simulators.sensors.uru4000.choice import Choice
from simulators.sensors.uru4000.device import Block, Uru4000Settings

ROOT = Path(__file__).parents[4]


def test_a_choice_of_nothing_is_a_usual_4500() -> None:
    assert Choice().settings() == Uru4000Settings()


def test_a_reader_is_what_was_chosen() -> None:
    chosen = Choice("4000", "2:72, 82:60,1:2", clear=True, asleep=True, tells="changes").settings()
    assert chosen.blocks == (Block(2, 72), Block(0x82, 60), Block(1, 2))
    assert (chosen.reader, chosen.scrambled, chosen.status, chosen.tells) == ("4000", False, 0x81, "changes")
    assert Choice(hung=True).settings().status == 0x85


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice("5000"), "there is no reader '5000'; choose one of 4500, 4000"),
        (Choice(tells="never"), "there is no way to tell 'never'; choose one of always, afresh, changes"),
        (Choice(blocks="2"), "block '2' must be flags in hexadecimal, a colon and a number of lines: 82:60"),
        (Choice(blocks="2:72,g:1"), "block 'g:1' must be flags in hexadecimal"),
        (Choice(blocks="100:5"), "block '100:5': flags are 0 to ff, lines 1 to 255"),
        (Choice(blocks="2:256"), "flags are 0 to ff, lines 1 to 255"),
        (Choice(blocks="2:0"), "flags are 0 to ff, lines 1 to 255"),
        (Choice(blocks="2:200,2:90"), "2 blocks of 290 lines, 290 of them sent; an image has at most 15 blocks"),
        (Choice(blocks="2:200,1:91"), "2 blocks of 291 lines"),
        (
            Choice(blocks="1:200,2:1"),
            "1 of them sent; an image has at most 15 blocks and 290 lines, and sends 2 to 289",
        ),
        (Choice(blocks=",".join(["2:2"] * 16)), "16 blocks of 32 lines"),
    ],
)
def test_what_no_reader_is_like_is_refused_with_what_there_is(choice: Choice, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        choice.settings()


def test_every_field_of_a_choice_is_an_option_of_the_command_and_in_the_readme() -> None:
    options = inspect.signature(touch_cli.uru4000).parameters
    readme = (ROOT / "simulators" / "README.md").read_text(encoding="utf-8")
    for name in Choice.__dataclass_fields__:
        assert name in options
        assert f"`--{name}" in readme
