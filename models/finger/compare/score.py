"""How alike two fingerprints are: the only place where comparison scores are born.

1. Each pair of cylinders (models/finger/cylinders.py) has a similarity 0..1 over the places that count in both; pairs
whose
   minutiae point more than MAX_ROTATION apart have none.
2. The best pairs support each other as far as distances and directions between their minutiae agree in both fingers:
   relaxation (LSS-R of Cappelli, Ferrara, Maltoni, TPAMI 2010). The local likeness is the mean of the pairs that kept
   most of their similarity, 0..1.
3. The fingers are laid on each other by the pairs of most support, and minutiae with and without a partner are weighed
   (models/finger/compare/alignment.py): two halves of a finger share few pairs, but what they share lies where it
   should.
4. The score is 0..1, higher is more alike, symmetric: a logistic curve of the evidence of 2 and 3, so wide that it is
   nearly straight where strangers are.

A search over many references (models/finger/search/gallery.py) does step 1 coarsely for all, 2 for the most promising,
and all for those that it returns.
"""

import math

from models.compiled import NUMBA
from models.finger.compare.alignment import Agreement, agreement
from models.finger.compare.local_similarity import DIGITS, in_order, supported
from models.finger.compare.score_kernel import compared
from models.finger.cylinder_kernel import described
from models.finger.cylinders import Cylinders, rows_of
from models.finger.template import unpack
from models.template import Template

# Fitted by logistic regression on the even fingers of real sets and of harder variants of them (models/README.md).
LOCAL_WEIGHT = 17.4  # of the square root of local likeness, against the weights of models/finger/compare/alignment.py
# The more of two strangers overlaps, the more must be missing: this much takes that out of the score again, so that a
# score means the same for small and for large overlaps. It costs some accuracy where little overlaps.
OVERLAP_WEIGHT = 0.15
MIDDLE, WIDTH = 6.0, 6.0  # of the logistic curve; strangers seldom have more evidence than 4.5, mates seldom less


def compare(probe: Template, reference: Template) -> float:
    """The comparison score of two templates of one format, 0..1. TemplateError when one cannot be read."""
    return score(ready(probe), ready(reference))


def ready(template: Template) -> Cylinders:
    """What score() compares. TemplateError when it cannot be read."""
    return described(rows_of(unpack(template)))


def score(one: Cylinders, other: Cylinders) -> float:
    """The same for two sets of cylinders. They are put in order first, so that ties fall alike both ways."""
    a, b = in_order(one, other)
    found = compared_plain(a, b) if NUMBA is None else compared(a, b)
    if found is None:
        return 0.0
    likeness, laid = found
    evidence = LOCAL_WEIGHT * math.sqrt(likeness) + laid.evidence + OVERLAP_WEIGHT * laid.overlap
    return round(1 / (1 + math.exp((MIDDLE - evidence) / WIDTH)), DIGITS)


def compared_plain(a: Cylinders, b: Cylinders) -> tuple[float, Agreement] | None:
    """What models.finger.compare.score_kernel.compared() gives, in numpy."""
    pairs = supported(a, b)
    return None if pairs is None else (pairs.likeness(), agreement(a, b, pairs.promising()))
