"""Encodes images of eyes as iris codes: segments the iris, unrolls it, filters it.

1. two boundaries and the usable pixels between them      models/iris/segmentation/segmentation.py
2. quality of the sample                                  models/iris/quality.py
3. rubber sheet, Gabor filters, bits and mask             the graph of models/training/build_iris_encoder.py
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Modality, Sample
from models.encoder import Encoder, Quality
from models.iris.quality import sample_quality
from models.iris.segmentation.geometry import Segmentation, even_angles
from models.iris.segmentation.segmentation import segment, warm_up
from models.iris.template import FORMAT, IrisCode, empty_code, pack
from models.manifest import ModelCard, load_card
from models.onnx_session import Session
from models.sample_cache import SampleCache
from models.template import Template

_ANGLES = even_angles(512)  # at which the graph takes the points of the boundaries
_SMALLEST = 16  # pixels; an image with a shorter side is not searched


class IrisGraph:
    """The ONNX graph: makes the bits of a code from an image and its segmentation."""

    def __init__(self, threads: int = 1, card: ModelCard | None = None) -> None:
        self.card = card or load_card("iris-encoder")
        blank = np.zeros((64, 64), np.uint8)
        points = np.full((len(_ANGLES), 2), 32, np.float32)
        self._session = Session(self.card, threads, _inputs(blank, blank > 0, points, points))

    def code(self, image: NDArray[np.uint8], segmentation: Segmentation, quality: int) -> IrisCode:
        """The code of the iris in an image u8[h, w]."""
        points = (boundary.at(_ANGLES) for boundary in (segmentation.pupil, segmentation.limbus))
        code, mask = self._session.run_named(_inputs(image, segmentation.usable, *points))
        return IrisCode.of(quality, code, mask)


def _inputs(
    image: NDArray[np.uint8], usable: NDArray[np.bool_], pupil: NDArray[np.float32], limbus: NDArray[np.float32]
) -> dict[str, NDArray[np.generic]]:
    return {"image": image[np.newaxis, np.newaxis], "usable": usable[np.newaxis, np.newaxis]} | {
        "pupil": pupil,
        "limbus": limbus,
    }


@dataclass(frozen=True, slots=True)
class Extraction:
    """The result of one image. `segmentation` is None if no iris was found."""

    segmentation: Segmentation | None
    quality: Quality


class IrisEncoder:
    """The encoder of irises. assess() keeps the segmentation; encode() of the same sample only runs the graph."""

    modality = Modality.IRIS
    template_format = FORMAT

    def __init__(self, threads: int = 1, card: ModelCard | None = None) -> None:
        self._graph = IrisGraph(threads, card)
        self.model_name = self._graph.card.name
        self.model_sha256 = self._graph.card.sha256
        self._extractions: SampleCache[Extraction] = SampleCache()
        warm_up()

    def assess(self, sample: Sample) -> Quality:
        """How useful the sample is, and its main flaw. Accepts any u8 image."""
        return self._extractions.keep(sample, _extract).quality

    def encode(self, sample: Sample) -> Template:
        """The template of the sample; without known bits if there is no iris. Removes what assess() has kept of it."""
        return pack(self.code(sample))

    def code(self, sample: Sample) -> IrisCode:
        """The code of the sample before packing."""
        extraction = self._extractions.take(sample, _extract)
        if extraction.segmentation is None:
            return empty_code()
        return self._graph.code(sample.image, extraction.segmentation, extraction.quality.score)


_: type[Encoder] = IrisEncoder


def extract(image: NDArray[np.uint8]) -> Extraction:
    """The segmentation and the quality of an image."""
    segmentation = segment(image) if min(image.shape) >= _SMALLEST else None
    return Extraction(segmentation, sample_quality(image, segmentation))


def _extract(sample: Sample) -> Extraction:
    return extract(sample.image)
