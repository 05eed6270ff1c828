"""The options of the sfm driver: wrong values, and their documentation."""

import re
from pathlib import Path

import pytest

from drivers.options import OptionValue
from drivers.sfm.image import Format
from drivers.sfm.options import SfmOptions
from tests.rigs.sfm_rig import SfmRig

README = Path(__file__).parents[3] / "drivers" / "README.md"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"terminal": 0}, "'terminal'"),
        ({"baud": 12345}, "'baud'"),
        ({"grey": "binary"}, "'grey'"),
        ({"width": 4}, "'width'"),
        ({"transfer": "fast"}, "'transfer'"),
    ],
)
def test_wrong_options_are_named(rig: SfmRig, options: dict[str, OptionValue], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        rig.sensor(115_200, **options)


def test_every_option_is_in_the_readme() -> None:
    section = README.read_text(encoding="utf-8").partition("\n## sfm\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`([a-z_]+)`", "\n".join(line.split("|")[1] for line in section.splitlines()
                                                          if line.startswith("| `"))))  # fmt: skip
    assert documented == set(SfmOptions.model_fields)


@pytest.mark.parametrize(("grey", "form"), [("8bit", Format.GREY8), ("4bit", Format.GREY4)])
def test_the_option_grey_chooses_the_pixel_format(grey: str, form: Format) -> None:
    assert SfmOptions.model_validate({"grey": grey}).format is form
