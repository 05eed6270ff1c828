"""The quick look at each frame of a camera: an eye there, near enough, sharp? Quality, not a template."""

from collections.abc import Callable

from drivers.sample import Modality, Sample
from models.encoder import Quality
from models.manifest import ModelError

Glance = Callable[[Sample], Quality]


def _iris() -> Glance:
    from models.iris import quality as iris_quality  # noqa: PLC0415 - a kiosk without a camera needs none of it

    return lambda sample: iris_quality.glance(sample.image)


GLANCES: dict[Modality, Callable[[], Glance]] = {Modality.IRIS: _iris}


def load_glance(modality: Modality) -> Glance:
    """The glance of a modality whose sensors stream. ModelError when there is none."""
    if modality not in GLANCES:
        raise ModelError(f"no glance for {modality}; there are: {', '.join(GLANCES)}")
    return GLANCES[modality]()
