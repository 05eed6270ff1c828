"""Files that a measurement writes: asked for before the work, not after it."""

from pathlib import Path

import typer


def writable(path: Path | None) -> Path | None:
    """For an option that names a file to write. BadParameter when its folder is not there."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise typer.BadParameter(f"{path}: is a folder, or in one that is not there")
    return path


def picture(path: Path | None) -> Path | None:
    """The same for a picture."""
    if path is not None and path.suffix.lower() != ".png":
        raise typer.BadParameter(f"{path}: the sheet is a PNG file, FILE.png")
    return writable(path)
