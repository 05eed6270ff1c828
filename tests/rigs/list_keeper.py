"""A provider's real repository in a folder, and the part of a kiosk that keeps its list: everything but the threads."""

from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.clock import Clock
from agent.config import PolicyConfig
from agent.distribution.repository import ListRepository, Versions
from agent.distribution.source import open_source
from agent.events.event import Category, EventClass, ListReport
from agent.hub.outbox import Outbox
from agent.keys import KioskKey
from agent.updates.keeper import KeeperConfig, ListKeeper
from agent.watchlist.list_format import AgreementTerms, ListEntry, ListTemplate
from agent.watchlist.receipt import sign_receipt
from agent.watchlist.sealed_parts import SealPolicy
from agent.watchlist.store import open_watchlist_store
from agent.watchlist.watchlist import Watchlist
from drivers.sample import Position
from models import exported
from simulators.provider.provider import ListProvider
from tests.conftest import FakeClock, template_of
from tests.rigs.store_key import TEST_KEY

INDEX = Position.RIGHT_INDEX
DAY = timedelta(days=1)
KIOSK_KEY = KioskKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
GRACE_S = 3600.0


def terms_of(provider: str, now: datetime, name: str = "treaty", **changed: Any) -> AgreementTerms:  # noqa: ANN401 - fields
    """An agreement of a provider."""
    fields = {
        "id": name,
        "provider": provider,
        "purpose": "search for missing persons",
        "legal_basis": "treaty of 2026, article 4",
        "necessity": "N-1",
        "recipients": ("hub", "police"),
        "keep_days": 365,
        "review_by": now + 300 * DAY,
    }
    return AgreementTerms.model_validate(fields | changed)


def entry_of(seed: int, now: datetime, *positions: Position, **changed: Any) -> ListEntry:  # noqa: ANN401 - fields
    """The entry of a synthetic person."""
    templates = []
    for position in positions or (INDEX,):
        template = exported(template_of(seed, 0, position))
        templates.append(ListTemplate(position=position, format=template.format, data=template.data))
    fields = {
        "reference_id": f"p{seed}",
        "agreement": "treaty",
        "category": Category.MISSING,
        "instruction": "H-1",
        "necessity": "N-7",
        "listed_at": now,
        "not_before": now,
        "expires_at": now + 100 * DAY,
        "review_by": now + 50 * DAY,
        "templates": tuple(templates),
    }
    return ListEntry.model_validate(fields | changed)


class KeeperRig:
    """One kiosk's keeper and search on one thread. restart() is what a power cut and a start do."""

    def __init__(
        self,
        folder: Path,
        source: str,
        root: bytes,
        clock: FakeClock,
        policy: PolicyConfig | None = None,
        seal: SealPolicy | None = None,
    ) -> None:
        self.folder, self.source, self.root, self.clock = folder, source, root, clock
        self.seal = seal or SealPolicy()
        self.policy = policy or PolicyConfig()
        folder.mkdir(exist_ok=True)
        self._resources = ExitStack()
        self._open()

    def _open(self) -> None:
        path = self.folder / "watchlist.db"
        with ExitStack() as opened:
            self.watchlist = Watchlist(path, self.clock, key=TEST_KEY, policy=self.policy, providers=True)
            opened.callback(self.watchlist.close)
            self.store = opened.enter_context(open_watchlist_store(path, key=TEST_KEY))
            self.outbox = opened.enter_context(Outbox(self.folder / "outbox.db", "k", key=TEST_KEY))
            config = KeeperConfig(self._repository, self._sign, 900.0, GRACE_S, self.seal)
            self.keeper = ListKeeper(config, self.store, self.outbox, self.watchlist.in_memory, self.clock)
            self._resources = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the stores, without storing anything more: as a power cut does."""
        self._resources.close()

    def restart(self) -> None:
        """Start again after a power cut."""
        self.close()
        self._open()

    def found(self, seed: int, position: Position = INDEX) -> list[str]:
        """The references that are leads for another impression of a person's finger."""
        candidates = self.watchlist.search({position: template_of(seed, 1, position)}, 5).candidates
        return [one.reference_id for one in candidates if one.false_match_rate < 0.001]

    def ids(self) -> list[str]:
        """The references that are searched."""
        return [info.reference_id for info in self.watchlist.references() if not info.hidden]

    def reports(self) -> list[ListReport]:
        """What the hub is told of the lists."""
        waiting = self.outbox.pending(EventClass.LIST, 1000)
        return [ListReport.model_validate_json(stored.event.body) for stored in waiting]

    def _repository(self, now: datetime, floor: Versions | None) -> ListRepository:
        return ListRepository(
            open_source(self.source),
            root=self.root,
            metadata_dir=self.folder / "list-metadata",
            trusted_now=now,
            floor=floor,
        )

    @staticmethod
    def _sign(provider: str, revision: int, ids: Iterable[str], reason: str, now: datetime) -> str:
        return sign_receipt(KIOSK_KEY, provider, revision, list(ids), reason, now, site="s", kiosk="k")


def make_provider(folder: Path, clock: Clock, *names: str) -> ListProvider:
    """A repository with an agreement for each provider."""
    lists = ListProvider.init(folder, names or ("police",), now=clock.now())
    for name in names or ("police",):
        lists.agree(terms_of(name, clock.now()))
    return lists
