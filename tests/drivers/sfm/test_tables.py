"""The tables of the SFM protocol."""

from drivers.sfm.tables import RESULTS


def test_answers_that_nobody_asked_for_point_at_another_host() -> None:
    odd = [row.meaning for row in RESULTS.values() if "was not requested" in row.meaning]
    assert len(odd) == 13
    assert all(meaning.endswith("does another host share the line?") for meaning in odd)
