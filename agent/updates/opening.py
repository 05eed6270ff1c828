"""Puts the updater of a kiosk together: its repository, its stores, the key that signs receipts."""

import hashlib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

from agent.clock import Clock
from agent.config import Config, TlsConfig, WatchlistConfig
from agent.distribution.client import check_root
from agent.distribution.refusal import UpdateRefused
from agent.distribution.repository import ListRepository, Versions
from agent.distribution.source import open_source
from agent.errors import ConfigError
from agent.hub.outbox import Outbox
from agent.keys import KeyMissing, load_kiosk_key, load_list_key, tls_context, trusting
from agent.storage.owned_files import read_public
from agent.updates.keeper import FLOOR, KeeperConfig, ListKeeper, OpenRepository, Sign
from agent.updates.updater import ListUpdater
from agent.watchlist.receipt import sign_receipt
from agent.watchlist.sealed_parts import SealPolicy
from agent.watchlist.store import WatchlistStore
from agent.watchlist.view import ListInMemory
from agent.worker import OnCrash

METADATA = "list-metadata"  # the folder of signed metadata in the state directory; it is public


def make_updater(
    config: Config,
    *,
    open_store: Callable[[], WatchlistStore],
    open_outbox: Callable[[], Outbox],
    in_memory: ListInMemory,
    clock: Clock,
    on_crash: OnCrash,
    create: bool,
) -> ListUpdater:
    """The updater of a kiosk, not yet started. ConfigError names a file that cannot be used.

    `create`: as for the kiosk's key. Without it, receipts wait until the daemon signs them.
    """
    lists = config.watchlist
    sign = load_signer(config, create=create)
    seal = load_seal_policy(config, create=create)
    root = read_root(lists.root) if lists.source and lists.root is not None else None
    tls = source_tls(lists)

    @contextmanager
    def open_keeper(updater: ListUpdater) -> Iterator[ListKeeper]:
        opener = repository_opener(config, root, tls, updater.stopping.is_set) if root is not None else None
        kept = KeeperConfig(opener, sign, lists.check_every_s, lists.delete_after_s, seal, floor_name(root))
        with open_store() as store, open_outbox() as outbox:
            yield ListKeeper(kept, store, outbox, in_memory, clock, beat=updater.step, on_event=updater.tell)

    return ListUpdater(open_keeper, on_crash)


def repository_opener(
    config: Config, root: bytes, tls: ssl.SSLContext | None, stopped: Callable[[], bool]
) -> OpenRepository:
    """How the repository of the lists is looked at once."""

    def open_repository(now: datetime, floor: Versions | None) -> ListRepository:
        source = open_source(config.watchlist.source, tls=tls, stopped=stopped)
        folder = config.kiosk.state_dir / METADATA
        return ListRepository(source, root=root, metadata_dir=folder, trusted_now=now, floor=floor)

    return open_repository


def read_root(path: Path) -> bytes:
    """The root metadata that the kiosk was given. ConfigError if it is none, or if everybody may change the file."""
    content = read_public(path, most=1 << 20)
    try:
        check_root(content, str(path))
    except UpdateRefused as error:
        raise ConfigError(f"{error}; ask the operator of the lists for root.json") from error
    return content


def source_tls(lists: WatchlistConfig) -> ssl.SSLContext | None:
    """The TLS context for the source of the lists; None: the authorities of the system. ConfigError names a file."""
    if lists.ca is None:
        return None
    if lists.certificate is not None and lists.key is not None:
        return tls_context(TlsConfig(ca=lists.ca, certificate=lists.certificate, key=lists.key))
    return trusting(lists.ca)


def floor_name(root: bytes | None) -> str:
    """The name of the fact with the highest versions seen. A repository made anew has another root, given by hand."""
    return FLOOR if root is None else f"{FLOOR} {hashlib.sha256(root).hexdigest()[:16]}"


def load_signer(config: Config, *, create: bool) -> Sign | None:
    """Signs receipts with the kiosk's key. None if it has no key: one is made only where lists are configured."""
    kiosk = config.kiosk
    needed = create and bool(config.watchlist.source)
    try:
        key = load_kiosk_key(kiosk.state_dir, development=kiosk.development_key, create=needed)
    except KeyMissing:
        return None
    return partial(sign_receipt, key, site=kiosk.site, kiosk=kiosk.name)


def load_seal_policy(config: Config, *, create: bool) -> SealPolicy:
    """How encrypted lists are read. Without lists, or without `create` and a key, there is no list key."""
    kiosk, required = config.kiosk, config.watchlist.require_sealed
    if not config.watchlist.source:
        return SealPolicy(required=required)
    try:
        key = load_list_key(kiosk.state_dir, development=kiosk.development_key, create=create)
    except KeyMissing:
        return SealPolicy(required=required)
    return SealPolicy(key, required)
