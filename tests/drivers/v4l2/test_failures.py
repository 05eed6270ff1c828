"""What error numbers of the kernel mean: with the device file and without it."""

import errno
import os

import pytest

from drivers.errors import DeviceBusy, LinkLost, PermissionDenied, PolicyDenied, ProtocolError, SensorError
from drivers.v4l2.failures import translated, translated_of_control


def failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "present", "kind", "message"),
    [
        (errno.ENODEV, True, LinkLost, "unplugged"),
        (errno.EIO, True, ProtocolError, "VIDIOC_STREAMON: the camera is plugged in and does not answer; unplug it"),
        (errno.EIO, False, LinkLost, "unplugged"),
        (errno.EPIPE, True, ProtocolError, "VIDIOC_STREAMON: the camera is plugged in and refuses this"),
        (errno.EPIPE, False, LinkLost, "unplugged"),
        (errno.ETIMEDOUT, True, ProtocolError, "check cable, hub and power"),
        (errno.ENOENT, False, LinkLost, "no such device"),
        (errno.ENOTTY, True, LinkLost, "no video device"),
        (errno.EACCES, True, PermissionDenied, "put this account in the group video"),
        (errno.EPERM, True, PolicyDenied, ""),
        (errno.EBUSY, True, DeviceBusy, "another program uses the camera"),
        (errno.ENOSPC, True, ProtocolError, "not enough USB bandwidth"),
        (errno.ENOMEM, True, ProtocolError, "VIDIOC_STREAMON: no memory for images of this size"),
        (errno.EINVAL, True, ProtocolError, "VIDIOC_STREAMON: Invalid argument"),
        (9999, True, ProtocolError, "VIDIOC_STREAMON: Unknown error 9999"),
    ],
)
def test_an_error_says_what_happened_and_what_to_do(
    number: int,
    present: bool,  # noqa: FBT001 - a case
    kind: type[SensorError],
    message: str,
) -> None:
    error = translated(failure(number), "VIDIOC_STREAMON", present=present)
    assert type(error) is kind
    assert message in str(error)


def test_no_error_of_a_full_disk_and_no_error_without_words_reaches_a_person() -> None:
    for number in errno.errorcode:
        text = str(translated(failure(number), "VIDIOC_QBUF", present=True))
        assert text
        assert "No space left on device" not in text


@pytest.mark.parametrize(
    ("number", "present", "kind", "message"),
    [
        (errno.ENOENT, True, ProtocolError, "there is no such unit or control"),
        (errno.ENOBUFS, True, ProtocolError, "another length"),
        (errno.ENOENT, False, LinkLost, "no such device"),
        (errno.EIO, False, LinkLost, "unplugged"),
        (errno.EIO, True, ProtocolError, "UVCIOC_CTRL_QUERY: the camera is plugged in"),
    ],
)
def test_an_error_of_a_control_has_words_of_its_own(
    number: int,
    present: bool,  # noqa: FBT001 - a case
    kind: type[SensorError],
    message: str,
) -> None:
    error = translated_of_control(failure(number), present=present)
    assert type(error) is kind
    assert message in str(error)
