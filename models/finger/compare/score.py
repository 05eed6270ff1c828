"""The comparison score of two fingerprints. All comparison scores of fingerprints are computed here.

1. Each pair of cylinders (models/finger/cylinders.py) has a similarity, 0..1, over the places that are valid in both;
   0 if their minutiae point more than MAX_ROTATION apart.
2. The best pairs support each other as far as distances and directions between their minutiae agree in both fingers:
   relaxation (LSS-R of Cappelli, Ferrara, Maltoni, TPAMI 2010). The local similarity is the mean of the pairs that kept
   most of their similarity, 0..1.
3. The fingers are aligned by the most supported pairs, and paired and unpaired minutiae are weighed
   (models/finger/compare/alignment.py). Two halves of a finger have few pairs in common, but these lie at the right
   places.
4. The score, 0..1, is a logistic curve of the evidence of 2 and 3. Higher means more similar; the score is symmetric.
   The curve is so wide that it is nearly straight where the scores of different fingers are.

A search among many references (models/finger/search/gallery.py) does a coarse form of step 1 for all of them, step 2
for the most promising ones, and all steps for those that it returns.
"""

import math

from models.compiled import NUMBA
from models.finger.compare.alignment import Alignment, best_alignment
from models.finger.compare.local_similarity import DIGITS, in_order, supported_pairs
from models.finger.compare.score_kernel import compared
from models.finger.cylinder_kernel import cylinders_of
from models.finger.cylinders import Cylinders, rows_of
from models.finger.template import unpack
from models.template import Template

# Fitted by logistic regression on the even fingers of real sets and of harder variants of them (models/README.md).
LOCAL_WEIGHT = 17.4  # of the square root of local similarity, in the units of models/finger/compare/alignment.py
# The larger the overlap of two different fingers, the more minutiae in it are unpaired. This weight compensates for
# half of that, so that a score means nearly the same for small and large overlaps. It costs some accuracy in small
# overlaps.
OVERLAP_WEIGHT = 0.15
# Of the logistic curve. Different fingers seldom have more evidence than 4.5, the same finger seldom less.
MIDDLE, WIDTH = 6.0, 6.0


def compare(probe: Template, reference: Template) -> float:
    """The comparison score of two templates of one format, 0..1. TemplateError when one cannot be read."""
    return score(template_cylinders(probe), template_cylinders(reference))


def template_cylinders(template: Template) -> Cylinders:
    """The cylinders of a template, for score(). TemplateError when it cannot be read."""
    return cylinders_of(rows_of(unpack(template)))


def score(one: Cylinders, other: Cylinders) -> float:
    """The comparison score of two sets of cylinders. They are put in order first, so that the score is symmetric."""
    a, b = in_order(one, other)
    found = compared_plain(a, b) if NUMBA is None else compared(a, b)
    if found is None:
        return 0.0
    similarity, alignment = found
    evidence = LOCAL_WEIGHT * math.sqrt(similarity) + alignment.evidence + OVERLAP_WEIGHT * alignment.overlap
    return round(1 / (1 + math.exp((MIDDLE - evidence) / WIDTH)), DIGITS)


def compared_plain(a: Cylinders, b: Cylinders) -> tuple[float, Alignment] | None:
    """The result of models.finger.compare.score_kernel.compared(), in numpy."""
    pairs = supported_pairs(a, b)
    return None if pairs is None else (pairs.similarity(), best_alignment(a, b, pairs.promising()))
