"""The anatomy and the presentations of a synthetic eye: their ranges, and the effect of each condition."""

from collections import Counter

import numpy as np
import pytest

from simulators.people.eye_scene import Anatomy, EyeCondition, Presentation, draw_anatomy, draw_presentation
from simulators.people.person import EYES, Person

WIDTH, HEIGHT = 320, 240
FRAMES = 6


def facts(condition: EyeCondition, name: str) -> float:
    """The mean of a fact over a few persons."""
    scenes = [Person(40 + n).eye(EYES[n % 2]).scene(n, WIDTH, HEIGHT, condition) for n in range(FRAMES)]
    return float(np.mean([scene.facts[name] for scene in scenes]))


def test_a_closed_eye_shows_nothing_and_a_half_closed_one_less() -> None:
    assert facts(EyeCondition.CLOSED, "usable_share") == 0
    assert facts(EyeCondition.HALF_CLOSED, "usable_share") < 0.75 * facts(EyeCondition.NORMAL, "usable_share")


def test_conditions_have_their_effect() -> None:
    assert facts(EyeCondition.FAR, "iris_diameter_px") < 0.75 * facts(EyeCondition.NORMAL, "iris_diameter_px")
    assert facts(EyeCondition.NEAR, "iris_diameter_px") > 1.15 * facts(EyeCondition.NORMAL, "iris_diameter_px")
    assert facts(EyeCondition.AWAY, "gaze") > 3 * facts(EyeCondition.NORMAL, "gaze")
    assert facts(EyeCondition.CONSTRICTED, "pupil_ratio") < 0.8 * facts(EyeCondition.NORMAL, "pupil_ratio")


def anatomy_of(seed: int) -> Anatomy:
    return draw_anatomy(np.random.default_rng(seed), nose=1)


def presentations(condition: EyeCondition | None, count: int) -> list[Presentation]:
    rng = np.random.default_rng(7)
    return [draw_presentation(rng, anatomy_of(seed), condition) for seed in range(count)]


def test_the_same_seed_gives_the_same_eye() -> None:
    assert anatomy_of(1) == anatomy_of(1)
    assert anatomy_of(1) != anatomy_of(2)


def test_the_iris_is_darker_than_the_sclera() -> None:
    for seed in range(50):
        anatomy = anatomy_of(seed)
        assert anatomy.iris_light < anatomy.sclera_light <= 0.85


@pytest.mark.parametrize("condition", EyeCondition)
def test_a_presentation_stays_within_the_limits_of_an_eye(condition: EyeCondition) -> None:
    for each in presentations(condition, 30):
        assert 0.16 <= each.pupil <= 0.72
        assert 0 <= each.opening <= 1.1
        assert all(radius > 0 and 0 < light <= 1 for _, _, radius, light in each.highlights)


def test_each_condition_is_what_its_name_says() -> None:
    assert {each.opening for each in presentations(EyeCondition.CLOSED, 30)} == {0.0}
    assert min(each.glare for each in presentations(EyeCondition.GLASSES, 30)) >= 1
    assert min(each.focus_px for each in presentations(EyeCondition.BLURRED, 30)) >= 2.5
    assert max(each.light for each in presentations(EyeCondition.DARK, 30)) <= 0.5
    assert min(each.iris_px for each in presentations(EyeCondition.NEAR, 30)) >= 190
    assert np.mean([np.hypot(*each.motion_px) for each in presentations(EyeCondition.MOVING, 30)]) > 5


def test_the_lamps_are_a_ring_a_pair_or_a_single_one() -> None:
    counts = Counter(len(each.highlights) for each in presentations(EyeCondition.NORMAL, 200))
    assert set(counts) <= {1, 2, 3, 4, 8, 16}  # the reflection in the lens doubles a ring; a single lamp has spots
    assert counts[8] + counts[16] > 40
    assert counts[1] + counts[2] + counts[3] > 40


def test_without_a_condition_no_eye_is_closed_and_most_are_open() -> None:
    found = [each.opening for each in presentations(None, 200)]
    assert min(found) > 0
    assert np.mean([opening > 0.7 for opening in found]) > 0.7
