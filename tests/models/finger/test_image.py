"""Fingerprint images: resolution, skin and crop."""

import numpy as np

from models.finger.image import foreground
from tests.conftest import touch


def test_the_foreground_is_the_finger() -> None:
    framed = np.full((400, 400), 200, np.uint8)
    framed[56:344, 72:328] = touch(7, 1)
    skin = foreground(framed.astype(np.float32))
    inside = skin[56:344, 72:328]
    assert inside.sum() >= 0.85 * skin.sum()
    assert 0.5 < inside.mean() < 0.98
    assert inside[144, 128]
