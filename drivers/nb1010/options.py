"""The options of the nb1010 driver. Each is explained in drivers/README.md, and a test knows."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from drivers.options import DriverOptions, PixelsPerInch, PollSeconds, parse_number

DEFAULT_PPI = 385.0  # the vendor's figure for this sensor; not verified on a unit
CONTACT = 0x30  # of 255: above it a finger lies there, below it none


class Nb1010Options(DriverOptions):
    """What one unit needs beyond its URL; drivers/README.md explains each."""

    ppi: PixelsPerInch = DEFAULT_PPI
    poll_s: PollSeconds = 0.05
    contact: Annotated[int, BeforeValidator(parse_number), Field(ge=0, le=254)] = CONTACT
