"""The options of the uru4000 driver. Each is explained in drivers/README.md, and a test knows."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from drivers.options import DriverOptions, PixelsPerInch, parse_number, split_list

DEFAULT_PPI = 512.0  # what the vendor says of the family; the wire does not tell it, and no unit was measured

Seed = Annotated[int, BeforeValidator(parse_number), Field(ge=0, le=0xFFFFFFFF)]


class Uru4000Options(DriverOptions):
    """What one unit needs beyond its URL; drivers/README.md explains each."""

    ppi: PixelsPerInch = DEFAULT_PPI
    seed: Annotated[tuple[Seed, ...], BeforeValidator(split_list)] = ()
