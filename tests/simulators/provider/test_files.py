from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivers.sample import Position
from models import exported, imported
from models.exchange import iso19794_2, iso19794_6
from models.exchange.iso19794_2 import FingerView
from models.exchange.iso19794_6 import ImageType, IrisView
from models.template import Template
from simulators.people.eye_scene import EyeCondition
from simulators.people.person import Person
from simulators.people.skin import Condition
from simulators.provider import files
from simulators.provider.errors import ProviderError
from simulators.provider.files import READERS, Placed, files_in, read_files
from simulators.provider.synthetic import EYE_ORDER, FINGER_ORDER, crowd

MADE = next(crowd(1, 1, (FINGER_ORDER[0], EYE_ORDER[0])))[1]
PRINT, CODE = MADE[0][1], MADE[1][1]


def current(template: Template) -> Template:
    return imported(template)


def finger_record(*positions: Position) -> bytes:
    return iso19794_2.to_record([FingerView(position, current(PRINT)) for position in positions])


def iris_record(*positions: Position) -> bytes:
    image = np.arange(640 * 480, dtype=np.uint32).reshape(480, 640).astype(np.uint8)
    return iso19794_6.to_record([IrisView(position, ImageType.VGA, image) for position in positions])


def read(folder: Path, **named: bytes) -> dict[str, list[Placed]]:
    paths = []
    for name, data in named.items():
        stem, _, suffix = name.rpartition("__")
        paths.append(folder / f"{stem}.{suffix}")
        paths[-1].write_bytes(data)
    return read_files(paths)


def test_templates_are_taken_as_they_are_and_one_reference_is_one_entry(tmp_path: Path) -> None:
    found = read(tmp_path, a_right_index__kfm=PRINT.data, a_left_eye__kic=CODE.data, b_unknown__kfm=PRINT.data)
    assert found == {
        "a": [(Position.RIGHT_INDEX, PRINT), (Position.LEFT_EYE, CODE)], "b": [(Position.UNKNOWN, PRINT)],
    }  # fmt: skip


def test_both_versions_of_a_finger_template_are_known(tmp_path: Path) -> None:
    ((_, found),) = read(tmp_path, a_left_thumb__kfm=current(PRINT).data)["a"]
    assert found == current(PRINT)
    assert exported(found) == PRINT


def test_a_reference_may_have_underscores(tmp_path: Path) -> None:
    assert list(read(tmp_path, case_7_b_right_index__kfm=PRINT.data)) == ["case_7_b"]


def test_a_record_says_its_positions(tmp_path: Path) -> None:
    data = finger_record(Position.LEFT_RING, Position.RIGHT_THUMB)
    found = read(tmp_path, a__fmr=data, b__iir=iris_record(Position.RIGHT_EYE, Position.LEFT_EYE))
    assert [position for position, _ in found["a"]] == [Position.LEFT_RING, Position.RIGHT_THUMB]
    assert [position for position, _ in found["b"]] == [Position.RIGHT_EYE, Position.LEFT_EYE]
    assert {template.format for one in found.values() for _, template in one} == {"iso19794-2", "iso19794-6"}
    for _, template in found["a"]:
        assert len(iso19794_2.from_record(template.data)) == 1
    for _, template in found["b"]:
        assert len(iso19794_6.from_record(template.data)) == 1


def test_the_name_of_a_file_counts_more_than_a_record_of_one_view(tmp_path: Path) -> None:
    finger, eye = finger_record(Position.UNKNOWN), iris_record(Position.UNKNOWN)
    found = read(tmp_path, a_left_ring__fmr=finger, a_left_eye__iir=eye)
    assert found["a"] == [
        (Position.LEFT_RING, Template("iso19794-2", finger)), (Position.LEFT_EYE, Template("iso19794-6", eye)),
    ]  # fmt: skip


def test_images_are_encoded(tmp_path: Path) -> None:
    finger = Person(7).finger(Position.RIGHT_INDEX).impression(0, condition=Condition.NORMAL)
    Image.fromarray(finger).save(tmp_path / "a_right_index.png", dpi=(500, 500))
    eye = Person(7).eye(Position.LEFT_EYE).frame(0, condition=EyeCondition.NORMAL)
    Image.fromarray(eye).save(tmp_path / "a_left_eye.PNG")
    found = read_files(files_in(tmp_path))
    assert [(position, template.format) for position, template in found["a"]] == [
        (Position.LEFT_EYE, "iris-code/1"), (Position.RIGHT_INDEX, "finger-minutiae/1"),
    ]  # fmt: skip


WRONG: dict[str, tuple[bytes, str]] = {
    "a__kfm": (PRINT.data, "the name must say which finger or eye"),
    "a__kic": (CODE.data, "the name must say which finger or eye"),
    "a_left_index__kfm": (PRINT.data[:20], "minutiae take"),
    "b_left_index__kfm": (b"", "without any minutia"),
    "a_left_eye__kic": (CODE.data + b"x", "expected 1030"),
    "a__fmr": (b"FMR", "ISO/IEC 19794-2"),
    "a__iir": (b"IIR", "ISO/IEC 19794-6"),
    "a_left_eye__png": (b"no image", "a_left_eye.png"),
    "b__png": (b"no image", "the name must say which finger or eye"),
    "a_unknown__png": (b"no image", "needs a known position"),
    "a__exe": (b"x", "unknown kind of file"),
    "_left_eye__kic": (CODE.data, "REFERENCE_POSITION"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path, name: str) -> None:
    data, reason = WRONG[name]
    with pytest.raises(ProviderError) as caught:
        read(tmp_path, **{name: data})
    assert name.replace("__", ".") in str(caught.value)
    assert reason in str(caught.value)


def test_all_files_that_cannot_be_used_are_named_up_to_a_number(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="nothing was added: 25 of the files cannot be used") as caught:
        read_files([tmp_path / f"{number}_left_eye.kic" for number in range(25)])
    assert "No such file" in str(caught.value)
    assert "and 5 more" in str(caught.value)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", 10)
    with pytest.raises(ProviderError, match="larger than 10 bytes"):
        read(tmp_path, a_left_eye__kic=CODE.data)


def test_a_folder_has_the_files_of_known_kinds(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"these are read: \.fmr \.iir"):
        files_in(tmp_path)
    for name in ("b.kic", "a.KFM", "readme.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in files_in(tmp_path)] == ["a.KFM", "b.kic"]


@pytest.mark.parametrize("suffix", READERS)
def test_every_kind_of_file_can_be_nonsense(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a_left_eye{suffix}").write_bytes(bytes(range(256)))
    with pytest.raises(ProviderError):
        read_files([tmp_path / f"a_left_eye{suffix}"])
