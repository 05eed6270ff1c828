"""Real people for kiosk-bench search finger: who they are, where they stand, and folders that cannot be used."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from simulators.bench.command import app
from simulators.bench.mates import people_of, spread
from tests.conftest import impression_of
from tests.simulators.bench.conftest import write_impression


def test_travellers_stand_in_the_middle_of_equal_parts_of_the_gallery() -> None:
    assert spread(100, 2) == [25, 75]
    assert spread(3, 3) == [0, 1, 2]


def test_people_are_the_same_whatever_the_depth_of_their_images(tmp_path: Path) -> None:
    write_impression(tmp_path / "a_1.png", 1, 1)
    deep = impression_of(1, 2).astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "a_2.png")
    write_impression(tmp_path / "b_1.png", 2, 1)  # of whom there is nothing to search with
    people = list(people_of(tmp_path, 1, 500.0, 80))
    assert [(one.number, len(one.probes)) for one in people] == [(20, 1), (60, 0)]
    shallow = tmp_path / "shallow"
    shallow.mkdir()
    write_impression(shallow / "a_1.png", 1, 1)
    write_impression(shallow / "a_2.png", 1, 2)
    (same,) = people_of(shallow, 1, 500.0, 80)
    assert (same.probes[0][0] == people[0].probes[0][0]).all()


def test_the_first_impression_that_all_fingers_of_a_person_have_is_the_reference(tmp_path: Path) -> None:
    for name, seed, impression in (("a_1", 1, 1), ("a_2", 1, 2), ("a_3", 1, 3), ("b_2", 2, 2), ("b_3", 2, 3)):
        write_impression(tmp_path / f"{name}.png", seed, impression)
    (person,) = people_of(tmp_path, 2, 500.0, 1)
    assert (person.number, len(person.references), [len(probe) for probe in person.probes]) == (0, 2, [2])
    only = tmp_path / "only"
    only.mkdir()
    write_impression(only / "a_2.png", 1, 2)
    write_impression(only / "a_3.png", 1, 3)
    (first,) = people_of(only, 1, 500.0, 1)
    assert (person.references[0] == first.references[0]).all()
    assert (person.probes[0][0] == first.probes[0][0]).all()


@pytest.mark.parametrize(
    ("names", "options", "complaint"),
    [
        ([], [], "contains no image FINGER_IMPRESSION.png"),
        (["thumb.png"], [], "thumb.png: the name of an image must be FINGER_IMPRESSION.png"),
        (["a_1.png", "a_01.png"], [], "a_1.png and a_01.png are the same impression"),
        (["a_1.png", "b_1.png"], [], "no finger has a second impression"),
        (
            ["a_1.png", "b_2.png"],
            ["--fingers", "2"],
            "a and b belong to one person but have no impression with",
        ),
        (["a_1.png", "a_2.png"], ["--fingers", "2"], "has 0 persons of 2 fingers"),
        (["a_1.png", "a_2.png", "text_1.png"], [], "text_1.png is not a readable image"),
    ],
)
def test_a_folder_that_cannot_be_used_is_named_with_what_is_expected(
    tmp_path: Path, names: list[str], options: list[str], complaint: str
) -> None:
    for name in names:
        if name.startswith("text"):
            (tmp_path / name).write_text("not a picture")
        else:
            write_impression(tmp_path / name, 1, 1)
    arguments = ["search", "finger", "--size", "9", "--mates", str(tmp_path), *options]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})
    assert done.exit_code == 2
    assert complaint in done.output
