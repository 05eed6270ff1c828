"""Images without an eye, prints, and faces with two eyes."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from drivers.sample import Position
from simulators.people.eye_blanks import Blank, printed, two_eyes
from simulators.people.person import Person, blank

EYE = Person(1).eye(Position.LEFT_EYE)
WIDTH, HEIGHT = 320, 240


@pytest.mark.parametrize("kind", Blank)
def test_a_scene_without_an_eye_has_no_outlines(kind: Blank) -> None:
    scene = blank(np.random.default_rng(3), WIDTH, HEIGHT, kind)
    assert scene.image.shape == (HEIGHT, WIDTH)
    assert scene.pupil.shape == scene.limbus.shape == (0, 2)
    assert not scene.usable.any()


def test_a_print_is_dots_and_a_face_has_two_eyes() -> None:
    image = EYE.frame(0, WIDTH, HEIGHT)
    dots = printed(image).astype(float)
    spectrum = np.abs(np.fft.rfft2(dots - gaussian_filter(dots, 4)))
    row, column = np.unravel_index(int(spectrum.argmax()), spectrum.shape)
    assert max(min(row, HEIGHT - row) / HEIGHT, column / WIDTH) > 0.15, "the screen of the printer is the strongest"
    face = two_eyes(image, Person(1).eye(Position.RIGHT_EYE).frame(0, WIDTH, HEIGHT))
    assert face.shape == image.shape
