import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.distribution.directory import DirectoryFetcher
from agent.distribution.repository import ListRepository, Refreshed
from agent.keys import ListKey
from agent.watchlist.list_format import (
    Confirm,
    Delta,
    Manifest,
    Put,
    Refused,
    Snapshot,
    Withdraw,
    parse_manifest,
    read_part,
)
from agent.watchlist.sealed_parts import KEYS, open_keys, readers_of
from simulators.provider import provider as module
from simulators.provider.errors import ProviderError
from simulators.provider.provider import DELTAS, KEEP, ListProvider
from tests.rigs.lists import LISTED, agreement_terms, list_entry


class Kiosk:
    """What a kiosk sees of a published repository: the agent's own client."""

    def __init__(self, lists: ListProvider, folder: Path) -> None:
        self._lists, self._folder, self._root = lists, folder, lists.root_bytes()
        self.repository = self._look(LISTED)

    def refresh(self, now: datetime = LISTED) -> Refreshed:
        self.repository = self._look(now)
        return self.repository.refresh()

    def manifest(self, provider: str = "police") -> Manifest:
        self.refresh()
        data = self.repository.manifest(provider)
        assert data is not None
        return parse_manifest(data)

    def lines(self, part_set: Snapshot | Delta, provider: str = "police") -> list[object]:
        return [line for name in part_set.parts for line in read_part(self.repository.fetch_part(provider, name))]

    def _look(self, now: datetime) -> ListRepository:
        fetcher = DirectoryFetcher(self._lists.public)
        return ListRepository(fetcher, root=self._root, metadata_dir=self._folder, trusted_now=now)


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[ListProvider]:
    with ListProvider.init(tmp_path / "lists", ["police"], now=LISTED) as made:
        made.agree(agreement_terms())
        yield made


@pytest.fixture
def kiosk(lists: ListProvider, tmp_path: Path) -> Kiosk:
    return Kiosk(lists, tmp_path / "kiosk")


def files(lists: ListProvider) -> set[str]:
    return {path.name.partition(".")[2] for path in (lists.public / "targets").rglob("*") if path.is_file()}


def test_a_kiosk_accepts_a_new_repository_which_has_no_list_yet(kiosk: Kiosk) -> None:
    seen = kiosk.refresh()
    assert seen.providers == ("police",)
    assert seen.signed_at == LISTED
    assert kiosk.repository.manifest("police") is None


def test_a_kiosk_reads_what_was_published(lists: ListProvider, kiosk: Kiosk) -> None:
    assert lists.put([list_entry("a"), list_entry("b")]) == 2
    (done,) = lists.publish(now=LISTED)
    assert (done.provider, done.revision, done.entries, done.parts, done.deltas) == ("police", 1, 2, 1, 0)
    manifest = kiosk.manifest()
    assert manifest.agreements == (agreement_terms(),)
    assert manifest.published_at == LISTED
    assert manifest.snapshot.entries == 2
    assert manifest.snapshot.templates == {"finger-minutiae/1": 2, "iris-code/1": 2}
    assert manifest.snapshot.bytes == done.size
    assert kiosk.lines(manifest.snapshot) == [Put(list_entry("a")), Put(list_entry("b"))]


def test_a_delta_leads_from_each_of_the_last_revisions_to_the_present_one(lists: ListProvider, kiosk: Kiosk) -> None:
    lists.put(list_entry(f"old-{n}") for n in range(200))
    lists.publish(now=LISTED)
    lists.withdraw(["old-1"])
    lists.publish(now=LISTED)
    later = LISTED + timedelta(days=60)
    assert lists.confirm(["old-2"], later) == 1
    lists.put([list_entry("new")])
    lists.publish(now=LISTED)
    manifest = kiosk.manifest()
    assert [(one.from_revision, one.to_revision) for one in manifest.deltas] == [(2, 3), (1, 3)]
    expected = [Put(list_entry("new")), Confirm("old-2", later, list_entry().expires_at)]
    assert kiosk.lines(manifest.deltas[0]) == expected
    assert kiosk.lines(manifest.deltas[1]) == [expected[0], Withdraw("old-1"), expected[1]]
    assert manifest.deltas[1].entries == 3


def test_there_are_deltas_of_the_last_ten_revisions_only(lists: ListProvider, kiosk: Kiosk) -> None:
    lists.put(list_entry(f"old-{n}") for n in range(200))
    for _ in range(DELTAS + 3):
        lists.publish(now=LISTED, force=True)
    assert [one.from_revision for one in kiosk.manifest().deltas] == list(range(DELTAS + 2, 2, -1))


