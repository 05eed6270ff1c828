"""The requests that the command line can send to a kiosk: their arguments and their handlers, one row each.

The daemon serves them over the control socket. Without a daemon the command line runs the same handlers on a kiosk that
it opens itself (standalone.py).
"""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar, cast

from pydantic import Field, ValidationError

from agent.config import Name, Section
from agent.control.cancellation import CancellationToken
from agent.encounter.enrolment import EnrolmentRequest
from agent.encounter.lane import JobContext
from agent.errors import ControlError
from agent.events.event import Category, EventClass
from agent.hub.outbox import held_events
from agent.keys import load_kiosk_key, published_list_key
from agent.kiosk import WATCHLIST, Kiosk
from agent.updates.keeper import ListKeeper, list_state
from agent.watchlist.reference import ReferenceInfo
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

    limit: int = Field(default=100, ge=1, le=100_000)


class WatchlistStatus(Section):
    """Show the state of each list."""


class WatchlistUpdate(Section):
    """Fetch what is new in the providers' lists now."""


class WatchlistVerify(Section):
    """Read every list from the disk again, and write again what is damaged there."""


class WatchlistExplain(Section):
    """Show why a reference is on a list."""

    reference_id: str


class WatchlistRemove(Section):
    """Remove one reference."""

    reference_id: str


class OutboxList(Section):
    """Show the headers of the events that wait for the hub."""

    limit: int = Field(default=20, ge=1, le=1000)


class Keys(Section):
    """Show the public key of the kiosk; or that for lists, for which providers encrypt theirs."""

    for_lists: bool = False


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

    def run_on_updater(self, work: Callable[[ListKeeper], T]) -> T:
        """Run work in the thread that keeps the lists and wait for its result, which may take minutes.

        ControlError if the client does not wait for it any more.
        """
        done: Future[T] = self.kiosk.updater.submit(work)
        gone = threading.Event()
        self.cancellation.on_cancel(gone.set)
        done.add_done_callback(lambda _: gone.set())
        gone.wait()
        if not done.done():
            done.cancel()
            raise ControlError("cancelled: the client that made this request has disconnected")
        return done.result()


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


def _watchlist(context: RequestContext, request: Section) -> Json:
    view, limit = context.kiosk.in_memory.view, cast("WatchlistList", request).limit
    state = context.run_on_lane(lambda job: job.watchlist.state)
    infos = ((segment.name, info) for segment in view for info in segment.table.infos(segment.now))
    rows = [_reference(name, info) for name, info in itertools.islice(infos, limit)]
    total = sum(len(segment) for segment in view)
    return {"revision": state.revision, "age_s": state.age_s, "total": total, "references": rows}


def _reference(name: str, info: ReferenceInfo) -> Json:
    times = {key: getattr(info, key).isoformat() for key in ("not_before", "expires_at", "review_by")}
    return asdict(info) | times | {"list": name}


def _watchlist_status(context: RequestContext, _: Section) -> Json:
    policy = context.kiosk.config.policy
    updater = context.kiosk.updater
    state = list_state(context.kiosk.in_memory, updater.problems, updater.checked_at)
    folder = context.kiosk.config.kiosk.state_dir
    disk = sum(path.stat().st_size for path in folder.glob(f"{WATCHLIST}*") if path.is_file())
    valid_until = context.kiosk.in_memory.view.valid_until
    allowed = timedelta(hours=policy.expired_list_hours)
    unusable = valid_until is not None and context.kiosk.in_memory.clock.now() > valid_until + allowed
    return state | {"list_unusable": unusable, "disk_bytes": disk}


def _watchlist_update(context: RequestContext, _: Section) -> Json:
    def check(keeper: ListKeeper) -> Json:
        return {"lists": keeper.check(), "problems": dict(keeper.problems)}

    return context.run_on_updater(check)


def _watchlist_verify(context: RequestContext, _: Section) -> Json:
    return {"lists": context.run_on_updater(lambda keeper: keeper.verify())}


def _watchlist_explain(context: RequestContext, request: Section) -> Json:
    reference_id = cast("WatchlistExplain", request).reference_id
    found = [_reference(segment.name, info) for segment, info in context.kiosk.in_memory.view.find(reference_id)]
    if not found:
        raise ControlError(f"no reference {reference_id} on the list: see `kiosk-agent watchlist list`")
    return {"references": found}


def _watchlist_remove(context: RequestContext, request: Section) -> Json:
    reference_id = cast("WatchlistRemove", request).reference_id
    removed = context.run_on_lane(lambda job: job.watchlist.remove([reference_id]))
    if not removed and (others := [segment.name for segment, _ in context.kiosk.in_memory.view.find(reference_id)]):
        raise ControlError(f"reference {reference_id} is on the list of {', '.join(others)}: only they can withdraw it")
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


def _keys(context: RequestContext, request: Section) -> Json:
    if cast("Keys", request).for_lists:
        return published_list_key(context.kiosk.config)
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
    "watchlist-status": (WatchlistStatus, _watchlist_status),
    "watchlist-update": (WatchlistUpdate, _watchlist_update),
    "watchlist-verify": (WatchlistVerify, _watchlist_verify),
    "watchlist-explain": (WatchlistExplain, _watchlist_explain),
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
