"""The quality of a fingerprint sample, 0 to 100, and its main flaw, which tells a traveller what to do.

The score is computed from the minutiae alone: it grows with the sum of the probabilities that the network gave them. Of
all measures tried on 760 impressions of 95 fingers, this sum predicted best how similar an impression is to the others
of its finger: rank correlation 0.70, within one finger 0.33 (area of skin 0.35, coherence of ridges 0.22, contrast
0.22). Area and texture only decide the flaw. Texture is measured relative to the neighbourhood, so that it means the
same on every sensor.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.encoder import Flaw, Quality
from models.finger.image import Prepared
from models.finger.minutiae import PIXELS_PER_INCH, Minutiae
from models.finger.ridge_map import Image, Mask

EMPTY_AREA = 0.01  # square inches of skin; less is taken for dirt
RIDGE_COHERENCE = 0.25  # noise has 0.1, the worst of 160 real prints 0.35
READABLE_AREA = 0.02  # below it the network is not run: no print so small has enough minutiae
SMALL_AREA = 0.12  # less than half of a finger tip

# 10 good minutiae give 26, 20 give 53, 35 give 79.
_EVIDENCE_SCALE = 25.0
_EVIDENCE_POWER = 1.3
_FEW_MINUTIAE = 12

_NEIGHBOURHOOD = 21  # pixels: a box of about two ridges and two valleys
_EDGE = 8  # pixels at the edge of the skin that are left out when texture is measured
_FLAT = 1.0  # grey levels of deviation; below it there is no usable texture

# The grey relative to its local mean is skewed: to the dark if ridges are thin and broken, to the light if they merge.
# Simulated touches: normal -0.26, coherence 0.86; dry -0.7, 0.59; wet +0.15, 0.90; light -0.6, 0.86.
_DRY_SKEW, _DRY_COHERENCE = -0.4, 0.7
_WET_SKEW, _WET_DARK = 0.1, 0.55
_OFF_CENTRE = 0.3  # distance of the middle of the skin from that of the image, as a share of half the image


@dataclass(frozen=True, slots=True)
class ImageMeasures:
    """The measures of a sample that need no network."""

    area: float  # square inches of skin
    skew: float  # skewness of the grey relative to its local mean
    dark: float  # share of skin darker than the middle between its lightest and darkest
    coherence: float  # how uniform the direction of the ridges is, 0..1
    off_centre: float  # how far the middle of the skin lies toward an edge that it touches; 0..1, 0 if it touches none
    fingers: float = 1.0  # 2 if there are ridges of more than one

    @property
    def worth_reading(self) -> bool:
        """Whether the network should be run: there is enough skin of one finger, with ridges rather than noise."""
        return self.fingers == 1 and self.area >= READABLE_AREA and self.coherence >= RIDGE_COHERENCE


def skin_area(prepared: Prepared) -> float:
    """The area of skin in square inches."""
    return float(prepared.skin.sum()) / PIXELS_PER_INCH**2


def quality_of(measures: ImageMeasures, minutiae: Minutiae) -> Quality:
    """The quality of a sample of these measures and minutiae."""
    evidence = float(minutiae.qualities.sum()) / 100  # about the number of true minutiae
    score = round(100 * -math.expm1(-((evidence / _EVIDENCE_SCALE) ** _EVIDENCE_POWER)))
    flaw = next((flaw for flaw, applies in _FLAWS if applies(measures)), None)
    if flaw is None and len(minutiae) < _FEW_MINUTIAE:
        flaw = Flaw.TOO_FEW_FEATURES
    return Quality(score, flaw, {**asdict(measures), "minutiae": float(len(minutiae)), "evidence": evidence})


# The first flaw that applies is the main one.
_FLAWS: tuple[tuple[Flaw, Callable[[ImageMeasures], bool]], ...] = (
    (Flaw.EMPTY, lambda it: it.area < EMPTY_AREA),
    (Flaw.SEVERAL, lambda it: it.fingers > 1),
    (Flaw.TOO_DRY, lambda it: it.skew < _DRY_SKEW and it.coherence < _DRY_COHERENCE),
    (Flaw.TOO_WET, lambda it: it.skew > _WET_SKEW and it.dark > _WET_DARK),
    (Flaw.PARTIAL, lambda it: it.off_centre > _OFF_CENTRE),
    (Flaw.TOO_SMALL, lambda it: it.area < SMALL_AREA),
)


def measure(prepared: Prepared) -> ImageMeasures:
    """The measures of a prepared image."""
    area = skin_area(prepared)
    skew, dark, coherence = _texture(prepared.image, prepared.skin) if area >= EMPTY_AREA else (0.0, 0.0, 0.0)
    return ImageMeasures(area, skew, dark, coherence, _off_centre(prepared), 2.0 if prepared.several else 1.0)


def _texture(image: Image, skin: Mask) -> tuple[float, float, float]:
    """The skew, the dark share and the coherence of the skin, without its edge."""
    inner = ndimage.minimum_filter(skin, 2 * _EDGE + 1)
    inner = inner if inner.any() else skin
    about = image - _local_mean(image)
    relative = (about / np.sqrt(np.maximum(_local_mean(about * about), _FLAT**2)))[inner]
    grey = image[inner]
    middle = np.percentile(grey, (5, 95)).mean()
    return float((relative * relative * relative).mean()), float((grey < middle).mean()), _coherence(image, inner)


def _coherence(image: Image, where: Mask) -> float:
    """How far the gradients of each neighbourhood have the same direction, 0..1, on average."""
    dy, dx = ndimage.sobel(image, 0), ndimage.sobel(image, 1)
    xx, yy, xy = (_local_mean(product) for product in (dx * dx, dy * dy, dx * dy))
    agreeing = np.sqrt((xx - yy) ** 2 + 4 * xy * xy) / np.maximum(xx + yy, 1e-6)
    return float(agreeing[where].mean())


def _local_mean(image: Image) -> Image:
    mean: Image = ndimage.uniform_filter(image, _NEIGHBOURHOOD)
    return mean


def _off_centre(prepared: Prepared) -> float:
    if not prepared.skin.any():
        return 0.0
    down = _toward_edge(prepared.skin.sum(1), prepared.top, prepared.height)
    across = _toward_edge(prepared.skin.sum(0), prepared.left, prepared.width)
    return max(down, across)


def _toward_edge(skin: NDArray[np.intp], first: int, size: int) -> float:
    """How far the middle of the skin lies toward an edge that it touches, on one axis, as a share of half the size."""
    middle = first + float(np.average(np.arange(len(skin)), weights=skin))
    offset = 2 * middle / max(1, size - 1) - 1
    touches = first + len(skin) >= size - 1 if offset > 0 else first <= 1
    return abs(offset) if touches else 0.0
