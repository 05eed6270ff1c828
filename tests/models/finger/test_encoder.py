"""Fingerprint images to templates: what is found, what quality says, and that no image whatever does harm."""

import gc
import threading
import tracemalloc
import weakref
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy import ndimage

from drivers.sample import Modality, Position, Sample
from models.encoder import Flaw, Quality
from models.finger.compare.score import compare
from models.finger.encoder import FingerEncoder, pad
from models.finger.frame import MAX_SIDE
from models.finger.image import at_500_ppi, prepare
from models.finger.minutiae import Kind, Minutiae
from models.finger.template import pack, unpack
from models.onnx_session import Session
from models.template import Template
from simulators.people.person import Condition
from tests.conftest import finger_encoder, impression_of
from tests.rigs.slaps import RIGHT_HAND, THUMBS, slap

Image = NDArray[np.uint8]
MIN_QUALITY = 20  # the policy's default: below it a sample is not used


def _sample(image: Image, pixels_per_inch: float = 500.0) -> Sample:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Sample(Modality.FINGER, Position.UNKNOWN, image.copy(), 8, pixels_per_inch, now, "synthetic")


def _assess(image: Image, pixels_per_inch: float = 500.0) -> Quality:
    return finger_encoder().assess(_sample(image, pixels_per_inch))


def _encode(image: Image, pixels_per_inch: float = 500.0) -> Minutiae:
    return unpack(finger_encoder().encode(_sample(image, pixels_per_inch)))


