"""Entries are split into heads and tails and joined again; a probe has the layout that the kernel reads."""

from models.iris.search_layout import GROUPS, HEAD, LANES, TAIL, ShiftedProbe, join
from models.iris.template import SHIFTS, WORDS
from tests.rigs.iris_codes import some_code, split_codes

CODES = [some_code(seed) for seed in range(3)]


def test_a_code_is_split_and_joined() -> None:
    heads, tails = split_codes(CODES)
    code, mask = join(heads[1], tails[1])
    assert (code == CODES[1].code).all()
    assert (mask == CODES[1].mask).all()
    assert heads.shape == (3, 2, HEAD)
    assert tails.shape == (3, 2, TAIL)


def test_a_probe_has_its_shifts_side_by_side_and_unknown_bits_in_the_lanes_left_over() -> None:
    codes, masks = CODES[0].shifted()
    probe = ShiftedProbe.of(CODES[0])
    assert probe.heads.shape == (GROUPS, HEAD, 2, LANES)
    for number in range(len(SHIFTS)):
        group, lane = divmod(number, LANES)
        assert (probe.heads[group, :, 0, lane] == codes[number, :HEAD]).all()
        assert (probe.heads[group, :, 1, lane] == masks[number, :HEAD]).all()
    assert not probe.heads[-1, :, :, len(SHIFTS) % LANES :].any()
    assert probe.tails.shape == (len(SHIFTS), 2, WORDS)
    assert (probe.tails[:, 1] == masks).all()
