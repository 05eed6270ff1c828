"""The small network that learned from LEADER: it sees what its teacher sees, and each knows the other's fingers."""

import math
from datetime import UTC, datetime
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from agent.config import ModelsConfig, parse
from agent.kiosk import load_encoders
from drivers.sample import Modality, Position, Sample
from models import load_encoder
from models.calibration import load_calibration
from models.finger.compare.score import compare
from models.finger.encoder import FingerEncoder
from models.finger.image import prepare
from models.finger.minutiae import TURN, Minutiae
from models.finger.quality import measure
from models.manifest import ModelError, encoder_card, load_card
from models.session import Session
from simulators.people.person import Person
from tests.agent.test_config import SMALL
from tests.conftest import touch

PEOPLE = range(900, 906)  # training begins at 2 000 000
NEAR = 8.0  # pixels
ALIKE = math.radians(20)


@pytest.fixture(name="student", scope="module")
def _student() -> FingerEncoder:
    return FingerEncoder(1, load_card("leader-student"))


@pytest.fixture(name="leader", scope="module")
def _leader() -> FingerEncoder:
    return FingerEncoder(1)


def _sample(image: NDArray[np.uint8]) -> Sample:
    return Sample(Modality.FINGER, Position.UNKNOWN, image, 8, 500.0, datetime.now(UTC), "test")


def _share(these: Minutiae, those: Minutiae) -> float:
    """Of these, how many have one of those at the same place with the same direction."""
    apart = np.hypot(*(np.subtract.outer(getattr(these, axis) * 1.0, getattr(those, axis) * 1.0) for axis in "xy"))
    turned = np.subtract.outer(these.direction * 1.0, those.direction * 1.0) * (2 * np.pi / TURN)
    return float(((apart < NEAR) & (np.cos(turned) > math.cos(ALIKE))).any(1).mean())


def test_it_finds_what_its_teacher_finds_in_fingers_that_it_has_never_seen(
    student: FingerEncoder, leader: FingerEncoder
) -> None:
    found, missed = [], []
    for number in PEOPLE:
        sample = _sample(Person(number).finger(Position.LEFT_INDEX).impression(number))
        ours, theirs = student.minutiae(sample), leader.minutiae(sample)
        found.append(_share(ours, theirs))
        missed.append(_share(theirs, ours))
    assert np.mean(found) > 0.9
    assert np.mean(missed) > 0.9


@pytest.mark.parametrize("contrast", [0.4, 0.25])
def test_a_faint_print_has_the_minutiae_of_a_strong_one(student: FingerEncoder, contrast: float) -> None:
    image = touch(1, 0)
    faint = np.round(200 + (image.astype(float) - 200) * contrast).astype(np.uint8)
    strong, weak = student.minutiae(_sample(image)), student.minutiae(_sample(faint))
    assert _share(strong, weak) > 0.85
    assert _share(weak, strong) > 0.85


def test_each_knows_the_fingers_of_the_other(student: FingerEncoder, leader: FingerEncoder) -> None:
    """A kiosk that changes its model keeps its references, and meets those of kiosks that have not."""
    rate = load_calibration(student.template_format).false_match_rate
    enrolled = [leader.encode(_sample(touch(number, 0))) for number in (1, 2)]
    shown = [student.encode(_sample(touch(number, 1))) for number in (1, 2)]
    for number, probe in enumerate(shown):
        for other, reference in enumerate(enrolled):
            assert (rate(compare(probe, reference)) < 1e-5) == (number == other)


def test_any_size_that_is_a_multiple_of_32_is_answered_pixel_for_pixel() -> None:
    session = Session(load_card("leader-student"), 1)
    for height, width in ((32, 32), (64, 160), (288, 256)):
        assert session.run(np.zeros((1, height, width, 1), np.float32)).shape == (1, height, width, 4)


def test_a_uniform_image_has_no_minutiae_and_no_nan() -> None:
    session = Session(load_card("leader-student"), 1)
    for grey in (0, 128, 255):
        planes = session.run(np.full((1, 64, 64, 1), grey, np.float32))
        assert np.isfinite(planes).all()
        assert planes[..., 3].max() < 0.2


@pytest.mark.parametrize("drawn_out", [(1, 3), (3, 1), (1, 5), (1.5, 4)])
def test_noise_that_is_drawn_out_in_one_direction_is_hardly_more_of_a_finger_to_it_than_to_its_teacher(
    student: FingerEncoder, leader: FingerEncoder, drawn_out: tuple[float, float]
) -> None:
    """As cloth or faulty rows are: the network has to see it, because its looks are those of ridges."""
    noise = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal((288, 256)), drawn_out)
    grey = np.clip(128 + 50 * noise / noise.std(), 0, 255).astype(np.uint8)
    assert measure(prepare(grey, 500.0)).worth_reading
    assert student.assess(_sample(grey)).score < leader.assess(_sample(grey)).score + 10


def test_the_configuration_chooses_it() -> None:
    chosen = parse(f"{SMALL}[models]\nfinger = 'leader-student'\nthreads = 1\n", "test")
    card = load_card("leader-student")
    encoder = load_encoders(chosen)[Modality.FINGER]
    assert (encoder.model_name, encoder.model_sha256) == (card.name, card.sha256)


def test_the_configuration_knows_every_encoder_of_fingers() -> None:
    names = get_args(ModelsConfig.model_fields["finger"].annotation)
    assert [encoder_card(name, Modality.FINGER).name for name in names] == list(names)
    with pytest.raises(ModelError, match=f"there are: {', '.join(names)}$"):
        encoder_card("none", Modality.FINGER)


def test_a_model_of_another_modality_is_refused() -> None:
    with pytest.raises(ModelError, match="'iris-encoder' is not an encoder of modality finger"):
        load_encoder(Modality.FINGER, 1, "iris-encoder")
    with pytest.raises(ModelError, match=r"there are: iris-encoder$"):
        load_encoder(Modality.IRIS, 1, "iris-segmenter")
