"""Why a picture file cannot be used, and what a reader of a usable one should know."""

from enum import StrEnum
from typing import NamedTuple


class Fault(StrEnum):
    """Why a picture file cannot be used."""

    MISSING = "missing"
    NO_FILE = "no_file"  # a folder, a pipe, a device
    NO_PERMISSION = "no_permission"
    NO_ACCESS = "no_access"  # another error of the operating system
    EMPTY_FILE = "empty_file"
    NO_PICTURE = "no_picture"
    NOT_SUPPORTED = "not_supported"  # a format, or a kind of one, that is not read
    DAMAGED = "damaged"
    TOO_LARGE = "too_large"
    GREY_LEVELS = "grey_levels"  # from its values, the brightness of black and white is unknown
    RESOLUTION = "resolution"


class ImageFileError(ValueError):
    """The image file cannot be used. The message names it and says what to do; `fault` is the kind of error."""

    def __init__(self, message: str, fault: Fault = Fault.NO_PICTURE) -> None:
        super().__init__(message)
        self.fault = fault


class Subject(StrEnum):
    """What a note is about."""

    RESOLUTION_OF_FILE = "resolution_of_file"
    RESOLUTION_DIFFERS = "resolution_differs"
    NOT_SQUARE = "not_square"
    PAGES = "pages"
    NO_NUMBERS = "no_numbers"


class Note(NamedTuple):
    """What was assumed or left out where a picture could be used. The text does not name the file."""

    subject: Subject
    text: str
