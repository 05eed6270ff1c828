"""Errors of sensors. Each class says what the caller does next.

    CaptureRetry                  the person presents again; the sensor works
    Cancelled                     cancel() was called; stop waiting
    SensorError
    ├── LinkLost                  the device is gone: close it, wait, open it again
    │   ├── DeviceBusy            another program holds it: as LinkLost, or stop that program
    │   └── PermissionDenied      this account may not open it: as LinkLost, or run GRANT_ACCESS_COMMAND
    │       └── PolicyDenied      the service or container may not: as LinkLost, or see POLICY_ADVICE
    └── ProtocolError             the device sends invalid data or nothing: close it, wait, open it again
        ├── TransferTimeout       USB: a transfer did not end in time
        ├── Stalled               USB: the device refused a transfer
        └── UsbMemoryFull         USB: Linux has no memory for another transfer: use fewer or smaller ones

A message names the device and the fact, never pixels or bytes of an image.
"""

import shlex
import sys
from enum import StrEnum

from drivers.printable import printable

# The group is created first: udev ignores the group of a rule if the group does not exist yet.
GRANT_ACCESS_COMMAND = (
    "sudo groupadd --system --force kiosk-agent && "
    f"{shlex.quote(sys.executable)} -m drivers.udev | sudo tee /etc/udev/rules.d/60-kiosk-sensors.rules >/dev/null && "
    'sudo udevadm control --reload && sudo udevadm trigger && sudo usermod -aG kiosk-agent "$USER", then log in again'
)
"""The shell command that lets this account open the sensors. Afterwards any account of the group may open them."""

POLICY_ADVICE = (
    "the service or container may not use this kind of device, whatever the account. For the service: run "
    "`systemctl restart kiosk-agent`; if that does not help, add the kind to DeviceAllow= of the unit"
)
"""What to do where the kernel answers EPERM in place of EACCES. systemd drops a group of DeviceAllow= that the kernel
does not know yet when the service starts, because its module is not loaded."""


class Retry(StrEnum):
    """Why a presentation gave no sample. The values are message keys for the traveller."""

    NOTHING_PRESENTED = "nothing_presented"  # the timeout passed with nothing on the sensor
    LIFT_FINGER = "lift_finger"  # the finger of the last sample was not lifted
    LOOK_AWAY = "look_away"  # the eye of the last sample is still in front of the camera
    MOVED = "moved"  # the image was damaged during capture or transfer: hold still and try again
    SAME_AGAIN = "same_again"  # another finger or eye was requested; set by the agent, no driver can know it
    TOO_MESSY = "too_messy"  # the sensor itself refused the image


class CaptureRetry(Exception):
    """The person must present again. Not an error of the device."""

    def __init__(self, reason: Retry, detail: str = "") -> None:
        super().__init__(printable(f"{reason}: {detail}") if detail else str(reason))
        self.reason = reason


class Cancelled(Exception):
    """cancel() ended the wait."""


class SensorError(Exception):
    """The device does not work: close it, wait, open it again."""

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))  # it may quote the device


class LinkLost(SensorError):
    """The device is gone: unplugged, powered off, or its port has vanished."""


class DeviceBusy(LinkLost):
    """Another program holds the device."""


class PermissionDenied(LinkLost):
    """This account may not open the device."""


class PolicyDenied(PermissionDenied):
    """The device policy of the service or container does not allow this kind of device: no group membership helps."""


class ProtocolError(SensorError):
    """The device sends invalid data, or does not answer before its deadline."""


class TransferTimeout(ProtocolError):
    """USB: a transfer did not end within its timeout."""


class Stalled(ProtocolError):
    """USB: the device refused a transfer; a bulk or interrupt endpoint stays halted until clear_halt()."""


class UsbMemoryFull(ProtocolError):
    """USB: all programs together have as many bytes in flight as Linux allows."""
