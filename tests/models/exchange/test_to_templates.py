"""Templates of a list: our own formats as they are, ISO records as templates with the position of each view."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sample import Modality, Position, Sample
from models.encoder import Encoder
from models.exchange import iso19794_2, iso19794_6
from models.exchange.to_templates import FINGER_RECORD, IRIS_RECORD, RecordTemplates
from models.iris import template as iris_template
from models.iris.score import compare
from models.template import Template, TemplateError
from tests.conftest import template_of
from tests.rigs.eye_samples import eye_image, eye_template, iris_encoder
from tests.rigs.iris_codes import some_code

RIGHT, LEFT, UNKNOWN = Position.RIGHT_INDEX, Position.LEFT_INDEX, Position.UNKNOWN
EYE = Position.RIGHT_EYE


class CountingEncoder:
    """Notes the samples; each template is the same."""

    def __init__(self) -> None:
        self.loaded: list[Modality] = []
        self.samples: list[Sample] = []

    def load(self, modality: Modality) -> Encoder:
        self.loaded.append(modality)
        return self  # type: ignore[return-value]  # the one method that is used

    def encode(self, sample: Sample) -> Template:
        self.samples.append(sample)
        return iris_template.pack(some_code(1))


def _fingers(*positions: Position) -> bytes:
    return iso19794_2.to_record([iso19794_2.FingerView(position, template_of(1, 1)) for position in positions])


def _irises(*positions: Position, size: int = 40) -> bytes:
    image = np.random.default_rng(1).integers(0, 256, (size, size)).astype(np.uint8)
    view = iso19794_6.IrisView(EYE, iso19794_6.ImageType.UNCROPPED, image, datetime(2026, 1, 2, tzinfo=UTC))
    return iso19794_6.to_record([replace(view, position=position) for position in positions])


def test_a_template_of_our_own_format_stays_as_it_is() -> None:
    counting = CountingEncoder()
    for name in ("finger-minutiae/1", "finger-minutiae/2", "iris-code/1", "something/9"):
        assert RecordTemplates(counting.load).read(name, LEFT, b"abc") == ((LEFT, Template(name, b"abc")),)
    assert counting.loaded == []


def test_each_view_of_a_finger_record_is_a_template_at_its_position() -> None:
    found = RecordTemplates().read(FINGER_RECORD, UNKNOWN, _fingers(RIGHT, LEFT, UNKNOWN))
    assert [position for position, _ in found] == [RIGHT, LEFT, UNKNOWN]
    assert found[0][1] == iso19794_2.from_record(_fingers(RIGHT))[0].template
    assert found[0][1].format == "finger-minutiae/2"


def test_a_view_that_names_no_position_gets_that_of_the_list() -> None:
    assert [position for position, _ in RecordTemplates().read(FINGER_RECORD, LEFT, _fingers(UNKNOWN))] == [LEFT]
    counting = CountingEncoder()
    assert [p for p, _ in RecordTemplates(counting.load).read(IRIS_RECORD, EYE, _irises(UNKNOWN, EYE))] == [EYE, EYE]


@pytest.mark.parametrize("data", [_fingers(RIGHT), _fingers(LEFT, RIGHT)])
def test_a_record_of_another_position_than_the_list_says_is_refused(data: bytes) -> None:
    with pytest.raises(TemplateError, match="the record is of right_index, but the list says left_index"):
        RecordTemplates().read(FINGER_RECORD, LEFT, data)


def test_a_record_of_another_eye_is_refused_before_it_is_encoded() -> None:
    counting = CountingEncoder()
    with pytest.raises(TemplateError, match="the record is of right_eye, but the list says left_eye"):
        RecordTemplates(counting.load).read(IRIS_RECORD, Position.LEFT_EYE, _irises(EYE))
    assert counting.samples == []


def test_the_iris_encoder_is_loaded_once_when_the_first_image_comes() -> None:
    counting = CountingEncoder()
    records = RecordTemplates(counting.load)
    records.read(FINGER_RECORD, RIGHT, _fingers(RIGHT))
    assert counting.loaded == []
    for position in (EYE, Position.LEFT_EYE, UNKNOWN):
        ((found, template),) = records.read(IRIS_RECORD, position, _irises(position))
        assert (found, template.format) == (position, "iris-code/1")
    assert counting.loaded == [Modality.IRIS]
    assert counting.samples[0].captured_at == datetime(2026, 1, 2, tzinfo=UTC)


def test_the_template_of_an_image_is_that_of_the_sample() -> None:
    view = iso19794_6.IrisView(EYE, iso19794_6.ImageType.VGA, eye_image(EYE, 1), None)
    read = RecordTemplates(lambda _: iris_encoder()).read(IRIS_RECORD, EYE, iso19794_6.to_record([view]))
    assert compare(read[0][1], eye_template(EYE, 1)) == compare(eye_template(EYE, 1), eye_template(EYE, 1))


def test_an_image_without_an_eye_is_refused_because_its_template_would_match_nobody() -> None:
    with pytest.raises(TemplateError, match="no iris was found in an image; send another"):
        RecordTemplates(lambda _: iris_encoder()).read(IRIS_RECORD, EYE, _irises(EYE, size=200))


@given(st.sampled_from([FINGER_RECORD, IRIS_RECORD]), st.binary(max_size=60), st.integers(0, 200))
def test_a_damaged_record_is_refused_with_a_template_error(name: str, noise: bytes, at: int) -> None:
    whole = _fingers(RIGHT) if name == FINGER_RECORD else _irises(EYE)
    data = whole[:at] + noise + whole[at + len(noise) :]
    counting = CountingEncoder()
    try:
        found = RecordTemplates(counting.load).read(name, UNKNOWN, data)
    except TemplateError:
        return
    assert all(isinstance(position, Position) for position, _ in found)
