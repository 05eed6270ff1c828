"""The iris segmenter can be trained, and the shipped network works for eyes that it was not trained on."""

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.sample import Position
from models.manifest import load_card
from models.onnx_session import Session
from models.training.networks.eye_pictures import HEIGHT, MAPS, WIDTH, TrainingSet, inside, letterboxed, scene
from simulators.people.eye_blanks import Blank
from simulators.people.person import EYES, EyeCondition, Person, blank

PUPIL, LIMBUS, USABLE = range(MAPS)
PUPIL_BAR, LIMBUS_BAR, USABLE_BAR = 0.93, 0.91, 0.86  # mean overlap with the truth
UNSEEN = 500  # persons from here on; training begins at FIRST_PERSON


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union; two empty maps agree."""
    return float(((one & other).sum() + 1) / ((one | other).sum() + 1))


def test_the_network_can_be_trained() -> None:
    pytest.importorskip("torch", reason="torch is only in the environment of the training")
    from models.training.networks.iris_segmenter import train  # noqa: PLC0415 - imports torch

    training_set = TrainingSet(*(np.stack(each) for each in zip(*(scene(n) for n in range(4)), strict=True)))
    one, other = (train(training_set, 2, 1, 1).state_dict() for _ in range(2))
    assert all(bool((one[name] == other[name]).all()) for name in one)


class Network:
    """The shipped network, with thresholded maps."""

    def __init__(self) -> None:
        blank_input = {"image": np.zeros((1, 1, HEIGHT, WIDTH), np.float32)}
        self.session = Session(load_card("iris-segmenter"), 1, blank_input)

    def maps(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        small = letterboxed(image, HEIGHT, WIDTH, int(np.median(image)))
        return np.asarray(self.session.run(small[None, None].astype(np.float32))[0] > 0.5)


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


def test_eyes_that_are_not_in_the_training_data_are_found(network: Network) -> None:
    scored = []
    for n in range(16):
        shown = Person(UNSEEN + n).eye(EYES[n % 2]).scene(n, 320, 240, EyeCondition.NORMAL)
        true = (inside(shown.pupil, 240, 320), inside(shown.limbus, 240, 320), np.uint8(255) * shown.usable)
        known = [letterboxed(np.asarray(each, np.uint8), HEIGHT, WIDTH, 0) > 127 for each in true]
        scored.append([overlap(a, b) for a, b in zip(network.maps(shown.image), known, strict=True)])
    pupil, limbus, usable = np.mean(scored, axis=0)
    assert pupil > PUPIL_BAR
    assert limbus > LIMBUS_BAR
    assert usable > USABLE_BAR


@pytest.mark.parametrize("kind", Blank)
def test_no_eye_is_found_in_an_image_without_one(network: Network, kind: Blank) -> None:
    for seed in range(3):
        image = blank(np.random.default_rng(seed), 320, 240, kind).image
        assert network.maps(image)[LIMBUS].mean() < 0.02


def test_a_closed_eye_has_no_iris(network: Network) -> None:
    shares = []
    for n in range(8):
        image = Person(UNSEEN + n).eye(Position.LEFT_EYE).frame(n, 320, 240, EyeCondition.CLOSED)
        shares.append(float(network.maps(image)[USABLE].mean()))
    assert np.median(shares) < 0.005
