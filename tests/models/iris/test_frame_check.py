"""The frame check of a modality: irises have one, fingers do not."""

from datetime import UTC, datetime

import numpy as np
import pytest

from drivers.sample import Modality, Position, Sample
from models.encoder import Flaw, Quality
from models.iris.frame_check import load_frame_check
from models.manifest import ModelError


def test_the_frame_check_of_irises_reports_a_frame_without_an_eye() -> None:
    check = load_frame_check(Modality.IRIS)
    blank = np.zeros((240, 320), np.uint8)
    frame = Sample(Modality.IRIS, Position.UNKNOWN, blank, 8, 500.0, datetime.now(UTC), "test")
    assert check(frame) == Quality(0, Flaw.EMPTY)


def test_a_modality_without_a_camera_has_no_frame_check() -> None:
    with pytest.raises(ModelError, match="no frame check for finger; there are: iris"):
        load_frame_check(Modality.FINGER)
