"""Whether two samples come from the same finger or eye, whatever positions were requested."""

from collections.abc import Iterable

from drivers.sample import Position
from models import gallery_class
from models.calibration import load_calibration
from models.encoder import Entry
from models.template import Template

# Samples of two positions with a false match rate up to this come from one finger or eye, presented twice.
DUPLICATE_RATE = 1e-4


def false_match_rate(one: Template, other: Template) -> float:
    """The false match rate of comparing two templates of one format, whatever their positions: low if similar."""
    gallery = gallery_class(other.format).build([Entry("other", Position.UNKNOWN, other)])
    found = gallery.search(one, Position.UNKNOWN, 1)
    return load_calibration(one.format).false_match_rate(found[0].score) if found else 1.0


def is_duplicate(template: Template, others: Iterable[Template]) -> bool:
    """Whether a sample is of the same finger or eye as one of the others. Other template formats are skipped."""
    same_format = (other for other in others if other.format == template.format)
    return any(false_match_rate(template, other) <= DUPLICATE_RATE for other in same_format)
