"""Errors of sensors, named after what happens next.

    CaptureRetry                  the person presents again; the sensor is well
    Cancelled                     somebody called cancel(); stop waiting
    SensorError
    ├── LinkLost                  the cable, the port or the power went: close, back off, reopen
    │   ├── DeviceTaken           another program holds it: as LinkLost, or stop that program
    │   └── Forbidden             this account may not open it: as LinkLost, or MENDS_FORBIDDEN
    └── ProtocolError             the device talks nonsense or not at all: close, back off, reopen
        ├── TransferTimeout       USB: a transfer did not end in time
        └── Stalled               USB: the device refused a transfer

A message names the device and the fact, never pixels or bytes of an image.
"""

import shlex
import sys
from enum import StrEnum

# The group is made first: udev forgets a rule's group that it does not know.
MENDS_FORBIDDEN = (
    "sudo groupadd --system --force kiosk-agent && "
    f"{shlex.quote(sys.executable)} -m drivers.udev | sudo tee /etc/udev/rules.d/60-kiosk-sensors.rules >/dev/null && "
    'sudo udevadm control --reload && sudo udevadm trigger && sudo usermod -aG kiosk-agent "$USER", then log in again'
)
"""What a technician types where this account may not open a sensor: any account of the group may, from then on."""


class Retry(StrEnum):
    """Why a presentation gave no sample. The values are message keys for the traveller."""

    NOTHING_PRESENTED = "nothing_presented"  # the time-out passed with nothing on the sensor
    LIFT_FINGER = "lift_finger"  # the finger of the last sample was never lifted
    LOOK_AWAY = "look_away"  # the eye of the last sample is still before the camera
    MOVED = "moved"  # the image was damaged on the way or while it was taken: hold still, again
    SAME_AGAIN = "same_again"  # another finger or eye was asked for; no driver knows that, the agent says it
    TOO_MESSY = "too_messy"  # the sensor itself refused the image


class CaptureRetry(Exception):
    """The person presents again. Not an error of the device."""

    def __init__(self, reason: Retry, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason


class Cancelled(Exception):
    """cancel() ended the wait."""


class SensorError(Exception):
    """The device is unwell: close it, back off, open it again."""


class LinkLost(SensorError):
    """The device is gone: unplugged, powered off, port vanished."""


class DeviceTaken(LinkLost):
    """Another program holds the device."""


class Forbidden(LinkLost):
    """This account may not open the device."""


class ProtocolError(SensorError):
    """The device answers with nonsense, or not within its deadline."""


class TransferTimeout(ProtocolError):
    """USB: a transfer did not end within its time-out."""


class Stalled(ProtocolError):
    """USB: the device refused a transfer; a bulk or interrupt endpoint stays halted until clear_halt()."""
