"""Options of a driver: how they may be written, and what the error about a wrong one says."""

from typing import Annotated

import pytest
from pydantic import BeforeValidator, Field, model_validator

from drivers.options import (
    DriverOptions,
    Options,
    PollSeconds,
    parse_number,
    parse_options,
    reject_boolean,
    split_list,
)


class LampOptions(DriverOptions):
    """Options as a driver declares them."""

    address: Annotated[int, BeforeValidator(parse_number), Field(ge=0, le=255)] = 0
    rates: Annotated[tuple[int, ...], BeforeValidator(split_list)] = ()
    poll_s: PollSeconds = 0.1

    @model_validator(mode="after")
    def _check(self) -> "LampOptions":
        if self.address and self.rates:
            raise ValueError("address and rates do not go together")
        return self


def test_defaults_are_used_and_values_may_be_text() -> None:
    assert parse_options(LampOptions, "lamp", {}) == LampOptions()
    assert parse_options(LampOptions, "lamp", {"address": "0x10"}).address == 16
    assert parse_options(LampOptions, "lamp", {"address": 16}).address == 16
    assert parse_options(LampOptions, "lamp", {"rates": "9600, 115200"}).rates == (9600, 115_200)
    assert parse_options(LampOptions, "lamp", {"rates": 9600}).rates == (9600,)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"adress": 1}, "driver lamp: unknown option 'adress' (options: address, rates, poll_s)"),
        ({"address": True}, "option 'address': must be a number, not true or false"),
        ({"address": "secret"}, "option 'address': must be a number, such as 0xFFFFFFFF"),
        ({"address": 256, "poll_s": 0}, "; option 'poll_s'"),
        ({"address": 1, "rates": 9600}, "driver lamp: address and rates do not go together"),
    ],
)
def test_an_error_names_the_options_and_shows_no_value(options: Options, complaint: str) -> None:
    with pytest.raises(ValueError, match="driver lamp") as caught:
        parse_options(LampOptions, "lamp", options)
    assert complaint in str(caught.value)
    assert "secret" not in str(caught.value)


def test_options_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        LampOptions().address = 1


def test_any_other_value_passes_the_check_for_booleans() -> None:
    assert reject_boolean(0) == 0
