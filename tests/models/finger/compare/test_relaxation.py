"""The compiled relaxation: the largest pairs are chosen in order."""

import numpy as np

from models.finger.compare.relaxation import top_pairs


def test_the_largest_pairs_are_chosen_and_the_first_of_equals_first() -> None:
    value = np.round(np.random.default_rng(1).random((9, 12)), 1).astype(np.float32)
    chosen = np.empty(7, np.int64)
    top_pairs(value, 9, 12, 7, chosen)
    assert chosen.tolist() == np.argsort(-value, axis=None, kind="stable")[:7].tolist()
