"""Who asked for something, and may go away before it is done."""

import threading
from collections.abc import Callable


class Caller:
    """Somebody who waits for an answer. go() says, from any thread and once, that nobody waits any more."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._gone = False
        self._withdraw: list[Callable[[], None]] = []

    def go(self) -> None:
        """Withdraw what was asked for."""
        with self._guard:
            self._gone, withdrawals, self._withdraw = True, self._withdraw, []
        for withdraw in withdrawals:
            withdraw()

    def on_going(self, withdraw: Callable[[], None]) -> None:
        """Call this when the caller goes; at once, when it has gone already."""
        with self._guard:
            if not self._gone:
                self._withdraw.append(withdraw)
                return
        withdraw()
