"""What the command line may ask of a kiosk: one row a request.

The daemon serves it over the control socket; without a daemon the command line runs the same handlers on a kiosk of its
own.
"""

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar, cast

from pydantic import Field, ValidationError

from agent.config import Name, Section
from agent.control.cancellation import Caller
from agent.encounter.enrolment import EnrolmentRequest
from agent.encounter.lane import Desk
from agent.errors import ControlError
from agent.events.event import Category, EventClass
from agent.kiosk import Kiosk
from drivers.sample import Position

T = TypeVar("T")
Json = dict[str, Any]


class Status(Section):
    """How the kiosk is."""


class Watch(Section):
    """Hear every announcement until the connection ends."""


class Identify(Section):
    """Run one encounter now, as if a traveller had come."""


class Enrol(Section):
    """Make a reference from several good samples of each position."""

    positions: tuple[Position, ...] = ()  # none: the plan's first
    samples: int = Field(default=3, ge=1, le=10)
    agreement: str = ""
    category: Category = Category.LOCAL_TEST
    reference_id: Name | Literal[""] = ""
    into_local_list: bool = False


class WatchlistList(Section):
    """Show what is on the list."""


class WatchlistRemove(Section):
    """Remove one reference."""

    reference_id: str


class OutboxList(Section):
    """Show the headers of what waits for the hub."""

    limit: int = Field(default=20, ge=1, le=1000)


@dataclass(frozen=True, slots=True)
class Service:
    """What handlers work on, for one caller. `status` is the daemon's own view, or the technician's."""

    kiosk: Kiosk
    status: Callable[[], Json]
    caller: Caller

    def on_lane(self, work: Callable[[Desk], T]) -> T:
        """Run work in the lane's thread and wait for it; it is withdrawn when its caller goes."""
        lane = self.kiosk.lane
        done: Future[T] = lane.submit(work)
        self.caller.on_going(lambda: lane.withdraw(done))
        try:
            return done.result()
        except CancelledError as error:
            raise ControlError("withdrawn: nobody waits for it any more") from error


def _status(service: Service, _: Section) -> Json:
    return service.status()


def _watch(_: Service, __: Section) -> Json:
    return {}


def _identify(service: Service, _: Section) -> Json:
    decision, shown = service.on_lane(lambda desk: desk.encounter(None))
    return {
        "outcome": decision.outcome,
        "reason": decision.reason.model_dump(mode="json"),
        "candidates": [candidate.model_dump(mode="json") for candidate in shown],
        "withheld": len(decision.leads) - len(shown),
    }


def _enrol(service: Service, request: Section) -> Json:
    asked = cast("Enrol", request)
    positions = asked.positions or (service.kiosk.config.plan.steps[0].position,)
    if Position.UNKNOWN in positions:
        raise ControlError("an enrolment says which finger or eye it is of: --position right_index")
    wanted = EnrolmentRequest(
        tuple(dict.fromkeys(positions)),
        asked.samples,
        asked.agreement,
        asked.category,
        asked.reference_id,
        asked.into_local_list,
    )
    enrolment = service.on_lane(lambda desk: desk.enroller.run(wanted, desk.new_collector()))
    return enrolment.model_dump(mode="json", exclude={"sealed"}) | {"sealed": enrolment.sealed is not None}


def _watchlist(service: Service, _: Section) -> Json:
    references = service.on_lane(lambda desk: desk.watchlist.references())
    state = service.on_lane(lambda desk: desk.watchlist.state)
    rows = [asdict(r) | {"expires_at": r.expires_at.isoformat()} for r in references]
    return {"revision": state.revision, "age_s": state.age_s, "references": rows}


def _watchlist_remove(service: Service, request: Section) -> Json:
    reference_id = cast("WatchlistRemove", request).reference_id
    gone = service.on_lane(lambda desk: desk.watchlist.remove([reference_id]))
    if not gone:
        raise ControlError(f"no reference {reference_id} on the list: see `kiosk-agent watchlist list`")
    return {"removed": list(gone)}


def _outbox(service: Service, request: Section) -> Json:
    limit = cast("OutboxList", request).limit

    def look(desk: Desk) -> Json:
        waiting = [stored for event_class in EventClass for stored in desk.outbox.pending(event_class, limit)]
        headers = [
            {
                "key": str(stored.key),
                "subject": stored.event.subject,
                "time": stored.event.time.isoformat(),
                "bytes": len(stored.event.body),
                "tombstone": stored.tombstone,
            }
            for stored in waiting[:limit]
        ]
        return {"epoch": desk.outbox.epoch, "waiting": desk.outbox.counts(), "events": headers}

    return service.on_lane(look)


Handler = Callable[[Service, Section], Json]

REQUESTS: dict[str, tuple[type[Section], Handler]] = {
    "status": (Status, _status),
    "watch": (Watch, _watch),
    "identify": (Identify, _identify),
    "enrol": (Enrol, _enrol),
    "watchlist": (WatchlistList, _watchlist),
    "watchlist-remove": (WatchlistRemove, _watchlist_remove),
    "outbox": (OutboxList, _outbox),
}


def serve(service: Service, name: str, arguments: Json) -> Json:
    """Answer one request. AgentError says what is wrong with it, or why it could not be done."""
    if name not in REQUESTS:
        raise ControlError(f"unknown request {name!r}; there are: {', '.join(REQUESTS)}")
    kind, handler = REQUESTS[name]
    try:
        request = kind.model_validate(arguments)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise ControlError(f"{name}: {problems}") from error
    return handler(service, request)
