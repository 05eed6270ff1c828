"""The options of the ef01 driver. drivers/README.md explains each one; a test compares both."""

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from drivers.ef01.framing import DEFAULT_ADDRESS
from drivers.ef01.tables import BAUD_UNIT, MODEL_BY_IMAGE_BYTES, MODEL_BY_NAME, Model
from drivers.options import DriverOptions, PixelsPerInch, PollSeconds, parse_number, reject_boolean, split_list

DEFAULT_PPI = 500.0


U32 = Annotated[int, BeforeValidator(parse_number), Field(ge=0, le=0xFFFFFFFF)]
# Documented: 1 to 12 times 9600. Up to 100 times (960000) is reported to work on some modules.
Rate = Annotated[int, BeforeValidator(reject_boolean), Field(ge=BAUD_UNIT, le=100 * BAUD_UNIT, multiple_of=BAUD_UNIT)]
Side = Annotated[int, BeforeValidator(reject_boolean), Field(ge=16, le=1024, multiple_of=2)]


class Ef01Options(DriverOptions):
    """The options of one module; drivers/README.md explains each."""

    model: str | None = None
    width: Side | None = None
    height: Side | None = None
    ppi: PixelsPerInch | None = None
    address: U32 = DEFAULT_ADDRESS
    password: U32 = Field(default=0, repr=False)
    packet_size: Annotated[Literal[32, 64, 128, 256], BeforeValidator(parse_number)] | None = None
    baud: Rate | None = None
    probe_bauds: Annotated[tuple[Rate, ...], BeforeValidator(split_list)] = ()
    poll_s: PollSeconds = 0.1

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height go together")
        if self.model is not None and self.width is not None:
            raise ValueError("give model, or width and height, not both")
        if self.model is not None and self.model.upper() not in MODEL_BY_NAME:
            raise ValueError(f"unknown model {self.model!r}; there are: {', '.join(MODEL_BY_NAME)}")
        return self

    def image_model(self) -> Model | None:
        """The image size that the options set, or None."""
        if self.width is not None and self.height is not None:
            known = MODEL_BY_IMAGE_BYTES.get(self.width * self.height // 2)
            ppi = known.pixels_per_inch if known and known.width == self.width else DEFAULT_PPI
            return Model((), self.width, self.height, self.ppi or ppi)
        return self.with_ppi(MODEL_BY_NAME[self.model.upper()]) if self.model else None

    def with_ppi(self, model: Model) -> Model:
        """`model` with the resolution of the option ppi, if it is set."""
        return replace(model, pixels_per_inch=self.ppi or model.pixels_per_inch)
