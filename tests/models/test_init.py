"""The encoders and galleries of the package, by modality and template format."""

import pytest

from drivers.sample import Modality
from models import ENCODERS, GALLERIES, gallery_class, load_encoder
from models.calibration import load_calibration
from models.finger.template import FORMAT
from models.manifest import ModelCard, ModelError


def test_what_is_not_there_is_refused_and_what_is_there_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ENCODERS, Modality.IRIS)
    with pytest.raises(ModelError, match="there are: finger"):
        load_encoder(Modality.IRIS)
    with pytest.raises(ModelError, match=FORMAT):
        gallery_class("finger-minutiae/0")
    with pytest.raises(ModelError, match="finger-minutiae/0"):
        load_calibration("finger-minutiae/0")


def test_every_gallery_of_the_table_is_of_the_format_that_it_stands_for() -> None:
    for template_format in GALLERIES:
        assert gallery_class(template_format).template_format == template_format


def test_the_encoder_names_its_model_and_format(card: ModelCard) -> None:
    encoder = load_encoder(Modality.FINGER)
    assert (encoder.modality, encoder.model_name, encoder.model_sha256) == (Modality.FINGER, card.name, card.sha256)
    assert encoder.template_format == card.template_format == FORMAT
