"""Attacks on the list repository: each is refused with the reason, and what the kiosk has goes on serving."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, MetaFile, Role, SuccinctRoles, TargetFile

from agent.distribution.fetcher import MOST_BYTES
from agent.distribution.https import HttpsFetcher
from agent.distribution.refusal import Refusal, UpdateRefused, UpdateUnreachable
from agent.distribution.repository import MOST_PROVIDERS, SIGNED_AT, Versions
from tests.rigs.list_repository import NOW, Kiosk, SignedLists, file_of
from tests.rigs.list_server import ListServer, repeats

PART = b"a part of a list " * 1000


@pytest.fixture
def lists() -> SignedLists:
    """The lists of two providers; north has a manifest and a part."""
    made = SignedLists("north", "south")
    made.put("north", "manifest.json", b'{"provider":"north"}')
    made.put("north", "parts/7-000.part", PART)
    made.publish("north")
    return made


@pytest.fixture
def kiosk(tmp_path: Path, lists: SignedLists) -> Kiosk:
    """A kiosk that has seen the lists once."""
    made = Kiosk(tmp_path, lists)
    made.look()
    return made


def refused(kiosk: Kiosk, reason: Refusal, *words: str) -> str:
    """The text of a refusal: its reason is this, and it has these words. What was seen before is still known."""
    before = kiosk.floor
    with pytest.raises(UpdateRefused) as caught:
        kiosk.look()
    assert caught.value.reason is reason, caught.value
    assert all(word in str(caught.value) for word in words), caught.value
    assert kiosk.floor == before
    return str(caught.value)


def part_refused(kiosk: Kiosk, reason: Refusal, *words: str) -> None:
    """The repository is accepted, and the part of north is not."""
    repository = kiosk.look()
    with pytest.raises(UpdateRefused) as caught:
        repository.fetch_part("north", "parts/7-000.part")
    assert caught.value.reason is reason, caught.value
    assert all(word in str(caught.value) for word in words), caught.value


def part_of(kiosk: Kiosk) -> str:
    """The path of the part in the repository."""
    return next(path for path, data in kiosk.lists.files.items() if data == PART)


def test_lists_are_fetched_and_verified(kiosk: Kiosk) -> None:
    repository = kiosk.repository()
    refreshed = repository.refresh()
    assert (refreshed.version, refreshed.providers) == (2, ("north", "south"))
    assert (refreshed.signed_at, refreshed.valid_until) == (NOW, NOW + timedelta(days=1))
    assert repository.manifest("north") == b'{"provider":"north"}'
    assert repository.fetch_part("north", "parts/7-000.part") == PART
    assert repository.target_info("north", "parts/7-000.part").length == len(PART)
    assert repository.target_info("north", "parts/7-000.part").sha256 in part_of(kiosk)


def test_a_provider_that_has_published_nothing_has_no_manifest(kiosk: Kiosk) -> None:
    assert kiosk.look().manifest("south") is None


def test_an_unchanged_repository_gives_the_same_again(kiosk: Kiosk) -> None:
    assert kiosk.repository().refresh() == kiosk.repository().refresh()


def test_nothing_of_a_target_is_on_the_disk(kiosk: Kiosk) -> None:
    kiosk.look().fetch_part("north", "parts/7-000.part")
    assert not any(b"a part of a list" in f.read_bytes() for f in kiosk.metadata_dir.rglob("*") if f.is_file())


# Wrong keys.


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "root"])
def test_metadata_signed_with_a_wrong_key_are_refused(kiosk: Kiosk, role: str) -> None:
    kiosk.lists.signers[role] = [CryptoSigner.generate_ed25519()]
    if role == "root":
        kiosk.lists.sign("root", kiosk.lists.root)
    kiosk.lists.publish("targets")
    refused(kiosk, Refusal.WRONG_KEY, "a signature is missing, or is made with a key that is not allowed", role)


def test_a_list_signed_by_another_provider_is_refused(kiosk: Kiosk) -> None:
    kiosk.lists.signers["north"] = kiosk.lists.signers["south"]
    kiosk.lists.put("north", "manifest.json", b"south speaks for north")
    kiosk.lists.publish("north")
    repository = kiosk.look()
    with pytest.raises(UpdateRefused, match="the list of north: refused: a signature is missing") as caught:
        repository.manifest("north")
    assert caught.value.reason is Refusal.WRONG_KEY
    assert repository.manifest("south") is None  # the others are not concerned


def test_a_provider_that_signs_a_file_of_another_is_refused(kiosk: Kiosk) -> None:
    kiosk.lists.put("south", "manifest.json", b"mine")
    kiosk.lists.put("south", "", b"south speaks for north", path="north/manifest.json")
    kiosk.lists.publish("south")
    repository = kiosk.look()
    assert repository.manifest("north") == b'{"provider":"north"}'
    with pytest.raises(UpdateRefused, match=r"the list of south.* not its own: north/manifest.json") as caught:
        repository.manifest("south")
    assert caught.value.reason is Refusal.NOT_ALLOWED


def test_a_provider_that_hands_its_right_on_is_refused_and_takes_no_other_name(kiosk: Kiosk) -> None:
    south, key = kiosk.lists.signers["south"], kiosk.lists.signers["south"][0].public_key
    role = DelegatedRole("north", [key.keyid], 1, True, ["south/*"])
    kiosk.lists.lists["south"].delegations = Delegations({key.keyid: key}, {"north": role})
    kiosk.lists.publish("south")
    repository = kiosk.look()
    assert repository.manifest("north") == b'{"provider":"north"}'
    forged = kiosk.lists.lists["north"]  # of the same version, signed by south, from a server that helps
    kiosk.lists.put("north", "manifest.json", b"south speaks for north")
    name = file_of("north", forged.version)
    (kiosk.stick / name).write_bytes(kiosk.lists.signed("north", forged, south))
    (kiosk.metadata_dir / "north.json").unlink()
    for _ in range(2):
        with pytest.raises(UpdateRefused, match="hands its right to sign on to others"):
            repository.manifest("south")
        assert repository.manifest("north") == b'{"provider":"north"}'


def test_too_few_of_several_keys_are_refused(tmp_path: Path) -> None:
    lists = SignedLists("north", threshold=2)
    kiosk = Kiosk(tmp_path, lists)
    kiosk.look()
    lists.sign("targets", lists.targets, lists.signers["targets"][:1])
    lists.snapshot.meta["targets.json"] = MetaFile(2)
    lists.publish()
    refused(kiosk, Refusal.WRONG_KEY, "1/2 keys")


def test_another_root_than_the_one_given_is_refused(tmp_path: Path) -> None:
    kiosk = Kiosk(tmp_path, SignedLists("north"))
    kiosk.root = SignedLists("north").trusted_root
    refused(kiosk, Refusal.WRONG_KEY)


@pytest.mark.parametrize("root", [b"", b"{}", b"\xff", b"[" * 100_000, b'{"signed":{},"signatures":[]}'])
def test_a_root_that_cannot_be_read_is_named(kiosk: Kiosk, root: bytes) -> None:
    kiosk.root = root
    refused(kiosk, Refusal.UNREADABLE, "the root metadata of this kiosk")


# Old and frozen metadata.


def test_an_old_timestamp_is_refused(kiosk: Kiosk, lists: SignedLists) -> None:
    old = lists.files["metadata/timestamp.json"]
    lists.publish_timestamp()
    kiosk.look()
    lists.files["metadata/timestamp.json"] = old
    refused(kiosk, Refusal.ROLLED_BACK, "older than what this kiosk has already seen")


def test_an_old_snapshot_in_a_new_timestamp_is_refused(kiosk: Kiosk, lists: SignedLists) -> None:
    lists.publish("south")
    kiosk.look()
    lists.snapshot.version -= 1
    lists.publish_timestamp()
    refused(kiosk, Refusal.ROLLED_BACK, "snapshot")


def test_an_old_list_in_a_new_snapshot_is_refused(kiosk: Kiosk, lists: SignedLists) -> None:
    lists.snapshot.meta["north.json"] = MetaFile(1)
    lists.publish()
    refused(kiosk, Refusal.ROLLED_BACK, "older", "north.json")


def test_a_list_that_disappears_from_the_snapshot_is_refused(kiosk: Kiosk, lists: SignedLists) -> None:
    del lists.snapshot.meta["north.json"]
    lists.publish()
    refused(kiosk, Refusal.ROLLED_BACK, "north.json")


def test_old_metadata_are_refused_even_where_the_files_on_disk_are_lost(kiosk: Kiosk, lists: SignedLists) -> None:
    old = dict(lists.files)
    lists.publish("north")
    kiosk.look()
    shutil.rmtree(kiosk.metadata_dir)
    lists.files = old
    refused(kiosk, Refusal.ROLLED_BACK, "timestamp has version 2, seen was 3")


def test_an_old_root_is_refused_even_where_the_files_on_disk_are_lost(kiosk: Kiosk, lists: SignedLists) -> None:
    old = dict(lists.files)
    lists.sign("root", lists.root)
    kiosk.look()
    shutil.rmtree(kiosk.metadata_dir)
    shutil.rmtree(kiosk.stick)
    lists.files = old
    refused(kiosk, Refusal.ROLLED_BACK, "root has version 1, seen was 2")


def test_new_keys_of_the_root_let_versions_count_anew(kiosk: Kiosk, lists: SignedLists) -> None:
    lists.timestamp.version, lists.snapshot.version = 1_000_000, 1_000_000  # by a thief of the online keys
    lists.publish()
    kiosk.look()
    lists.rotate("timestamp")
    lists.rotate("snapshot")
    lists.timestamp.version = lists.snapshot.version = 2
    lists.publish()
    kiosk.look()
    assert (kiosk.floor.root, kiosk.floor.timestamp, kiosk.floor.snapshot) == (3, 3, 3)


def test_an_additional_key_of_the_root_lets_nothing_count_anew(kiosk: Kiosk, lists: SignedLists) -> None:
    old = dict(lists.files)
    lists.publish()
    lists.root.add_key(CryptoSigner.generate_ed25519().public_key, "timestamp")
    lists.sign("root", lists.root)
    kiosk.look()
    shutil.rmtree(kiosk.metadata_dir)
    lists.files = old | {"metadata/2.root.json": lists.files["metadata/2.root.json"]}
    refused(kiosk, Refusal.ROLLED_BACK, "timestamp has version 2, seen was 3")


@pytest.mark.parametrize(("days", "what"), [(2, "timestamp"), (400, "root")])
def test_frozen_metadata_are_refused_once_they_have_expired(kiosk: Kiosk, days: int, what: str) -> None:
    kiosk.now = NOW + timedelta(days=days)
    refused(kiosk, Refusal.EXPIRED, "has expired", "withholds", what)


def test_an_expired_list_of_one_provider_stops_only_that_list(kiosk: Kiosk, lists: SignedLists) -> None:
    lists.lists["south"].expires = NOW - timedelta(days=1)
    lists.publish("south")
    repository = kiosk.look()
    with pytest.raises(UpdateRefused, match=r"the list of south: refused: what .* expired"):
        repository.manifest("south")
    assert repository.manifest("north") is not None


def test_the_time_of_the_kiosk_decides_about_expiry_and_not_the_wall_clock(kiosk: Kiosk) -> None:
    kiosk.now = NOW + timedelta(hours=23)
    kiosk.look()
    kiosk.now = NOW + timedelta(hours=25)
    refused(kiosk, Refusal.EXPIRED)


@pytest.mark.parametrize("days", [1, 4000])
def test_a_time_of_signing_after_the_expiry_is_refused(kiosk: Kiosk, days: int) -> None:
    kiosk.lists.publish_timestamp(NOW + timedelta(days=days))
    refused(kiosk, Refusal.EXPIRED, "the time of signing")


def test_the_online_key_cannot_sign_a_time_beyond_the_offline_expiry(kiosk: Kiosk, lists: SignedLists) -> None:
    lists.publish_timestamp(NOW + timedelta(days=100))
    lists.timestamp.expires = lists.snapshot.expires = NOW + timedelta(days=4000)
    lists.sign("snapshot", lists.snapshot)
    lists.timestamp.snapshot_meta = MetaFile(lists.snapshot.version)
    lists.sign("timestamp", lists.timestamp)
    refused(kiosk, Refusal.EXPIRED, "the time of signing")


@pytest.mark.parametrize("text", ["soon", "2026-03-01T12:00:00", 7, None, ["2026"]])
def test_a_time_of_signing_that_is_none_is_refused(kiosk: Kiosk, text: object) -> None:
    kiosk.lists.timestamp.unrecognized_fields[SIGNED_AT] = text
    kiosk.lists.sign("timestamp", kiosk.lists.timestamp)
    if text is None:
        assert kiosk.repository().refresh().signed_at is None
    else:
        refused(kiosk, Refusal.UNREADABLE, SIGNED_AT)


# Mixed and changed metadata.


def test_a_snapshot_of_another_revision_is_refused(kiosk: Kiosk, lists: SignedLists) -> None:
    lists.publish("south")
    lists.files["metadata/3.snapshot.json"] = lists.files["metadata/2.snapshot.json"]
    refused(kiosk, Refusal.MIXED, "different revisions")


def test_a_list_of_another_revision_is_refused(kiosk: Kiosk, lists: SignedLists) -> None:
    lists.publish("north")
    lists.files[file_of("north", 3)] = lists.files[file_of("north", 2)]
    repository = kiosk.look()
    with pytest.raises(UpdateRefused, match="the list of north: refused: its files belong to different revisions"):
        repository.manifest("north")


def test_a_list_without_its_place_in_the_snapshot_is_refused(tmp_path: Path) -> None:
    lists = SignedLists("north")
    del lists.snapshot.meta["north.json"]
    lists.publish()
    repository = Kiosk(tmp_path, lists).look()
    with pytest.raises(UpdateRefused, match="the snapshot does not have all lists"):
        repository.manifest("north")


def test_metadata_with_another_hash_than_signed_are_refused(kiosk: Kiosk, lists: SignedLists) -> None:
    lists.sign("snapshot", lists.snapshot)
    lists.timestamp.snapshot_meta = MetaFile(lists.snapshot.version, hashes={"sha256": "0" * 64})
    lists.sign("timestamp", lists.timestamp)
    refused(kiosk, Refusal.CHANGED, "not the one that is signed")


def test_missing_metadata_are_refused(kiosk: Kiosk, lists: SignedLists) -> None:
    lists.publish("targets")
    del lists.files["metadata/2.targets.json"]
    refused(kiosk, Refusal.MISSING, "2.targets.json: there is no such file")


def test_too_long_metadata_are_refused(kiosk: Kiosk, lists: SignedLists) -> None:
    lists.files["metadata/timestamp.json"] += b" " * 20_000
    refused(kiosk, Refusal.TOO_LONG, "longer than it may be")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["timestamp", "snapshot", "targets"]),
    place=st.integers(0, 999),
    inserted=st.binary(max_size=8),
    removed=st.integers(0, 20),
)
def test_damaged_metadata_are_refused_and_never_more_than_that(
    kiosk: Kiosk, name: str, place: int, inserted: bytes, removed: int
) -> None:
    if name == "targets":
        kiosk.lists.publish("targets")
    elif name == "snapshot":
        kiosk.lists.publish()
    else:
        kiosk.lists.publish_timestamp()
    path = file_of(name, kiosk.lists.role(name).version)
    good = kiosk.lists.files[path]
    first = len(good) * place // 1000
    bad = good[:first] + inserted + good[first + removed :]
    kiosk.lists.files[path] = bad
    try:
        kiosk.look()
    except UpdateRefused as error:
        assert error.reason in (Refusal.UNREADABLE, Refusal.WRONG_KEY), error  # noqa: PT017 - some damage is none
    else:
        assert json.loads(bad)["signed"] == json.loads(good)["signed"]
    kiosk.lists.files[path] = good
    kiosk.look()


# Truncated, padded, endless targets.


def test_a_truncated_part_is_refused(kiosk: Kiosk) -> None:
    kiosk.lists.files[part_of(kiosk)] = PART[:-1]
    part_refused(kiosk, Refusal.TRUNCATED, "parts/7-000.part", "not have the length that was signed")


def test_a_padded_part_is_refused(kiosk: Kiosk) -> None:
    kiosk.lists.files[part_of(kiosk)] = PART + b"\0"
    part_refused(kiosk, Refusal.TOO_LONG, "longer than it may be")


def test_a_changed_part_is_refused(kiosk: Kiosk) -> None:
    kiosk.lists.files[part_of(kiosk)] = PART[:-1] + b"?"
    part_refused(kiosk, Refusal.CHANGED, "not the one that is signed")


def test_an_endless_part_is_refused(kiosk: Kiosk, lists: SignedLists) -> None:
    with ListServer(lists.files) as server:
        repository = kiosk.look(lambda: HttpsFetcher(server.address))
        repository.target_info("north", "parts/7-000.part")
        server.answers = [repeats(b"HTTP/1.1 200 OK\r\n\r\n", b"endless " * 8192)]
        with pytest.raises(UpdateRefused, match=f"longer than it may be .more than {len(PART)} bytes") as caught:
            repository.fetch_part("north", "parts/7-000.part")
        assert caught.value.reason is Refusal.TOO_LONG
        assert repository.fetch_part("north", "parts/7-000.part") == PART


def test_a_slow_part_is_refused(kiosk: Kiosk, lists: SignedLists) -> None:
    seconds = [0.0, 0.0]  # the time now, and what each look at the clock adds

    def clock() -> float:
        seconds[0] += seconds[1]
        return seconds[0]

    with ListServer(lists.files) as server:
        repository = kiosk.look(lambda: HttpsFetcher(server.address, monotonic=clock))
        repository.target_info("north", "parts/7-000.part")
        server.answers = [repeats(b"HTTP/1.1 200 OK\r\n\r\n", b"x")]
        seconds[1] = 15.0
        with pytest.raises(UpdateRefused, match="the source sends too slowly") as caught:
            repository.fetch_part("north", "parts/7-000.part")
        assert caught.value.reason is Refusal.SLOW


def test_a_missing_part_is_refused(kiosk: Kiosk, lists: SignedLists) -> None:
    del lists.files[part_of(kiosk)]
    shutil.rmtree(kiosk.stick)
    part_refused(kiosk, Refusal.MISSING, "there is no such file")


def test_a_part_that_is_not_signed_is_refused(kiosk: Kiosk) -> None:
    with pytest.raises(UpdateRefused, match=r"parts/8-000.part is not signed by north"):
        kiosk.look().fetch_part("north", "parts/8-000.part")


@pytest.mark.parametrize(
    "name", ["../south/manifest.json", "/manifest.json", "", "a//b", "a\nb", "a/b/c/d/e", "%2e%2e"]
)
def test_a_name_that_leads_elsewhere_is_refused(kiosk: Kiosk, name: str) -> None:
    with pytest.raises(UpdateRefused, match="is not the name of a file of a list"):
        kiosk.look().fetch_part("north", name)


def test_a_part_in_a_folder_that_no_delegation_is_for_is_not_signed(kiosk: Kiosk) -> None:
    with pytest.raises(UpdateRefused, match="is not signed by north"):
        kiosk.look().target_info("north", "a/b/c")


def test_a_part_that_is_announced_as_huge_is_refused(kiosk: Kiosk, lists: SignedLists) -> None:
    lists.lists["north"].targets["north/parts/7-000.part"].length = MOST_BYTES + 1
    lists.publish("north")
    part_refused(kiosk, Refusal.TOO_LONG, "has 33554433 bytes")


def test_a_part_signed_without_sha256_is_refused(kiosk: Kiosk, lists: SignedLists) -> None:
    target = TargetFile.from_data("north/parts/7-000.part", PART, ["sha512"])
    lists.lists["north"].targets["north/parts/7-000.part"] = target
    lists.publish("north")
    part_refused(kiosk, Refusal.UNREADABLE, "without a SHA-256 hash")


# Delegations.


def _change(role: DelegatedRole, name: str, value: object) -> DelegatedRole:
    setattr(role, name, value)
    return role


@pytest.mark.parametrize(
    "change",
    [
        lambda role: _change(role, "terminating", False),
        lambda role: _change(role, "paths", ["north/*", "south/*"]),
        lambda role: _change(role, "paths", ["*"]),
        lambda role: _change(role, "paths", []),
        lambda role: DelegatedRole("north", role.keyids, 1, True, None, ["ab"]),
    ],
)
def test_a_delegation_for_more_than_the_own_files_is_refused(
    kiosk: Kiosk, change: Callable[[DelegatedRole], DelegatedRole]
) -> None:
    roles = kiosk.lists.targets.delegations.roles  # type: ignore[union-attr]
    assert roles is not None
    roles["north"] = change(roles["north"])
    kiosk.lists.publish("targets")
    refused(kiosk, Refusal.NOT_ALLOWED, "the delegation of north must end there and be for north/* only")


@pytest.mark.parametrize("name", ["a b", "-", "x" * 65])
def test_a_provider_needs_a_plain_name(kiosk: Kiosk, name: str) -> None:
    delegations = kiosk.lists.targets.delegations
    assert delegations is not None
    assert delegations.roles is not None
    delegations.roles[name] = DelegatedRole(name, [], 1, True, [f"{name}/*"])
    kiosk.lists.publish("targets")
    refused(kiosk, Refusal.NOT_ALLOWED, "the delegation of")


def test_too_many_providers_are_refused(kiosk: Kiosk) -> None:
    names = [f"p{number}" for number in range(MOST_PROVIDERS + 1)]
    roles: dict[str, Role] = {name: DelegatedRole(name, [], 1, True, [f"{name}/*"]) for name in names}
    kiosk.lists.targets.delegations = Delegations({}, roles)  # type: ignore[arg-type]
    kiosk.lists.publish("targets")
    refused(kiosk, Refusal.NOT_ALLOWED, "at most 256")


def test_delegations_by_hash_are_refused(kiosk: Kiosk) -> None:
    kiosk.lists.targets.delegations = Delegations({}, succinct_roles=SuccinctRoles([], 1, 4, "bin"))
    kiosk.lists.publish("targets")
    refused(kiosk, Refusal.NOT_ALLOWED, "its own delegation")


def test_files_outside_the_lists_are_refused(kiosk: Kiosk) -> None:
    kiosk.lists.targets.targets["north/manifest.json"] = TargetFile.from_data("north/manifest.json", b"forged")
    kiosk.lists.publish("targets")
    refused(kiosk, Refusal.NOT_ALLOWED, "files outside the lists")


def test_a_repository_may_have_no_provider(tmp_path: Path) -> None:
    lists = SignedLists()
    lists.targets.delegations = None
    lists.publish("targets")
    assert Kiosk(tmp_path, lists).repository().refresh().providers == ()


def test_an_unknown_provider_and_a_repository_that_is_not_refreshed_are_refused(kiosk: Kiosk) -> None:
    for repository in (kiosk.repository(), kiosk.look()):
        with pytest.raises(UpdateRefused, match="have no such provider"):
            repository.manifest("east")
    with pytest.raises(UpdateRefused):
        kiosk.repository().manifest("north")


# The source.


def test_a_stick_that_is_pulled_out_is_unreachable_and_nothing_is_lost(kiosk: Kiosk, lists: SignedLists) -> None:
    repository = kiosk.look()
    lists.publish("north")
    halfway = kiosk.repository()
    shutil.rmtree(kiosk.stick)
    kiosk.stick.mkdir()  # the empty place where it was mounted
    for act in (lambda: repository.fetch_part("north", "parts/7-000.part"), halfway.refresh):
        with pytest.raises(UpdateUnreachable, match="cannot be reached: it has no folder metadata"):
            act()
    lists.write(kiosk.stick)
    assert halfway.refresh().version == 3
    assert kiosk.look().fetch_part("north", "parts/7-000.part") == PART


def test_the_floor_survives_as_json() -> None:
    floor = Versions(root=1, timestamp=2, snapshot=3, keys=("a", "b"))
    assert Versions.model_validate_json(floor.model_dump_json()) == floor
