"""A list repository in a folder: several providers, their entries and keys, and what is published for kiosks.

    with ListProvider.init(folder, ["police"]) as lists:
        lists.agree(terms)
        lists.put(entries)
        lists.publish()
    source, root = str(lists.public), lists.root_bytes()

    FOLDER/keys/*.pem      private keys, mode 0600 (or in other folders, such as sticks)
    FOLDER/lists.db        the entries, not encrypted, mode 0600; the public keys of the kiosks that may read
    FOLDER/root.json       what a kiosk is given, by hand
    FOLDER/public/         what is served: metadata/ and targets/

Times are aware; without one, `now` is the clock of this computer.
"""

import fcntl
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, Self

from joserfc.jwk import OctKey, OKPKey
from pydantic import TypeAdapter, ValidationError
from tuf.api.metadata import Root, TargetFile, Targets

from agent.config import Name
from agent.keys import LIST_CURVE
from agent.watchlist.list_format import (
    MANIFEST,
    AgreementTerms,
    Delta,
    ListEntry,
    ListFormatError,
    Manifest,
    Snapshot,
    pack_lines,
    write_manifest,
)
from agent.watchlist.sealed_parts import (
    KEYS,
    MOST_KIOSKS,
    new_content_key,
    read_reader,
    seal_part,
    write_keys,
)
from simulators.provider.entries import EntryStore, Listed, Reader
from simulators.provider.errors import ProviderError, sync_folder, write_file
from simulators.provider.keys import KeyFolders, make_keys
from simulators.provider.signing import TOP, SignedMetadata, Validity

DELTAS = 10  # revisions from which a delta leads to the present one
DELTA_SHARE = 0.5  # of the snapshot's size, all deltas together; beyond, a kiosk takes the snapshot
KEEP = timedelta(hours=24)  # files that are no longer part of what is published, for kiosks that are fetching them

Lines = Iterable[tuple[bytes, Mapping[str, int]]]


class Progress(Protocol):
    """Told of each line as it goes by, for a progress bar; yields the same lines."""

    def __call__(self, what: str, total: int, lines: Lines, /) -> Lines:
        """`total` is how many lines there are; 0 if that is not known."""


def silent(_what: str, _total: int, lines: Lines, /) -> Lines:
    """No progress bar."""
    return lines


@dataclass(frozen=True, slots=True)
class Published:
    """A revision of a provider that is now visible. Sizes in bytes: `size` unpacked, `packed` of the parts."""

    provider: str
    revision: int
    entries: int
    expired: int
    parts: int
    size: int
    packed: int
    deltas: int
    readers: int  # kiosks for which it is encrypted; 0: everybody can read it


