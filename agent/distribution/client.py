"""python-tuf's client with the kiosk's clock, nothing but metadata on the disk, and refusals in plain English."""

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import Metadata, Root, TargetFile
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet

from agent.distribution.fetcher import Fetcher
from agent.distribution.refusal import refusing


def trusted_set(updater: Updater) -> TrustedMetadataSet:
    """The verified metadata of an Updater.

    python-tuf gives no public access to it. We need two things of it: its `reference_time`, with which expiry is
    compared (the kiosk's trusted time, not the wall clock), and the verified metadata themselves. TypeError if the
    library has changed: an update is then refused rather than checked by the wrong clock.
    """
    found = getattr(updater, "_trusted_set", None)
    if not isinstance(found, TrustedMetadataSet) or not isinstance(getattr(found, "reference_time", None), datetime):
        raise TypeError("this version of python-tuf keeps its trusted metadata elsewhere")
    return found


def check_root(data: bytes, what: str) -> None:
    """UpdateRefused if this is not root metadata that is signed by its own keys. `what` names it."""
    with refusing(what):
        metadata = Metadata[Root].from_bytes(data)
        metadata.signed.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)


class TufClient:
    """One look at a repository. Verified metadata are kept in `metadata_dir`, durable when a call has returned.

    `root` is the root metadata that this kiosk was given (trusted), `now` the trusted time. A damaged file in
    `metadata_dir` is fetched again. Only one client may use a folder at a time. `delegations` limits how many roles a
    search for a target visits below the top level.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        metadata_url: str,
        targets_url: str,
        *,
        metadata_dir: Path,
        root: bytes,
        now: datetime,
        delegations: int = 32,
    ) -> None:
        self._fetcher, self._targets_url, self._dir = fetcher, targets_url, metadata_dir
        with refusing(str(metadata_dir)):
            metadata_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in metadata_dir.glob("tmp*"):  # by an update that a power cut has ended
                left.unlink()
        with refusing("the root metadata of this kiosk"):
            config = UpdaterConfig(max_delegations=delegations)
            self._updater = Updater(str(metadata_dir), metadata_url, fetcher=fetcher, config=config, bootstrap=root)
        trusted_set(self._updater).reference_time = now

    @property
    def trusted(self) -> TrustedMetadataSet:
        """What has been verified so far."""
        return trusted_set(self._updater)

    def refresh(self) -> None:
        """Fetch and verify the metadata of the top level. UpdateRefused or UpdateUnreachable."""
        with refusing(f"the lists at {self._fetcher.address}"):
            try:
                self._updater.refresh()
            finally:
                self._make_durable()

    def find(self, path: str, what: str) -> TargetFile | None:
        """What is signed about a target; None if there is none. `what` names it in a refusal."""
        known = len(self.trusted)
        with refusing(what):
            try:
                return self._updater.get_targetinfo(path)
            finally:
                if len(self.trusted) != known:
                    self._make_durable()

    @staticmethod
    def matches(target: TargetFile, place: Path) -> bool:
        """Whether a file is the target: readable, and of the signed length and hashes."""
        try:
            target.verify_length_and_hashes(place.read_bytes())
        except (OSError, LengthOrHashMismatchError):
            return False
        return True

    def download(self, target: TargetFile, what: str) -> bytes:
        """The content of a target, verified. It is never on the disk."""
        folder, slash, name = target.path.rpartition("/")
        if self.trusted.root.consistent_snapshot:
            name = f"{next(iter(target.hashes.values()))}.{name}"
        with refusing(what):
            data = self._fetcher.read(f"{self._targets_url}{folder}{slash}{name}", target.length)
            target.verify_length_and_hashes(data)
        return data

    def _make_durable(self) -> None:
        """Write everything through to the disk: python-tuf renames, but does not wait for the disk."""
        history = self._dir / "root_history"
        for place in (*self._dir.glob("*.json"), *history.glob("*.json"), self._dir, history):
            with suppress(FileNotFoundError):
                opened = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(opened)
                finally:
                    os.close(opened)
