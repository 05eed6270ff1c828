"""The files that a measurement reads and writes."""

from pathlib import Path

import typer

SUFFIXES = frozenset({".png", ".bmp", ".tif", ".jpg"})


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder, sorted by name. OSError."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def writable(path: Path | None) -> Path | None:
    """Callback of an option that names a file to write, so that a mistake is reported before the work.

    BadParameter if its folder does not exist.
    """
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise typer.BadParameter(f"{path}: is a folder, or its folder does not exist")
    return path


def writable_png(path: Path | None) -> Path | None:
    """The same for an image."""
    if path is not None and path.suffix.lower() != ".png":
        raise typer.BadParameter(f"{path}: the sheet is a PNG file, FILE.png")
    return writable(path)
