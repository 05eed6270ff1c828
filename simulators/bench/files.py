"""The files that a measurement reads and writes."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import typer

SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".jp2", ".j2k", ".pgm", ".ppm"})


class Remark(NamedTuple):
    """A row about a picture of a list: it cannot be used and why, or what was assumed of it."""

    picture: str
    ppi: str  # as the list gives it; may be empty
    used: bool
    reason: str  # of simulators.pictures.errors.Fault, models.encoder.Flaw or simulators.pictures.errors.Subject
    explanation: str


def remarks_file(scores: Path) -> Path:
    """The file beside the scores that has a row for every picture with a remark."""
    return scores.with_name(f"{scores.stem}.pictures.csv")


def write_remarks(path: Path, remarks: Iterable[Remark]) -> None:
    """Write the remarks, complete or not at all. A file without rows says that every picture was used without one."""
    unfinished = path.with_name(f"{path.name}.part")
    with unfinished.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        rows = csv.writer(file)
        rows.writerow(Remark._fields)
        rows.writerows(one._replace(used="yes" if one.used else "no") for one in remarks)  # type: ignore[arg-type]
    unfinished.replace(path)


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
