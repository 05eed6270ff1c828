"""Templates of images, made with the kiosk's own encoders and models."""

import functools
import os
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Modality, Position, Sample
from models import exported, load_encoder
from models.encoder import Encoder
from models.template import Template
from simulators.provider.errors import ProviderError

LEAST_QUALITY = 20  # of a sample: policy.min_quality of a kiosk
NO_RESOLUTION = 500.0  # of an iris image: nothing depends on it


def encode(position: Position, modality: Modality, image: NDArray[np.uint8], pixels_per_inch: float) -> Template:
    """The template of an image u8[h, w], as it is sent to kiosks. ProviderError if it is of too low quality."""
    sample = Sample(modality, position, image, 8, pixels_per_inch, datetime.now(UTC), "file")
    encoder = _encoder(modality)
    quality = encoder.assess(sample)
    template = encoder.encode(sample)
    if quality.score < LEAST_QUALITY:
        why = f" ({quality.flaw})" if quality.flaw else ""
        raise ProviderError(
            f"the quality of the image is {quality.score} of 100{why}; at least {LEAST_QUALITY} is needed"
        )
    return exported(template)


@functools.cache
def _encoder(modality: Modality) -> Encoder:
    return load_encoder(modality, os.cpu_count() or 1)
