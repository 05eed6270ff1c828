"""One kiosk: stations, encoders and lane put together. The daemon adds the hub; a standalone kiosk works without it."""

import fcntl
import logging
import math
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TextIO

from agent.clock import Clock, SystemClock
from agent.config import Config
from agent.control.server import group_id
from agent.encounter.announcements import Announce, tell_traveller
from agent.encounter.best_frame import BestFrameSensor
from agent.encounter.enrolment import Seal
from agent.encounter.lane import Lane, Stores
from agent.encounter.presence import PresenceMonitor
from agent.encounter.station import OnState, PresenceCheck, ShowsSomebody, Station
from agent.errors import ConfigError, StoreError
from agent.hub.outbox import Outbox
from agent.hub.sealing import check_hub_key, seal
from agent.keys import (
    STORE_CREDENTIAL,
    STORE_DEVELOPMENT_FILE,
    HubKey,
    KeyMissing,
    load_hub_key,
    load_kiosk_key,
    load_store_key,
    tls_context,
)
from agent.storage.database import StoreDamaged, StoreMissing, not_encrypted_yet, set_aside
from agent.storage.encryption import StoreKey, is_plain, opens_with
from agent.storage.owned_files import check_ownership, open_owned
from agent.storage.rescue import Rescue
from agent.updates.opening import make_updater, read_root, source_tls
from agent.watchlist.store import WatchlistStore, open_watchlist_store
from agent.watchlist.view import ListInMemory
from agent.watchlist.watchlist import Watchlist, rebuild_store
from agent.worker import JOIN_S, OnCrash, Worker
from drivers import open_sensor
from drivers.sample import Modality
from drivers.sensor import Sensor
from drivers.usb.hotplug import watch_usb
from models import load_encoder, search_threads
from models.encoder import Encoder
from models.finger.ridge_check import shows_ridges
from models.iris.frame_check import load_frame_check
from models.manifest import ModelError

log = logging.getLogger(__name__)

# The files in the state directory.
WATCHLIST, OUTBOX, LOCK = "watchlist.db", "outbox.db", "agent.lock"


class Kiosk:
    """Owns the sensors and stores while it runs. A lock file excludes a second owner.

    With `create` it makes missing stores and a development key: only the daemon does.
    """

    def __init__(
        self,
        config: Config,
        announce: Announce,
        on_state: OnState,
        on_crash: OnCrash,
        clock: Clock | None = None,
        *,
        create: bool = True,
    ) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self._resources = ExitStack()
        with ExitStack() as building:
            building.enter_context(_owner_lock(config.kiosk.state_dir, create=create))
            self.store_key = key = find_store_key(config, create=create)
            # Made, encrypted, upgraded or refused here, before anything starts.
            self.in_memory = load_watchlist(config, self.clock, key, create=create)
            open_outbox(config, key, create=create).close()
            watchlist = partial(open_watchlist, config, self.clock, key, shared=self.in_memory)
            stores = Stores(watchlist, partial(open_outbox, config, key))
            self.updater = make_updater(
                config,
                open_store=partial(open_list_store, config, key),
                open_outbox=partial(open_outbox, config, key),
                in_memory=self.in_memory,
                clock=self.clock,
                on_crash=on_crash,
                create=create,
            )
            self.encoders = load_encoders(config)
            checks = presence_checks(config, self.encoders, announce)
            self.stations = {
                name: make_station(config, name, announce, on_state, on_crash, checks[name]) for name in config.sensors
            }
            self.lane = Lane(
                config,
                stations=self.stations,
                encoders=self.encoders,
                stores=stores,
                seal=load_sealer(config, create=create),
                announce=announce,
                clock=self.clock,
                on_crash=on_crash,
            )
            self._resources = building.pop_all()

    @property
    def workers(self) -> Iterable[Worker]:
        """All workers, in the order of their start."""
        return (self.updater, *self.stations.values(), self.lane)

    def start(self) -> None:
        """Start every worker, and watch for USB devices that are plugged in or removed."""
        for worker in self.workers:
            worker.start()
        self._resources.enter_context(watch_usb(self._on_usb_change))

    def _on_usb_change(self) -> None:
        for station in self.stations.values():
            station.retry_now()

    def stop(self, within: float = JOIN_S) -> bool:
        """Stop in the reverse order of start and release the lock. Whether all ended within `within` seconds."""
        deadline = time.monotonic() + within
        self.updater.stopping.set()  # it may be in the middle of a long list: it gets all the time that there is
        ended = [w.stop(max(0.1, deadline - time.monotonic())) for w in reversed(tuple(self.workers))]
        self._resources.close()
        return all(ended)


