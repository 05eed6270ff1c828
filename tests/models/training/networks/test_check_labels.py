"""The measurement on labelled eyes reads the labels, and prints the overlaps of each map."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivers.sample import Position
from models.manifest import load_card
from models.onnx_session import Session
from models.training.networks import check_labels
from models.training.networks.check_labels import labelled, overlaps, report
from models.training.networks.eye_pictures import HEIGHT, WIDTH, inside
from simulators.people.eye import EyeScene
from simulators.people.person import EyeCondition, Person

UNSEEN = 500  # a person who is not in the training data


@pytest.fixture(name="session", scope="module")
def _session() -> Session:
    return Session(load_card("iris-segmenter"), 1, {"image": np.zeros((1, 1, HEIGHT, WIDTH), np.float32)})


@pytest.fixture(name="shown", scope="module")
def _shown() -> EyeScene:
    return Person(UNSEEN).eye(Position.LEFT_EYE).scene(0, 320, 240, EyeCondition.NORMAL)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, shown: EyeScene) -> Path:
    """A folder with one labelled image."""
    folder, labels = tmp_path / "eyes", tmp_path / "eyes-labels"
    folder.mkdir()
    labels.mkdir()
    outlines = [" ".join(f"{x} {y} 0" for x, y in outline) for outline in (shown.pupil, shown.limbus)]
    (labels / "one.txt").write_text("\n".join([str(len(shown.pupil)), str(len(shown.limbus)), *outlines]) + "\n")
    Image.fromarray(shown.usable).save(labels / "one_mask.png")
    Image.fromarray(shown.image).save(folder / "one.png")
    return folder


def _maps(shown: EyeScene) -> list[np.ndarray]:
    usable = np.asarray(np.uint8(255) * shown.usable, np.uint8)
    return [inside(shown.pupil, 240, 320), inside(shown.limbus, 240, 320), usable]


def test_labels_are_read_as_maps(folder: Path, shown: EyeScene) -> None:
    ((image, maps),) = labelled(folder, 1)
    assert np.array_equal(image, shown.image)
    for one, other in zip(maps, _maps(shown), strict=True):
        assert np.array_equal(one > 127, other > 127)


def test_the_report_has_the_overlap_of_each_map(folder: Path, shown: EyeScene, session: Session) -> None:
    truth = overlaps(session, shown.image, _maps(shown))
    line = report(session, folder, 1)
    assert line.startswith("eyes, 1: ")
    for name, share in zip(("pupil", "limbus", "usable"), truth, strict=True):
        assert f"{name} {share:.3f}" in line
    assert line.endswith("lost 0")


def test_the_command_prints_a_line_for_each_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], session: Session
) -> None:
    monkeypatch.setattr("sys.argv", ["check_labels", str(folder), str(folder), "--every", "1"])
    check_labels.main()
    assert capsys.readouterr().out == f"{report(session, folder, 1)}\n" * 2
