"""Synthetic iris codes: different irises do not match, images of the same iris do."""

import numpy as np

from models.iris.kernel import search, search_whole
from models.iris.search_layout import STOPPED, ShiftedProbe, split
from models.iris.template import IrisCode
from simulators.people import iris_codes


def test_made_up_codes_are_nobodys_and_their_own_again() -> None:
    rng = np.random.default_rng(4)
    numbers = np.arange(30 * iris_codes.VARIANTS)
    made = iris_codes.code_columns(rng, 30).variant(numbers // iris_codes.VARIANTS, numbers % iris_codes.VARIANTS)
    heads, tails = split(*made.words(iris_codes.visible_columns(rng, len(numbers))))
    fields = iris_codes.responses(rng, 1)
    probe = ShiftedProbe.of(iris_codes.codes_of(rng, iris_codes.another_image(rng, fields), 3)[0])
    own = iris_codes.codes_of(rng, fields, 3)[0]
    assert search_whole(probe, *split(own.code[np.newaxis], own.mask[np.newaxis]))[0] > 0.15
    assert search_whole(probe, heads, tails).max() < 0.13
    given_up = (search(probe, heads, tails, np.ones(len(heads), bool)) == STOPPED).mean()
    assert 0.5 < given_up < 0.95  # as of real codes: neither all nor none
    for number in range(iris_codes.VARIANTS):  # variants of one iris are other irises
        one = ShiftedProbe.of(
            IrisCode(0, *(np.concatenate([h, t]) for h, t in zip(heads[number], tails[number], strict=True)))
        )
        assert np.delete(search_whole(one, heads, tails), number).max() < 0.14
