"""The requests that the command line can send to a kiosk: their arguments and their handlers, one row each.

The daemon serves them over the control socket. Without a daemon the command line runs the same handlers on a kiosk that
it opens itself (standalone.py).
"""

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar, cast

from pydantic import Field, ValidationError

from agent.config import Name, Section
from agent.control.cancellation import CancellationToken
from agent.encounter.enrolment import EnrolmentRequest
from agent.encounter.lane import JobContext
from agent.errors import ControlError
from agent.events.event import Category, EventClass
from agent.hub.outbox import held_events
from agent.keys import load_kiosk_key
from agent.kiosk import Kiosk
from drivers.sample import Position

T = TypeVar("T")
Json = dict[str, Any]


class Status(Section):
    """Report the state of the kiosk."""


class Watch(Section):
    """Receive every announcement until the connection ends."""


class Identify(Section):
    """Run one encounter now, as if a traveller had arrived."""


class Enrol(Section):
    """Make a reference from several good samples of each position."""

    positions: tuple[Position, ...] = ()  # empty: the first position of the plan
    samples: int = Field(default=3, ge=1, le=10)
    agreement: str = ""
    category: Category = Category.LOCAL_TEST
    reference_id: Name | Literal[""] = ""
    into_local_list: bool = False


class WatchlistList(Section):
    """Show the references on the watchlist."""


class WatchlistRemove(Section):
    """Remove one reference."""

    reference_id: str


class OutboxList(Section):
    """Show the headers of the events that wait for the hub."""

    limit: int = Field(default=20, ge=1, le=1000)


class Keys(Section):
    """Show the public key of the kiosk."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What the handlers need to serve one request. `status` returns the answer to the `status` request."""

    kiosk: Kiosk
    status: Callable[[], Json]
    cancellation: CancellationToken

    def run_on_lane(self, work: Callable[[JobContext], T]) -> T:
        """Run work in the lane's thread and wait for its result. ControlError if the request is cancelled first."""
        lane = self.kiosk.lane
        done: Future[T] = lane.submit(work)
        self.cancellation.on_cancel(lambda: lane.withdraw(done))
        try:
            return done.result()
        except CancelledError as error:
            raise ControlError("cancelled: the client that made this request has disconnected") from error


def _status(context: RequestContext, _: Section) -> Json:
    return context.status()


def _watch(_: RequestContext, __: Section) -> Json:
    return {}


def _identify(context: RequestContext, _: Section) -> Json:
    decision, shown = context.run_on_lane(lambda job: job.encounter(None))
    return {
        "outcome": decision.outcome,
        "reason": decision.reason.model_dump(mode="json"),
        "candidates": [candidate.model_dump(mode="json") for candidate in shown],
        "withheld": len(decision.leads) - len(shown),
    }


def _enrol(context: RequestContext, request: Section) -> Json:
    wanted = cast("Enrol", request)
    positions = wanted.positions or (context.kiosk.config.plan.steps[0].position,)
    if Position.UNKNOWN in positions:
        raise ControlError("an enrolment must name the finger or eye: --position right_index")
    enrolment_request = EnrolmentRequest(
        tuple(dict.fromkeys(positions)),
        wanted.samples,
        wanted.agreement,
        wanted.category,
        wanted.reference_id,
        wanted.into_local_list,
    )
    enrolment = context.run_on_lane(lambda job: job.enroller.run(enrolment_request, job.new_collector()))
    return enrolment.model_dump(mode="json", exclude={"sealed"}) | {"sealed": enrolment.sealed is not None}


def _watchlist(context: RequestContext, _: Section) -> Json:
    references = context.run_on_lane(lambda job: job.watchlist.references())
    state = context.run_on_lane(lambda job: job.watchlist.state)
    rows = [asdict(r) | {"expires_at": r.expires_at.isoformat()} for r in references]
    return {"revision": state.revision, "age_s": state.age_s, "references": rows}


def _watchlist_remove(context: RequestContext, request: Section) -> Json:
    reference_id = cast("WatchlistRemove", request).reference_id
    removed = context.run_on_lane(lambda job: job.watchlist.remove([reference_id]))
    if not removed:
        raise ControlError(f"no reference {reference_id} on the list: see `kiosk-agent watchlist list`")
    return {"removed": list(removed)}


def _outbox(context: RequestContext, request: Section) -> Json:
    limit = cast("OutboxList", request).limit

    def read(job: JobContext) -> Json:
        waiting = [stored for event_class in EventClass for stored in job.outbox.pending(event_class, limit)]
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
        return {
            "epoch": job.outbox.epoch,
            "waiting": job.outbox.counts(),
            "held": held_events(job.outbox),
            "events": headers,
        }

    return context.run_on_lane(read)


def _keys(context: RequestContext, _: Section) -> Json:
    kiosk = context.kiosk.config.kiosk
    return load_kiosk_key(kiosk.state_dir, development=kiosk.development_key, create=False).published()


Handler = Callable[[RequestContext, Section], Json]

REQUESTS: dict[str, tuple[type[Section], Handler]] = {
    "status": (Status, _status),
    "watch": (Watch, _watch),
    "identify": (Identify, _identify),
    "enrol": (Enrol, _enrol),
    "watchlist": (WatchlistList, _watchlist),
    "watchlist-remove": (WatchlistRemove, _watchlist_remove),
    "outbox": (OutboxList, _outbox),
    "keys": (Keys, _keys),
}


def checked_request(name: str, arguments: Json) -> tuple[Handler, Section]:
    """The handler of a request and its arguments. ControlError if they are not those of a request."""
    if name not in REQUESTS:
        raise ControlError(f"unknown request {name!r}; the requests are: {', '.join(REQUESTS)}")
    kind, handler = REQUESTS[name]
    try:
        return handler, kind.model_validate(arguments)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise ControlError(f"{name}: {problems}") from error


def handle_request(context: RequestContext, name: str, arguments: Json) -> Json:
    """Answer one request. AgentError if the request is invalid or could not be carried out."""
    handler, request = checked_request(name, arguments)
    return handler(context, request)
