"""The signed metadata of a list repository, made with python-tuf's repository library.

    public/metadata/N.root.json, N.targets.json, N.PROVIDER.json, N.snapshot.json   consistent snapshots
    public/metadata/timestamp.json                                                  names the snapshot that is valid

Root and targets are signed offline, each provider's role by that provider, snapshot and timestamp online. Nothing is
visible to a kiosk before the timestamp is written, which is last.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner, Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError
from tuf.repository import Repository

from agent.distribution.repository import SIGNED_AT
from simulators.provider.errors import ProviderError, write_file
from simulators.provider.keys import KeyFolders

OFFLINE = (Root.type, Targets.type)
ONLINE = (Snapshot.type, Timestamp.type)
TOP = (*OFFLINE, *ONLINE)
_NEW: Mapping[str, type[Any]] = {"root": Root, "targets": Targets, "snapshot": Snapshot, "timestamp": Timestamp}
KEPT_VERSIONS = 20  # of snapshot, targets and providers; all of root, which kiosks read in their order


@dataclass(frozen=True, slots=True)
class Validity:
    """How long what is signed is valid. A kiosk uses nothing newer once one of them has expired."""

    root: timedelta = timedelta(days=730)
    targets: timedelta = timedelta(days=365)
    provider: timedelta = timedelta(days=90)
    snapshot: timedelta = timedelta(days=14)
    timestamp: timedelta = timedelta(days=2)

    def of(self, role: str) -> timedelta:
        """That of a role."""
        found: timedelta = getattr(self, role if role in TOP else "provider")
        return found


class SignedMetadata(Repository):
    """The metadata in a folder, for one publication: everything is signed with the time `now`."""

    def __init__(self, folder: Path, keys: KeyFolders, now: datetime, validity: Validity) -> None:
        self._folder, self._keys, self._validity = folder, keys, validity
        self.now = now.replace(microsecond=0)
        self._written: dict[str, tuple[Metadata[Any], bytes]] = {}
        self._former_root: Role | None = None

    def open(self, role: str) -> Metadata[Any]:
        """The current metadata of a role; new ones, version 0, if there are none."""
        if role in self._written:
            return Metadata.from_bytes(self._written[role][1])
        path = self._path(role)
        if path is not None:
            return _read(path)
        made: Metadata[Any] = Metadata(_NEW.get(role, Targets)())
        if isinstance(made.signed, Root):
            made.signed.consistent_snapshot = True
        made.signed.version = 0
        return made

    def close(self, role: str, md: Metadata[Any]) -> None:
        """Sign and write the next version. ProviderError if keys are missing; then nothing is written."""
        md.signed.version += 1
        md.signed.expires = self.now + self._validity.of(role)
        md.signatures.clear()
        for signer in self._signers(role, md.signed):
            md.sign(signer, append=True)
        data = md.to_bytes()
        write_file(self._folder / self._name(role, md.signed.version), data)
        self._written[role] = md, data

    def make(self, keys: Mapping[str, Iterable[Key]], threshold: int) -> None:
        """The first root and targets. `keys` are those of the four roles of the top."""
        with self.edit_root() as root:
            for role, several in keys.items():
                for key in several:
                    root.add_key(key, role)
                root.roles[role].threshold = threshold if role in OFFLINE else 1
        with self.edit_targets():
            pass

    def delegate(self, provider: str, keys: Iterable[Key], threshold: int) -> None:
        """Let a provider sign what is below PROVIDER/, and nothing else. Its role has no targets yet."""
        several = list(keys)
        role = DelegatedRole(
            provider, [key.keyid for key in several], threshold, terminating=True, paths=_own_paths(provider)
        )
        with self.edit_targets() as targets:
            delegations = targets.delegations or Delegations({}, {})
            delegations.roles = (delegations.roles or {}) | {provider: role}
            delegations.keys |= {key.keyid: key for key in several}
            targets.delegations = delegations
        with self.edit_targets(provider):
            pass

    def replace_keys(self, role: str, keys: Iterable[Key]) -> None:
        """Let a role be signed with these keys, and no longer with those of today; the threshold stays."""
        if role in TOP:
            with self.edit_root() as root:
                former = root.roles[role]
                self._former_root = Role(list(former.keyids), former.threshold) if role == Root.type else None
                for key_id in list(former.keyids):
                    root.revoke_key(key_id, role)
                for key in keys:
                    root.add_key(key, role)
        else:
            with self.edit_targets() as targets:
                for key_id in list(targets.get_delegated_role(role).keyids):
                    targets.revoke_key(key_id, role)
                for key in keys:
                    targets.add_key(key, role)
        if role != Root.type:
            self.renew(role)

    def renew(self, role: str) -> None:
        """Sign a role again as it is, to be valid for longer."""
        with self.edit(role):
            pass

    def set_targets(self, provider: str, targets: Iterable[TargetFile]) -> None:
        """Let a provider's role have these targets, and no others."""
        with self.edit_targets(provider) as role:
            role.targets = {target.path: target for target in targets}

    def finish(self) -> None:
        """Sign a snapshot, if any role below it has changed or it soon expires, and the timestamp: all is visible."""
        changed = {
            f"{role}.json": MetaFile.from_data(md.signed.version, data, ["sha256"])
            for role, (md, data) in self._written.items()
            if role not in (Root.type, *ONLINE)
        }
        if changed or self.expires_soon(Snapshot.type):
            with self.edit_snapshot() as snapshot:
                snapshot.meta |= changed
        with self.edit_timestamp() as timestamp:
            if Snapshot.type in self._written:
                md, data = self._written[Snapshot.type]
                timestamp.snapshot_meta = MetaFile.from_data(md.signed.version, data, ["sha256"])
            timestamp.unrecognized_fields[SIGNED_AT] = self.now.isoformat()
        self._remove_old()

    def expires_soon(self, role: str) -> bool:
        """Whether a role should be signed again: half of its time is over, or it ends before a new timestamp would."""
        left: timedelta = self.open(role).signed.expires - self.now
        return left < max(self._validity.of(role) / 2, self._validity.timestamp)

    def can_sign(self, role: str) -> bool:
        """Whether enough keys of a role are here."""
        allowed = self.allowed(role)
        return self._keys.has(allowed.keyids, allowed.threshold)

    def allowed(self, role: str) -> Role:
        """The keys that may sign a role, and how many must."""
        found: Role = (self.root() if role in TOP else self.targets()).get_delegated_role(role)
        return found

    @property
    def providers(self) -> tuple[str, ...]:
        """All providers that have a delegation."""
        delegations = self.targets().delegations
        return tuple((delegations.roles or {}) if delegations else ())

    def _signers(self, role: str, signed: Signed) -> list[CryptoSigner]:
        allowed = signed.roles[Root.type] if isinstance(signed, Root) else self.allowed(role)
        found = self._keys.signers(role, allowed.keyids, allowed.threshold)
        if isinstance(signed, Root) and self._former_root:
            found += self._keys.signers(role, self._former_root.keyids, self._former_root.threshold)
        return found

    def _path(self, role: str) -> Path | None:
        """The file of a role that is valid now; None if there is none."""
        if role == Root.type:
            versions = self._versions(role)
            return self._folder / self._name(role, max(versions)) if versions else None
        if role == Timestamp.type:
            path = self._folder / self._name(role, 0)
            return path if path.exists() else None
        above = self.timestamp() if role == Snapshot.type else self.snapshot()
        if not above.version:
            return None
        meta = above.snapshot_meta if isinstance(above, Timestamp) else above.meta.get(f"{role}.json")
        return None if meta is None else self._folder / self._name(role, meta.version)

    def _versions(self, role: str) -> list[int]:
        found = (path.name.partition(".")[0] for path in self._folder.glob(f"*.{role}.json"))
        return sorted(int(version) for version in found if version.isdigit())

    def _name(self, role: str, version: int) -> str:
        return f"{role}.json" if role == Timestamp.type else f"{version}.{role}.json"

    def _remove_old(self) -> None:
        for role in (Targets.type, Snapshot.type, *self.providers):
            for version in self._versions(role)[:-KEPT_VERSIONS]:
                (self._folder / self._name(role, version)).unlink()


def _own_paths(provider: str) -> list[str]:
    return [f"{provider}/*", f"{provider}/*/*"]  # a star does not pass a slash


def _read(path: Path) -> Metadata[Any]:
    try:
        return Metadata.from_bytes(path.read_bytes())
    except (OSError, DeserializationError, RepositoryError) as error:
        raise ProviderError(
            f"{path}: cannot be read: {error}", "restore the folder public/metadata from your copy of it"
        ) from error
