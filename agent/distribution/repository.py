"""The repository of signed lists: one delegation a provider, each for that provider's files only."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from pydantic import BaseModel, ConfigDict
from tuf.api.metadata import DelegatedRole, Role, Snapshot, TargetFile, Targets, Timestamp

from agent.distribution.client import TufClient
from agent.distribution.fetcher import MOST_BYTES, Fetcher
from agent.distribution.refusal import Refusal, UpdateRefused

SIGNED_AT = "x-kiosk-signed-at"  # a field of the timestamp: when it was signed
MOST_PROVIDERS = 256
_PROVIDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9][A-Za-z0-9._-]{0,127}){0,3}")
_TOP = frozenset({"root", "timestamp", "snapshot", "targets"})


class Versions(BaseModel):
    """The highest versions ever accepted. The caller keeps them where nobody can turn them back.

    `keys` are the identifiers of the keys of timestamp and snapshot: when the root has withdrawn one, both may count
    anew (TUF specification, 5.3.11), for a thief of that key may have counted very far.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: int = 0
    timestamp: int = 0
    snapshot: int = 0
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refreshed:
    """The verified state of a repository. Times are aware."""

    signed_at: datetime | None  # None if the operator does not say it
    valid_until: datetime  # the earliest expiry of root, timestamp, snapshot and targets
    version: int  # of the snapshot: it grows with each publication
    providers: tuple[str, ...]
    versions: Versions  # to be kept, and given to the next ListRepository as `floor`


@dataclass(frozen=True)
class PartInfo:
    """What is signed about one file of a provider."""

    length: int  # bytes
    sha256: str


