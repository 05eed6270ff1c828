import pytest

from drivers.sample import Modality, Position
from models import gallery_class, imported
from models.encoder import Entry
from models.iris.template import unpack as unpack_iris
from simulators.people.person import Person
from simulators.people.skin import Condition
from simulators.provider.encoding import encode
from simulators.provider.synthetic import BATCH, EYE_ORDER, FINGER_ORDER, Made, crowd, people

EACH = (*FINGER_ORDER[:2], *EYE_ORDER)


@pytest.fixture(scope="module")
def made() -> list[Made]:
    return list(crowd(3, BATCH + 5, EACH))


def test_a_crowd_has_as_many_persons_as_asked_each_with_its_positions(made: list[Made]) -> None:
    assert len({name for name, _ in made}) == BATCH + 5
    assert made[0][0] == "crowd-3-0000000"
    assert all(tuple(position for position, _ in templates) == EACH for _, templates in made)
    assert {template.format for _, templates in made for _, template in templates} == {
        "finger-minutiae/1", "iris-code/1",
    }  # fmt: skip


def test_no_two_templates_of_a_crowd_are_alike(made: list[Made]) -> None:
    data = [template.data for _, templates in made for _, template in templates]
    assert len(set(data)) == len(data)


def test_the_same_seed_gives_the_same_crowd_and_a_larger_one_begins_with_it(made: list[Made]) -> None:
    assert list(crowd(3, 5, EACH)) == made[:5]
    assert [one for _, one in crowd(4, 5, EACH)] != [templates for _, templates in made[:5]]


def test_the_galleries_of_a_kiosk_take_a_crowd(made: list[Made]) -> None:
    some = [(name, position, template) for name, templates in made[:20] for position, template in templates]
    fingers = [Entry(n, p, imported(t)) for n, p, t in some if t.format == "finger-minutiae/1"]
    eyes = [Entry(n, p, t) for n, p, t in some if t.format == "iris-code/1"]
    assert len(gallery_class("finger-minutiae/2").build(fingers)) == 40
    assert len(gallery_class("iris-code/1").build(eyes)) == 40
    assert all(len(unpack_iris(entry.template)) > 1000 for entry in eyes)


@pytest.mark.parametrize("each", [FINGER_ORDER[:1], EYE_ORDER[:1]])
def test_a_crowd_may_have_only_fingers_or_only_eyes(each: tuple[Position, ...]) -> None:
    (_, templates), _ = crowd(1, 2, each)
    assert tuple(position for position, _ in templates) == each


def test_the_persons_of_the_simulated_sensors_are_found_by_another_image() -> None:
    """Person 7 presents another impression of the same finger; person 8 does not get a score near it."""
    listed = dict(people([7, 8], [Position.RIGHT_INDEX, Position.LEFT_EYE]))
    assert list(listed) == ["person-7", "person-8"]
    assert [position for position, _ in listed["person-7"]] == [Position.RIGHT_INDEX, Position.LEFT_EYE]
    image = Person(7).finger(Position.RIGHT_INDEX).impression(3, condition=Condition.NORMAL)
    probe = imported(encode(Position.RIGHT_INDEX, Modality.FINGER, image, 500))
    entries = [Entry(name, Position.RIGHT_INDEX, imported(templates[0][1])) for name, templates in listed.items()]
    found = dict(gallery_class("finger-minutiae/2").build(entries).search(probe, Position.RIGHT_INDEX, 5))
    assert found["person-7"] > 2 * found.get("person-8", 0.0)
