"""A repository of signed lists, made with python-tuf. Every key is at hand: a test can sign what an attacker would.

`files` is what a server or a stick has, by path: metadata/2.snapshot.json, targets/north/HASH.manifest.json.
"""

import hashlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from agent.distribution.directory import DirectoryFetcher
from agent.distribution.fetcher import Fetcher
from agent.distribution.repository import SIGNED_AT, ListRepository, Versions

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAYS_VALID = {"root": 365, "targets": 90, "snapshot": 7, "timestamp": 1}


class SignedLists:
    """The lists of some providers, and all keys. Each publish() makes a new version of what has changed."""

    def __init__(self, *providers: str, threshold: int = 1, now: datetime = NOW) -> None:
        self.now = now
        self.files: dict[str, bytes] = {}
        names = ("root", "timestamp", "snapshot", "targets", *providers)
        self.signers = {name: [CryptoSigner.generate_ed25519() for _ in range(threshold)] for name in names}
        keys = {name: [signer.public_key for signer in signers] for name, signers in self.signers.items()}
        roles = {name: Role([key.keyid for key in keys[name]], threshold) for name in DAYS_VALID}
        root_keys: dict[str, Key] = {key.keyid: key for name in DAYS_VALID for key in keys[name]}
        delegated = {
            name: DelegatedRole(name, [key.keyid for key in keys[name]], threshold, True, [f"{name}/*", f"{name}/*/*"])
            for name in providers
        }
        delegations = Delegations({key.keyid: key for name in providers for key in keys[name]}, delegated)
        meta = {f"{name}.json": MetaFile(1) for name in ("targets", *providers)}
        self.root = Root(1, expires=self._expires("root"), keys=root_keys, roles=roles, consistent_snapshot=True)
        self.timestamp = Timestamp(1, expires=self._expires("timestamp"))
        self.snapshot = Snapshot(1, expires=self._expires("snapshot"), meta=meta)
        self.targets = Targets(1, expires=self._expires("targets"), delegations=delegations)
        self.lists = {name: Targets(1, expires=self._expires("targets")) for name in providers}
        for signed in (self.root, self.timestamp, self.snapshot, self.targets, *self.lists.values()):
            signed.version = 0  # each signature counts one up
        self.sign("root", self.root)
        self.publish("targets", *providers)
        self.trusted_root = self.files["metadata/1.root.json"]

    def _expires(self, role: str) -> datetime:
        return self.now + timedelta(days=DAYS_VALID[role])

    def role(self, name: str) -> Any:  # noqa: ANN401 - the metadata of any role
        """The metadata of a role, to be changed and published."""
        return self.lists.get(name) or getattr(self, name)

    def sign(self, name: str, signed: Any, signers: Iterable[CryptoSigner] | None = None) -> None:  # noqa: ANN401
        """Make a new version of a role's metadata and sign it, with the role's own keys unless others are given."""
        signed.version += 1
        self.files[file_of(name, signed.version)] = self.signed(name, signed, signers)

    def signed(self, name: str, signed: Any, signers: Iterable[CryptoSigner] | None = None) -> bytes:  # noqa: ANN401
        """The file of some metadata, signed."""
        metadata = Metadata(signed)
        for signer in self.signers[name] if signers is None else signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def publish(self, *names: str, signed_at: datetime | None = None) -> None:
        """Sign new versions of these roles, then of snapshot and timestamp."""
        for name in names:
            self.sign(name, self.role(name))
            self.snapshot.meta[f"{name}.json"] = MetaFile(self.role(name).version)
        self.snapshot.expires = self._expires("snapshot")
        self.sign("snapshot", self.snapshot)
        self.publish_timestamp(signed_at)

    def publish_timestamp(self, signed_at: datetime | None = None) -> None:
        """Sign a new timestamp for the newest snapshot."""
        self.timestamp.snapshot_meta = MetaFile(self.snapshot.version)
        self.timestamp.expires = self._expires("timestamp")
        self.timestamp.unrecognized_fields[SIGNED_AT] = (signed_at or self.now).isoformat()
        self.sign("timestamp", self.timestamp)

    def put(self, provider: str, name: str, data: bytes, *, path: str = "") -> str:
        """Add a file to what a provider signs; its path in `files`. Not published yet."""
        target = path or f"{provider}/{name}"
        digest = hashlib.sha256(data).hexdigest()
        self.lists[provider].targets[target] = TargetFile(len(data), {"sha256": digest}, target)
        folder, _, last = target.rpartition("/")
        place = f"targets/{folder}/{digest}.{last}"
        self.files[place] = data
        return place

    def rotate(self, name: str) -> None:
        """Give a role of the top level a new key, in a new root."""
        for key in list(self.root.roles[name].keyids):
            self.root.revoke_key(key, name)
        self.signers[name] = [CryptoSigner.generate_ed25519()]
        self.root.add_key(self.signers[name][0].public_key, name)
        self.sign("root", self.root)

    def write(self, folder: Path) -> Path:
        """Put all files into a folder, as on a stick. The folder."""
        for path, data in self.files.items():
            place = folder / path
            if place.is_file() and place.read_bytes() == data:
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        return folder


def file_of(name: str, version: int) -> str:
    """The path of a role's metadata in a repository with consistent snapshots."""
    return f"metadata/{name}.json" if name == "timestamp" else f"metadata/{version}.{name}.json"


class Kiosk:
    """What a kiosk keeps between two looks at the lists, on a stick unless another fetcher is given."""

    def __init__(self, folder: Path, lists: SignedLists) -> None:
        self.stick, self.metadata_dir = folder / "stick", folder / "list-metadata"
        self.lists = lists
        self.root = lists.trusted_root
        self.floor = Versions()
        self.now = lists.now

    def look(self, fetcher: Callable[[], Fetcher] | None = None) -> ListRepository:
        """A repository that is refreshed. The stick has what is published now."""
        repository = self.repository(fetcher() if fetcher else None)
        self.floor = repository.refresh().versions
        return repository

    def repository(self, fetcher: Fetcher | None = None) -> ListRepository:
        """A repository that is not refreshed yet."""
        source = fetcher or DirectoryFetcher(self.lists.write(self.stick))
        return ListRepository(
            source, root=self.root, metadata_dir=self.metadata_dir, trusted_now=self.now, floor=self.floor
        )