class ListRepository:
    """One look at a list repository: refresh() first, then the manifests and parts of the providers.

    `root`: the root metadata that this kiosk was given. `metadata_dir`: public data, kept between looks; one user at a
    time. Everything is refused with UpdateRefused; UpdateUnreachable if the source cannot be reached, or no longer.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        root: bytes,
        metadata_dir: Path,
        trusted_now: datetime,
        floor: Versions | None = None,
    ) -> None:
        self._lists = f"the lists at {fetcher.address}"
        self._floor = floor or Versions()
        self._client = TufClient(
            fetcher,
            fetcher.metadata_url,
            fetcher.targets_url,
            metadata_dir=metadata_dir,
            root=root,
            now=trusted_now,
            # The role of the provider, and nothing below it: python-tuf keeps roles by name, so that a role which one
            # provider delegates could take the place of another provider's.
            delegations=1,
        )
        self._refreshed: Refreshed | None = None

    def refresh(self) -> Refreshed:
        """Fetch and verify what is new. Also when nothing is new: then the result is the same as the last one."""
        self._client.refresh()
        versions = self._checked_versions()
        trusted = self._client.trusted
        until = min(role.expires for role in (trusted.root, trusted.timestamp, trusted.snapshot, trusted.targets))
        providers = self._checked_delegations(trusted.targets)
        signed_at = self._signed_at(until)
        self._refreshed = Refreshed(signed_at, until, trusted.snapshot.version, providers, versions)
        return self._refreshed

    def manifest(self, provider: str) -> bytes | None:
        """The manifest of a provider; None if it has not published one."""
        target = self._target(provider, "manifest.json")
        return None if target is None else self._download(provider, target)

    def target_info(self, provider: str, name: str) -> PartInfo:
        """What is signed about a file of a provider. UpdateRefused if there is none."""
        target = self._named(provider, name)
        return PartInfo(target.length, target.hashes["sha256"])

    def fetch_part(self, provider: str, name: str) -> bytes:
        """The content of a file of a provider, of verified length and hash."""
        return self._download(provider, self._named(provider, name))

    def _named(self, provider: str, name: str) -> TargetFile:
        target = self._target(provider, name)
        if target is None:
            self._refuse(Refusal.MISSING, f"the list of {provider}: refused: {name} is not signed by {provider}")
        return target

    def _target(self, provider: str, name: str) -> TargetFile | None:
        what = f"the list of {provider}"
        if self._refreshed is None or provider not in self._refreshed.providers:
            self._refuse(Refusal.NOT_ALLOWED, f"{what}: refused: {self._lists} have no such provider")
        if not _FILE.fullmatch(name):
            self._refuse(Refusal.NOT_ALLOWED, f"{what}: refused: {name!r} is not the name of a file of a list")
        target = self._client.find(f"{provider}/{name}", what)
        self._check_role(provider, what)
        if target is None:
            return None
        if "sha256" not in target.hashes:
            self._refuse(Refusal.UNREADABLE, f"{what}: refused: {name} is signed without a SHA-256 hash")
        if target.length > MOST_BYTES:
            self._refuse(
                Refusal.TOO_LONG, f"{what}: refused: {name} has {target.length} bytes, at most {MOST_BYTES} are allowed"
            )
        return target

    def _check_role(self, provider: str, what: str) -> None:
        """See that the provider signs its own files only, and hands nothing on to others."""
        role = self._client.trusted.get(provider)
        if not isinstance(role, Targets):  # its delegation is not for a file of this name
            return
        if role.delegations is not None:
            self._refuse(Refusal.NOT_ALLOWED, f"{what}: refused: {provider} hands its right to sign on to others")
        foreign = next((path for path in role.targets if not path.startswith(f"{provider}/")), None)
        if foreign is not None:
            self._refuse(
                Refusal.NOT_ALLOWED, f"{what}: refused: {provider} signs a file that is not its own: {foreign}"
            )

    def _download(self, provider: str, target: TargetFile) -> bytes:
        return self._client.download(target, f"the list of {provider}: {target.path.removeprefix(f'{provider}/')}")

    def _checked_versions(self) -> Versions:
        """The versions that are now the highest. UpdateRefused if one is lower than the floor."""
        trusted, floor = self._client.trusted, self._floor
        keys = tuple(sorted(key for role in (Timestamp.type, Snapshot.type) for key in trusted.root.roles[role].keyids))
        counting = floor.root, *((floor.timestamp, floor.snapshot) if set(floor.keys) <= set(keys) else (0, 0))
        found = trusted.root.version, trusted.timestamp.version, trusted.snapshot.version
        for role, seen, version in zip(("root", "timestamp", "snapshot"), counting, found, strict=True):
            if version < seen:
                self._refuse(
                    Refusal.ROLLED_BACK,
                    f"{self._lists}: refused: they are older than what this kiosk has already seen "
                    f"({role} has version {version}, seen was {seen})",
                )
        return Versions(root=found[0], timestamp=found[1], snapshot=found[2], keys=keys)

    def _signed_at(self, until: datetime) -> datetime | None:
        """When the timestamp was signed.

        It becomes the kiosk's trusted time. So it must lie before every expiry: whoever has only the online key cannot
        move that time farther than the offline keys allow.
        """
        text = self._client.trusted.timestamp.unrecognized_fields.get(SIGNED_AT)
        if text is None:
            return None
        try:
            signed_at = datetime.fromisoformat(text)
            early = signed_at < until
        except (TypeError, ValueError) as error:
            raise UpdateRefused(
                Refusal.UNREADABLE, f"{self._lists}: refused: {SIGNED_AT} is not a time with its zone"
            ) from error
        if not early:
            self._refuse(
                Refusal.EXPIRED, f"{self._lists}: refused: the time of signing, {text}, is after the expiry, {until}"
            )
        return signed_at

    def _checked_delegations(self, targets: Targets) -> tuple[str, ...]:
        """The providers. UpdateRefused unless each has one delegation, which is for its own files and ends there."""
        if targets.targets:
            self._refuse(Refusal.NOT_ALLOWED, f"{self._lists}: refused: files outside the lists of the providers")
        delegations = targets.delegations
        if delegations is None:
            return ()
        roles = delegations.roles
        if roles is None or len(roles) > MOST_PROVIDERS:
            self._refuse(
                Refusal.NOT_ALLOWED,
                f"{self._lists}: refused: each provider must have its own delegation, at most {MOST_PROVIDERS}",
            )
        for name, role in roles.items():
            if not _own_files_only(name, role):
                self._refuse(
                    Refusal.NOT_ALLOWED,
                    f"{self._lists}: refused: the delegation of {name} must end there and be for {name}/* only",
                )
        return tuple(roles)

    def _refuse(self, reason: Refusal, text: str) -> NoReturn:
        raise UpdateRefused(reason, text)


def _own_files_only(name: str, role: Role) -> bool:
    if not isinstance(role, DelegatedRole) or not role.terminating or name in _TOP or not _PROVIDER.fullmatch(name):
        return False
    return bool(role.paths) and all(path.startswith(f"{name}/") for path in role.paths or ())