def check_parts(config: Config) -> None:
    """ConfigError if a start would refuse a sensor, a model or the group. Touches no device, store or network.

    Compiles the searches. With check_files(), this is all that a start checks.
    """
    for name in config.sensors:
        make_sensor(config, name)
    load_encoders(config)
    group_id(config.kiosk.control_group)


def check_files(config: Config) -> None:
    """ConfigError if this account cannot use the state directory, or a file that the configuration names."""
    check_ownership(config.kiosk.state_dir)
    with suppress(KeyMissing, StoreError):  # systemd gives it to the daemon; an earlier store is not encrypted yet
        find_store_key(config)
    if config.hub.encryption_key is not None:
        _load_hub_key(config.hub.encryption_key)
    if config.hub.tls is not None:
        tls_context(config.hub.tls)
    if config.watchlist.root is not None:
        read_root(config.watchlist.root)
    source_tls(config.watchlist)


def find_store_key(config: Config, *, create: bool = False) -> StoreKey:
    """The key of this kiosk's stores. With `create` (the daemon) made if there is none and no store is encrypted yet.

    KeyMissing if there is no key, ConfigError if it opens none of the stores: nothing was overwritten. A single store
    that it does not open is damaged, or of another kiosk, and open_store() says so.
    """
    kiosk = config.kiosk
    try:
        stores = [path for name in (WATCHLIST, OUTBOX) if (path := kiosk.state_dir / name).is_file()]
        plain = [path for path in stores if is_plain(path)]
        encrypted = [path for path in stores if path not in plain and path.stat().st_size]
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read: {error.strerror}") from error
    if plain and not create:
        raise StoreError(not_encrypted_yet(plain[0]))
    names = ", ".join(map(str, encrypted))
    try:
        key = load_store_key(
            kiosk.state_dir, development=kiosk.development_key, create=create, encrypted=bool(encrypted)
        )
    except KeyMissing:
        if not encrypted:
            raise
        remedy = _BRING_KEY_BACK if create else _ASK_DAEMON
        raise KeyMissing(f"{names}: encrypted, and there is no store key: {remedy}") from None
    if encrypted and not any(opens_with(path, key) for path in encrypted):
        raise ConfigError(f"{names}: encrypted with another store key than the one given: {_BRING_KEY_BACK}")
    return key


_BRING_KEY_BACK = (
    f"give the unit the same key as before with LoadCredential={STORE_CREDENTIAL}:FILE, or put the file "
    f"{STORE_DEVELOPMENT_FILE} back; if that key is lost, move these files away: the agent makes new ones"
)
_ASK_DAEMON = "only the daemon has it: start the daemon, which answers this command"


def open_watchlist(
    config: Config, clock: Clock, key: StoreKey, *, create: bool = False, shared: ListInMemory | None = None
) -> Watchlist:
    """The watchlist of this kiosk, in the calling thread. StoreMissing if there is none, unless `create`.

    `shared`: a list that is already in memory; else it is loaded.
    """
    return Watchlist(
        config.kiosk.state_dir / WATCHLIST,
        clock,
        key=key,
        identity=config.kiosk.identity,
        create=create,
        policy=config.policy,
        providers=bool(config.watchlist.source),
        shared=shared,
    )


def load_watchlist(config: Config, clock: Clock, key: StoreKey, *, create: bool = False) -> ListInMemory:
    """The list in memory. With `create`, a store that is damaged is set aside, and the lists are fetched again."""
    try:
        watchlist = open_watchlist(config, clock, key, create=create)
    except StoreDamaged as error:
        if not create:
            raise
        moved = set_aside(config.kiosk.state_dir / WATCHLIST)
        log.warning("%s; it is now %s, and the lists of the providers are fetched again", error, moved)
        watchlist = open_watchlist(config, clock, key, create=create)
    watchlist.close()
    if not (create and watchlist.in_memory.damaged):
        return watchlist.in_memory
    log.warning("the watchlist is damaged on the disk: it is written again with what can be read")
    rebuild_store(config.kiosk.state_dir / WATCHLIST, watchlist.in_memory, key=key, identity=config.kiosk.identity)
    watchlist = open_watchlist(config, clock, key)
    watchlist.close()
    return watchlist.in_memory


def open_list_store(config: Config, key: StoreKey) -> WatchlistStore:
    """A handle on the tables of the watchlist, for the calling thread."""
    path = config.kiosk.state_dir / WATCHLIST
    return open_watchlist_store(path, key=key, identity=config.kiosk.identity, create=False)


def open_outbox(config: Config, key: StoreKey, *, create: bool = False) -> Outbox:
    """A handle on the outbox of this kiosk, for the calling thread. StoreMissing if there is none, unless `create`."""
    kiosk = config.kiosk
    path = kiosk.state_dir / OUTBOX
    return Outbox(path, kiosk.name, config.outbox, key=key, identity=kiosk.identity, create=create)


