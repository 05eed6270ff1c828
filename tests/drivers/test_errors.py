"""The errors of sensors: what a caller may catch together, and what a message says."""

import subprocess

import pytest

from drivers.errors import (
    GRANT_ACCESS_COMMAND,
    Cancelled,
    CaptureRetry,
    DeviceBusy,
    LinkLost,
    PermissionDenied,
    PolicyDenied,
    ProtocolError,
    Retry,
    SensorError,
    Stalled,
    TransferTimeout,
)


def test_a_retry_keeps_its_reason_and_shows_its_detail() -> None:
    retry = CaptureRetry(Retry.MOVED, "silence after 300 bytes")
    assert (retry.reason, str(retry)) == (Retry.MOVED, "moved: silence after 300 bytes")
    assert str(CaptureRetry(Retry.LIFT_FINGER)) == "lift_finger"


@pytest.mark.parametrize(
    "kind", [LinkLost, DeviceBusy, PermissionDenied, PolicyDenied, ProtocolError, TransferTimeout, Stalled]
)
def test_every_error_of_a_device_is_a_sensor_error(kind: type[Exception]) -> None:
    assert issubclass(kind, SensorError)
    assert issubclass(kind, LinkLost) is not issubclass(kind, ProtocolError)


def test_a_retry_and_a_cancel_are_no_errors_of_the_device() -> None:
    assert not issubclass(CaptureRetry, SensorError)
    assert not issubclass(Cancelled, SensorError)


def test_the_command_that_grants_access_is_valid_shell() -> None:
    subprocess.run(["sh", "-n", "-c", GRANT_ACCESS_COMMAND.partition(", then")[0]], check=True)
