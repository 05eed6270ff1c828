"""Finds the minutiae in a fingerprint image.

1. resample to 500 ppi, find the skin, crop to it               models/finger/image.py
2. measure area and texture; stop if there are no clear ridges  models/finger/quality.py
3. pad to multiples of 32, run the network                      models/onnx_session.py
4. take the peaks of its output that lie on skin as minutiae
5. compute the quality of the sample                            models/finger/quality.py
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drivers.sample import Modality, Sample
from models.encoder import Encoder, Quality
from models.finger.image import Prepared, possible, prepare
from models.finger.minutiae import MAX_MINUTIAE, TURN, Kind, Minutiae, no_minutiae
from models.finger.quality import measure, quality_of
from models.finger.ridge_map import Image, Mask
from models.finger.template import FORMAT, pack
from models.manifest import ModelCard, load_card
from models.onnx_session import Session
from models.sample_cache import SampleCache
from models.template import Template

MODEL = "leader"  # unless the configuration names another

# A lower threshold finds more minutiae, also false ones. Pooled EER: 0.85 % at 0.6 (the authors' default), 0.46 % at
# 0.3. With our comparison, the EER of prints that overlap little still falls down to 0.2 (models/README.md).
QUALITY_THRESHOLD = 0.2
ENDING_THRESHOLD = 0.5

_SIZE_MULTIPLE = 32  # the network halves the image five times
_SKIN_MARGIN = 5  # pixels around the skin within which a minutia still counts


@dataclass(frozen=True, slots=True)
class Extraction:
    """The minutiae and quality of a sample."""

    minutiae: Minutiae
    quality: Quality


class FingerEncoder:
    """The encoder of fingerprints. assess() runs the network and keeps the result for encode() of the same sample."""

    modality = Modality.FINGER
    template_format = FORMAT

    def __init__(self, threads: int = 1, card: ModelCard | None = None) -> None:
        card = card or load_card(MODEL)
        self.model_name = card.name
        self.model_sha256 = card.sha256
        self._session = Session(card, threads)
        self._extractions: SampleCache[Extraction] = SampleCache()

    def assess(self, sample: Sample) -> Quality:
        """The quality of the sample and its main flaw. Accepts any u8 image."""
        return self._extractions.keep(sample, self._extract).quality

    def encode(self, sample: Sample) -> Template:
        """The template of the sample. Removes what assess() kept of it."""
        return pack(self.minutiae(sample))

    def minutiae(self, sample: Sample) -> Minutiae:
        """The minutiae of the sample, before packing."""
        return self._extractions.take(sample, self._extract).minutiae

    def _extract(self, sample: Sample) -> Extraction:
        prepared = prepare(sample.image, sample.pixels_per_inch)
        measures = measure(prepared)
        readable = measures.worth_reading and possible(sample.pixels_per_inch)
        found = self._detect(prepared) if readable else no_minutiae(prepared.width, prepared.height)
        quality = quality_of(measures, found)
        return Extraction(found.with_quality(quality.score), quality)

    def _detect(self, prepared: Prepared) -> Minutiae:
        padded, top, left = pad(prepared.image)
        planes = self._session.run(padded[np.newaxis, :, :, np.newaxis])[0]
        height, width = prepared.image.shape
        return read_peaks(planes[top : top + height, left : left + width], prepared)


_: type[Encoder] = FingerEncoder


def pad(image: Image) -> tuple[Image, int, int]:
    """The image centred in one whose sides are multiples of 32, and where it begins there (row, column)."""
    sides = [-(-side // _SIZE_MULTIPLE) * _SIZE_MULTIPLE for side in image.shape]
    before = [(large - side) // 2 for large, side in zip(sides, image.shape, strict=True)]
    after = [large - side - first for large, side, first in zip(sides, image.shape, before, strict=True)]
    padded = np.pad(image, list(zip(before, after, strict=True)), constant_values=image[0, 0])
    return padded, before[0], before[1]


def read_peaks(planes: NDArray[np.float32], prepared: Prepared) -> Minutiae:
    """The minutiae in the output of the network for a prepared image: at most 255, best quality first."""
    quality = np.where(_near(prepared.skin), planes[..., 3], 0)
    y, x = np.nonzero(quality >= QUALITY_THRESHOLD)
    order = np.argsort(-quality[y, x], kind="stable")[:MAX_MINUTIAE]
    y, x = y[order], x[order]
    direction = np.round(planes[y, x, 1] * (TURN / (2 * np.pi))).astype(np.int64) % TURN
    kind = np.where(planes[y, x, 2] >= ENDING_THRESHOLD, Kind.ENDING, Kind.BIFURCATION)
    return Minutiae(
        width=prepared.width,
        height=prepared.height,
        quality=0,
        x=(x + prepared.left).astype(np.uint16),
        y=(y + prepared.top).astype(np.uint16),
        direction=direction.astype(np.uint16),
        kind=kind.astype(np.uint8),
        qualities=np.clip(np.round(100 * quality[y, x]), 1, 100).astype(np.uint8),
    )


def _near(skin: Mask) -> Mask:
    grown: Mask = ndimage.maximum_filter(skin, 2 * _SKIN_MARGIN + 1)
    return grown
