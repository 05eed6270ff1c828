"""No byte of a finger stands in a repr or in a message of the USB drivers."""

import numpy as np
import pytest

from drivers.nb1010.tables import FINGER_CHECK, IMAGE, lines_fault, message_fault
from drivers.recordings.recording import Line
from drivers.uru4000.image import HEIGHT, WIDTH, FingerImage
from drivers.usb.transfers import Transfer

FINGER = bytes([0xA7, 0x5B]) * 300
SHOWN = ("a75b", "\\xa7", "167", "[")


@pytest.mark.parametrize(
    "held",
    [
        FingerImage(np.full((HEIGHT, WIDTH), 167, np.uint8), 0),
        Transfer(0x82, len(FINGER), data=FINGER),
        Transfer(0x02, len(FINGER), FINGER),
        Line(0.5, "read 82 600", FINGER.hex()),
    ],
    ids=lambda held: type(held).__name__,
)
def test_no_repr_shows_a_finger(held: object) -> None:
    assert not [shown for shown in SHOWN if shown in repr(held)]


@pytest.mark.parametrize(("command", "size"), [(IMAGE, 540), (FINGER_CHECK.answer, 16)])
def test_no_complaint_shows_a_finger(command: int, size: int) -> None:
    complaint = message_fault(FINGER[:size], command, size)
    assert complaint.startswith("another message in place of 80")
    assert not [shown for shown in SHOWN if shown in complaint + lines_fault(FINGER[:540], 3)]