class _CountingSession:
    """Stands before the session and counts the passes of the network."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.passes = 0

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        self.passes += 1
        return self._session.run(image)


@pytest.fixture(name="counted")
def _counted(monkeypatch: pytest.MonkeyPatch) -> tuple[FingerEncoder, _CountingSession]:
    encoder = FingerEncoder()
    counting = _CountingSession(encoder._session)
    monkeypatch.setattr(encoder, "_session", counting)
    return encoder, counting


# --- what is found -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_finger_has_20_to_80_minutiae_inside_the_image(seed: int) -> None:
    found = _encode(impression_of(seed, 1))
    assert 20 <= len(found) <= 80
    assert (found.width, found.height) == (256, 288)
    assert set(found.kind) <= {Kind.ENDING, Kind.BIFURCATION}
    assert list(found.qualities) == sorted(found.qualities, reverse=True)
    assert found.qualities.min() >= 20


def test_encoding_is_deterministic() -> None:
    assert finger_encoder().encode(_sample(impression_of(1, 1))) == finger_encoder().encode(
        _sample(impression_of(1, 1))
    )


def test_minutiae_stay_where_they_are_when_the_frame_grows() -> None:
    image = impression_of(2, 1)
    framed = np.pad(image, ((40, 10), (64, 20)), constant_values=int(image[0, 0]))
    small, large = _places(_encode(image)), _places(_encode(framed))
    gap = np.hypot(*(small[:, np.newaxis] + (64, 40) - large).transpose(2, 0, 1))
    assert (gap.min(1) <= 2).mean() >= 0.8


def _places(minutiae: Minutiae) -> NDArray[np.float64]:
    return np.stack([minutiae.x, minutiae.y], axis=1).astype(float)


def test_a_quarter_turn_turns_positions_and_directions() -> None:
    upright, turned = _encode(impression_of(3, 1)), _encode(np.rot90(impression_of(3, 1)))  # counter-clockwise
    agreeing = 0
    for x, y, direction in zip(upright.x, upright.y, upright.direction, strict=True):
        gap = np.hypot(turned.x - float(y), turned.y - (255.0 - x))
        nearest = int(gap.argmin())
        difference = (int(turned.direction[nearest]) - int(direction) - 16_384 + 32_768) % 65_536 - 32_768
        agreeing += gap[nearest] <= 3 and abs(difference) < 65_536 / 18
    assert agreeing >= 0.8 * len(upright)


@pytest.mark.parametrize("pixels_per_inch", [363.0, 508.0, 569.0, 1000.0])
def test_other_resolutions_are_read_at_500_ppi(pixels_per_inch: float) -> None:
    image = impression_of(4, 1)
    factor = pixels_per_inch / 500
    other = np.clip(ndimage.zoom(image.astype(float), factor, order=3, mode="nearest", grid_mode=True), 0, 255)
    scaled = finger_encoder().encode(_sample(other.astype(np.uint8), pixels_per_inch))
    assert abs(unpack(scaled).width - 256) <= 1
    assert compare(scaled, finger_encoder().encode(_sample(image))) > 0.3


def test_four_bits_are_enough() -> None:
    image = impression_of(5, 1)
    coarse = (image // 16 * 17).astype(np.uint8)
    assert compare(pack(_encode(coarse)), pack(_encode(image))) > 0.5
    assert abs(_assess(coarse).score - _assess(image).score) <= 10


@pytest.mark.parametrize(("black", "white"), [(90, 140), (0, 120), (140, 255)])
def test_the_grey_scale_of_the_sensor_does_not_matter(black: int, white: int) -> None:
    image = impression_of(6, 1)
    other = (black + image.astype(float) * (white - black) / 255).astype(np.uint8)
    assert compare(pack(_encode(other)), pack(_encode(image))) > 0.4
    assert _assess(other).flaw == _assess(image).flaw


@pytest.mark.parametrize("levels", [5, 8, 12, 20, 30, 50, 100, 180, 255])
def test_faint_ridges_are_read_as_well_as_strong_ones_or_are_empty(levels: int) -> None:
    """From 12 grey levels between ridges and valleys on, whatever the background. Fainter ones: empty, or read."""
    image = impression_of(6, 1).astype(np.float64)
    unit = np.clip((image - np.percentile(image, 2)) / np.ptp(np.percentile(image, (2, 98))), 0, 1)
    reference = pack(_encode(impression_of(6, 1)))
    for darkest in {0, (255 - levels) // 2, 255 - levels}:
        other = np.rint(darkest + unit * levels).astype(np.uint8)
        quality = _assess(other)
        if levels >= 12:
            assert compare(pack(_encode(other)), reference) > 0.7
            assert abs(quality.score - _assess(impression_of(6, 1)).score) <= 12
        else:
            assert quality.flaw is Flaw.EMPTY or quality.score >= MIN_QUALITY


# --- quality -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_a_good_touch_is_good_enough_to_enrol(seed: int) -> None:
    assert _assess(impression_of(seed, 1)).score >= 50


FLAWED = {
    Condition.DRY: Flaw.TOO_DRY,
    Condition.WET: Flaw.TOO_WET,
    Condition.PARTIAL: Flaw.PARTIAL,
}


@pytest.mark.parametrize(("condition", "flaw"), FLAWED.items())
def test_the_flaw_names_what_is_wrong_with_most_touches(condition: Condition, flaw: Flaw) -> None:
    named = [_assess(impression_of(seed, 1, condition=condition)).flaw for seed in range(1, 7)]
    assert named.count(flaw) >= 5


def test_the_quality_of_good_touches_is_above_that_of_bad_ones() -> None:
    def mean(condition: Condition) -> float:
        return float(np.mean([_assess(impression_of(seed, 1, condition=condition)).score for seed in range(1, 7)]))

    assert mean(Condition.NORMAL) > mean(Condition.PARTIAL) + 10
    assert mean(Condition.PARTIAL) > mean(Condition.UNREADABLE) + 30


def test_a_finger_that_cannot_be_read_is_not_used() -> None:
    for seed in range(1, 7):
        quality = _assess(impression_of(seed, 1, condition=Condition.UNREADABLE))
        assert quality.score < MIN_QUALITY
        assert quality.flaw is not None


def test_a_fragment_is_too_small() -> None:
    fragment = np.full((288, 256), 230, np.uint8)
    fragment[100:190, 80:170] = impression_of(1, 1)[100:190, 80:170]
    quality = _assess(fragment)
    assert quality.flaw is Flaw.TOO_SMALL
    assert quality.score < 40


def test_the_template_carries_the_quality_of_its_sample() -> None:
    assert _encode(impression_of(1, 1)).quality == _assess(impression_of(1, 1)).score


def test_measures_are_plain_numbers() -> None:
    assert all(type(value) is float for value in _assess(impression_of(1, 1)).measures.values())


# --- images that are no fingers ------------------------------------------------------------------------------------

RNG = np.random.default_rng(7)
EMPTY: dict[str, Image] = {
    "black": np.zeros((288, 256), np.uint8),
    "white": np.full((288, 256), 255, np.uint8),
    "nearly white": RNG.integers(250, 256, (288, 256), dtype=np.uint8),
    "two greys of a 4-bit sensor": RNG.integers(0, 2, (288, 256), dtype=np.uint8) * 17,
    "slow shading": np.tile(np.linspace(0, 255, 256).astype(np.uint8), (288, 1)),
    "one pixel": np.zeros((1, 1), np.uint8),
    "no pixel": np.zeros((0, 0), np.uint8),
    "one row": RNG.integers(0, 256, (1, 700), dtype=np.uint8),
    "one column": RNG.integers(0, 256, (700, 1), dtype=np.uint8),
    "16 x 16": RNG.integers(0, 256, (16, 16), dtype=np.uint8),
}
USELESS: dict[str, Image] = {
    "noise": RNG.integers(0, 256, (288, 256), dtype=np.uint8),
    "4-bit noise": RNG.integers(0, 16, (288, 256), dtype=np.uint8) * 17,
    "blurred noise": np.clip(ndimage.gaussian_filter(RNG.normal(128, 400, (288, 256)), 2), 0, 255).astype(np.uint8),
    "checkerboard": (np.indices((288, 256)).sum(0) % 2 * 255).astype(np.uint8),
    "stripes": np.tile((127 + 127 * np.sin(np.arange(256) * 2 * np.pi / 9)).astype(np.uint8), (288, 1)),
    "text-like blocks": np.kron(RNG.integers(0, 2, (36, 32), dtype=np.uint8) * 255, np.ones((8, 8), np.uint8)),
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_image_is_empty(name: str) -> None:
    quality = _assess(EMPTY[name])
    assert (quality.score, quality.flaw) == (0, Flaw.EMPTY)
    assert len(_encode(EMPTY[name])) == 0


@pytest.mark.parametrize("name", USELESS)
def test_what_is_no_finger_is_not_used(name: str) -> None:
    quality = _assess(USELESS[name])
    assert quality.score < MIN_QUALITY
    assert quality.flaw is not None


def test_a_huge_frame_costs_one_pass_of_the_network(
    counted: tuple[FingerEncoder, _CountingSession],
) -> None:
    encoder, session = counted
    huge = np.full((4000, 5000), 255, np.uint8)
    huge[1856:2144, 2372:2628] = impression_of(1, 1)
    assert encoder.assess(_sample(huge)).score >= 50
    assert session.passes == 1
    assert max(prepare(np.tile(impression_of(1, 1), (12, 12)), 500.0).image.shape) <= MAX_SIDE


@pytest.mark.parametrize(("place", "pixels_per_inch"), [((0, 0), 500.0), ((4424, 4488), 1000.0), ((3000, 200), 500.0)])
def test_a_finger_anywhere_in_a_frame_of_5000_pixels_is_read(place: tuple[int, int], pixels_per_inch: float) -> None:
    row, column = place
    finger = impression_of(1, 1)
    if pixels_per_inch == 1000.0:
        finger = np.asarray(Pillow.fromarray(finger).resize((512, 576), Pillow.Resampling.BICUBIC))
    huge = np.random.default_rng(2).integers(200, 241, (5000, 5000), dtype=np.uint8)
    huge[row : row + finger.shape[0], column : column + finger.shape[1]] = finger
    found = _encode(huge, pixels_per_inch)
    assert compare(pack(found), pack(_encode(impression_of(1, 1)))) > 0.8
    assert found.width == found.height == 2_500_000 / pixels_per_inch


def test_reading_a_huge_frame_takes_little_memory_beside_it() -> None:
    huge = np.full((5000, 5000), 230, np.uint8)
    huge[4000:4288, 500:756] = impression_of(1, 1)
    tracemalloc.start()
    try:
        prepare(huge, 500.0)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_of_several_fingers_nothing_is_read(counted: tuple[FingerEncoder, _CountingSession]) -> None:
    encoder, session = counted
    for image in (slap(900, RIGHT_HAND, 10), slap(900, THUMBS, 4)):
        quality = encoder.assess(_sample(image))
        assert (quality.score, quality.flaw) == (0, Flaw.SEVERAL)
        assert not len(unpack(encoder.encode(_sample(image))))
    assert session.passes == 0


def test_two_fingers_far_apart_in_a_large_frame_are_several() -> None:
    frame = np.full((3000, 4000), 230, np.uint8)
    frame[100:388, 100:356] = impression_of(1, 1)
    frame[2500:2788, 3500:3756] = impression_of(2, 1)
    assert _assess(frame).flaw is Flaw.SEVERAL


@pytest.mark.parametrize("pixels_per_inch", [0.0, -1.0, 1e-9, 1e12, float("nan"), float("inf")])
def test_of_an_impossible_resolution_nothing_is_read(pixels_per_inch: float) -> None:
    assert at_500_ppi(impression_of(1, 1), pixels_per_inch).shape == (
        288,
        256,
    )  # whatever it says it takes no more memory
    assert _assess(impression_of(1, 1), pixels_per_inch).score == 0


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=70)), st.floats(50, 5000))
def test_no_small_image_is_of_any_use(image: Image, pixels_per_inch: float) -> None:
    quality = _assess(image, pixels_per_inch)
    assert 0 <= quality.score < MIN_QUALITY
    assert unpack(finger_encoder().encode(_sample(image, pixels_per_inch))).quality == quality.score


# --- one pass of the network ----------------------------------------------------------------------------------------


def test_encoding_what_was_assessed_costs_no_second_pass(counted: tuple[FingerEncoder, _CountingSession]) -> None:
    encoder, session = counted
    sample = _sample(impression_of(1, 1))
    encoder.assess(sample)
    encoder.encode(sample)
    assert session.passes == 1


def test_nothing_of_an_encoded_sample_is_remembered(counted: tuple[FingerEncoder, _CountingSession]) -> None:
    encoder, _ = counted
    encoder.assess(_sample(impression_of(1, 1)))
    encoder.encode(_sample(impression_of(1, 1)))
    assert not encoder._extractions


def test_only_the_last_few_assessed_samples_are_remembered(counted: tuple[FingerEncoder, _CountingSession]) -> None:
    encoder, session = counted
    blank = impression_of(1, 1)
    for number in range(20):
        encoder.assess(_sample(np.full((8, 8 + number), 255, np.uint8)))
    encoder.assess(_sample(blank))
    assert len(encoder._extractions) == 4
    assert session.passes == 1


def test_a_dropped_encoder_is_freed_without_the_garbage_collector() -> None:
    """It holds the memory of its network, of which the collector knows nothing."""
    encoder = FingerEncoder()
    encoder.assess(_sample(impression_of(1, 1)))
    freed = weakref.ref(encoder)
    gc.disable()
    try:
        del encoder
        assert freed() is None
    finally:
        gc.enable()


def test_an_empty_image_costs_no_pass(counted: tuple[FingerEncoder, _CountingSession]) -> None:
    encoder, session = counted
    for image in (*EMPTY.values(), USELESS["noise"]):
        encoder.assess(_sample(image))
        encoder.encode(_sample(image))
    assert session.passes == 0


def test_threads_get_the_templates_of_their_own_samples() -> None:
    encoder = finger_encoder()
    images = [impression_of(seed, 1) for seed in range(1, 5)]
    expected = [encoder.encode(_sample(image)) for image in images]
    found: dict[int, Template] = {}

    def work(number: int) -> None:
        sample = _sample(images[number])
        encoder.assess(sample)
        found[number] = encoder.encode(sample)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(len(images))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [found[number] for number in range(len(images))] == expected


# --- parts ------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 100), st.integers(1, 100))
def test_padding_centres_the_image_in_multiples_of_32(height: int, width: int) -> None:
    image = np.full((height, width), 7, np.float32)
    padded, top, left = pad(image)
    assert [side % 32 for side in padded.shape] == [0, 0]
    assert (padded[top : top + height, left : left + width] == image).all()
    assert 0 <= padded.shape[0] - height - 2 * top <= 1


# --- the stored form -----------------------------------------------------------------------------------------------
