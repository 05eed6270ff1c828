"""Polling ends as soon as the condition is true, and at the timeout."""

import time

from simulators.polling import wait_until


def test_a_condition_that_becomes_true_ends_the_wait() -> None:
    answers = iter([False, False, True])
    assert wait_until(lambda: next(answers), 10)
    assert next(answers, None) is None


def test_a_condition_that_stays_false_is_given_up() -> None:
    start = time.monotonic()
    assert not wait_until(lambda: False, 0.02)
    assert 0.02 <= time.monotonic() - start < 5