def test_deltas_that_are_together_larger_than_half_the_snapshot_are_left_out(lists: ListProvider, kiosk: Kiosk) -> None:
    for n in range(4):
        lists.put(list_entry(f"{n}-{m}") for m in range(20))
        lists.publish(now=LISTED, keep=timedelta())
    manifest = kiosk.manifest()
    assert [one.from_revision for one in manifest.deltas] == [3]
    assert files(lists) == {"manifest.json", "4-000.part", "3-4-000.part"}


def test_a_list_without_changes_gets_no_new_revision(lists: ListProvider, kiosk: Kiosk) -> None:
    lists.put([list_entry("a")])
    lists.publish(now=LISTED)
    assert lists.publish(now=LISTED + timedelta(hours=1)) == []
    assert kiosk.manifest().revision == 1
    assert kiosk.refresh().signed_at == LISTED + timedelta(hours=1)


def test_what_has_expired_is_no_longer_published(lists: ListProvider, kiosk: Kiosk) -> None:
    lists.put([list_entry("a", expires_at=LISTED + timedelta(hours=1)), list_entry("b")])
    lists.publish(now=LISTED)
    (done,) = lists.publish(now=LISTED + timedelta(hours=1))
    assert (done.revision, done.entries, done.expired) == (2, 1, 1)
    assert kiosk.lines(kiosk.manifest().deltas[0]) == [Withdraw("a")]


def test_only_the_timestamp_can_be_signed(lists: ListProvider, kiosk: Kiosk) -> None:
    version = kiosk.refresh().version
    lists.sign_timestamp(LISTED + timedelta(days=1))
    seen = kiosk.refresh()
    assert (seen.version, seen.signed_at) == (version, LISTED + timedelta(days=1))


def test_the_timestamp_is_signed_with_the_online_keys_alone(lists: ListProvider) -> None:
    for path in (lists.folder / "keys").glob("*.pem"):
        if not path.name.startswith(("timestamp", "snapshot")):
            path.unlink()
    lists.sign_timestamp(LISTED + timedelta(days=13))
    lists.put([list_entry("a")])
    with pytest.raises(ProviderError, match="police is signed with 1 of its 1 keys, and 0 are here"):
        lists.publish(now=LISTED)
    assert lists.ids() == ("a",)


def test_roles_are_signed_again_before_they_expire_if_their_keys_are_here(lists: ListProvider) -> None:
    lists.publish(now=LISTED)
    for days in range(45, 500, 45):
        assert lists.publish(now=LISTED + timedelta(days=days)) == []
    at = LISTED + timedelta(days=495)
    signed = lists.metadata(at)
    assert all(signed.open(role).signed.expires > at for role in ("root", "targets", "snapshot", "timestamp", "police"))
    assert signed.root().version == 2
    assert json.loads(lists.root_bytes())["signed"]["version"] == 2


def test_a_kiosk_of_the_first_root_follows_when_all_keys_are_replaced(lists: ListProvider, kiosk: Kiosk) -> None:
    kiosk.refresh()
    lists.put([list_entry("a")])
    lists.publish(now=LISTED)
    for role in ("root", "targets", "snapshot", "timestamp", "police"):
        lists.replace_keys(role, LISTED)
    assert kiosk.manifest().snapshot.entries == 1
    with pytest.raises(ProviderError, match="there is no role nobody"):
        lists.replace_keys("nobody")


def test_files_that_are_no_longer_published_are_deleted_after_a_day(lists: ListProvider) -> None:
    lists.put([list_entry("a")])
    lists.publish(now=LISTED)
    lists.withdraw(["a"])
    lists.publish(now=LISTED + timedelta(hours=1))
    assert "1-000.part" in files(lists)
    lists.publish(now=LISTED + timedelta(hours=1) + KEEP)
    assert files(lists) == {"manifest.json", "1-2-000.part"}


def test_the_number_of_a_revision_that_failed_is_not_used_again(
    lists: ListProvider, kiosk: Kiosk, tmp_path: Path
) -> None:
    lists.put([list_entry("a")])
    lists.publish(now=LISTED)
    lists.put([list_entry("b")])
    key = (lists.folder / "keys" / "snapshot-1.pem").rename(tmp_path / "away.pem")
    with pytest.raises(ProviderError, match="snapshot is signed with 1 of its 1 keys"):
        lists.publish(now=LISTED)
    key.rename(lists.folder / "keys" / "snapshot-1.pem")
    assert kiosk.manifest().revision == 1
    (done,) = lists.publish(now=LISTED)
    assert done.revision == 3
    assert [one.from_revision for one in kiosk.manifest().deltas] == [1]


