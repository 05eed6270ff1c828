"""Synthetic persons as entries of a list: a crowd of any size, or persons whom the simulated sensors can present.

A crowd is made as minutiae and iris codes, thousands a second; nobody can present such a finger. The persons of
simulators/people/person.py are drawn as images and encoded, as a kiosk would do it: two or three seconds each. The same
seed gives the same templates.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.random import Generator

from drivers.sample import Modality, Position
from models.finger.template import EXCHANGE_FORMAT
from models.iris.template import IrisCode
from models.iris.template import pack as pack_iris
from models.template import Template
from simulators.people.eye_scene import EyeCondition
from simulators.people.finger_minutiae import HEIGHT, WIDTH, fingers
from simulators.people.iris_codes import VARIANTS, code_columns, visible_columns
from simulators.people.person import Person
from simulators.people.skin import Condition
from simulators.provider.encoding import NO_RESOLUTION, encode

Made = tuple[str, list[tuple[Position, Template]]]  # reference id and templates

# The order in which positions are taken: a person with two fingers has the first two.
FINGER_ORDER = (
    Position.RIGHT_INDEX, Position.LEFT_INDEX, Position.RIGHT_THUMB, Position.LEFT_THUMB, Position.RIGHT_MIDDLE,
    Position.LEFT_MIDDLE, Position.RIGHT_RING, Position.LEFT_RING, Position.RIGHT_LITTLE, Position.LEFT_LITTLE,
)  # fmt: skip
EYE_ORDER = (Position.RIGHT_EYE, Position.LEFT_EYE)
BATCH = 1024  # persons of a crowd that are made at a time; another number would give other persons
QUALITY = 60  # of a sample of a crowd
FINGER_SIZE, FINGER_PPI = (320, 416), 500.0

# The layout of "finger-minutiae/1": models/finger/template.py.
_HEADER = np.dtype(
    [("magic", "S3"), ("version", "u1"), ("width", "<u2"), ("height", "<u2"), ("quality", "u1"), ("count", "u1")]
)
_ROW = np.dtype([("x", "<u2"), ("y", "<u2"), ("direction", "<u2"), ("kind", "u1"), ("quality", "u1")])


def crowd(seed: int, persons: int, each: Sequence[Position]) -> Iterator[Made]:
    """The ids and templates of a crowd, person after person. A larger crowd of the same seed begins with this one."""
    of_fingers = [position for position in each if position.modality is Modality.FINGER]
    of_eyes = [position for position in each if position.modality is Modality.IRIS]
    for first in range(0, persons, BATCH):
        rng = np.random.default_rng([seed, first])
        prints, irises = _prints(rng, BATCH * len(of_fingers)), _irises(rng, BATCH * len(of_eyes))
        for number in range(first, min(first + BATCH, persons)):
            found = [(position, next(prints)) for position in of_fingers]
            found += [(position, next(irises)) for position in of_eyes]
            yield f"crowd-{seed}-{number:07d}", found


def people(numbers: Iterable[int], each: Sequence[Position]) -> Iterator[Made]:
    """The ids and templates of persons whom the simulated sensors know by these numbers (kiosk-sim --person)."""
    for number in numbers:
        yield f"person-{number}", [(position, _encoded(Person(number), position)) for position in each]


def _prints(rng: Generator, number: int) -> Iterator[Template]:
    made = fingers(rng, number)
    rows = np.empty(len(made.rows), _ROW)
    for column, name in enumerate(("x", "y", "direction", "quality")):
        rows[name] = made.rows[:, column]
    rows["kind"] = rng.integers(1, 3, len(rows))
    head = np.array([(b"KFM", 1, WIDTH, HEIGHT, QUALITY, 0)], _HEADER)
    for start, end in zip(made.starts[:-1].tolist(), made.starts[1:].tolist(), strict=True):
        head["count"] = end - start
        yield Template(EXCHANGE_FORMAT, head.tobytes() + rows[start:end].tobytes())


def _irises(rng: Generator, number: int) -> Iterator[Template]:
    all_numbers = np.arange(number)
    columns = code_columns(rng, -(-number // VARIANTS)).variant(all_numbers // VARIANTS, all_numbers % VARIANTS)
    for code, mask in zip(*columns.words(visible_columns(rng, number)), strict=True):
        yield pack_iris(IrisCode(QUALITY, code, mask))


def _encoded(person: Person, position: Position) -> Template:
    if position.modality is Modality.FINGER:
        image = person.finger(position).impression(0, *FINGER_SIZE, FINGER_PPI, Condition.NORMAL)
        return encode(position, Modality.FINGER, image, FINGER_PPI)
    return encode(position, Modality.IRIS, person.eye(position).frame(0, condition=EyeCondition.NORMAL), NO_RESOLUTION)
