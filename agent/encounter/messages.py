"""The messages for the traveller: message keys, and the English text of each. Other languages are further tables.

A lead and a referral have the same text: nobody is shown as wanted.
"""

from enum import StrEnum

from agent.events.event import Outcome
from drivers.errors import Retry
from drivers.sample import Modality, Position
from models.encoder import Flaw


class MessageKey(StrEnum):
    """Keys of the messages at the steps of an encounter; retries use the keys of Retry and Flaw."""

    PRESENT = "present"
    WORKING = "working"
    PROCEED = "proceed"
    GO_TO_OFFICER = "go_to_officer"
    OUT_OF_SERVICE = "out_of_service"


OUTCOME_MESSAGES: dict[Outcome, MessageKey] = {
    Outcome.CLEAR: MessageKey.PROCEED,
    Outcome.LEAD: MessageKey.GO_TO_OFFICER,
    Outcome.REFER: MessageKey.GO_TO_OFFICER,
}

ENGLISH: dict[str, str] = {
    MessageKey.PRESENT: "Please place your {position} on the reader.",
    MessageKey.WORKING: "Thank you. One moment, please.",
    MessageKey.PROCEED: "Thank you. Please go ahead.",
    MessageKey.GO_TO_OFFICER: "Thank you. An officer at the desk will help you with the next step.",
    MessageKey.OUT_OF_SERVICE: "This kiosk is not available at the moment. An officer at the desk will help you.",
    Retry.NOTHING_PRESENTED: "Please place your {position} on the reader.",
    Retry.LIFT_FINGER: "Please lift your finger.",
    Retry.LOOK_AWAY: "Please move back from the camera for a moment.",
    Retry.MOVED: "That did not work. Please place your {position} again and hold still.",
    Retry.SAME_AGAIN: "That finger has already been read. Please use your {position} now.",
    Retry.TOO_MESSY: "The image is not clear. Please wipe the reader and place your {position} again.",
    Flaw.EMPTY: "No finger could be seen. Please place your {position} on the reader.",
    Flaw.TOO_SMALL: "Please press your {position} flat on the reader.",
    Flaw.TOO_DRY: "Your finger is very dry. Please breathe on it and place your {position} again.",
    Flaw.TOO_WET: "Your finger is damp. Please wipe it and place your {position} again.",
    Flaw.PARTIAL: "Please place your {position} in the middle of the reader.",
    Flaw.TOO_FEW_FEATURES: "Your finger could not be read. Please place your {position} again and hold still.",
    Flaw.NO_EYE: "No open eye could be seen. Please look into the camera with your {position}.",
    Flaw.SEVERAL: "One finger at a time, please. Place only your {position} on the reader.",
    Flaw.TOO_FAR: "Please come a little closer.",
    Flaw.TOO_CLOSE: "Please move back a little.",
    Flaw.EYE_CLOSED: "Please open your {position} wide.",
    Flaw.BLURRED: "The image is not sharp. Please hold still.",
    Flaw.LOOKS_AWAY: "Please look straight into the camera.",
    Flaw.GLARE: "There are reflections. Please take off your glasses or tilt your head a little.",
}

# Used in place of the above where an eye is requested.
ENGLISH_EYES: dict[str, str] = {
    MessageKey.PRESENT: "Please look into the camera with your {position}.",
    Retry.NOTHING_PRESENTED: "Please look into the camera with your {position}.",
    Retry.MOVED: "That did not work. Please look into the camera with your {position} again and hold still.",
    Retry.SAME_AGAIN: "That eye has already been read. Please use your {position} now.",
    Retry.TOO_MESSY: "The image is not clear. Please look into the camera with your {position} again.",
    Flaw.EMPTY: "No eye could be seen. Please look into the camera with your {position}.",
    Flaw.PARTIAL: "Please bring your {position} to the middle of the image.",
    Flaw.SEVERAL: "Please let the camera see only your {position}.",
    Flaw.TOO_FEW_FEATURES: "Your {position} could not be read. Please look straight into the camera and hold still.",
}


def message_text(key: str, position: Position = Position.UNKNOWN, modality: Modality = Modality.FINGER) -> str:
    """The English text of a message key. `modality` is that of the sensor; a known position takes precedence."""
    requested = position.modality or modality
    text = ENGLISH_EYES.get(key) if requested is Modality.IRIS else None
    return (text or ENGLISH[key]).format(position=_position_name(position, requested))


def _position_name(position: Position, modality: Modality) -> str:
    if position is Position.UNKNOWN:
        return "eye" if modality is Modality.IRIS else "finger"
    name = position.replace("_", " ")
    return name if name.endswith(("thumb", "eye")) else f"{name} finger"
