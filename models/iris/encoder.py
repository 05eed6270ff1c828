"""Pictures of eyes to iris codes: find the iris, unroll it, filter it.

1. two boundaries and the usable pixels between them      models/iris/segmentation/segmentation.py
2. quality of the sample from its looks                   models/iris/quality.py
3. rubber sheet, Gabor filters, bits and mask             the graph of models/training/build_iris_encoder.py
"""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Modality, Sample
from models.encoder import Encoder, Quality
from models.iris.quality import judge
from models.iris.segmentation.geometry import Segmentation, spread
from models.iris.segmentation.segmentation import segment, warm_up
from models.iris.template import FORMAT, IrisCode, nothing_known, pack
from models.manifest import ModelCard, load_card
from models.session import Session
from models.template import Template

_ANGLES = spread(512)  # at which the graph wants the boundaries
_REMEMBERED = 4  # samples between assess and encode: a kiosk has two to four sensors
_SMALLEST = 16  # pixels of a side below which there is nothing to look for


class IrisGraph:
    """The graph: a picture and where its iris is, to bits."""

    def __init__(self, threads: int = 1, card: ModelCard | None = None) -> None:
        self.card = card or load_card("iris-encoder")
        blank = np.zeros((64, 64), np.uint8)
        points = np.full((len(_ANGLES), 2), 32, np.float32)
        self._session = Session(self.card, threads, _inputs(blank, blank > 0, points, points))

    def code(self, image: NDArray[np.uint8], found: Segmentation, quality: int) -> IrisCode:
        """The code of the iris in an image u8[h, w]."""
        points = (boundary.at(_ANGLES) for boundary in (found.pupil, found.limbus))
        code, mask = self._session.run_named(_inputs(image, found.usable, *points))
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
    """All that is known of one sample. `found` is None where there is no iris."""

    found: Segmentation | None
    quality: Quality


class IrisEncoder:
    """The encoder of irises. assess() finds the iris and remembers: encode() of the same sample only adds the graph."""

    modality = Modality.IRIS
    template_format = FORMAT

    def __init__(self, threads: int = 1, card: ModelCard | None = None) -> None:
        self._graph = IrisGraph(threads, card)
        self.model_name = self._graph.card.name
        self.model_sha256 = self._graph.card.sha256
        self._lock = threading.Lock()
        self._remembered: OrderedDict[bytes, Extraction] = OrderedDict()
        warm_up()

    def assess(self, sample: Sample) -> Quality:
        """How useful the sample is, and its main flaw. Any u8 image is answered."""
        key = _key(sample)
        extraction = self._recall(key) or extract(sample.image)
        self._remember(key, extraction)
        return extraction.quality

    def encode(self, sample: Sample) -> Template:
        """The code of the sample, nothing known where no iris is. Forgets what assess() remembered of it."""
        return pack(self.code(sample))

    def code(self, sample: Sample) -> IrisCode:
        """The same before packing."""
        extraction = self._recall(_key(sample)) or extract(sample.image)
        if extraction.found is None:
            return nothing_known()
        return self._graph.code(sample.image, extraction.found, extraction.quality.score)

    def _remember(self, key: bytes, extraction: Extraction) -> None:
        with self._lock:
            self._remembered[key] = extraction
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)

    def _recall(self, key: bytes) -> Extraction | None:
        with self._lock:
            return self._remembered.pop(key, None)


_: type[Encoder] = IrisEncoder


def extract(image: NDArray[np.uint8]) -> Extraction:
    """Where the iris is, and what the image is worth."""
    found = segment(image) if min(image.shape) >= _SMALLEST else None
    return Extraction(found, judge(image, found))


def _key(sample: Sample) -> bytes:
    """The same for the same image. A digest, so that no image outlives its sample."""
    digest = hashlib.blake2b(sample.image.tobytes(), digest_size=16)
    digest.update(str(sample.image.shape).encode())
    return digest.digest()
