"""The options of the uru4000 driver. Each is explained in drivers/README.md, and a test knows."""

from typing import Annotated

from pydantic import Field

from drivers.ef01_options import U32
from drivers.options import DriverOptions

DEFAULT_PPI = 512.0  # what the vendor says of the family; the wire does not tell it, and no unit was measured


class Uru4000Options(DriverOptions):
    """What one unit needs beyond its URL; drivers/README.md explains each."""

    ppi: Annotated[float, Field(ge=100, le=2000)] = DEFAULT_PPI
    seed: U32 | None = None
