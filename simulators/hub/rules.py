"""What the hub checks before it believes a message. Written from the published schemas and topics, not from the agent.

A message whose key cannot be read is nobody's: it is only recorded. One with a good key and a bad content is recorded
as invalid under its key and acknowledged, because sending it again would not mend it and must not hold up the others.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator

TOPIC = re.compile(r"bio/v1/(?P<site>[^/]+)/(?P<kiosk>[^/]+)/evt/(?P<event_class>[a-z]+)")
STATE_TOPIC = re.compile(r"bio/v1/(?P<site>[^/]+)/(?P<kiosk>[^/]+)/state")
EPOCH = re.compile(r"[0-9a-f]{16}")
TOMBSTONES = ("expired", "shed")


@dataclass(frozen=True)
class Message:
    """As it arrived."""

    topic: str
    body: bytes = field(repr=False)
    attributes: dict[str, str] = field(default_factory=dict)
    content_type: str | None = None


@dataclass(frozen=True)
class Key:
    """One event for ever."""

    kiosk: str
    epoch: str
    event_class: str
    sequence: int

    def __str__(self) -> str:
        """The CloudEvents id."""
        return f"{self.kiosk}/{self.epoch}/{self.event_class}/{self.sequence}"


class Unkeyed(Exception):
    """The message does not say, or contradicts itself about, which event it is."""


class Invalid(Exception):
    """The key is good and the content is not."""


class Schemas:
    """The published schemas, by name."""

    def __init__(self) -> None:
        folder = resources.files("agent") / "events" / "schemas"
        files = [file for file in folder.iterdir() if file.name.endswith(".json")]
        self._validators = {file.name.removesuffix(".json"): _validator(file.read_text("utf-8")) for file in files}

    def check(self, name: str, body: bytes) -> dict[str, Any]:
        """The body as a table. Invalid says where it breaks its schema, and never what it holds there."""
        validator = self._validators.get(name)
        if validator is None:
            raise Invalid(f"no schema {name} is published")
        try:
            content = json.loads(body.decode("utf-8"))  # from bytes, json would take UTF-16 and UTF-32 too
        except (ValueError, RecursionError):
            raise Invalid("body is not JSON in UTF-8") from None
        problem = next(iter(validator.iter_errors(content)), None)
        if problem is not None:
            raise Invalid(f"body breaks {name}: {problem.json_path} ({problem.validator})")
        assert isinstance(content, dict)
        return content


def read_key(message: Message) -> Key:
    """The key, on which topic, source, id and attributes must agree. Unkeyed otherwise."""
    topic = TOPIC.fullmatch(message.topic)
    said = message.attributes
    if topic is None:
        raise Unkeyed("not an event topic")
    sequence = said.get("sequence", "")
    if not re.fullmatch(r"[1-9][0-9]{0,17}", sequence) or not EPOCH.fullmatch(said.get("epoch", "")):
        raise Unkeyed("epoch or sequence is missing or malformed")
    key = Key(topic["kiosk"], said["epoch"], topic["event_class"], int(sequence))
    wanted = {"class": key.event_class, "source": f"/{topic['site']}/{key.kiosk}", "id": str(key)}
    for name, value in wanted.items():
        if said.get(name) != value:
            raise Unkeyed(f"attribute {name} contradicts the topic or the other attributes")
    return key


def acknowledged_before(message: Message, key: Key) -> int:
    """Up to where, says the kiosk, this hub has acknowledged the class already; always below the event itself."""
    text = message.attributes.get("acknowledged", "")
    return min(int(text), key.sequence - 1) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def read_content(message: Message, key: Key, schemas: Schemas) -> dict[str, Any]:
    """The payload; empty for a tombstone. Invalid says what is wrong."""
    for rule in (_specversion, _type, _subject, _time):
        rule(message, key)
    tombstone = message.attributes.get("tombstone")
    if tombstone is not None:
        return _tombstone(message, tombstone)
    if message.content_type != "application/json":
        raise Invalid("content type is not application/json")
    content = schemas.check(f"kiosk.{key.event_class}.v1", message.body)
    if content.get("encounter_id", message.attributes["subject"]) != message.attributes["subject"]:
        raise Invalid("subject is not the encounter of the body")
    return content


def _specversion(message: Message, _: Key) -> None:
    if message.attributes.get("specversion") != "1.0":
        raise Invalid("specversion is not 1.0")


def _type(message: Message, key: Key) -> None:
    if message.attributes.get("type") != f"kiosk.{key.event_class}.v1":
        raise Invalid("type does not fit the class")


def _subject(message: Message, _: Key) -> None:
    if not message.attributes.get("subject"):
        raise Invalid("subject is missing")


def _time(message: Message, _: Key) -> None:
    try:
        time = datetime.fromisoformat(message.attributes.get("time", ""))
    except ValueError:
        raise Invalid("time is missing or malformed") from None
    if time.tzinfo is None:
        raise Invalid("time has no zone")


def _tombstone(message: Message, tombstone: str) -> dict[str, Any]:
    if tombstone not in TOMBSTONES or message.body:
        raise Invalid("tombstone of an unknown kind or with a body")
    return {}


def _validator(text: str) -> Draft202012Validator:
    schema = json.loads(text)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
