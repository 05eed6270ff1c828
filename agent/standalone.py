"""A kiosk without a daemon: the command line owns the stores and sensors while one request runs."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from agent.config import Config
from agent.control.cancellation import CancellationToken
from agent.encounter.announcements import Announcement
from agent.errors import ControlError
from agent.kiosk import Kiosk
from agent.requests import RequestContext, handle_request

Json = dict[str, Any]


class StandaloneKiosk:
    """Serves the daemon's requests in this process. Events wait in the outbox until a daemon sends them.

    Makes no stores and no keys: they would belong to the account of the command, and the daemon could not open them.
    """

    def __init__(self, config: Config, announce: Callable[[Announcement], None]) -> None:
        self._crash: tuple[str, BaseException] | None = None
        self._kiosk = Kiosk(config, announce, lambda *_: None, self._on_crash, create=False)
        self._kiosk.lane.attended = False
        self._kiosk.updater.automatic = False  # a command that only shows something fetches nothing

    def __enter__(self) -> Self:
        self._kiosk.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kiosk.stop()

    def ask(self, name: str, arguments: Json) -> Json:
        """Serve one request. ControlError if it is refused, or if a part of the kiosk crashes meanwhile."""
        try:
            answer = handle_request(RequestContext(self._kiosk, self._no_status, CancellationToken()), name, arguments)
        except Exception:
            if self._crash is None:
                raise
            answer = {}
        if self._crash is not None:
            worker, error = self._crash
            raise ControlError(f"{worker} crashed: {type(error).__name__}: {error}")
        return answer

    def _on_crash(self, worker: str, error: BaseException) -> None:
        """End the running request: after a crash nothing else would."""
        self._crash = (worker, error)
        self._kiosk.lane.stopping.set()
        self._kiosk.lane.interrupt()

    def _no_status(self) -> Json:
        raise ControlError("no daemon runs on this kiosk: start it, or read its log")
