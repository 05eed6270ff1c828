"""The interfaces of encoders and galleries, and what they return: quality, entries, scores."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol, Self

from drivers.sample import Modality, Position, Sample
from models.template import Template


class Flaw(StrEnum):
    """The main flaw of a sample, one that a traveller can correct. The values are message keys."""

    EMPTY = "empty"  # nothing on the sensor
    TOO_SMALL = "too_small"  # too little skin on the sensor: press flat
    TOO_DRY = "too_dry"  # ridges broken, faint: breathe on the finger
    TOO_WET = "too_wet"  # ridges merged, dark: wipe the finger
    PARTIAL = "partial"  # the finger is at the edge: place it in the middle
    TOO_FEW_FEATURES = "too_few_features"  # not an image of a readable finger or eye
    NO_EYE = "no_eye"  # an image without an open eye
    SEVERAL = "several"  # more than one finger or eye: present one at a time
    TOO_FAR = "too_far"  # the iris is small: come closer
    TOO_CLOSE = "too_close"  # the iris does not fit: move back
    EYE_CLOSED = "eye_closed"  # lids or lashes hide the iris: open the eye wide
    BLURRED = "blurred"  # out of focus or moving: hold still
    LOOKS_AWAY = "looks_away"  # the eye looks away: look straight into the camera
    GLARE = "glare"  # reflections hide the iris: take off glasses


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality of a sample. `score`, 0 (useless) to 100, predicts its usefulness in a comparison (ISO/IEC 29794-1).

    `flaw` is the main flaw; it is set whenever one is known, also in a usable sample. The policy decides which score is
    enough, not this class.
    """

    score: int
    flaw: Flaw | None = None
    measures: dict[str, float] = field(default_factory=dict)


class Encoder(Protocol):
    """Makes templates of samples. Can be called from several threads."""

    modality: Modality
    template_format: str
    model_name: str
    model_sha256: str

    def assess(self, sample: Sample) -> Quality:
        """The quality of the sample. Accepts any u8 image; none raises an error."""

    def encode(self, sample: Sample) -> Template:
        """The template of a sample. That of an unusable sample has few or no features and matches nobody."""


def models_of(encoders: Iterable[Encoder]) -> dict[str, str]:
    """The models of these encoders, as events and status report them: model name to sha256."""
    return {encoder.model_name: encoder.model_sha256 for encoder in encoders}


class Scored(NamedTuple):
    """A result of a search: the key of a reference and its comparison score (higher is more similar)."""

    key: str
    score: float


class Entry(NamedTuple):
    """A template in a gallery. Several entries may have the same key: the fingers of one reference."""

    key: str
    position: Position
    template: Template


class Gallery(Protocol):
    """References of one template format in contiguous memory. Immutable: a change makes another gallery."""

    template_format: str

    @classmethod
    def build(cls, entries: Iterable[Entry]) -> Self:
        """A gallery of these entries. TemplateError names the key of an entry that cannot be read."""

    def __len__(self) -> int:
        """The number of entries."""

    def changed(self, added: Sequence[Entry], removed: frozenset[str]) -> Self:
        """A gallery without the keys of `removed`, then with `added`."""

    def search(self, probe: Template, position: Position, limit: int) -> list[Scored]:
        """The best `limit` keys, best first, each with its best score, ties in the order of the gallery.

        If `position` is known, entries of another known position are skipped.
        """
