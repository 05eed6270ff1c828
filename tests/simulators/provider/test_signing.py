from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from agent.distribution.repository import SIGNED_AT
from simulators.provider.errors import ProviderError
from simulators.provider.keys import KeyFolders, make_keys
from simulators.provider.signing import KEPT_VERSIONS, TOP, SignedMetadata, Validity
from tests.rigs.lists import LISTED


class Rig:
    """A repository with one provider, whose keys are all in one folder."""

    def __init__(self, folder: Path, threshold: int = 1) -> None:
        self.keys, self.public = folder / "keys", folder / "metadata"
        self.public.mkdir()
        made = self.metadata()
        counts = {role: threshold if role in ("root", "targets") else 1 for role in TOP}
        made.make({role: make_keys(self.keys, role, count) for role, count in counts.items()}, threshold)
        made.delegate("police", make_keys(self.keys, "police", threshold), threshold)
        made.finish()

    def metadata(self, days: float = 0) -> SignedMetadata:
        return SignedMetadata(self.public, KeyFolders([self.keys]), LISTED + timedelta(days=days), Validity())

    def names(self) -> set[str]:
        return {path.name for path in self.public.iterdir()}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_all_roles_are_signed_with_consistent_snapshots(rig: Rig) -> None:
    assert rig.names() == {
        "1.root.json", "1.targets.json", "2.targets.json", "1.police.json", "1.snapshot.json", "timestamp.json",
    }  # fmt: skip
    root = Metadata[Root].from_file(str(rig.public / "1.root.json"))
    assert root.signed.consistent_snapshot
    for role, kind in (("targets", Targets), ("snapshot", Snapshot), ("timestamp", Timestamp)):
        md = rig.metadata().open(role)
        assert isinstance(md.signed, kind)
        root.signed.verify_delegate(role, md.signed_bytes, md.signatures)
    police = rig.metadata().open("police")
    rig.metadata().targets().verify_delegate("police", police.signed_bytes, police.signatures)


def test_a_provider_signs_only_what_is_below_its_name_and_delegates_nothing(rig: Rig) -> None:
    delegations = rig.metadata().targets().delegations
    assert delegations is not None
    assert delegations.roles is not None
    role = delegations.roles["police"]
    assert role.terminating
    assert role.is_delegated_path("police/manifest.json")
    assert role.is_delegated_path("police/parts/7-000.part")
    assert not role.is_delegated_path("army/manifest.json")
    assert rig.metadata().providers == ("police",)


def test_each_role_is_valid_for_its_time(rig: Rig) -> None:
    for role in (*TOP, "police"):
        assert rig.metadata().open(role).signed.expires == LISTED + Validity().of(role)


def test_the_timestamp_says_when_it_was_signed(rig: Rig) -> None:
    rig.metadata(1).finish()
    assert rig.metadata().timestamp().unrecognized_fields[SIGNED_AT] == (LISTED + timedelta(days=1)).isoformat()


def test_only_the_timestamp_is_signed_where_nothing_has_changed(rig: Rig) -> None:
    before = rig.names()
    rig.metadata(1).finish()
    assert rig.names() == before
    assert rig.metadata().timestamp().version == 2


def test_the_snapshot_is_signed_again_before_it_expires(rig: Rig) -> None:
    rig.metadata(8).finish()
    assert rig.metadata().timestamp().snapshot_meta.version == 2
    assert rig.metadata().snapshot().expires == LISTED + timedelta(days=8 + 14)
    assert rig.metadata().snapshot().meta.keys() == {"targets.json", "police.json"}


def test_nothing_is_visible_before_the_timestamp(rig: Rig) -> None:
    target = TargetFile.from_data("police/manifest.json", b"{}", ["sha256"])
    rig.metadata().set_targets("police", [target])
    assert rig.metadata().targets("police").targets == {}
    changed = rig.metadata()
    changed.set_targets("police", [target])
    changed.finish()
    assert rig.metadata().targets("police").targets == {target.path: target}
    assert rig.metadata().targets("police").version == 2


def test_a_role_without_its_keys_is_not_written(rig: Rig) -> None:
    (rig.keys / "police-1.pem").unlink()
    before = rig.names()
    assert not rig.metadata().can_sign("police")
    with pytest.raises(ProviderError, match="police is signed with 1 of its 1 keys, and 0 are here"):
        rig.metadata().renew("police")
    assert rig.names() == before


def test_offline_roles_need_as_many_keys_as_the_threshold_says(tmp_path: Path) -> None:
    rig = Rig(tmp_path, threshold=2)
    assert {role: rig.metadata().allowed(role).threshold for role in (*TOP, "police")} == {
        "root": 2, "targets": 2, "snapshot": 1, "timestamp": 1, "police": 2,
    }  # fmt: skip
    assert len(rig.metadata().open("police").signatures) == 2
    (rig.keys / "police-2.pem").unlink()
    with pytest.raises(ProviderError, match="2 of its 2 keys, and 1 are here"):
        rig.metadata().renew("police")


def test_new_keys_of_root_are_signed_by_the_old_ones(rig: Rig) -> None:
    old, changed = rig.metadata().root(), rig.metadata()
    changed.replace_keys("root", make_keys(rig.keys, "root", 1))
    changed.finish()
    md = Metadata[Root].from_file(str(rig.public / "2.root.json"))
    old.verify_delegate("root", md.signed_bytes, md.signatures)
    md.signed.verify_delegate("root", md.signed_bytes, md.signatures)
    assert not set(old.roles["root"].keyids) & set(md.signed.roles["root"].keyids)


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp", "police"])
def test_a_role_with_new_keys_is_signed_with_them(rig: Rig, role: str) -> None:
    old, changed = rig.metadata().allowed(role).keyids, rig.metadata()
    changed.replace_keys(role, make_keys(rig.keys, role, 1))
    changed.finish()
    assert rig.metadata().open(role).signatures.keys() == set(rig.metadata().allowed(role).keyids)
    assert not set(old) & set(rig.metadata().allowed(role).keyids)


def test_a_role_expires_soon_when_half_of_its_time_is_over(rig: Rig) -> None:
    assert not rig.metadata(45).expires_soon("police")
    assert rig.metadata(46).expires_soon("police")


def test_old_metadata_are_removed_but_those_of_root(rig: Rig) -> None:
    for number in range(KEPT_VERSIONS + 2):
        changed = rig.metadata()
        changed.renew("police")
        if number < 2:
            changed.renew("root")
        changed.finish()
    names = rig.names()
    assert {"1.root.json", "2.root.json", "3.root.json"} <= names
    assert sum(name.endswith(".police.json") for name in names) == KEPT_VERSIONS
    assert "1.snapshot.json" not in names


def test_metadata_that_cannot_be_read_are_named(rig: Rig) -> None:
    (rig.public / "timestamp.json").write_text("{")
    with pytest.raises(ProviderError, match=r"timestamp\.json: cannot be read"):
        rig.metadata().finish()
