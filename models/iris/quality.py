"""The quality of an image of an eye, 0 to 100, and its main flaw, which the traveller can correct.

The measures follow ISO/IEC 29794-6: sharpness, usable area, contrast of iris to pupil and to sclera, dilation, gaze
(roundness of the pupil), concentricity, diameter, margin, range of grey values. A ramp maps each measure to 0..1, and
the score is their product: one useless property makes the score 0, however good the others are. `check_frame` is the
quick check of one frame of a stream.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from models.encoder import Flaw, Quality
from models.iris.segmentation.geometry import Boundary, Floats, Segmentation, even_angles
from models.iris.segmentation.network import MIN_CERTAINTY, DetectedEye, detect_eyes, number_of_rivals
from models.iris.segmentation.polar import fourier_basis, sample
from models.iris.segmentation.segmentation import readable

Pixels = npt.NDArray[np.uint8]

_ANGLES = even_angles(64)
_EDGE_RANGE = 0.14  # in radii of the iris, on both sides of the edge of the pupil: where its width is measured
_BLACK = 25  # grey; 99 % of the pixels of an empty image are below
_FLAWED = 0.7  # value of a ramp below which its flaw is reported
# Diameter of the iris, as a share of the shorter side, above which these flaws mean that the eye is too close.
_FILLED = {Flaw.PARTIAL: 0.8, Flaw.TOO_FEW_FEATURES: 0.95}
_GLARING = 0.08  # share of the iris hidden by reflections above which glare is the flaw; a lamp alone hides less


class Ramp(NamedTuple):
    """The values of a measure at which a sample is useless and at which it is fine, and the flaw to report."""

    measure: str
    useless: float
    fine: float
    flaw: Flaw

    def share(self, value: float) -> float:
        """The value of the ramp: 0 if useless, 1 if fine."""
        return float(np.clip((value - self.useless) / (self.fine - self.useless), 0, 1))


# Used for whole samples and for frame checks.
_SINGLE_LIVE_EYE = (
    Ramp("rivals", 1, 0, Flaw.SEVERAL),
    # Grey levels: a live iris has up to 10, the dots of a print have 30 and more.
    Ramp("grain", 28, 18, Flaw.NO_EYE),
)
_POSITION = (
    Ramp("diameter", 50, 100, Flaw.TOO_FAR),
    Ramp("in_picture", 0.5, 0.9, Flaw.PARTIAL),
)
_APPEARANCE = (
    Ramp("blur", 0.12, 0.07, Flaw.BLURRED),
    Ramp("pupil_contrast", 5, 25, Flaw.TOO_FEW_FEATURES),
    Ramp("roundness", 0.6, 0.8, Flaw.LOOKS_AWAY),
    Ramp("dilation", 0.75, 0.62, Flaw.TOO_FEW_FEATURES),
)

# The ramp with the lowest value gives the main flaw; of equal ones, the first.
RAMPS = (
    *_SINGLE_LIVE_EYE,
    Ramp("rivalry", 0.97, 0.85, Flaw.SEVERAL),
    Ramp("evidence", 0.6, 0.95, Flaw.TOO_FEW_FEATURES),
    Ramp("pupil_rise", 0.35, 0.65, Flaw.TOO_FEW_FEATURES),
    Ramp("limbus_rise", 0.10, 0.30, Flaw.TOO_FEW_FEATURES),
    *_POSITION,
    Ramp("usable", 0.15, 0.60, Flaw.EYE_CLOSED),
    *_APPEARANCE,
    Ramp("grey_spread", 3, 9, Flaw.TOO_FEW_FEATURES),
)

# Of a frame check: the flaws that the network can detect without a segmentation.
FRAME_RAMPS = (
    *_SINGLE_LIVE_EYE,
    Ramp("certainty", 0.5, 0.8, Flaw.TOO_FEW_FEATURES),
    *_POSITION,
    Ramp("seen", 0.15, 0.45, Flaw.EYE_CLOSED),
    *_APPEARANCE,
)


def sample_quality(image: Pixels, found: Segmentation | None) -> Quality:
    """The quality of an image u8[h, w] and its segmentation; None if `segment` found no iris."""
    if found is None:
        return Quality(0, _flaw_without_iris(image), {})
    return _combined(RAMPS, measure(image, found))


def check_frame(image: Pixels) -> Quality:
    """The quick check of one frame u8[h, w]: whether it shows an open eye, large enough, within the image and sharp."""
    eyes = [eye for eye in detect_eyes(image) if eye.certainty >= MIN_CERTAINTY] if readable(image) else []
    if not eyes:
        return Quality(0, Flaw.EMPTY, {})
    return _combined(FRAME_RAMPS, _frame_measures(image, eyes[0]) | {"rivals": float(number_of_rivals(eyes))})


def _combined(ramps: Sequence[Ramp], measures: dict[str, float]) -> Quality:
    """The product of all ramps, and the flaw of the lowest."""
    shares = {ramp: ramp.share(measures[ramp.measure]) for ramp in ramps}
    worst = min(ramps, key=lambda ramp: shares[ramp])
    flaw = _by_cause(worst.flaw, measures) if shares[worst] < _FLAWED else None
    return Quality(round(100 * float(np.prod(list(shares.values())))), flaw, measures)


def _by_cause(flaw: Flaw, measures: dict[str, float]) -> Flaw:
    """The cause of a flaw, if a measure shows it; else the flaw itself."""
    if flaw in {Flaw.EYE_CLOSED, Flaw.TOO_FEW_FEATURES} and measures.get("glare", 0.0) > _GLARING:
        return Flaw.GLARE
    if measures["filled"] > _FILLED.get(flaw, np.inf):
        return Flaw.TOO_CLOSE
    return flaw


def _frame_measures(image: Pixels, eye: DetectedEye) -> dict[str, float]:
    pupil = Boundary.circle(eye.x, eye.y, eye.pupil)
    limbus = Boundary.circle(eye.limbus_x, eye.limbus_y, eye.limbus)
    return {
        "certainty": eye.certainty,
        "diameter": 2 * eye.limbus,
        "filled": 2 * eye.limbus / min(image.shape),
        "in_picture": _in_image(image, limbus),
        "seen": eye.usable,
        "blur": _blur(image, pupil, eye.limbus),
        "pupil_contrast": _pupil_contrast(*_greys(image, pupil, limbus)[:2]),
        "roundness": eye.roundness,
        "grain": _grain_of_sides(image, pupil, limbus),
        "dilation": eye.pupil / eye.limbus,
    }


def _flaw_without_iris(image: Pixels) -> Flaw:
    """Why no iris was found: the image is empty, or shows something other than an open eye."""
    low, high = np.percentile(image, (1, 99)) if image.size else (0, 0)
    return Flaw.EMPTY if high < _BLACK or high - low < _BLACK else Flaw.NO_EYE


def measure(image: Pixels, found: Segmentation) -> dict[str, float]:
    """All measures of a sample. Shares and contrasts are percentages where ISO/IEC 29794-6 defines them so."""
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
            "in_picture": _in_image(image, limbus),
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
    """How much pixels of the iris differ from others nearby, in grey levels: noise of a camera, or dots of a print."""
    rows, columns = np.nonzero(usable.any(axis=1))[0], np.nonzero(usable.any(axis=0))[0]
    if not rows.size:
        return 0.0
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    grey = image[part].astype(np.float32)
    return float((grey - ndimage.uniform_filter(grey, 5))[usable[part]].std())


def _grain_of_sides(image: Pixels, pupil: Boundary, limbus: Boundary) -> float:
    """The smaller grain of two squares of the iris, left and right of the pupil."""
    half = max(3, int(0.3 * (limbus.mean_radius - pupil.mean_radius)))
    places = [np.mean([pupil.at(np.array([angle])), limbus.at(np.array([angle]))], axis=0)[0] for angle in (0.0, np.pi)]
    squares = [image[max(0, int(y) - half) : int(y) + half, max(0, int(x) - half) : int(x) + half] for x, y in places]
    grains = [_grain(square, np.ones(square.shape, bool)) for square in squares if square.size]
    return min(grains, default=0.0)  # the reflection of a lamp may lie in one of them


def _pupil_contrast(pupil: float, iris: float) -> float:
    weber = abs(iris - pupil) / (20 + pupil)
    return 100 * weber / (0.75 + weber)


def _greys(image: Pixels, pupil: Boundary, limbus: Boundary) -> tuple[float, float, float]:
    """The grey of the pupil, of the iris and of the sclera next to it."""
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


def _in_image(image: Pixels, limbus: Boundary) -> float:
    """The share of the limbus that lies within the image."""
    height, width = image.shape
    x, y = limbus.at(_ANGLES).T
    return float(((x >= 0) & (x < width) & (y >= 0) & (y < height)).mean())


def _area(boundary: Boundary) -> float:
    return float(np.pi * (boundary.radii.astype(np.float64) ** 2).mean())


def _blur(image: Pixels, pupil: Boundary, radius: float) -> float:
    """The width of the edge of the pupil (its 80 % quantile over the directions), as a share of the iris radius."""
    offsets = np.linspace(-_EDGE_RANGE, _EDGE_RANGE, 29) * radius
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
    """The shorter axis of the pupil as a share of the longer: 1 if the eye looks straight into the camera."""
    parts = pupil.radii @ fourier_basis(len(pupil.radii), 2) * (2 / len(pupil.radii))
    swing = float(np.hypot(parts[2], parts[4]))
    return (pupil.mean_radius - swing) / (pupil.mean_radius + swing)
