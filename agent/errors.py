"""Errors of the agent, named after the next action. Those of sensors are in drivers.errors."""


class AgentError(Exception):
    """Something an operator can mend; the message says what is wrong and what to do."""


class ConfigError(AgentError):
    """Refuse to start. Names the key and the file."""


class StoreError(AgentError):
    """A store on disk cannot be read or written. Names the file; what was durable before stays so."""


class HubError(AgentError):
    """The hub cannot be reached or refused us. Nothing is lost: events stay in the outbox."""


class ControlError(AgentError):
    """The daemon refused a request of the command line, or cannot be reached."""
