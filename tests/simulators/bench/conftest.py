"""Folders of images, and the command, for the tests of kiosk-bench."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from drivers.sample import Position
from simulators.bench.command import app
from simulators.people.person import Person
from tests.conftest import impression_of

PAIRS = """probe,reference,label
a/1L02.png,a/1L01.png,genuine
a/1L01.png,a/2L01.png,impostor
a/no.png,a/1L01.png,genuine
"""


@pytest.fixture
def fingers(tmp_path: Path) -> Path:
    """Two fingers, a text file with the name of an image, and a blank image."""
    (tmp_path / "a").mkdir()
    for seed, impression in ((1, 0), (1, 1), (2, 0)):
        Image.fromarray(impression_of(seed, impression)).save(tmp_path / "a" / f"{seed}_{impression + 1}.png")
    (tmp_path / "a" / "no.png").write_text("not a picture")
    Image.fromarray(np.full((200, 200), 255, np.uint8)).save(tmp_path / "a" / "blank.png")
    return tmp_path


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two eyes with two frames each, a text file with the name of an image, and a list of pairs."""
    root = tmp_path_factory.mktemp("eyes")
    (root / "a").mkdir()
    for seed, n in ((1, 0), (1, 1), (2, 0), (2, 1)):
        frame = Person(seed).eye(Position.LEFT_EYE).frame(n)
        Image.fromarray(frame).save(root / "a" / f"{seed}L{n + 1:02}.png")
    (root / "pairs.csv").write_text(PAIRS, encoding="utf-8")
    (root / "a" / "no.png").write_text("not a picture")
    return root


@pytest.fixture
def set_of_two(tmp_path: Path) -> Path:
    """A folder with a set `few`: two impressions of each of two fingers."""
    (tmp_path / "few").mkdir()
    for finger in (1, 2):
        for impression in (1, 2):
            Image.fromarray(impression_of(finger, impression)).save(tmp_path / "few" / f"{finger}_{impression}.png")
    return tmp_path


def write_impression(path: Path, seed: int, impression: int) -> None:
    """Write an image of the same finger of person `seed`."""
    Image.fromarray(impression_of(seed, impression)).save(path)


def bench(*arguments: str, status: int = 0) -> str:
    """Run kiosk-bench; returns its output."""
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "300"})
    assert done.exit_code == status, done.output
    return done.output
