import numpy as np
import pytest

from drivers.sample import Modality, Position
from models import gallery_class, imported
from models.encoder import Entry
from simulators.people.eye_scene import EyeCondition
from simulators.people.person import Person
from simulators.people.skin import Condition
from simulators.provider.encoding import NO_RESOLUTION, encode
from simulators.provider.errors import ProviderError


def test_a_finger_is_encoded_as_it_is_sent_to_kiosks() -> None:
    image = Person(7).finger(Position.RIGHT_INDEX).impression(0, condition=Condition.NORMAL)
    made = encode(Position.RIGHT_INDEX, Modality.FINGER, image, 500)
    assert made.format == "finger-minutiae/1"
    gallery = gallery_class("finger-minutiae/2").build([Entry("a", Position.RIGHT_INDEX, imported(made))])
    assert len(gallery) == 1


def test_an_eye_is_encoded() -> None:
    image = Person(7).eye(Position.LEFT_EYE).frame(0, condition=EyeCondition.NORMAL)
    assert encode(Position.LEFT_EYE, Modality.IRIS, image, NO_RESOLUTION).format == "iris-code/1"


@pytest.mark.parametrize(
    ("position", "modality"), [(Position.LEFT_EYE, Modality.IRIS), (Position.LEFT_INDEX, Modality.FINGER)]
)
def test_an_image_that_shows_nothing_is_refused(position: Position, modality: Modality) -> None:
    with pytest.raises(ProviderError, match="the quality of the image is 0 of 100"):
        encode(position, modality, np.full((480, 640), 128, np.uint8), 500)
