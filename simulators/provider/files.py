"""Templates, records and images in files, as the templates of a list.

A file is named REFERENCE_POSITION.SUFFIX, as ref-17_right_index.png. All files of one reference make one entry. The
position may be left out of a record that says it itself. What each suffix is, is in READERS.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from drivers.sample import Modality, Position
from models import imported
from models.exchange import iso19794_2, iso19794_6
from models.finger.template import EXCHANGE_FORMAT
from models.finger.template import FORMAT as FINGER_FORMAT
from models.iris.template import FORMAT as IRIS_FORMAT
from models.iris.template import unpack as unpack_iris
from models.template import Template, TemplateError
from simulators.pictures.errors import ImageFileError
from simulators.pictures.reader import read_finger, read_grey
from simulators.provider.encoding import NO_RESOLUTION, encode
from simulators.provider.errors import ProviderError

Placed = tuple[Position, Template]
MOST_BYTES = 16 << 20  # of a template or a record
SHOWN = 20  # files with a problem that a message names
_NAME = re.compile(rf"(?P<reference>[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}?)(?:_(?P<position>{'|'.join(Position)}))?")


def read_files(paths: Iterable[Path]) -> dict[str, list[Placed]]:
    """The templates of all files, by reference id. ProviderError names every file that cannot be used, and why."""
    found: dict[str, list[Placed]] = {}
    problems = []
    for path in paths:
        try:
            reference, templates = _read(path)
        except (ProviderError, TemplateError, ImageFileError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            problems.append(f"{path.name}: {reason}")
        else:
            found.setdefault(reference, []).extend(templates)
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise ProviderError(
            f"nothing was added: {len(problems)} of the files cannot be used", *problems[:SHOWN], *more,
            "correct or remove them, and try again",
        )  # fmt: skip
    return found


def files_in(folder: Path) -> list[Path]:
    """The files of a folder whose suffix is known, by name. ProviderError if there are none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in READERS)
    if not found:
        raise ProviderError(f"{folder}: has no files of a known kind", f"these are read: {' '.join(READERS)}")
    return found


def _read(path: Path) -> tuple[str, list[Placed]]:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ProviderError(f"unknown kind of file; these are read: {' '.join(READERS)}")
    match = _NAME.fullmatch(path.stem)
    if match is None:
        raise ProviderError("the name must be REFERENCE_POSITION.SUFFIX, the reference of letters, digits, - and _")
    given = match["position"]
    return match["reference"], reader(path, None if given is None else Position(given))


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ProviderError(f"is larger than {MOST_BYTES} bytes")
    return data


def _needed(position: Position | None) -> Position:
    if position is None:
        raise ProviderError("the name must say which finger or eye, as REFERENCE_right_index.SUFFIX")
    return position


def _finger_record(path: Path, position: Position | None) -> list[Placed]:
    views = iso19794_2.from_record(_bytes(path))
    if len(views) == 1 and position is not None:
        return [(position, Template("iso19794-2", _bytes(path)))]
    return [(view.position, Template("iso19794-2", iso19794_2.to_record([view]))) for view in views]


def _iris_record(path: Path, position: Position | None) -> list[Placed]:
    views = iso19794_6.from_record(_bytes(path))
    if len(views) == 1:
        return [(position or views[0].position, Template("iso19794-6", _bytes(path)))]
    return [(view.position, Template("iso19794-6", iso19794_6.to_record([view]))) for view in views]


def _finger_template(path: Path, position: Position | None) -> list[Placed]:
    data = _bytes(path)
    template = Template(FINGER_FORMAT if data[3:4] == b"\2" else EXCHANGE_FORMAT, data)
    imported(template)  # says what is wrong
    return [(_needed(position), template)]


def _iris_template(path: Path, position: Position | None) -> list[Placed]:
    template = Template(IRIS_FORMAT, _bytes(path))
    unpack_iris(template)
    return [(_needed(position), template)]


def _image(path: Path, position: Position | None) -> list[Placed]:
    known = _needed(position)
    if known.modality is None:
        raise ProviderError("an image needs a known position: a finger or an eye")
    if known.modality is Modality.IRIS:
        return [(known, encode(known, Modality.IRIS, read_grey(path), NO_RESOLUTION))]
    finger = read_finger(path)
    return [(known, encode(known, Modality.FINGER, finger.grey, finger.pixels_per_inch))]


READERS: Mapping[str, Callable[[Path, Position | None], list[Placed]]] = {
    ".fmr": _finger_record,  # ISO/IEC 19794-2
    ".iir": _iris_record,  # ISO/IEC 19794-6
    ".kfm": _finger_template,  # finger-minutiae/1 and /2
    ".kic": _iris_template,  # iris-code/1
    **dict.fromkeys((".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".jp2", ".j2k", ".pgm", ".ppm"), _image),
}
