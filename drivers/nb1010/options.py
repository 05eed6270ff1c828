"""The options of the nb1010 driver. drivers/README.md explains each (a test checks this)."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from drivers.options import DriverOptions, PixelsPerInch, PollSeconds, parse_number

DEFAULT_PPI = 385.0  # the vendor's figure for this sensor; not verified on a unit
CONTACT = 0x30  # 0 to 255: a finger is on the sensor if the contact level is above it


class Nb1010Options(DriverOptions):
    """The options of one unit; drivers/README.md explains each."""

    ppi: PixelsPerInch = DEFAULT_PPI
    poll_s: PollSeconds = 0.05
    contact: Annotated[int, BeforeValidator(parse_number), Field(ge=0, le=254)] = CONTACT
