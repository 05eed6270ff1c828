"""Writes the JSON Schemas of all messages that a kiosk sends or gets to schemas/: python -m agent.events.schemagen.

They are generated from agent.events.event and committed; a test compares them. They describe what is written, so every
field of a payload is required.
"""

import json
from pathlib import Path

from pydantic import BaseModel

from agent.events.cloudevents import event_type
from agent.events.event import PAYLOADS, AcknowledgementMessage, KioskState

FOLDER = Path(__file__).parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

SCHEMAS: dict[str, type[BaseModel]] = {
    **{event_type(event_class): payload for event_class, payload in PAYLOADS.items()},
    "kiosk.state.v1": KioskState,
    "kiosk.acknowledgement.v1": AcknowledgementMessage,
}


def texts() -> dict[str, str]:
    """The content of every schema file, by file name."""
    return {f"{name}.json": _text(name, model) for name, model in SCHEMAS.items()}


def write(folder: Path = FOLDER) -> None:
    """Write all schemas, and remove those that no longer exist."""
    folder.mkdir(exist_ok=True)
    wanted = texts()
    for stale in set(folder.glob("*.json")) - {folder / name for name in wanted}:
        stale.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


def _text(name: str, model: type[BaseModel]) -> str:
    schema = model.model_json_schema(mode="serialization", by_alias=True)
    content = {"$schema": DIALECT, "$id": f"urn:kiosk-agent:schema:{name}", **schema}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write()
