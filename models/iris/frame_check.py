"""The quick quality check of each frame of a camera: is an eye there, near enough and sharp? Makes no template."""

from collections.abc import Callable

from drivers.sample import Modality, Sample
from models.encoder import Quality
from models.manifest import ModelError

FrameCheck = Callable[[Sample], Quality]


def _iris() -> FrameCheck:
    from models.iris import quality as iris_quality  # noqa: PLC0415 - not needed by a kiosk without a camera

    return lambda sample: iris_quality.check_frame(sample.image)


FRAME_CHECKS: dict[Modality, Callable[[], FrameCheck]] = {Modality.IRIS: _iris}


def load_frame_check(modality: Modality) -> FrameCheck:
    """The frame check of a modality whose sensors stream. ModelError if there is none."""
    if modality not in FRAME_CHECKS:
        raise ModelError(f"no frame check for {modality}; there are: {', '.join(FRAME_CHECKS)}")
    return FRAME_CHECKS[modality]()
