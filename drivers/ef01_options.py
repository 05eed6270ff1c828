"""The options of the ef01 driver. Each is explained in drivers/README.md, and a test knows."""

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from drivers.ef01_tables import BAUD_UNIT, MODEL_NAMED, MODEL_OF_BYTES, Model
from drivers.framing import DEFAULT_ADDRESS
from drivers.options import DriverOptions

DEFAULT_PPI = 500.0


def _number(value: object) -> object:
    """TOML writes 0xFFFFFFFF as a number, a person may write it as text. The message never repeats a password."""
    _no_boolean(value)
    try:
        return int(value, 0) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("must be a number, such as 0xFFFFFFFF") from None


def _rates(value: object) -> object:
    """One rate, or several in a text: "9600, 115200"."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else (value,)


def _no_boolean(value: object) -> object:
    """Python takes true for 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")  # noqa: TRY004 - pydantic reports ValueError only
    return value


U32 = Annotated[int, BeforeValidator(_number), Field(ge=0, le=0xFFFFFFFF)]
# Documented: 1 to 12 times 9600. Up to 100 times (960000) is reported to work on some.
Rate = Annotated[int, BeforeValidator(_no_boolean), Field(ge=BAUD_UNIT, le=100 * BAUD_UNIT, multiple_of=BAUD_UNIT)]
Side = Annotated[int, BeforeValidator(_no_boolean), Field(ge=16, le=1024, multiple_of=2)]


class Ef01Options(DriverOptions):
    """What one unit needs beyond its URL; drivers/README.md explains each."""

    model: str | None = None
    width: Side | None = None
    height: Side | None = None
    ppi: Annotated[float, BeforeValidator(_no_boolean), Field(ge=100, le=2000)] | None = None
    address: U32 = DEFAULT_ADDRESS
    password: U32 = Field(default=0, repr=False)
    packet_size: Annotated[Literal[32, 64, 128, 256], BeforeValidator(_number)] | None = None
    baud: Rate | None = None
    probe_bauds: Annotated[tuple[Rate, ...], BeforeValidator(_rates)] = ()
    poll_s: Annotated[float, BeforeValidator(_no_boolean), Field(gt=0, le=5)] = 0.1

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height go together")
        if self.model is not None and self.width is not None:
            raise ValueError("give model, or width and height, not both")
        if self.model is not None and self.model.upper() not in MODEL_NAMED:
            raise ValueError(f"unknown model {self.model!r}; there are: {', '.join(MODEL_NAMED)}")
        return self

    def image(self) -> Model | None:
        """The size that is configured, if any."""
        if self.width is not None and self.height is not None:
            known = MODEL_OF_BYTES.get(self.width * self.height // 2)
            ppi = known.pixels_per_inch if known and known.width == self.width else DEFAULT_PPI
            return Model((), self.width, self.height, self.ppi or ppi)
        return self.scaled(MODEL_NAMED[self.model.upper()]) if self.model else None

    def scaled(self, model: Model) -> Model:
        """`model` with the resolution that is configured, if any."""
        return replace(model, pixels_per_inch=self.ppi or model.pixels_per_inch)
