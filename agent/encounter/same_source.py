"""Whether two samples come from one finger or eye, whatever positions they were asked for as."""

from collections.abc import Iterable

from drivers.sample import Position
from models import gallery_class
from models.calibration import load_calibration
from models.encoder import Entry
from models.template import Template

# Samples of two positions this unlikely to come from two fingers or eyes come from one, presented twice.
DUPLICATE_RATE = 1e-4


def false_match_rate(one: Template, other: Template) -> float:
    """Of the comparison of two templates of one format, whatever their positions: low where they are alike."""
    gallery = gallery_class(other.format).build([Entry("other", Position.UNKNOWN, other)])
    found = gallery.search(one, Position.UNKNOWN, 1)
    return load_calibration(one.format).false_match_rate(found[0].score) if found else 1.0


def is_duplicate(template: Template, others: Iterable[Template]) -> bool:
    """Whether a sample is of the finger or eye that gave one of the others. Other formats are passed over."""
    alike = (other for other in others if other.format == template.format)
    return any(false_match_rate(template, other) <= DUPLICATE_RATE for other in alike)
