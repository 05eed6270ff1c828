"""What the error numbers of the kernel mean for a camera: which error of drivers.errors, and what to do."""

import errno
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.errors import (
    GRANT_ACCESS_COMMAND,
    POLICY_ADVICE,
    DeviceBusy,
    LinkLost,
    PermissionDenied,
    PolicyDenied,
    ProtocolError,
    SensorError,
)


@dataclass(frozen=True, slots=True)
class _Failure:
    """One row. The text of the kernel follows the name of the request if `text` is empty."""

    kind: type[SensorError]
    text: str = ""
    names_request: bool = False


_REPLUG = "unplug it and plug it in again"
_BUS = _Failure(
    ProtocolError,
    f"the camera is plugged in and does not answer; {_REPLUG}; if that does not help, check cable, hub and power",
    names_request=True,
)
_UNPLUGGED = _Failure(LinkLost, "unplugged")

GONE = frozenset((errno.ENODEV, errno.ENXIO, errno.ESHUTDOWN, errno.EBADF))
"""The error numbers of every request to a camera that was unplugged."""

_FAILURES: Mapping[int, _Failure] = {
    **dict.fromkeys(GONE, _UNPLUGGED),
    errno.ENOENT: _Failure(LinkLost, "no such device; is the camera plugged in?"),
    errno.ENOTTY: _Failure(LinkLost, "no video device"),
    errno.EACCES: _Failure(
        PermissionDenied, f"no permission; put this account in the group video, or: {GRANT_ACCESS_COMMAND}"
    ),
    errno.EPERM: _Failure(PolicyDenied, POLICY_ADVICE),
    errno.EBUSY: _Failure(DeviceBusy, "another program uses the camera; stop it"),
    errno.ENOSPC: _Failure(
        ProtocolError,
        "not enough USB bandwidth for this camera, because other devices on its USB controller have it: choose a "
        "smaller size, fewer frames per second or the format mjpeg, or connect it to another controller",
    ),
    errno.ENOMEM: _Failure(ProtocolError, "no memory for images of this size; choose a smaller size", True),
    errno.EPIPE: _Failure(
        ProtocolError,
        f"the camera is plugged in and refuses this; choose another size, format or frame rate, or {_REPLUG}",
        names_request=True,
    ),
    errno.EIO: _BUS,
    errno.EPROTO: _BUS,
    errno.ETIMEDOUT: _BUS,
    errno.ETIME: _BUS,
    errno.EILSEQ: _BUS,
    errno.EOVERFLOW: _BUS,
    errno.EREMOTEIO: _BUS,
}

# The request that is under way when a camera is unplugged fails with one of these, too.
_OF_UNPLUGGING = frozenset((errno.EPIPE, *(number for number, row in _FAILURES.items() if row is _BUS)))

# For a request to a control of an extension unit the numbers have meanings of their own.
_OF_CONTROLS: Mapping[int, str] = {
    errno.ENOENT: "there is no such unit or control",
    errno.ENOTTY: "the kernel's driver of this camera has no extension units",
    errno.ENOBUFS: "the control has another length",
    errno.EPIPE: "the camera refuses the request",
    errno.EINVAL: "the camera refuses the request",
    errno.EBADRQC: "the control cannot be read or written",
}


def translated(error: OSError, request: str, *, present: bool) -> SensorError:
    """The error that a failed request means. `present`: whether the camera is still plugged in."""
    number = error.errno or 0
    row = _UNPLUGGED if number in _OF_UNPLUGGING and not present else _FAILURES.get(number)
    if row is None:
        return ProtocolError(f"{request}: {error.strerror}")
    return row.kind(f"{request}: {row.text}" if row.names_request else row.text)


def translated_of_control(error: OSError, *, present: bool) -> SensorError:
    """The error that a failed request to a control of an extension unit means."""
    text = _OF_CONTROLS.get(error.errno or 0)
    if text is not None and present:
        return ProtocolError(text)
    return translated(error, "UVCIOC_CTRL_QUERY", present=present)
