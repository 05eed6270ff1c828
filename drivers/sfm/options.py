"""The options of the sfm driver. drivers/README.md explains each (a test checks this)."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from drivers.options import DriverOptions, PixelsPerInch, PollSeconds, parse_number, reject_boolean, split_list
from drivers.sfm.image import MAX_SIDE, MIN_SIDE, Format

Rate = Annotated[
    Literal[9600, 19200, 38400, 57600, 115_200, 230_400, 460_800, 921_600],
    BeforeValidator(parse_number),
]
Side = Annotated[int, BeforeValidator(reject_boolean), Field(ge=MIN_SIDE, le=MAX_SIDE)]
Terminal = Annotated[int, BeforeValidator(parse_number), Field(ge=1, le=0xFFFF)]  # 0 is every terminal; none answers


class SfmOptions(DriverOptions):
    """The options of one unit; drivers/README.md explains each."""

    width: Side = 272
    height: Side = 320
    ppi: PixelsPerInch = 500.0
    grey: Literal["8bit", "4bit"] = "8bit"
    transfer: Literal["auto", "extended", "plain"] = "auto"
    terminal: Terminal | None = None
    baud: Rate | None = None
    probe_bauds: Annotated[tuple[Rate, ...], BeforeValidator(split_list)] = ()
    look_s: PollSeconds = 0.5
    poll_s: PollSeconds = 0.1

    @property
    def format(self) -> Format:
        """The pixel format to request."""
        return Format.GREY8 if self.grey == "8bit" else Format.GREY4
