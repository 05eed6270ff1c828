"""The options of the ef01 driver."""

from pathlib import Path

import pytest

import drivers
from drivers.ef01.driver import Ef01
from drivers.ef01.options import Ef01Options
from drivers.ef01.tables import MODELS
from drivers.options import OptionValue, parse_options


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"ppii": 500}, "unknown option 'ppii' (options: model, width, height, ppi,"),
        ({"model": "R999"}, "unknown model 'R999'; there are: ZFM-20, R301T, R307, R503, R551"),
        ({"width": 256}, "width and height go together"),
        ({"model": "R307", "width": 256, "height": 288}, "not both"),
        ({"width": 255, "height": 288}, "option 'width': Input should be a multiple of 2"),
        ({"packet_size": 100}, "option 'packet_size'"),
        ({"width": True, "height": True}, "option 'width': must be a number, not true or false; option 'height'"),
        ({"password": True}, "option 'password': must be a number, not true or false"),
        ({"poll_s": True, "ppi": True}, "option 'ppi': must be a number, not true or false; option 'poll_s'"),
        ({"probe_bauds": True}, "option 'probe_bauds': must be a number, not true or false"),
        ({"baud": 12_345}, "option 'baud'"),
        ({"probe_bauds": "9600,fast"}, "option 'probe_bauds'"),
        ({"poll_s": 0}, "option 'poll_s'"),
        ({"address": "0x1FFFFFFFF"}, "option 'address'"),
        ({"password": "hunter2"}, "option 'password'"),
        ({"ppi": 500, "baud": 1, "poll_s": -1}, "; option 'poll_s'"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, OptionValue], complaint: str) -> None:
    with pytest.raises(ValueError, match="driver ef01") as caught:
        Ef01("serial:/dev/ttyFP0", options)
    assert complaint in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_every_option_and_every_model_is_in_the_readme() -> None:
    text = (Path(drivers.__file__).parent / "README.md").read_text(encoding="utf-8")
    rows = text.partition("\n## ef01\n")[2].partition("\n## ")[0]
    for name in [*Ef01Options.model_fields, *(name for model in MODELS for name in model.names)]:
        assert f"`{name}`" in rows


def test_an_option_may_be_written_as_text() -> None:
    options = parse_options(Ef01Options, "ef01", {"packet_size": "256", "width": "160", "height": "160", "ppi": "385"})
    assert (options.packet_size, options.width, options.height, options.ppi) == (256, 160, 160, 385.0)


def test_the_password_is_in_no_repr() -> None:
    assert "4711" not in repr(parse_options(Ef01Options, "ef01", {"password": 4711}))


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, None),
        ({"model": "r503"}, (192, 192, 508.0)),
        ({"model": "R307", "ppi": 510}, (256, 288, 510.0)),
        ({"width": 192, "height": 192}, (192, 192, 508.0)),  # the size of a known model
        ({"width": 160, "height": 160}, (160, 160, 500.0)),
        ({"width": 160, "height": 160, "ppi": 385}, (160, 160, 385.0)),
    ],
)
def test_the_image_size_follows_from_the_options(
    options: dict[str, OptionValue], size: tuple[int, int, float] | None
) -> None:
    model = parse_options(Ef01Options, "ef01", options).image_model()
    assert (model and (model.width, model.height, model.pixels_per_inch)) == size
