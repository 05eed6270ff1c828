"""What we need of python-tuf beyond its public names, and what is kept on the disk."""

import os
import stat
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from tuf.ngclient import Updater

from agent.distribution.client import TufClient, check_root, trusted_set
from agent.distribution.directory import DirectoryFetcher
from agent.distribution.refusal import Refusal, UpdateRefused
from tests.rigs.list_repository import NOW, SignedLists


@pytest.fixture
def lists() -> SignedLists:
    """The list of one provider."""
    made = SignedLists("north")
    made.put("north", "manifest.json", b"content")
    made.publish("north")
    return made


def client(folder: Path, lists: SignedLists, days: float = 0) -> TufClient:
    """A client for a stick with what is published now."""
    fetcher = DirectoryFetcher(lists.write(folder / "stick"))
    now = NOW + timedelta(days=days)
    places = fetcher.metadata_url, fetcher.targets_url
    return TufClient(fetcher, *places, metadata_dir=folder / "kept", root=lists.trusted_root, now=now)


def refusal(made: TufClient) -> Refusal:
    """The reason for which a refresh is refused."""
    with pytest.raises(UpdateRefused) as caught:
        made.refresh()
    return caught.value.reason


def test_the_given_time_decides_about_expiry(tmp_path: Path, lists: SignedLists) -> None:
    assert refusal(client(tmp_path, lists, days=2)) is Refusal.EXPIRED
    client(tmp_path, lists, days=0.9).refresh()
    assert refusal(client(tmp_path, lists, days=1.1)) is Refusal.EXPIRED


@pytest.mark.parametrize("other", [None, {}, SimpleNamespace(reference_time=NOW)])
def test_a_library_that_has_changed_is_noticed(other: object) -> None:
    with pytest.raises(TypeError, match="this version of python-tuf"):
        trusted_set(cast("Updater", SimpleNamespace(_trusted_set=other)))


def test_a_library_without_a_time_is_noticed(tmp_path: Path, lists: SignedLists) -> None:
    trusted = client(tmp_path, lists).trusted
    del trusted.reference_time
    with pytest.raises(TypeError):
        trusted_set(cast("Updater", SimpleNamespace(_trusted_set=trusted)))


def test_the_files_on_disk_are_private(tmp_path: Path, lists: SignedLists) -> None:
    made = client(tmp_path, lists)
    made.refresh()
    assert made.find("north/manifest.json", "north") is not None
    files = [path for path in (tmp_path / "kept").rglob("*.json") if not path.is_symlink()]
    assert len(files) == 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700


def test_new_files_are_durable_when_a_call_returns(
    tmp_path: Path, lists: SignedLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    whole = os.fsync

    def record(file: int) -> None:
        synced.add(Path(f"/proc/self/fd/{file}").readlink().name)
        whole(file)

    monkeypatch.setattr(os, "fsync", record)
    made = client(tmp_path, lists)
    made.refresh()
    assert {"1.root.json", "timestamp.json", "snapshot.json", "targets.json", "kept", "root_history"} <= synced
    made.find("north/manifest.json", "north")
    assert "north.json" in synced


@pytest.mark.parametrize("damage", [b"", b"{}", b"\0" * 100, b"{" * 10_000])
@pytest.mark.parametrize("name", ["timestamp", "snapshot", "targets", "root_history/1.root", "root_history/2.root"])
def test_a_damaged_file_is_fetched_again(tmp_path: Path, lists: SignedLists, name: str, damage: bytes) -> None:
    lists.sign("root", lists.root)
    client(tmp_path, lists).refresh()
    path = tmp_path / "kept" / f"{name}.json"
    good = path.read_bytes()
    path.write_bytes(damage)
    client(tmp_path, lists).refresh()
    assert path.read_bytes() == good


def test_what_a_power_cut_has_left_is_removed(tmp_path: Path, lists: SignedLists) -> None:
    client(tmp_path, lists)
    (tmp_path / "kept" / "tmpabc123").write_bytes(b"half")
    client(tmp_path, lists).refresh()
    assert not (tmp_path / "kept" / "tmpabc123").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, lists: SignedLists) -> None:
    (tmp_path / "kept").write_bytes(b"a file")
    with pytest.raises(UpdateRefused, match="kept: refused: it cannot be stored on this kiosk") as caught:
        client(tmp_path, lists)
    assert caught.value.reason is Refusal.DISK


def test_a_full_disk_refuses_the_update(tmp_path: Path, lists: SignedLists, monkeypatch: pytest.MonkeyPatch) -> None:
    made = client(tmp_path, lists)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("tempfile.NamedTemporaryFile", full)
        assert refusal(made) is Refusal.DISK
    client(tmp_path, lists).refresh()


def test_a_target_is_verified_and_compared(tmp_path: Path, lists: SignedLists) -> None:
    made = client(tmp_path, lists)
    target = made.find("north/manifest.json", "north")
    assert target is not None
    assert made.download(target, "north") == b"content"
    place = tmp_path / "copy"
    assert not made.matches(target, place)
    place.write_bytes(b"contend")
    assert not made.matches(target, place)
    place.write_bytes(b"content")
    assert made.matches(target, place)


def test_names_have_no_hash_where_the_repository_has_no_consistent_snapshots(tmp_path: Path) -> None:
    lists = SignedLists("north")
    place = lists.put("north", "manifest.json", b"content")
    lists.root.consistent_snapshot = False
    lists.sign("root", lists.root)
    lists.publish("north", "targets")
    for name in ("snapshot", "targets", "north"):
        lists.files[f"metadata/{name}.json"] = lists.files[f"metadata/{lists.role(name).version}.{name}.json"]
    lists.files["targets/north/manifest.json"] = lists.files.pop(place)
    made = client(tmp_path, lists)
    target = made.find("north/manifest.json", "north")
    assert target is not None
    assert made.download(target, "north") == b"content"


def test_a_root_is_signed_by_its_own_keys(lists: SignedLists) -> None:
    check_root(lists.trusted_root, "root.json")


@pytest.mark.parametrize(
    ("old", "new"), [(b"{", b"not json {"), (b'"version":1}', b'"version":2}'), (b'"threshold":1', b'"threshold":0')]
)
def test_what_is_no_root_is_named(lists: SignedLists, old: bytes, new: bytes) -> None:
    changed = lists.trusted_root.replace(old, new)
    assert changed != lists.trusted_root
    with pytest.raises(UpdateRefused, match=r"^root\.json: refused: "):
        check_root(changed, "root.json")
