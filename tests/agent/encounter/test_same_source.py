"""Whether two samples are of one finger or eye: real templates of synthetic eyes."""

from agent.encounter.same_source import is_duplicate
from drivers.sample import Position
from tests.conftest import template_of
from tests.rigs.eye_samples import SEED, eye_template


def test_an_eye_is_similar_to_itself_and_not_to_the_other() -> None:
    first = eye_template(Position.RIGHT_EYE, 0)
    assert is_duplicate(eye_template(Position.RIGHT_EYE, 1), [first])
    assert not is_duplicate(eye_template(Position.LEFT_EYE, 0), [first])


def test_fingers_and_eyes_are_not_compared() -> None:
    assert not is_duplicate(eye_template(Position.RIGHT_EYE, 0), [template_of(SEED, 0)])
