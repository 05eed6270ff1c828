"""The options of one sensor: a frozen pydantic model a driver, and errors that name the option."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

OptionValue = str | int | float | bool
Options = Mapping[str, OptionValue]


class DriverOptions(BaseModel):
    """Base of the options of a driver: frozen, and unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


Model = TypeVar("Model", bound=DriverOptions)


def parse_options(model: type[Model], driver: str, options: Options) -> Model:
    """The checked options. ValueError names every option that is wrong, and those that there are."""
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
