"""How useful a fingerprint sample is, 0 to 100, and its main flaw."""

import numpy as np

from models.encoder import Flaw, Quality
from models.finger_image import Prepared
from models.minutiae import PIXELS_PER_INCH, Minutiae

_MIN_AREA = 0.02  # square inches of skin below which nothing is there
_SMALL_AREA = 0.12  # square inches: less than half a finger tip
_FEW_MINUTIAE = 12


def skin_area(prepared: Prepared) -> float:
    """Square inches of skin."""
    return float(prepared.skin.sum()) / PIXELS_PER_INCH**2


def worth_reading(prepared: Prepared) -> bool:
    """Whether the network should look at all."""
    return skin_area(prepared) >= _MIN_AREA


def judge(prepared: Prepared, minutiae: Minutiae) -> Quality:
    """The quality of a sample with these minutiae."""
    area = skin_area(prepared)
    measures = {"area_square_inches": area, "minutiae": float(len(minutiae))}
    if area < _MIN_AREA:
        return Quality(0, Flaw.EMPTY, measures)
    evidence = float(np.sum(minutiae.qualities)) / 100
    score = round(100 * (1 - np.exp(-((evidence / 18) ** 1.5))) * min(1.0, area / _SMALL_AREA))
    if len(minutiae) < _FEW_MINUTIAE:
        return Quality(score, Flaw.TOO_FEW_FEATURES, measures)
    return Quality(score, Flaw.TOO_SMALL if area < _SMALL_AREA else None, measures)
