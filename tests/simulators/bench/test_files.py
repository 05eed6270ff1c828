"""The files of a measurement: which images count, and which files can be written."""

from pathlib import Path

import pytest
import typer

from simulators.bench.files import image_files, writable, writable_png


def test_images_of_a_folder_are_sorted_and_other_files_are_left_out(tmp_path: Path) -> None:
    for name in ("b.png", "a.TIF", "c.jpg", "notes.txt", "d.bmp"):
        (tmp_path / name).write_text("")
    assert [path.name for path in image_files(tmp_path)] == ["a.TIF", "b.png", "c.jpg", "d.bmp"]


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
