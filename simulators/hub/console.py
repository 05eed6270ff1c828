"""Formats one line for each message that arrives at the simulated hub. No reference id, score or template is shown."""

from datetime import datetime
from typing import Any

from simulators.hub.rules import Key, Message


def event_line(key: Key, message: Message, content: dict[str, Any], verdict: str) -> str:
    """The line of an event: time, class, kiosk, decision and reason, size, and the hub's verdict."""
    tombstone = message.attributes.get("tombstone")
    what = f"body gone: {tombstone}" if tombstone else _what(content)
    size = f"{len(message.body)} B"
    return f"{_clock()}  {key.event_class:<9}  {key.kiosk} #{key.sequence:<5} {what:<44} {size:>8}  {verdict}"


MAX_KIOSKS = 10_000


class StateLines:
    """Formats the states of kiosks. A kiosk repeats its state often; there is a line only when the state changes."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def line(self, kiosk: str, content: dict[str, Any]) -> str:
        """The line of a state: time, kiosk, status and sensors; empty if nothing has changed."""
        # Only `status` must be there: a last will has nothing else.
        sensors = ", ".join(f"{name} {sensor['state']}" for name, sensor in content.get("sensors", {}).items())
        text = content["status"] + (f" ({sensors})" if sensors else "")
        if self._last.get(kiosk) == text:
            return ""
        if len(self._last) >= MAX_KIOSKS:  # topics are free: anybody can name any number of kiosks
            self._last.clear()
        self._last[kiosk] = text
        return f"{_clock()}  {'state':<9}  {kiosk} {text}"


def printable(line: str) -> str:
    """The line without what would move the cursor, forge another line or not be text at all.

    The drivers have a function for that too, but the hub runs on another computer, where they are not installed.
    """
    if line.isprintable():
        return line
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)


def problem_line(where: str, reason: str) -> str:
    """The line of a problem that belongs to no event."""
    return f"{_clock()}  {'problem':<9}  {where}: {reason}"


def _what(content: dict[str, Any]) -> str:
    if "outcome" in content:
        candidates = len(content.get("candidates", ()))
        count = f", {candidates} candidate{'s' if candidates != 1 else ''}" if candidates else ""
        return f"{content['outcome']}: {content['reason']['code']}{count}"
    if "references" in content:
        return _list_report(content)
    if "component" in content:
        return f"{content['component']} {content['state']}"
    if "positions" in content:
        sealed = "sealed" if content["sealed"] else "no templates"
        return f"{', '.join(content['positions'])} ({sealed})"
    return ""


def _list_report(content: dict[str, Any]) -> str:
    refused = f", {content['refused_count']} refused" if content.get("refused_count") else ""
    receipt = ", receipt" if content.get("receipt") else ""
    changed = f"+{content.get('added', 0)} -{content.get('removed', 0)}"
    what = f"{content['provider'] or 'all lists'} {content['kind']}: revision {content['revision']}"
    return f"{what}, {content['references']} ({changed}{refused}){receipt}"


def _clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
