"""A kiosk without a daemon: the command line owns the stores and sensors for as long as one request takes."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from agent.config import Config
from agent.control.cancellation import Caller
from agent.encounter.announcements import Announcement
from agent.errors import ControlError
from agent.kiosk import Kiosk
from agent.requests import Service, serve

Json = dict[str, Any]


class LocalKiosk:
    """Serves the same requests as the daemon, in this process; events wait in the outbox until a daemon sends them."""

    def __init__(self, config: Config, announce: Callable[[Announcement], None]) -> None:
        self._crash: tuple[str, BaseException] | None = None
        self._kiosk = Kiosk(config, announce, lambda *_: None, self._crashed)
        self._kiosk.lane.attended = False

    def __enter__(self) -> Self:
        self._kiosk.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kiosk.stop()

    def ask(self, name: str, arguments: Json) -> Json:
        """One request. ControlError when it was refused, or when a part of the kiosk crashed meanwhile."""
        try:
            answer = serve(Service(self._kiosk, self._no_status, Caller()), name, arguments)
        except Exception:
            if self._crash is None:
                raise
            answer = {}
        if self._crash is not None:
            worker, error = self._crash
            raise ControlError(f"{worker} crashed: {type(error).__name__}: {error}")
        return answer

    def _crashed(self, worker: str, error: BaseException) -> None:
        """End what is asked for: nobody else could."""
        self._crash = (worker, error)
        self._kiosk.lane.stopping.set()
        self._kiosk.lane.interrupt()

    def _no_status(self) -> Json:
        raise ControlError("no daemon runs on this kiosk: start it, or read its log")
