"""The messages for the traveller: one for every key, polite, and the same for a lead and a referral."""

import pytest

from agent.encounter.messages import ENGLISH, ENGLISH_EYES, OUTCOME_MESSAGES, MessageKey, message_text
from agent.events.event import Outcome
from drivers.errors import Retry
from drivers.sample import Modality, Position
from models.encoder import Flaw


def test_every_message_key_has_a_text() -> None:
    for key in (*MessageKey, *Retry, *Flaw):
        for position in (Position.LEFT_THUMB, Position.LEFT_EYE, Position.UNKNOWN):
            text = message_text(key, position)
            assert text
            assert "{" not in text
    assert set(ENGLISH) == {*MessageKey, *Retry, *Flaw}


def test_no_message_accuses_anybody() -> None:
    words = " ".join([*ENGLISH.values(), *ENGLISH_EYES.values()]).lower()
    for word in ("match", "wanted", "criminal", "alert", "hit", "suspect", "police", "watchlist"):
        assert word not in words.split()


def test_a_lead_and_a_referral_have_the_same_message() -> None:
    assert OUTCOME_MESSAGES[Outcome.LEAD] is OUTCOME_MESSAGES[Outcome.REFER]


@pytest.mark.parametrize(
    ("position", "modality", "text"),
    [
        (Position.RIGHT_INDEX, Modality.FINGER, "Please place your right index finger on the reader."),
        (Position.LEFT_THUMB, Modality.FINGER, "Please place your left thumb on the reader."),
        (Position.UNKNOWN, Modality.FINGER, "Please place your finger on the reader."),
        (Position.LEFT_EYE, Modality.FINGER, "Please look into the camera with your left eye."),
        (Position.UNKNOWN, Modality.IRIS, "Please look into the camera with your eye."),
    ],
)
def test_a_message_names_the_requested_finger_or_eye(position: Position, modality: Modality, text: str) -> None:
    assert message_text(MessageKey.PRESENT, position, modality) == text


def test_a_message_without_a_text_for_eyes_is_the_general_one() -> None:
    assert message_text(Flaw.TOO_FAR, Position.LEFT_EYE) == ENGLISH[Flaw.TOO_FAR]
