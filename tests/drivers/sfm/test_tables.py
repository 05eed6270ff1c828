"""The tables of the SFM protocol."""

import pytest

from drivers.errors import ProtocolError
from drivers.sfm.tables import RESULTS, NextStep, result


def test_answers_that_were_not_requested_point_at_another_host() -> None:
    odd = [row.meaning for row in RESULTS.values() if "was not requested" in row.meaning]
    assert len(odd) == 13
    assert all(meaning.endswith("does another host share the line?") for meaning in odd)


def test_only_success_passes_the_check() -> None:
    result(0x61).check("sfm at /dev/ttyFP0", "images in grey")
    with pytest.raises(ProtocolError, match=r"^sfm at /dev/ttyFP0: images in grey refused: image too poor \(0x6B\)$"):
        result(0x6B).check("sfm at /dev/ttyFP0", "images in grey")


def test_an_unknown_result_reopens_the_device() -> None:
    assert str(result(0x42)) == "unknown result (0x42)"
    assert result(0x42).then is NextStep.REOPEN
