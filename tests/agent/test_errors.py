"""Every error that an operator can correct is an AgentError, which the command line prints in one line."""

import pytest

from agent.errors import AgentError, ConfigError, ControlError, HubError, StoreError


@pytest.mark.parametrize("error", [ConfigError, StoreError, HubError, ControlError])
def test_an_operator_can_correct_it(error: type[Exception]) -> None:
    assert issubclass(error, AgentError)
    assert not issubclass(AgentError, error)
