"""Errors of the agent. Each class tells what to correct or to check next. Errors of sensors are in drivers.errors."""

from drivers.printable import printable


class AgentError(Exception):
    """An error that an operator can correct. The message says what is wrong and what to do, each part on its line."""

    def __init__(self, *lines: object) -> None:
        super().__init__("\n".join(printable(str(line)) for line in lines))  # it may quote a file, a device or the hub


class ConfigError(AgentError):
    """The configuration is wrong: the agent does not start. Names the key or the file."""


class StoreError(AgentError):
    """A store on disk cannot be read or written. Names the file; what was durable before is still durable."""


class HubError(AgentError):
    """The hub cannot be reached or refuses this kiosk. Nothing is lost: events stay in the outbox."""


class ControlError(AgentError):
    """The daemon refused a request of the command line, or cannot be reached."""
