"""How useful a picture of an eye is, 0 to 100, and its main flaw in words that a traveller can act on.

The measures follow ISO/IEC 29794-6: sharpness, usable area, contrast of iris to pupil and to sclera, dilation, gaze
(how round the pupil is), concentricity, diameter, margin, spread of grey. Each passes through a ramp, and the score is
the product: one useless property makes the score 0 however good the others are. `check_frame` is the quick check of one
frame of a stream.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from models.encoder import Flaw, Quality
from models.iris.segmentation.geometry import Boundary, Floats, Segmentation, spread
from models.iris.segmentation.network import GLIMPSED, Seen, see
from models.iris.segmentation.polar import sample, waves
from models.iris.segmentation.segmentation import readable

Pixels = npt.NDArray[np.uint8]

_ANGLES = spread(64)
_ACROSS = 0.14  # of the iris' radius, inwards and outwards of the pupil's edge, in which its width is measured
_GLIMPSED = 0.8  # evidence of an eye in a frame check: lashes of closed eyes have up to that, of open ones few less
_BLACK = 25  # grey below which 99 % of a picture of nothing stay
_FLAWED = 0.7  # share of a measure below which it is told
# Of the shorter side of the picture, by the iris, from which on a flaw is that it has no room.
_FILLED = {Flaw.PARTIAL: 0.8, Flaw.TOO_FEW_FEATURES: 0.95}
_GLARING = 0.08  # share of the iris that reflections may hide; a lamp alone hides less


class Ramp(NamedTuple):
    """From which value of a measure on a sample is useless, from which on it costs nothing more, and what to say."""

    measure: str
    useless: float
    fine: float
    flaw: Flaw

    def share(self, value: float) -> float:
        """0 to 1."""
        return float(np.clip((value - self.useless) / (self.fine - self.useless), 0, 1))


# Used for whole samples and for frame checks.
_WHOSE = (
    Ramp("rivals", 1, 0, Flaw.SEVERAL),
    # Grey levels: living irises have up to 10, the dots of a print 30 and more.
    Ramp("grain", 28, 18, Flaw.NO_EYE),
)
_PLACE = (
    Ramp("diameter", 50, 100, Flaw.TOO_FAR),
    Ramp("in_picture", 0.5, 0.9, Flaw.PARTIAL),
)
_LOOK = (
    Ramp("blur", 0.12, 0.07, Flaw.BLURRED),
    Ramp("pupil_contrast", 5, 25, Flaw.TOO_FEW_FEATURES),
    Ramp("roundness", 0.6, 0.8, Flaw.LOOKS_AWAY),
    Ramp("dilation", 0.75, 0.62, Flaw.TOO_FEW_FEATURES),
)

# The first of those that cost most is the main flaw.
RAMPS = (
    *_WHOSE,
    Ramp("rivalry", 0.97, 0.85, Flaw.SEVERAL),
    Ramp("evidence", 0.6, 0.95, Flaw.TOO_FEW_FEATURES),
    Ramp("pupil_rise", 0.35, 0.65, Flaw.TOO_FEW_FEATURES),
    Ramp("limbus_rise", 0.10, 0.30, Flaw.TOO_FEW_FEATURES),
    *_PLACE,
    Ramp("usable", 0.15, 0.60, Flaw.EYE_CLOSED),
    *_LOOK,
    Ramp("grey_spread", 3, 9, Flaw.TOO_FEW_FEATURES),
)

# Of a frame check: the same flaws, where the network alone shows them.
FRAME_RAMPS = (
    *_WHOSE,
    Ramp("certainty", 0.5, 0.8, Flaw.TOO_FEW_FEATURES),
    *_PLACE,
    Ramp("seen", 0.15, 0.45, Flaw.EYE_CLOSED),
    *_LOOK,
)


def judge(image: Pixels, found: Segmentation | None) -> Quality:
    """The quality of an image u8[h, w] in which `segment` has found this."""
    if found is None:
        return Quality(0, _nothing(image), {})
    return _weighed(RAMPS, measure(image, found))


def check_frame(image: Pixels) -> Quality:
    """A quick answer for one frame u8[h, w]: whether an open eye is there, large enough, within the picture, sharp."""
    seen = [one for one in see(image) if one.certainty >= GLIMPSED] if readable(image) else []
    if not seen:
        return Quality(0, Flaw.EMPTY, {})
    return _weighed(FRAME_RAMPS, _frame_measures(image, seen[0]) | {"rivals": float(len(seen) - 1)})


def _weighed(ramps: Sequence[Ramp], measures: dict[str, float]) -> Quality:
    """The product of all shares, and the flaw of the smallest."""
    shares = {ramp: ramp.share(measures[ramp.measure]) for ramp in ramps}
    worst = min(ramps, key=lambda ramp: shares[ramp])
    flaw = _in_other_words(worst.flaw, measures) if shares[worst] < _FLAWED else None
    return Quality(round(100 * float(np.prod(list(shares.values())))), flaw, measures)


def _in_other_words(flaw: Flaw, measures: dict[str, float]) -> Flaw:
    """The same flaw by its cause, where a measure betrays it."""
    if flaw in {Flaw.EYE_CLOSED, Flaw.TOO_FEW_FEATURES} and measures.get("glare", 0.0) > _GLARING:
        return Flaw.GLARE
    if measures["filled"] > _FILLED.get(flaw, np.inf):
        return Flaw.TOO_CLOSE
    return flaw


def _frame_measures(image: Pixels, seen: Seen) -> dict[str, float]:
    pupil = Boundary.circle(seen.x, seen.y, seen.pupil)
    limbus = Boundary.circle(seen.limbus_x, seen.limbus_y, seen.limbus)
    return {
        "certainty": seen.certainty,
        "diameter": 2 * seen.limbus,
        "filled": 2 * seen.limbus / min(image.shape),
        "in_picture": _in_picture(image, limbus),
        "seen": seen.usable,
        "blur": _blur(image, pupil, seen.limbus),
        "pupil_contrast": _pupil_contrast(*_greys(image, pupil, limbus)[:2]),
        "roundness": seen.roundness,
        "grain": _grain_beside(image, pupil, limbus),
        "dilation": seen.pupil / seen.limbus,
    }


def _nothing(image: Pixels) -> Flaw:
    """Why nothing was found: nothing there, or something that is no open eye."""
    low, high = np.percentile(image, (1, 99)) if image.size else (0, 0)
    return Flaw.EMPTY if high < _BLACK or high - low < _BLACK else Flaw.NO_EYE


def measure(image: Pixels, found: Segmentation) -> dict[str, float]:
    """All measures of a sample; shares and contrasts of ISO/IEC 29794-6 as percentages where it has them so."""
    pupil, limbus = found.pupil, found.limbus
    inner, iris, outer = _greys(image, pupil, limbus)
    texture = image[found.usable]
    return (
        {"rivals": 0.0}
        | found.measures
        | {
            "certainty": found.certainty,
            "rivalry": found.measures.get("rival", 0.0) / max(found.measures.get("evidence", 1.0), 0.1),
            "diameter": 2 * limbus.mean_radius,
            "filled": 2 * limbus.mean_radius / min(image.shape),
            "in_picture": _in_picture(image, limbus),
            "usable": float(found.usable.sum()) / max(_area(limbus) - _area(pupil), 1.0),
            "blur": _blur(image, pupil, limbus.mean_radius),
            "pupil_contrast": _pupil_contrast(inner, iris),
            "sclera_contrast": 100 * abs(outer - iris) / max(outer + iris - 2 * inner, 1.0),
            "roundness": _roundness(pupil),
            "dilation": pupil.mean_radius / limbus.mean_radius,
            "off_centre": float(np.hypot(pupil.x - limbus.x, pupil.y - limbus.y)) / limbus.mean_radius,
            "grey_spread": float(np.subtract(*np.percentile(texture, (90, 10)))) if texture.size else 0.0,
            "glare": found.measures.get("glare", 0.0),
            "grain": _grain(image, found.usable),
        }
    )


def _grain(image: Pixels, usable: npt.NDArray[np.bool_]) -> float:
    """How far pixels of the iris differ from those around, in grey levels: noise of a camera, or dots of a print."""
    rows, columns = np.nonzero(usable.any(axis=1))[0], np.nonzero(usable.any(axis=0))[0]
    if not rows.size:
        return 0.0
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    grey = image[part].astype(np.float32)
    return float((grey - ndimage.uniform_filter(grey, 5))[usable[part]].std())


def _grain_beside(image: Pixels, pupil: Boundary, limbus: Boundary) -> float:
    """The same of two squares of the iris, left and right of the pupil."""
    half = max(3, int(0.3 * (limbus.mean_radius - pupil.mean_radius)))
    places = [np.mean([pupil.at(np.array([turn])), limbus.at(np.array([turn]))], axis=0)[0] for turn in (0.0, np.pi)]
    squares = [image[max(0, int(y) - half) : int(y) + half, max(0, int(x) - half) : int(x) + half] for x, y in places]
    grains = [_grain(square, np.ones(square.shape, bool)) for square in squares if square.size]
    return min(grains, default=0.0)  # a lamp may lie in one of them


def _pupil_contrast(pupil: float, iris: float) -> float:
    weber = abs(iris - pupil) / (20 + pupil)
    return 100 * weber / (0.75 + weber)


def _greys(image: Pixels, pupil: Boundary, limbus: Boundary) -> tuple[float, float, float]:
    """Grey of the pupil, of the iris and of the sclera beside it."""
    sides = _ANGLES[np.abs(np.cos(_ANGLES)) > 0.85]
    middle = np.array([pupil.x, pupil.y])
    inside = middle + 0.7 * (pupil.at(_ANGLES) - middle)
    between = 0.5 * pupil.at(sides) + 0.5 * limbus.at(sides)
    about = np.array([limbus.x, limbus.y])
    outside = about + 1.15 * (limbus.at(sides) - about)
    return _grey(image, inside), _grey(image, between), _grey(image, outside)


def _grey(image: Pixels, points: Floats) -> float:
    values, within = sample(image.astype(np.float32), points[:, 0], points[:, 1])
    return float(np.median(values[within])) if within.any() else 0.0


def _in_picture(image: Pixels, limbus: Boundary) -> float:
    """The share of the limbus that lies in the picture."""
    height, width = image.shape
    x, y = limbus.at(_ANGLES).T
    return float(((x >= 0) & (x < width) & (y >= 0) & (y < height)).mean())


def _area(boundary: Boundary) -> float:
    return float(np.pi * (boundary.radii.astype(np.float64) ** 2).mean())


def _blur(image: Pixels, pupil: Boundary, radius: float) -> float:
    """How wide the pupil's edge is where it is widest but for a fifth, as a share of the iris' radius."""
    offsets = np.linspace(-_ACROSS, _ACROSS, 29) * radius
    distance = pupil.radius_at(_ANGLES)[:, None] + offsets
    x, y = pupil.x + np.cos(_ANGLES)[:, None] * distance, pupil.y + np.sin(_ANGLES)[:, None] * distance
    values, within = sample(image.astype(np.float32), x, y)
    rise = np.median(values[:, -6:], axis=1) - np.median(values[:, :6], axis=1)
    steepest = (values[:, 2:] - values[:, :-2]).max(axis=1) / (2 * (offsets[1] - offsets[0]))
    clear = within.all(axis=1) & (rise > 6)
    if clear.sum() < 8:
        return 1.0
    return float(np.quantile(rise[clear] / np.maximum(steepest[clear], 0.1), 0.8)) / radius


def _roundness(pupil: Boundary) -> float:
    """The shorter axis of the pupil as a share of the longer: 1 when it looks straight into the camera."""
    parts = pupil.radii @ waves(len(pupil.radii), 2) * (2 / len(pupil.radii))
    swing = float(np.hypot(parts[2], parts[4]))
    return (pupil.mean_radius - swing) / (pupil.mean_radius + swing)