def test_a_line_for_tests_is_published_as_it_is(lists: ListProvider, kiosk: Kiosk) -> None:
    lists.put_raw("x", b'{"op":"put","entry":{"reference_id":"x"}}\n')
    lists.publish(now=LISTED)
    (line,) = kiosk.lines(kiosk.manifest().snapshot)
    assert isinstance(line, Refused)
    assert line.reference_id == "x"


def test_several_providers_have_lists_of_their_own(tmp_path: Path) -> None:
    with ListProvider.init(tmp_path / "lists", ["police", "army"], threshold=2, now=LISTED) as lists:
        for provider in lists.providers:
            lists.agree(agreement_terms(provider=provider))
            lists.put([list_entry("a", instruction=provider.upper())], provider)
        assert [one.provider for one in lists.publish(now=LISTED)] == ["police", "army"]
        kiosk = Kiosk(lists, tmp_path / "kiosk")
        for provider in lists.providers:
            (line,) = kiosk.lines(kiosk.manifest(provider).snapshot, provider)
            assert line == Put(list_entry("a", instruction=provider.upper()))
        with pytest.raises(ProviderError, match="say which provider: this repository has police, army"):
            lists.put([list_entry("b")])
        with pytest.raises(ProviderError, match="there is no provider navy"):
            lists.put([list_entry("b")], "navy")
        assert lists.agreements("army") == (agreement_terms(provider="army"),)


def test_a_provider_can_be_added_later(lists: ListProvider, kiosk: Kiosk) -> None:
    root = lists.root_bytes()
    lists.close()
    with ListProvider.init(lists.folder, ["police", "army"], now=LISTED) as again:
        assert again.providers == ("police", "army")
        assert again.root_bytes() == root
    assert kiosk.refresh().providers == ("police", "army")


def test_with_a_threshold_the_loss_of_one_key_is_no_loss(tmp_path: Path) -> None:
    with ListProvider.init(tmp_path / "lists", ["police"], threshold=2, now=LISTED) as lists:
        for role in ("root", "targets", "police"):
            (lists.folder / "keys" / f"{role}-3.pem").unlink()
        lists.publish(now=LISTED)
        lists.replace_keys("root", LISTED)
        lists.replace_keys("police", LISTED)
        (lists.folder / "keys" / "police-3.pem").unlink()
        (lists.folder / "keys" / "police-4.pem").unlink()
        with pytest.raises(ProviderError, match="2 of its 3 keys, and 1 are here"):
            lists.publish(now=LISTED, force=True)


def test_keys_may_lie_in_other_folders(lists: ListProvider, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    (lists.folder / "keys" / "police-1.pem").rename(stick / "police.pem")
    lists.close()
    with ListProvider(lists.folder, keys=[stick, lists.folder / "keys"]) as again:
        assert len(again.publish(now=LISTED)) == 1


def test_withdrawals_and_confirmations_are_all_or_none(lists: ListProvider) -> None:
    lists.put([list_entry("a")])
    with pytest.raises(ProviderError, match="b: is not on the list"):
        lists.withdraw(["a", "b"])
    with pytest.raises(ProviderError, match="b: is not on the list"):
        lists.confirm(["a", "b"], LISTED + timedelta(days=77))
    assert lists.ids() == ("a",)
    (due,) = lists.due(LISTED + timedelta(days=365))
    assert due.review_by == list_entry().review_by


def test_a_confirmation_with_an_expiry_before_its_beginning_is_refused(lists: ListProvider) -> None:
    lists.put([list_entry("a")])
    with pytest.raises(ProviderError, match="these times are not possible"):
        lists.confirm(["a"], LISTED, LISTED - timedelta(days=1))


def test_an_agreement_of_an_unknown_provider_is_refused(lists: ListProvider) -> None:
    with pytest.raises(ProviderError, match="there is no provider army"):
        lists.agree(agreement_terms(provider="army"))


def test_one_process_at_a_time(lists: ListProvider) -> None:
    with pytest.raises(ProviderError, match="another kiosk-list works here"):
        ListProvider(lists.folder)


def test_a_folder_without_a_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="make one with: kiosk-list init"):
        ListProvider(tmp_path)