class ListProvider:
    """The folder. Only one process may use it at a time. Close it, or use it in a `with`.

    `keys`: folders with private keys, instead of FOLDER/keys. Where a repository has one provider, its name may be
    left out everywhere.
    """

    def __init__(self, folder: Path, *, keys: Sequence[Path] = (), validity: Validity | None = None) -> None:
        if not (folder / "lists.db").exists():
            raise ProviderError(f"{folder}: is no list repository", f"make one with: kiosk-list init {folder}")
        self.folder, self.public = folder, folder / "public"
        self._keys = KeyFolders(keys or [folder / "keys"])
        self._validity = validity or Validity()
        with ExitStack() as opened:
            opened.callback(os.close, _locked(folder))
            self._store = EntryStore(folder / "lists.db")
            opened.callback(self._store.close)
            self._opened = opened.pop_all()

    @classmethod
    def init(
        cls,
        folder: Path,
        providers: Sequence[str] = ("provider",),
        *,
        threshold: int = 1,
        now: datetime | None = None,
        validity: Validity | None = None,
    ) -> Self:
        """Make a repository with empty lists. In one that exists, add the providers.

        With a threshold of 2 or more, a role that is signed offline gets one key more than it needs, so that the loss
        of one is no catastrophe. All keys are made in FOLDER/keys: move those of the offline roles away.
        """
        _check_names(providers)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "lists.db").touch(0o600)
        made = cls(folder, validity=validity)
        try:
            made._begin(providers, threshold, now)
        except BaseException:
            made.close()
            raise
        return made

    def close(self) -> None:
        """Close the files."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def providers(self) -> tuple[str, ...]:
        """All providers."""
        return self._store.providers

    def chosen(self, provider: str | None) -> str:
        """The provider of this name; the only one if none is given. ProviderError if there is none."""
        known = self.providers
        if provider is None and len(known) == 1:
            return known[0]
        if provider in known:
            return str(provider)
        what = "say which provider" if provider is None else f"there is no provider {provider}"
        raise ProviderError(f"{what}: this repository has {', '.join(known)}")

    def root_bytes(self) -> bytes:
        """The root metadata that is valid now: a kiosk is given it by hand."""
        return (self.folder / "root.json").read_bytes()

    def agree(self, terms: AgreementTerms) -> None:
        """Add an agreement of its provider, or replace the one of the same id."""
        self.chosen(terms.provider)
        with self._store.changing():
            self._store.set_agreement(terms)

    def agreements(self, provider: str | None = None) -> tuple[AgreementTerms, ...]:
        """The agreements of a provider."""
        return self._store.agreements(self.chosen(provider))

    def put(self, entries: Iterable[ListEntry], provider: str | None = None) -> int:
        """Add entries, or replace those of the same ids: all or none. Returns how many."""
        chosen = self.chosen(provider)
        with self._store.changing():
            return self._store.put(chosen, entries)

    def put_raw(self, reference_id: str, line: bytes, provider: str | None = None) -> None:
        """Put any bytes as a line of the list, unchecked. For tests of what a kiosk does with a bad list."""
        with self._store.changing():
            self._store.put_raw(self.chosen(provider), reference_id, line)

    def withdraw(self, reference_ids: Iterable[str], provider: str | None = None) -> int:
        """Remove entries: all or none. Returns how many. ProviderError if one is not on the list."""
        chosen, ids = self.chosen(provider), list(dict.fromkeys(reference_ids))
        with self._store.changing():
            for reference_id in ids:
                self._store.withdraw(chosen, reference_id)
        return len(ids)

    def confirm(
        self,
        reference_ids: Iterable[str],
        review_by: datetime,
        expires_at: datetime | None = None,
        provider: str | None = None,
    ) -> int:
        """State that entries were reviewed and stay, until the next review: all or none. Returns how many."""
        chosen, ids = self.chosen(provider), list(dict.fromkeys(reference_ids))
        try:
            with self._store.changing():
                for reference_id in ids:
                    self._store.confirm(chosen, reference_id, review_by, expires_at)
        except ValidationError as error:
            reason = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise ProviderError(f"these times are not possible for the entries: {reason}") from error
        return len(ids)

    def due(self, before: datetime, provider: str | None = None) -> list[Listed]:
        """The entries that must be reviewed, or expire, before a time; the most urgent first."""
        return list(self._store.due(self.chosen(provider), before))

    def ids(self, provider: str | None = None) -> tuple[str, ...]:
        """The reference ids of a list."""
        return self._store.ids(self.chosen(provider))

    def readers(self) -> tuple[Reader, ...]:
        """The kiosks that may read the lists; if there are none, the lists are published readable by everybody."""
        return self._store.readers()

    def add_readers(self, keys: Iterable[tuple[str, bytes]]) -> tuple[Reader, ...]:
        """Let kiosks read the lists from the next publication on, each by its name and public JWK: all or none.

        ProviderError names the first that cannot be used.
        """
        made = tuple(_reader(name, jwk) for name, jwk in keys)
        with self._store.changing():
            for one in made:
                self._store.add_reader(one)
            if len(self._store.readers()) > MOST_KIOSKS:
                raise ProviderError(f"a list can be encrypted for {MOST_KIOSKS} kiosks at most")
        return made

    def remove_readers(self, names: Iterable[str]) -> None:
        """Let kiosks, by name or key id, no longer read what is published next: all or none."""
        with self._store.changing():
            for name in names:
                self._store.remove_reader(name)

    def publish(
        self,
        provider: str | None = None,
        *,
        now: datetime | None = None,
        force: bool = False,
        keep: timedelta = KEEP,
        progress: Progress = silent,
    ) -> list[Published]:
        """Publish a new revision of each list that has changed (with `force`, of every one), and sign the timestamp.

        Without a provider, of all. What has expired is withdrawn first. A role whose validity is half over is signed
        again if its keys are here. Files that are no longer part of it are deleted after `keep`; at once if everybody
        could read them, and what is published now is encrypted.
        """
        at = now or _now()
        chosen = self.providers if provider is None else (self.chosen(provider),)
        metadata = self._metadata(at)
        readers = sorted(one.key_id for one in self._store.readers())
        done = []
        for name in chosen:
            with self._store.changing():
                expired = self._store.expire(name, at)
            others = list(self._store.sealed_for(name)) != readers
            if force or expired or others or self._store.has_changes(name) or not self._store.published(name):
                done.append(self._publish(metadata, name, expired, progress))
            elif metadata.expires_soon(name) and metadata.can_sign(name):
                metadata.renew(name)
        self._finish(metadata)
        with self._store.changing():
            for one in done:
                if readers and not self._store.sealed_for(one.provider):
                    keep = timedelta(0)
                self._store.set_sealed(one.provider, readers)
                self._store.set_published(one.provider, one.revision, at, DELTAS)
            unused = self._unused(metadata)
            self._store.supersede(unused, at)
            gone = self._store.take_superseded(at - keep)
        for path in set(gone) & set(unused):
            (self.public / "targets" / path).unlink(missing_ok=True)
        return done

    def sign_timestamp(self, now: datetime | None = None) -> None:
        """Sign only the timestamp again: nothing has changed, and kiosks may go on."""
        self._finish(self._metadata(now or _now()))

    def replace_keys(self, role: str, now: datetime | None = None) -> None:
        """Make new keys for a role; those of today no longer sign it. Needs the keys of the role above it.

        For root: its own keys of today, as many as its threshold.
        """
        if role not in (*TOP, *self.providers):
            raise ProviderError(f"there is no role {role}", f"there are: {', '.join((*TOP, *self.providers))}")
        metadata = self._metadata(now or _now())
        count = len(metadata.allowed(role).keyids)
        metadata.replace_keys(role, make_keys(self.folder / "keys", role, count))
        self._finish(metadata)

    def metadata(self, now: datetime | None = None) -> SignedMetadata:
        """The signed metadata, to be looked at."""
        return self._metadata(now or _now())

    def _begin(self, providers: Sequence[str], threshold: int, now: datetime | None) -> None:
        metadata, count = self._metadata(now or _now()), threshold + (threshold > 1)
        for folder in ("metadata", "targets"):
            (self.public / folder).mkdir(parents=True, exist_ok=True)
        if not (self.folder / "root.json").exists():
            (self.folder / "keys").mkdir(mode=0o700, exist_ok=True)
            if any((self.folder / "keys").glob("*.pem")):
                raise ProviderError(f"{self.folder}: an init has failed here: remove the folder, and begin again")
            offline = ("root", "targets")
            keys = {role: make_keys(self.folder / "keys", role, count if role in offline else 1) for role in TOP}
            metadata.make(keys, threshold)
        for name in providers:
            if name not in metadata.providers:
                metadata.delegate(name, make_keys(self.folder / "keys", name, count), threshold)
        self._finish(metadata)
        with self._store.changing():
            for name in providers:
                self._store.add_provider(name)

    def _metadata(self, now: datetime) -> SignedMetadata:
        return SignedMetadata(self.public / "metadata", self._keys, now, self._validity)

    def _finish(self, metadata: SignedMetadata) -> None:
        for role in (Root.type, Targets.type):
            if metadata.expires_soon(role) and metadata.can_sign(role):
                metadata.renew(role)
        metadata.finish()
        newest = metadata.open(Root.type).to_bytes()
        if not (self.folder / "root.json").exists() or self.root_bytes() != newest:
            write_file(self.folder / "root.json", newest)

    def _publish(self, metadata: SignedMetadata, name: str, expired: int, progress: Progress) -> Published:
        # Before anything is written: without its keys nothing can be signed.
        allowed = metadata.allowed(name)
        self._keys.signers(name, allowed.keyids, allowed.threshold)
        with self._store.changing():
            revision = self._store.next_revision(name)
        entries, readers = self._store.count(name), self._store.readers()
        # A new one for each revision, which makes all its parts anew: it is never stored, and a kiosk that was removed
        # does not get it.
        content_key = new_content_key() if readers else None
        writer = _PartWriter(self.public / "targets", name, content_key)
        snapshot = writer.write(f"{revision}", progress(f"snapshot of {name}", entries, self._store.lines(name)))
        deltas, total = list[Delta](), 0
        for since in self._store.published(name)[:DELTAS]:
            lines = progress(f"changes since revision {since}", 0, self._store.changes(name, since))
            one = writer.write(f"{since}-{revision}", lines)
            total += one["bytes"]
            if total > DELTA_SHARE * snapshot["bytes"] and deltas:
                writer.forget(one["parts"])
                break
            deltas.append(Delta(from_revision=since, to_revision=revision, **one))
        manifest = Manifest(
            provider=name,
            revision=revision,
            published_at=metadata.now,
            agreements=self._store.agreements(name),
            snapshot=Snapshot(revision=revision, **snapshot),
            deltas=tuple(deltas),
            sealed=content_key is not None,
        )
        if content_key is not None:
            writer.add(KEYS, write_keys([content_key], map(_public_key, readers)))
        writer.add(MANIFEST, write_manifest(manifest))
        writer.sync()
        metadata.set_targets(name, writer.targets)
        counts = {
            "parts": len(snapshot["parts"]),
            "size": snapshot["bytes"],
            "deltas": len(deltas),
            "readers": len(readers),
        }
        return Published(name, revision, entries, expired, packed=writer.packed, **counts)

    def _unused(self, metadata: SignedMetadata) -> list[str]:
        """The files of all providers that no valid metadata name."""
        used = {
            path
            for name in metadata.providers
            for target in metadata.targets(name).targets.values()
            for path in target.get_prefixed_paths()
        }
        folder = self.public / "targets"
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        return sorted(there - used)


class _PartWriter:
    """Writes the files of a provider into `targets`, each named by its hash, and remembers them as TUF targets.

    With a content key, the parts are encrypted.
    """

    def __init__(self, folder: Path, provider: str, content_key: OctKey | None) -> None:
        self._folder, self._provider, self._content_key = folder, provider, content_key
        self._targets: dict[str, TargetFile] = {}
        (folder / provider / "parts").mkdir(parents=True, exist_ok=True)

    @property
    def targets(self) -> list[TargetFile]:
        return list(self._targets.values())

    @property
    def packed(self) -> int:
        return sum(target.length for target in self._targets.values())

    def write(self, name: str, lines: Lines) -> dict[str, Any]:
        """The parts with these lines, and what the manifest says of them."""
        count, size, templates = 0, 0, Counter[str]()

        def counted() -> Iterator[bytes]:
            nonlocal count, size
            for line, formats in lines:
                count, size = count + 1, size + len(line)
                templates.update(formats)
                yield line

        parts = []
        for number, data in enumerate(pack_lines(counted())):
            parts.append(f"parts/{name}-{number:03}.part")
            self.add(parts[-1], data if self._content_key is None else seal_part(data, self._content_key))
        return {"parts": tuple(parts), "entries": count, "templates": dict(templates), "bytes": size}

    def add(self, name: str, data: bytes) -> None:
        target = TargetFile(len(data), {"sha256": hashlib.sha256(data).hexdigest()}, f"{self._provider}/{name}")
        (path,) = target.get_prefixed_paths()
        write_file(self._folder / path, data)
        self._targets[name] = target

    def forget(self, names: Iterable[str]) -> None:
        for name in names:
            (path,) = self._targets.pop(name).get_prefixed_paths()
            (self._folder / path).unlink()

    def sync(self) -> None:
        for folder in (self._folder / self._provider, self._folder):
            sync_folder(folder)


def _check_names(providers: Iterable[str]) -> None:
    for name in providers:
        try:
            TypeAdapter(Name).validate_python(name)
        except ValidationError as error:
            raise ProviderError(
                f"{name}: is no name of a provider", "use letters, digits, - and _, at most 64"
            ) from error
        if name in TOP:
            raise ProviderError(f"{name}: is the name of a role of TUF", "choose another name for the provider")


def _reader(name: str, jwk: bytes) -> Reader:
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise ProviderError(
            f"{name}: is no name of a kiosk: letters, digits, . - and _, at most 64", "give one with --name"
        ) from error
    try:
        key = read_reader(jwk)
    except ListFormatError as error:
        raise ProviderError(f"the key of {name} {error}") from error
    return Reader(key.thumbprint(), name, str(key.as_dict(private=False)["x"]))


def _public_key(reader: Reader) -> OKPKey:
    return OKPKey.import_key({"kty": "OKP", "crv": LIST_CURVE, "x": reader.x})


def _locked(folder: Path) -> int:
    """A lock on the folder, held until its descriptor is closed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ProviderError(f"{folder}: another kiosk-list works here", "wait until it has ended") from error
    return descriptor


def _now() -> datetime:
    return datetime.now(UTC)
