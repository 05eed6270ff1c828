"""What a traveller is told: message keys, and the words of each in English. Other languages are further tables.

A lead and a referral read the same on the screen: nobody is shown as wanted.
"""

from enum import StrEnum

from agent.events.event import Outcome
from drivers.errors import Retry
from drivers.sample import Modality, Position
from models.encoder import Flaw


class MessageKey(StrEnum):
    """Keys of what is said at the steps of an encounter; retries use the keys of Retry and Flaw."""

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
    MessageKey.OUT_OF_SERVICE: "This kiosk is taking a break. An officer at the desk will help you.",
    Retry.NOTHING_PRESENTED: "Please place your {position} on the reader.",
    Retry.LIFT_FINGER: "Please lift your finger.",
    Retry.LOOK_AWAY: "Please move back from the camera for a moment.",
    Retry.MOVED: "That did not work. Please place your {position} again and hold still.",
    Retry.SAME_AGAIN: "That was the same finger. Please show your {position}.",
    Retry.TOO_MESSY: "The picture is not clear. Please wipe the reader and place your {position} again.",
    Flaw.EMPTY: "No finger could be seen. Please place your {position} on the reader.",
    Flaw.TOO_SMALL: "Please press your {position} flat on the reader.",
    Flaw.TOO_DRY: "Your finger is very dry. Please breathe on it and place your {position} again.",
    Flaw.TOO_WET: "Your finger is damp. Please wipe it and place your {position} again.",
    Flaw.PARTIAL: "Please place your {position} in the middle of the reader.",
    Flaw.TOO_FEW_FEATURES: "Your finger could not be read. Please place your {position} again and hold still.",
    Flaw.NO_EYE: "No open eye could be seen. Please look into the camera with your {position}.",
    Flaw.SEVERAL: "Please let the camera see your {position} only.",
    Flaw.TOO_FAR: "Please come a little closer.",
    Flaw.TOO_CLOSE: "Please move back a little.",
    Flaw.EYE_CLOSED: "Please open your {position} wide.",
    Flaw.BLURRED: "The picture is not sharp. Please hold still.",
    Flaw.LOOKS_AWAY: "Please look straight into the camera.",
    Flaw.GLARE: "Light is reflected. Please take off your glasses or tilt your head a little.",
}

# Where an eye is asked for, these are said in place of the above.
ENGLISH_EYES: dict[str, str] = {
    MessageKey.PRESENT: "Please look into the camera with your {position}.",
    Retry.NOTHING_PRESENTED: "Please look into the camera with your {position}.",
    Retry.MOVED: "That did not work. Please look into the camera with your {position} again and hold still.",
    Retry.SAME_AGAIN: "That was the same eye. Please show your {position}.",
    Retry.TOO_MESSY: "The picture is not clear. Please look into the camera with your {position} again.",
    Flaw.EMPTY: "No eye could be seen. Please look into the camera with your {position}.",
    Flaw.PARTIAL: "Please bring your {position} to the middle of the picture.",
    Flaw.TOO_FEW_FEATURES: "Your {position} could not be read. Please look straight into the camera and hold still.",
}


def message_text(key: str, position: Position = Position.UNKNOWN, modality: Modality = Modality.FINGER) -> str:
    """The words of a message key. `modality` is that of the sensor; where the position is known it says more."""
    asked = position.modality or modality
    words = ENGLISH_EYES.get(key) if asked is Modality.IRIS else None
    return (words or ENGLISH[key]).format(position=_part(position, asked))


def _part(position: Position, modality: Modality) -> str:
    if position is Position.UNKNOWN:
        return "eye" if modality is Modality.IRIS else "finger"
    words = position.replace("_", " ")
    return words if words.endswith(("thumb", "eye")) else f"{words} finger"
