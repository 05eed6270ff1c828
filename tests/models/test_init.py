"""The encoders and galleries of the package, by modality and template format."""

import pytest

from drivers.sample import Modality, Position
from models import ENCODERS, GALLERIES, exported, gallery_class, imported, load_encoder, packed_size
from models.calibration import load_calibration
from models.encoder import Entry
from models.finger.template import FORMAT
from models.gallery import BlockGallery
from models.iris.template import empty_code
from models.iris.template import pack as pack_iris
from models.manifest import ModelCard, ModelError
from models.template import Template
from tests.conftest import template_of


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


def test_another_model_of_the_modality_can_be_named() -> None:
    assert load_encoder(Modality.FINGER, model="leader-student").model_name == "leader-student"
    with pytest.raises(ModelError, match="'iris-encoder' is not an encoder of modality finger; there are: leader"):
        load_encoder(Modality.FINGER, model="iris-encoder")


def test_templates_are_exchanged_without_descriptors_and_other_formats_unchanged() -> None:
    template = template_of(1, 1)
    sent = exported(template)
    assert sent.format == "finger-minutiae/1"
    assert imported(sent) == template
    unknown = Template("iris-code/1", b"")
    assert imported(unknown) is unknown
    assert exported(unknown) is unknown


@pytest.mark.parametrize("template_format", GALLERIES)
def test_the_size_of_a_list_is_estimated_and_not_too_low(template_format: str) -> None:
    templates = {"finger-minutiae/2": template_of(1, 1), "iris-code/1": pack_iris(empty_code())}
    entries = [Entry(f"reference-{n:06}", Position.UNKNOWN, templates[template_format]) for n in range(100)]
    gallery = gallery_class(template_format).build(entries)
    assert isinstance(gallery, BlockGallery)
    assert (
        0.75 * packed_size(template_format, 100) < len(gallery.blocks[0].packed()) < packed_size(template_format, 100)
    )
    with pytest.raises(ModelError):
        packed_size("none/1", 1)
