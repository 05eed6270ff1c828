"""Options of a driver: one frozen pydantic model for each driver, and errors that name the option."""

from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

OptionValue = str | int | float | bool
Options = Mapping[str, OptionValue]


class DriverOptions(BaseModel):
    """Base class for the options of a driver: frozen; unknown options are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def parse_number(value: object) -> object:
    """Accepts a number, or text such as "0xFFFFFFFF". The error does not show the value: it may be a password."""
    reject_boolean(value)
    try:
        return int(value, 0) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("must be a number, such as 0xFFFFFFFF") from None


def split_list(value: object) -> object:
    """Splits text such as "9600, 115200" into its values. Any other value becomes a tuple of one."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else (value,)


def reject_boolean(value: object) -> object:
    """Refuses true and false, because Python treats True as 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")  # noqa: TRY004 - pydantic reports ValueError only
    return value


def _quarter_turns(degrees: int) -> int:
    if degrees not in ROTATIONS:
        raise ValueError(f"must be one of {', '.join(map(str, ROTATIONS))} (degrees)")
    return degrees


ROTATIONS = (0, 90, 180, 270)
PixelsPerInch = Annotated[float, BeforeValidator(reject_boolean), Field(ge=100, le=2000)]
PollSeconds = Annotated[float, BeforeValidator(reject_boolean), Field(gt=0, le=5)]  # between two polls for a finger


class MountingOptions(DriverOptions):
    """How a sensor is mounted, if its image is not upright: options of every driver, applied by open_sensor().

    A mirror image is mirrored back, left to right; then the image is turned clockwise by `rotation` degrees.
    """

    rotation: Annotated[int, BeforeValidator(parse_number), AfterValidator(_quarter_turns)] = 0
    mirrored: bool = False


def split_mounting(driver: str, options: Options) -> tuple[MountingOptions, Options]:
    """Separates the options of the mounting from those of the driver. ValueError names a wrong one."""
    names = MountingOptions.model_fields
    mounting = {name: value for name, value in options.items() if name in names}
    rest = {name: value for name, value in options.items() if name not in names}
    return parse_options(MountingOptions, driver, mounting), rest


Model = TypeVar("Model", bound=DriverOptions)


def parse_options(model: type[Model], driver: str, options: Options) -> Model:
    """Checks the options. ValueError names every wrong option and lists the known ones."""
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        problems = "; ".join(_explain(problem["loc"], problem["type"], problem["msg"]) for problem in error.errors())
        known = ", ".join(model.model_fields)
        raise ValueError(f"driver {driver}: {problems} (options: {known})") from None


def _explain(location: tuple[int | str, ...], kind: str, message: str) -> str:
    name = str(location[0]) if location else ""
    if kind == "extra_forbidden":
        return f"unknown option {name!r}"
    text = message.removeprefix("Value error, ")
    return f"option {name!r}: {text}" if name else text
