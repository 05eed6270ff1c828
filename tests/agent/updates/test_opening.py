"""The updater of a kiosk as the configuration says it: from a folder or over TLS, with its keys or without."""

import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.config import Config, WatchlistConfig
from agent.distribution.https import HttpsFetcher
from agent.errors import ConfigError
from agent.events.event import EventClass, ListReport
from agent.keys import load_kiosk_key, load_list_key
from agent.kiosk import find_store_key, load_watchlist, open_list_store, open_outbox
from agent.storage.owned_files import OwnershipError
from agent.updates.opening import (
    load_seal_policy,
    load_signer,
    make_updater,
    read_root,
    repository_opener,
    source_tls,
)
from agent.updates.updater import ListUpdater
from agent.watchlist.receipt import verify_receipt
from simulators.provider.provider import ListProvider
from tests.rigs.certificates import Authority
from tests.rigs.list_keeper import entry_of, make_provider
from tests.rigs.simulated_kiosk import config_of, make_stores

SOON_S = 20.0


@pytest.fixture(name="lists")
def _lists(tmp_path: Path) -> Iterator[ListProvider]:
    now = SystemClock().now()
    with make_provider(tmp_path / "lists", SystemClock()) as lists:
        lists.put([entry_of(1, now), entry_of(2, now)])
        lists.publish()
        yield lists


def with_lists(folder: Path, lists: ListProvider) -> Config:
    section = f'[watchlist]\nsource = "{lists.public}"\nroot = "{lists.folder}/root.json"'
    return config_of(folder, more=section)


def updater_of(config: Config) -> ListUpdater:
    make_stores(config)
    clock, key = SystemClock(), find_store_key(config)
    return make_updater(
        config,
        open_store=partial(open_list_store, config, key),
        open_outbox=partial(open_outbox, config, key),
        in_memory=load_watchlist(config, clock, key),
        clock=clock,
        on_crash=lambda *_: None,
        create=True,
    )


def test_a_kiosk_fetches_its_list_and_signs_for_what_is_withdrawn(tmp_path: Path, lists: ListProvider) -> None:
    config = with_lists(tmp_path, lists)
    told: list[bool] = []
    updater = updater_of(config)
    updater.on_event = lambda: told.append(True)
    updater.start()
    assert updater.submit(lambda keeper: keeper._memory.view.references).result(SOON_S) == 2
    lists.withdraw(["p1"])
    lists.publish()
    assert updater.submit(lambda keeper: keeper.check()["police"]).result(SOON_S).startswith("revision 2")
    assert updater.stop(SOON_S)
    assert len(told) == 3
    with open_outbox(config, find_store_key(config)) as outbox:
        *_, last = outbox.pending(EventClass.LIST, 10)
    report = ListReport.model_validate_json(last.event.body)
    assert report.receipt is not None
    receipt = verify_receipt(report.receipt, load_kiosk_key(config.kiosk.state_dir).public())
    assert (receipt.site, receipt.kiosk, receipt.reference_ids) == ("s1", "k1", ("p1",))
    assert (config.kiosk.state_dir / "list-metadata" / "timestamp.json").exists()


def test_without_a_source_nothing_is_fetched_and_no_key_is_made(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    updater = updater_of(config)
    updater.start()
    assert updater.submit(lambda keeper: keeper.check()).result(SOON_S) == {}
    assert updater.stop(SOON_S)
    assert load_signer(config, create=True) is None
    assert load_seal_policy(config, create=True).list_key is None
    assert not list(config.kiosk.state_dir.glob("*.pem"))


def test_a_command_that_has_no_keys_makes_none(tmp_path: Path, lists: ListProvider) -> None:
    config = with_lists(tmp_path, lists)
    config.kiosk.state_dir.mkdir()
    assert load_signer(config, create=False) is None
    assert load_seal_policy(config, create=False).list_key is None
    assert load_signer(config, create=True) is not None
    policy = load_seal_policy(config, create=True)
    assert policy.list_key is not None
    assert policy.list_key.key_id == load_list_key(config.kiosk.state_dir).key_id
    assert not policy.required


def test_a_repository_is_opened_anew_for_each_look(tmp_path: Path, lists: ListProvider) -> None:
    opened = repository_opener(with_lists(tmp_path, lists), lists.root_bytes(), None, lambda: False)
    for _ in range(2):
        assert opened(SystemClock().now(), None).refresh().providers == ("police",)


def test_the_root_that_everybody_may_change_is_no_root(tmp_path: Path) -> None:
    root = tmp_path / "root.json"
    with pytest.raises(ConfigError, match=r"root\.json: cannot be read: No such file"):
        read_root(root)
    root.write_bytes(b"{}")
    root.chmod(0o646)
    with pytest.raises(OwnershipError, match="everybody may change this file: chmod o-w"):
        read_root(root)
    root.chmod(0o644)
    with pytest.raises(ConfigError, match=r"root\.json: refused: .*ask the operator of the lists for root\.json"):
        read_root(root)


def source(**more: object) -> WatchlistConfig:
    fields = {"source": "https://lists.example.org", "root": "/root.json"}
    return WatchlistConfig.model_validate(fields | {name: str(value) for name, value in more.items()})


def test_the_authorities_of_the_system_are_trusted_unless_one_is_named(tmp_path: Path) -> None:
    assert source_tls(source()) is None
    authority = Authority(tmp_path, "ca")
    made = source_tls(source(ca=authority.path))
    assert made is not None
    assert len(made.get_ca_certs()) == 1
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname
    HttpsFetcher("https://lists.example.org", made, lambda: False)


def test_a_client_certificate_is_shown_to_a_server_that_asks_for_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("kiosk")
    made = source_tls(source(ca=authority.path, certificate=certificate, key=key))
    assert made is not None
    assert len(made.get_ca_certs()) == 1


def test_a_file_of_authorities_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=r"ca\.pem: cannot be read"):
        source_tls(source(ca=path))
    path.write_text("nothing")
    with pytest.raises(ConfigError, match=r"ca\.pem: holds no certificate authority"):
        source_tls(source(ca=path))
