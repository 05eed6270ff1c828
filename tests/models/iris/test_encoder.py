"""The encoder of irises: the graph on synthetic textures, and the encoder on images without an iris."""

import functools
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.sample import Modality, Position, Sample
from models.encoder import Quality
from models.iris.encoder import IrisEncoder, IrisGraph, extract
from models.iris.score import compare, score
from models.iris.segmentation.geometry import Boundary, Segmentation
from models.iris.template import FORMAT, IrisCode, unpack

SIZE = 200
PUPIL, LIMBUS = Boundary.circle(100, 100, 30), Boundary.circle(102, 99, 80)


@functools.cache
def graph() -> IrisGraph:
    return IrisGraph()


@functools.cache
def encoder() -> IrisEncoder:
    return IrisEncoder()


def sample(image: NDArray[np.uint8]) -> Sample:
    return Sample(Modality.IRIS, Position.RIGHT_EYE, image.copy(), 8, 500.0, datetime.now(UTC), "made up")


def texture(
    seed: int, rotation: float = 0.0, shift: tuple[float, float] = (0, 0), scale: float = 1.0
) -> NDArray[np.uint8]:
    """Waves around a point, at any scale and rotation: a synthetic iris that differs from those of other seeds."""
    rng = np.random.default_rng(seed)
    side = round(SIZE * scale)
    y, x = np.mgrid[:side, :side] / scale
    across, down = x - 100 - shift[0], y - 100 - shift[1]
    angle, radius = np.arctan2(down, across) - rotation, np.hypot(across, down)
    grey = np.full((side, side), 120.0)
    for _ in range(60):
        waves, depth, phase = rng.integers(8, 30), rng.uniform(-0.15, 0.15), rng.uniform(0, 2 * np.pi)
        grey += 6 * np.cos(waves * angle + depth * radius + phase)
    sheet: NDArray[np.uint8] = np.clip(grey, 0, 255).astype(np.uint8)
    return sheet


def around(shift: tuple[float, float] = (0, 0), scale: float = 1.0, hidden: int = 0) -> Segmentation:
    """The same two circles moved and scaled; `hidden` rows at the top are not usable."""
    usable = np.ones((round(SIZE * scale), round(SIZE * scale)), bool)
    usable[:hidden] = False
    pupil, limbus = (
        Boundary.circle((b.x + shift[0]) * scale, (b.y + shift[1]) * scale, b.mean_radius * scale)
        for b in (PUPIL, LIMBUS)
    )
    return Segmentation(pupil, limbus, usable, 1.0)


def code(seed: int, rotation: float = 0.0) -> IrisCode:
    return graph().code(texture(seed, rotation), around(), 80)


def test_the_same_iris_has_the_same_code_and_another_has_not() -> None:
    one = code(1)
    assert score(code(1), one) == score(one, one) > 0.9
    assert score(code(2), one) < 0.62


def test_a_head_held_at_an_angle_is_recognised() -> None:
    for degrees in (-22, -12, -3, 1, 8, 20):
        assert score(code(1, rotation=np.radians(degrees)), code(1)) > 0.75


def test_an_iris_elsewhere_and_of_another_size_has_the_same_code() -> None:
    moved = graph().code(texture(1, shift=(7.3, -4.1)), around(shift=(7.3, -4.1)), 0)
    larger = graph().code(texture(1, scale=1.5), around(scale=1.5), 0)
    assert score(moved, code(1)) > 0.85
    assert score(larger, code(1)) > 0.85


def test_hidden_parts_are_not_known_and_not_compared() -> None:
    image = texture(1)
    covered = image.copy()
    covered[:70] = np.random.default_rng(0).integers(0, 256, (70, SIZE))
    partial = graph().code(covered, around(hidden=70), 0)
    whole = code(1)
    assert len(partial) < 0.85 * len(whole)
    assert score(partial, whole) > score(graph().code(covered, around(), 0), whole)


def test_brightness_and_contrast_do_not_matter() -> None:
    image = texture(1)
    assert score(graph().code((image // 2 + 30).astype(np.uint8), around(), 0), code(1)) > 0.85


def test_an_iris_of_one_grey_and_one_that_is_all_hidden_are_not_similar_to_any() -> None:
    blank = graph().code(np.full((SIZE, SIZE), 90, np.uint8), around(), 0)
    hidden = graph().code(texture(1), around(hidden=SIZE), 0)
    assert len(hidden) == 0
    assert score(hidden, code(1)) == 0.5
    assert score(blank, code(1)) < 0.62


def test_an_iris_that_crosses_the_border_is_known_as_far_as_it_is_visible() -> None:
    part = graph().code(texture(1)[:, :120], Segmentation(PUPIL, LIMBUS, np.ones((SIZE, 120), bool), 1.0), 0)
    assert 0.4 * len(code(1)) < len(part) < 0.75 * len(code(1))
    assert score(part, code(1)) > 0.75


def test_a_code_carries_the_quality_of_its_sample() -> None:
    assert code(1).quality == 80


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((480, 640), np.uint8),
        np.full((480, 640), 255, np.uint8),
        np.random.default_rng(1).integers(0, 256, (480, 640)).astype(np.uint8),
        np.zeros((1, 1), np.uint8),
        np.zeros((3, 900), np.uint8),
        np.zeros((0, 0), np.uint8),
    ],
    ids=["black", "white", "noise", "one pixel", "a strip", "nothing"],
)
def test_an_image_without_an_iris_has_a_low_quality_and_a_template(image: NDArray[np.uint8]) -> None:
    quality = encoder().assess(sample(image))
    assert quality.score < 30
    assert quality.flaw is not None
    template = encoder().encode(sample(image))
    assert template.format == FORMAT
    assert unpack(template).quality == quality.score


def test_the_segmentation_is_kept_from_assess_to_encode(monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = around(), []
    image = texture(5)

    def segment(_: NDArray[np.uint8]) -> Segmentation:
        asked.append(1)
        return found

    monkeypatch.setattr("models.iris.encoder.segment", segment)
    monkeypatch.setattr("models.iris.encoder.sample_quality", lambda *_: Quality(80))
    encoder().assess(sample(image))
    first = encoder().encode(sample(image))
    assert len(asked) == 1
    assert encoder().encode(sample(image)) == first
    assert len(asked) == 2
    assert compare(first, first) > 0.9


def test_a_blank_image_has_no_iris() -> None:
    assert extract(np.full((240, 320), 128, np.uint8)).segmentation is None
