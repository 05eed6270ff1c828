"""The checks of the hub on each message. Written from the published schemas and topics, not from the agent's code.

A message with an invalid key cannot be assigned to an event: it is only recorded. A message with a valid key and an
invalid content is recorded as invalid under its key and acknowledged: sending it again would not help, and it must
not delay the others. A message whose seal the hub cannot verify is not acknowledged: that is usually an error of the
keys, and the kiosk keeps the event until somebody has corrected it.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator

NAME = r"[^/+#\x00]+"  # one level of a topic
TOPIC = re.compile(rf"bio/v1/(?P<site>{NAME})/(?P<kiosk>{NAME})/evt/(?P<event_class>[a-z]{{1,64}})")
STATE_TOPIC = re.compile(rf"bio/v1/(?P<site>{NAME})/(?P<kiosk>{NAME})/state")
EPOCH = re.compile(r"[0-9a-f]{16}")
TOMBSTONES = ("expired", "shed")


@dataclass(frozen=True)
class Message:
    """A message as it arrived."""

    topic: str
    body: bytes = field(repr=False)
    attributes: dict[str, str] = field(default_factory=dict)
    content_type: str | None = None


@dataclass(frozen=True)
class Key:
    """The key of an event. It is never used again."""

    kiosk: str
    epoch: str
    event_class: str
    sequence: int

    def __str__(self) -> str:
        """The CloudEvents id."""
        return f"{self.kiosk}/{self.epoch}/{self.event_class}/{self.sequence}"


class InvalidKey(Exception):
    """The message does not identify its event, or contradicts itself."""


class InvalidContent(Exception):
    """The key is valid, but the content is not."""


class Schemas:
    """The published schemas, by name."""

    def __init__(self) -> None:
        folder = resources.files("agent") / "events" / "schemas"
        files = [file for file in folder.iterdir() if file.name.endswith(".json")]
        self._validators = {file.name.removesuffix(".json"): _validator(file.read_text("utf-8")) for file in files}

    def check(self, name: str, body: bytes) -> dict[str, Any]:
        """The body as a dictionary. InvalidContent names the place that breaks the schema, never the value there."""
        validator = self._validators.get(name)
        if validator is None:
            raise InvalidContent(f"no schema {name} is published")
        try:
            content = json.loads(body.decode("utf-8"))  # from bytes, json would take UTF-16 and UTF-32 too
        except (ValueError, RecursionError):
            raise InvalidContent("body is not JSON in UTF-8") from None
        problem = next(iter(validator.iter_errors(content)), None)
        if problem is not None:
            raise InvalidContent(f"body breaks {name}: {problem.json_path} ({problem.validator})")
        assert isinstance(content, dict)
        return content


def read_key(message: Message) -> Key:
    """Read the key. InvalidKey if topic, source, id and attributes contradict each other."""
    topic = TOPIC.fullmatch(message.topic)
    attributes = message.attributes
    if topic is None:
        raise InvalidKey("not an event topic")
    sequence = attributes.get("sequence", "")
    if not re.fullmatch(r"[1-9][0-9]{0,17}", sequence) or not EPOCH.fullmatch(attributes.get("epoch", "")):
        raise InvalidKey("epoch or sequence is missing or malformed")
    key = Key(topic["kiosk"], attributes["epoch"], topic["event_class"], int(sequence))
    wanted = {"class": key.event_class, "source": f"/{topic['site']}/{key.kiosk}", "id": str(key)}
    for name, value in wanted.items():
        if attributes.get(name) != value:
            raise InvalidKey(f"attribute {name} contradicts the topic or the other attributes")
    return key


def acknowledged_before(message: Message, key: Key) -> int:
    """The sequence up to which this hub has acknowledged the class, according to the kiosk; below the event itself."""
    text = message.attributes.get("acknowledged", "")
    return min(int(text), key.sequence - 1) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def read_content(message: Message, key: Key, schemas: Schemas) -> dict[str, Any]:
    """Read the payload; empty for a tombstone. InvalidContent names the problem."""
    for rule in (_specversion, _type, _subject, _time):
        rule(message, key)
    tombstone = message.attributes.get("tombstone")
    if tombstone is not None:
        return _tombstone(message, tombstone)
    if message.content_type != "application/json":
        raise InvalidContent("content type is not application/json")
    content = schemas.check(f"kiosk.{key.event_class}.v1", message.body)
    if content.get("encounter_id", message.attributes["subject"]) != message.attributes["subject"]:
        raise InvalidContent("subject is not the encounter of the body")
    return content


def _specversion(message: Message, _: Key) -> None:
    if message.attributes.get("specversion") != "1.0":
        raise InvalidContent("specversion is not 1.0")


def _type(message: Message, key: Key) -> None:
    if message.attributes.get("type") != f"kiosk.{key.event_class}.v1":
        raise InvalidContent("type does not fit the class")


def _subject(message: Message, _: Key) -> None:
    if not message.attributes.get("subject"):
        raise InvalidContent("subject is missing")


def _time(message: Message, _: Key) -> None:
    try:
        time = datetime.fromisoformat(message.attributes.get("time", ""))
    except ValueError:
        raise InvalidContent("time is missing or malformed") from None
    if time.tzinfo is None:
        raise InvalidContent("time has no zone")


def _tombstone(message: Message, tombstone: str) -> dict[str, Any]:
    if tombstone not in TOMBSTONES or message.body:
        raise InvalidContent("tombstone of an unknown kind or with a body")
    return {}


def _validator(text: str) -> Draft202012Validator:
    schema = json.loads(text)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