def test_a_damaged_database_is_named_and_the_folder_is_free_again(lists: ListProvider) -> None:
    lists.close()
    (lists.folder / "lists.db").write_bytes(b"damaged" * 100)
    for _ in range(2):
        with pytest.raises(ProviderError, match=r"lists\.db: cannot be read"):
            ListProvider(lists.folder)


@pytest.mark.parametrize("name", ["a/b", "", "..", "root", "snapshot"])
def test_a_name_that_cannot_be_a_provider_is_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProviderError, match=r"of a provider|name of a role"):
        ListProvider.init(tmp_path / "lists", [name])
    assert not (tmp_path / "lists").exists()


def test_an_init_that_failed_is_named(lists: ListProvider, tmp_path: Path) -> None:
    (lists.folder / "root.json").unlink()
    lists.close()
    with pytest.raises(ProviderError, match="an init has failed here"):
        ListProvider.init(lists.folder, ["police"])


def test_without_a_time_the_clock_of_this_computer_counts(tmp_path: Path) -> None:
    with ListProvider.init(tmp_path / "lists") as lists:
        assert lists.providers == ("provider",)
        lists.publish()
        lists.sign_timestamp()
        assert lists.metadata().timestamp().version == 3


# -- lists that are encrypted

ONE, TWO = (ListKey(X25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (1, 2))


def jwk(key: ListKey) -> bytes:
    return json.dumps(key.public()).encode()


def test_a_list_is_encrypted_for_the_kiosks_that_were_added(lists: ListProvider, kiosk: Kiosk) -> None:
    lists.put([list_entry("a")])
    (one,) = lists.add_readers([("one", jwk(ONE))])
    assert (one.name, one.key_id, lists.readers()) == ("one", ONE.key_id, (one,))
    (done,) = lists.publish(now=LISTED)
    manifest = kiosk.manifest()
    assert (done.readers, manifest.sealed) == (1, True)
    keys = open_keys(kiosk.repository.fetch_part("police", KEYS), ONE, "police")
    (line,) = read_part(keys.open(kiosk.repository.fetch_part("police", manifest.snapshot.parts[0])))
    assert line == Put(list_entry("a"))


def test_whoever_is_added_or_removed_changes_every_list(lists: ListProvider, kiosk: Kiosk) -> None:
    lists.add_readers([("one", jwk(ONE))])
    assert [done.revision for done in lists.publish(now=LISTED)] == [1]
    assert lists.publish(now=LISTED) == []
    lists.add_readers([("two", jwk(TWO))])
    assert [(done.revision, done.readers) for done in lists.publish(now=LISTED)] == [(2, 2)]
    lists.remove_readers(["one"])
    assert [(done.revision, done.readers) for done in lists.publish(now=LISTED)] == [(3, 1)]
    kiosk.refresh()
    assert readers_of(kiosk.repository.fetch_part("police", KEYS)) == (TWO.key_id,)
    lists.add_readers([("other", jwk(TWO))])  # another name of the same key
    assert lists.publish(now=LISTED) == []


def test_readable_files_are_deleted_when_the_first_encrypted_list_is_published(lists: ListProvider) -> None:
    lists.put([list_entry("a")])
    lists.publish(now=LISTED)
    readable = {path for path in (lists.public / "targets").rglob("*") if path.is_file()}
    lists.add_readers([("one", jwk(ONE))])
    lists.publish(now=LISTED)
    assert not any(path.exists() for path in readable)
    lists.withdraw(["a"])
    encrypted = set((lists.public / "targets").rglob("*.part"))
    lists.publish(now=LISTED)
    assert all(path.exists() for path in encrypted)  # as ever, until a kiosk has fetched them


def test_keys_that_cannot_be_used_add_no_kiosk_at_all(lists: ListProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProviderError, match="the key of two holds a private key"):
        lists.add_readers([("one", jwk(ONE)), ("two", json.dumps({**TWO.public(), "d": "secret"}).encode())])
    with pytest.raises(ProviderError, match="a b: is no name of a kiosk"):
        lists.add_readers([("a b", jwk(ONE))])
    monkeypatch.setattr(module, "MOST_KIOSKS", 1)
    with pytest.raises(ProviderError, match="for 1 kiosks at most"):
        lists.add_readers([("one", jwk(ONE)), ("two", jwk(TWO))])
    assert lists.readers() == ()


def test_kiosks_are_removed_all_or_none(lists: ListProvider) -> None:
    lists.add_readers([("one", jwk(ONE)), ("two", jwk(TWO))])
    with pytest.raises(ProviderError, match="there is no kiosk three"):
        lists.remove_readers(["one", "three"])
    assert len(lists.readers()) == 2