def watch_stores(config: Config) -> Rescue:
    """Notices from now on that a store was deleted or replaced."""
    folder = config.kiosk.state_dir
    return Rescue(folder / OUTBOX, (folder / WATCHLIST, folder / LOCK))


def make_sensor(config: Config, name: str) -> Sensor:
    """The driver of a configured sensor, not yet opened. ConfigError names the sensor and the error."""
    sensor = config.sensors[name]
    try:
        return open_sensor(sensor.driver, sensor.url, sensor.all_options)
    except ValueError as error:
        raise ConfigError(f"sensors.{name}: {error}") from error


def presence_checks(
    config: Config, encoders: Mapping[Modality, Encoder], announce: Announce
) -> Mapping[str, PresenceCheck]:
    """How presentations at each sensor are judged. A camera's are found by the BestFrameSensor."""
    monitors: list[PresenceMonitor] = []
    checks: dict[str, PresenceCheck] = {}
    for name in config.sensors:
        sensor, limits = make_sensor(config, name), config.presence
        if all(step.sensor != name for step in config.plan.steps):
            limits = limits.model_copy(update={"never_after_s": math.inf, "unused_after_s": 0})  # nobody is asked there
        monitor = PresenceMonitor(limits, sensor.modality, monitors)
        encoder = encoders.get(Modality.FINGER)
        if sensor.modality is not Modality.FINGER or sensor.streams or encoder is None:
            checks[name] = PresenceCheck(monitor)
        else:
            checks[name] = PresenceCheck(monitor, _shows_finger(encoder), partial(tell_traveller, announce))
    return checks


def _shows_finger(encoder: Encoder) -> ShowsSomebody:
    """Whether a sample shows a finger: ridges, or at least one feature, as of a fingertip that hardly touches."""
    return lambda sample: shows_ridges(sample.image, sample.pixels_per_inch) or encoder.assess(sample).score > 0


def make_station(
    config: Config,
    name: str,
    announce: Announce,
    on_state: OnState,
    on_crash: OnCrash,
    presence: PresenceCheck | None = None,
) -> Station:
    """The thread of a configured sensor. For a camera, a BestFrameSensor finds presentations in its stream."""
    sensor, driver = make_sensor(config, name), config.sensors[name].driver
    if not sensor.streams:
        return Station(name, driver, sensor, on_state, on_crash, presence=presence)
    best_frame = BestFrameSensor(
        sensor, load_frame_check(sensor.modality), lambda flaw, position: tell_traveller(announce, flaw, position)
    )
    return Station(name, driver, best_frame, on_state, on_crash, hooks=best_frame, presence=presence)


def load_encoders(config: Config) -> Mapping[Modality, Encoder]:
    """One encoder for each modality of the plan. Encoding and searching use the configured number of threads."""
    search_threads.set_thread_count(config.models.threads)
    wanted = {modality for step in config.plan.steps if (modality := step.position.modality)}
    chosen = {Modality.FINGER: config.models.finger}
    try:
        return {each: load_encoder(each, config.models.threads, chosen.get(each)) for each in sorted(wanted)}
    except ModelError as error:
        raise ConfigError(str(error)) from error


def load_sealer(config: Config, *, create: bool = True) -> Seal | None:
    """The function that signs and encrypts biometric payloads; None if no encryption key of the hub is configured.

    Without `create`, None also if this process has no kiosk key: systemd gives it to the daemon only.
    """
    path = config.hub.encryption_key
    if path is None:
        return None
    hub_key = _load_hub_key(path)
    try:
        kiosk_key = load_kiosk_key(config.kiosk.state_dir, development=config.kiosk.development_key, create=create)
    except KeyMissing:
        return None
    return partial(seal, kiosk_key=kiosk_key, hub_key=hub_key)


def _load_hub_key(path: Path) -> HubKey:
    key = load_hub_key(path)
    check_hub_key(key, path)
    return key


def _owner_lock(state_dir: Path, *, create: bool) -> TextIO:
    """Lock the state directory for as long as the file is open. StoreError if another process holds the lock.

    StoreMissing if there is no such file, unless `create`; OwnershipError if a file is not this account's.
    """
    path = state_dir / LOCK
    check_ownership(state_dir)
    rescued = (state_dir / OUTBOX).is_file()  # the agent writes a deleted outbox again when it ends, without this file
    try:
        lock = os.fdopen(open_owned(path, create=create or rescued), "w")
    except FileNotFoundError as error:
        raise StoreMissing(f"{state_dir}: holds no stores yet; the daemon makes them when it starts") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StoreError(f"{path}: another agent owns this kiosk's stores or is starting: wait, or stop it") from error
    return lock
