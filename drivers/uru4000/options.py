"""The options of the uru4000 driver. drivers/README.md explains each (a test checks this)."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from drivers.options import DriverOptions, PixelsPerInch, parse_number, split_list

DEFAULT_PPI = 512.0  # the vendor's figure for the family; the reader does not report it, and no unit was measured

Seed = Annotated[int, BeforeValidator(parse_number), Field(ge=0, le=0xFFFFFFFF)]


class Uru4000Options(DriverOptions):
    """The options of one unit; drivers/README.md explains each."""

    ppi: PixelsPerInch = DEFAULT_PPI
    seed: Annotated[tuple[Seed, ...], BeforeValidator(split_list)] = ()
