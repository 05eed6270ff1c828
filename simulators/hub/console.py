"""One readable line for each thing that arrives at the simulated hub. Never a reference id, a score or a template."""

from datetime import datetime
from typing import Any

from simulators.hub.rules import Key, Message


def event_line(key: Key, message: Message, content: dict[str, Any], verdict: str) -> str:
    """Time, kind, kiosk, what was decided and why, size, and what became of it."""
    tombstone = message.attributes.get("tombstone")
    what = f"body gone: {tombstone}" if tombstone else _what(content)
    size = f"{len(message.body)} B"
    return f"{_clock()}  {key.event_class:<9}  {key.kiosk} #{key.sequence:<5} {what:<44} {size:>8}  {verdict}"


class StateLines:
    """The states of kiosks in words. A kiosk says how it is again and again: a line only when it is another."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def line(self, kiosk: str, content: dict[str, Any]) -> str:
        """Time, kiosk, status and sensors; empty when it would say the same as before."""
        sensors = ", ".join(f"{name} {sensor['state']}" for name, sensor in content["sensors"].items())
        words = content["status"] + (f" ({sensors})" if sensors else "")
        if self._last.get(kiosk) == words:
            return ""
        self._last[kiosk] = words
        return f"{_clock()}  {'state':<9}  {kiosk} {words}"


def trouble_line(where: str, reason: str) -> str:
    """Something that belongs to no event."""
    return f"{_clock()}  {'trouble':<9}  {where}: {reason}"


def _what(content: dict[str, Any]) -> str:
    if "outcome" in content:
        candidates = len(content.get("candidates", ()))
        count = f", {candidates} candidate{'s' if candidates != 1 else ''}" if candidates else ""
        return f"{content['outcome']}: {content['reason']['code']}{count}"
    if "component" in content:
        return f"{content['component']} {content['state']}"
    if "positions" in content:
        sealed = "sealed" if content["sealed"] else "no templates"
        return f"{', '.join(content['positions'])} ({sealed})"
    return ""


def _clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
