"""leader-student: it finds the minutiae that LEADER finds, and templates of both models are comparable."""

import math
from datetime import UTC, datetime
from pathlib import Path
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
from models.onnx_session import Session
from models.training.networks.finger_pictures import TrainingSet, batches, example
from simulators.people.person import Person
from tests.agent.test_config import SMALL
from tests.conftest import impression_of

PEOPLE = range(900, 906)  # training begins at 2 000 000
NEAR = 8.0  # pixels
SAME_DIRECTION = math.radians(20)


@pytest.fixture(name="student", scope="module")
def _student() -> FingerEncoder:
    return FingerEncoder(1, load_card("leader-student"))


@pytest.fixture(name="leader", scope="module")
def _leader() -> FingerEncoder:
    return FingerEncoder(1)


def _sample(image: NDArray[np.uint8]) -> Sample:
    return Sample(Modality.FINGER, Position.UNKNOWN, image, 8, 500.0, datetime.now(UTC), "test")


def _share(these: Minutiae, those: Minutiae) -> float:
    """The share of these that have one of those at the same place with the same direction."""
    apart = np.hypot(*(np.subtract.outer(getattr(these, axis) * 1.0, getattr(those, axis) * 1.0) for axis in "xy"))
    rotation = np.subtract.outer(these.direction * 1.0, those.direction * 1.0) * (2 * np.pi / TURN)
    return float(((apart < NEAR) & (np.cos(rotation) > math.cos(SAME_DIRECTION))).any(1).mean())


def test_it_finds_what_leader_finds_in_fingers_that_are_not_in_its_training_data(
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
    image = impression_of(1, 0)
    faint = np.round(200 + (image.astype(float) - 200) * contrast).astype(np.uint8)
    strong, weak = student.minutiae(_sample(image)), student.minutiae(_sample(faint))
    assert _share(strong, weak) > 0.85
    assert _share(weak, strong) > 0.85


def test_templates_of_both_models_are_comparable(student: FingerEncoder, leader: FingerEncoder) -> None:
    """A kiosk that changes its model keeps its references, and receives those of kiosks that have not changed."""
    rate = load_calibration(student.template_format).false_match_rate
    enrolled = [leader.encode(_sample(impression_of(number, 0))) for number in (1, 2)]
    shown = [student.encode(_sample(impression_of(number, 1))) for number in (1, 2)]
    for number, probe in enumerate(shown):
        for other, reference in enumerate(enrolled):
            assert (rate(compare(probe, reference)) < 1e-5) == (number == other)


def test_the_output_has_the_size_of_any_input_with_sides_that_are_multiples_of_32() -> None:
    session = Session(load_card("leader-student"), 1)
    for height, width in ((32, 32), (64, 160), (288, 256)):
        assert session.run(np.zeros((1, height, width, 1), np.float32)).shape == (1, height, width, 4)


def test_a_uniform_image_has_no_minutiae_and_no_nan() -> None:
    session = Session(load_card("leader-student"), 1)
    for grey in (0, 128, 255):
        planes = session.run(np.full((1, 64, 64, 1), grey, np.float32))
        assert np.isfinite(planes).all()
        assert planes[..., 3].max() < 0.2


@pytest.mark.parametrize("stretch", [(1, 3), (3, 1), (1, 5), (1.5, 4)])
def test_noise_stretched_in_one_direction_gets_hardly_more_quality_than_from_leader(
    student: FingerEncoder, leader: FingerEncoder, stretch: tuple[float, float]
) -> None:
    """Like cloth or bad rows. The network must reject it, because its measures are those of ridges."""
    noise = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal((288, 256)), stretch)
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


def test_the_network_can_be_trained_and_continues_from_a_checkpoint(tmp_path: Path) -> None:
    """Four steps give the same weights as two, a checkpoint, and two more."""
    torch = pytest.importorskip("torch", reason="torch is only in the environment of the training")
    from models.training.networks.leader_student import Training  # noqa: PLC0415 - imports torch

    training_set = TrainingSet(*(np.stack(each) for each in zip(*(example(n) for n in (0, 1, 7, 8)), strict=True)))
    source = batches(training_set, 2, np.random.default_rng(1))
    made = [next(source) for _ in range(4)]
    whole, first, second = Training(1), Training(1), Training(2)

    def learn(training: Training, first_batch: int, last_batch: int) -> None:
        for image, planes in made[first_batch:last_batch]:
            training.step(torch.from_numpy(image), torch.from_numpy(planes), 4)

    learn(whole, 0, 4)
    learn(first, 0, 2)
    first.keep(tmp_path / "kept.pt")
    second.resume(tmp_path / "kept.pt")
    learn(second, 2, 4)
    assert second.done == whole.done == 4
    one, other = whole.mean.state_dict(), second.mean.state_dict()
    assert all(bool((one[name] == other[name]).all()) for name in one)
    torch.save({"network": {}}, tmp_path / "kept.pt")
    with pytest.raises(SystemExit, match=r"kept\.pt: is not a file that --kept has written"):
        second.resume(tmp_path / "kept.pt")
