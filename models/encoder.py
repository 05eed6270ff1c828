"""The contracts between samples, templates and scores."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol, Self

from drivers.sample import Modality, Position, Sample
from models.template import Template


class Flaw(StrEnum):
    """The main weakness of a sample, in words a traveller can act on. The values are message keys."""

    EMPTY = "empty"  # nothing on the sensor
    TOO_SMALL = "too_small"  # too little skin touches: press flat
    TOO_DRY = "too_dry"  # ridges broken, faint: breathe on the finger
    TOO_WET = "too_wet"  # ridges merged, dark: wipe the finger
    PARTIAL = "partial"  # at the edge: place it in the middle
    TOO_FEW_FEATURES = "too_few_features"  # an image, but not of a finger or an eye that can be read
    NO_EYE = "no_eye"  # a picture without an open eye in it
    SEVERAL = "several"  # more than one eye: one at a time
    TOO_FAR = "too_far"  # the iris is small: come closer
    TOO_CLOSE = "too_close"  # the iris does not fit: move back
    EYE_CLOSED = "eye_closed"  # lids or lashes hide the iris: open it wide
    BLURRED = "blurred"  # out of focus or moving: hold still
    LOOKS_AWAY = "looks_away"  # look straight into the camera
    GLARE = "glare"  # reflections hide the iris: take off glasses


@dataclass(frozen=True, slots=True)
class Quality:
    """`score` 0 (useless) to 100, rising with the expected usefulness in a comparison (ISO/IEC 29794-1 sense).

    `flaw` is the main weakness, set whenever one is known, also in a usable sample. Policy, not this class, says which
    score is enough.
    """

    score: int
    flaw: Flaw | None = None
    measures: dict[str, float] = field(default_factory=dict)


class Encoder(Protocol):
    """Sample to template. Safe to call from several threads."""

    modality: Modality
    template_format: str
    model_name: str
    model_sha256: str

    def assess(self, sample: Sample) -> Quality:
        """How useful the sample is. Any u8 image is answered, none raises."""

    def encode(self, sample: Sample) -> Template:
        """The template of a sample; of an unusable one a template with few or no features, that matches nobody."""


def models_of(encoders: Iterable[Encoder]) -> dict[str, str]:
    """What makes the templates, as events and status say it: model name to sha256."""
    return {encoder.model_name: encoder.model_sha256 for encoder in encoders}


class Scored(NamedTuple):
    """One result of a search: the key of a reference and how alike it is (higher is more alike)."""

    key: str
    score: float


class Entry(NamedTuple):
    """One template of a gallery. Several entries may share a key: the fingers of one reference."""

    key: str
    position: Position
    template: Template


class Gallery(Protocol):
    """References of one template format in contiguous memory. Immutable: a change makes another gallery."""

    template_format: str

    @classmethod
    def build(cls, entries: Iterable[Entry]) -> Self:
        """A gallery of these. TemplateError names the key of an entry that cannot be read."""

    def __len__(self) -> int:
        """How many entries."""

    def changed(self, added: Sequence[Entry], removed: frozenset[str]) -> Self:
        """A gallery without the keys of `removed`, then with `added`."""

    def search(self, probe: Template, position: Position, limit: int) -> list[Scored]:
        """The best `limit` keys, best first, each with its best score, ties in the order of the gallery.

        Entries of another known position than a known `position` are passed over.
        """
