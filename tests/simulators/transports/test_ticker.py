"""The timers of simulated devices: order, immediate actions, and the end."""

import threading
from queue import SimpleQueue

from simulators.transports.ticker import Ticker

DEADLINE_S = 10.0


def test_actions_run_in_the_order_of_their_times_and_then_of_their_calls() -> None:
    ticker, done = Ticker(), SimpleQueue[str]()
    ticker.later(0.05, lambda: done.put("last"))
    for name in ("first", "second"):
        ticker.later(0.001, lambda name=name: done.put(name))  # type: ignore[misc]
    assert [done.get(timeout=DEADLINE_S) for _ in range(3)] == ["first", "second", "last"]
    ticker.close()


def test_an_action_that_is_due_now_runs_in_the_calling_thread() -> None:
    ticker, threads = Ticker(), list[threading.Thread]()
    ticker.later(0, lambda: threads.append(threading.current_thread()))
    assert threads == [threading.current_thread()]
    ticker.close()


def test_closing_discards_what_is_pending_and_an_action_may_close() -> None:
    ticker, done = Ticker(), SimpleQueue[str]()
    ticker.later(3600, lambda: done.put("never"))

    def close() -> None:
        ticker.close()
        done.put("closed")

    ticker.later(0.001, close)
    assert done.get(timeout=DEADLINE_S) == "closed"
    ticker.close()
    assert done.empty()
