"""What encoders and galleries return: no score or name of a model is lost."""

from drivers.sample import Modality
from models.encoder import Flaw, Quality, models_of
from tests.conftest import finger_encoder


def test_the_models_of_encoders_are_reported_with_their_hashes() -> None:
    encoder = finger_encoder()
    assert models_of([encoder, encoder]) == {encoder.model_name: encoder.model_sha256}
    assert models_of([]) == {}
    assert encoder.modality is Modality.FINGER


def test_qualities_do_not_share_their_measures() -> None:
    one, other = Quality(0, Flaw.EMPTY), Quality(90)
    one.measures["area"] = 0.0
    assert other.measures == {}
    assert other.flaw is None
