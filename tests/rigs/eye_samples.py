"""Synthetic eyes and their templates, cached: making one takes a while."""

import functools

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Modality, Position
from models import load_encoder
from models.encoder import Encoder
from models.template import Template
from simulators.people.person import EyeCondition, Person
from tests.rigs.scripted_sensor import sample_of

SEED = 7
CLOSED = np.full((480, 640), 120, np.uint8)


@functools.cache
def iris_encoder() -> Encoder:
    """One for the whole run."""
    return load_encoder(Modality.IRIS, 2)


@functools.cache
def eye_image(position: Position, number: int) -> NDArray[np.uint8]:
    """An image of an eye of one synthetic person; each number is another image."""
    return Person(SEED).eye(position).frame(number, condition=EyeCondition.NORMAL)


def eye_template(position: Position, number: int) -> Template:
    """The template of such an image."""
    return iris_encoder().encode(sample_of(eye_image(position, number), position))
