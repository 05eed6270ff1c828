"""The files of a measurement: which images count, and which files can be written."""

from pathlib import Path

import pytest
import typer

from simulators.bench.files import Remark, image_files, remarks_file, writable, writable_png, write_remarks


def test_images_of_a_folder_are_sorted_and_other_files_are_left_out(tmp_path: Path) -> None:
    for name in ("b.png", "a.TIF", "c.jpg", "notes.txt", "d.bmp", "e.tiff", "f.jp2"):
        (tmp_path / name).write_text("")
    assert [path.name for path in image_files(tmp_path)] == ["a.TIF", "b.png", "c.jpg", "d.bmp", "e.tiff", "f.jp2"]


def test_a_file_is_writable_if_its_folder_exists(tmp_path: Path) -> None:
    assert writable(None) is None
    assert writable(tmp_path / "a.json") == tmp_path / "a.json"
    for path in (tmp_path, tmp_path / "none" / "a.json"):
        with pytest.raises(typer.BadParameter, match="is a folder, or its folder does not exist"):
            writable(path)


def test_a_sheet_is_a_png_file(tmp_path: Path) -> None:
    assert writable_png(tmp_path / "a.PNG") == tmp_path / "a.PNG"
    with pytest.raises(typer.BadParameter, match=r"FILE\.png"):
        writable_png(tmp_path / "a.jpg")


def test_remarks_stand_beside_the_scores_and_names_of_any_bytes_can_be_written(tmp_path: Path) -> None:
    path = remarks_file(tmp_path / "scores.out")
    assert path == tmp_path / "scores.pictures.csv"
    write_remarks(path, [Remark("a\udcff.png", "500", used=False, reason="missing", explanation="no, none")])
    assert path.read_text(encoding="utf-8").splitlines() == [
        "picture,ppi,used,reason,explanation",
        'a\\udcff.png,500,no,missing,"no, none"',
    ]
