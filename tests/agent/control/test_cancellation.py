"""A request is cancelled once, from any thread, and whoever registers late is called immediately."""

import threading

from agent.control.cancellation import CancellationToken


def test_every_callback_is_called_once() -> None:
    token, called = CancellationToken(), list[str]()
    token.on_cancel(lambda: called.append("first"))
    token.on_cancel(lambda: called.append("second"))
    assert called == []
    token.cancel()
    token.cancel()
    assert called == ["first", "second"]


def test_a_callback_of_a_request_that_was_cancelled_is_called_immediately() -> None:
    token, called = CancellationToken(), list[str]()
    token.cancel()
    token.on_cancel(lambda: called.append("late"))
    assert called == ["late"]


def test_a_callback_may_use_the_token_again() -> None:
    token, called = CancellationToken(), list[str]()
    token.on_cancel(lambda: token.on_cancel(lambda: called.append("inner")))
    thread = threading.Thread(target=token.cancel, daemon=True)
    thread.start()
    thread.join(5)
    assert called == ["inner"]
