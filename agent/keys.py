"""Loads keys. This is the only module that loads private ones.

One Ed25519 kiosk key signs what leaves the kiosk, one store key encrypts what stays on its disk, and one X25519 list
key opens the lists that providers encrypt. Each comes from a systemd credential (LoadCredential=kiosk-key:...,
store-key:... and list-key:...) or, for development, from a file that the daemon creates at its first start. A daemon
that systemd started creates none, unless the configuration says so: otherwise a misspelt credential would silently
become another key. The hub's encryption key is public. TLS keys are loaded directly into a TLS context.
"""

import json
import logging
import os
import re
import secrets
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, import_key

from agent.config import Config, TlsConfig
from agent.errors import ConfigError
from agent.storage.encryption import KEY_BYTES, StoreKey
from agent.storage.owned_files import read_public, read_secret, sync

log = logging.getLogger(__name__)

CREDENTIAL = "kiosk-key"
DEVELOPMENT_FILE = "development-kiosk-key.pem"
STORE_CREDENTIAL = "store-key"
STORE_DEVELOPMENT_FILE = "development-store-key"
LIST_CREDENTIAL = "list-key"
LIST_DEVELOPMENT_FILE = "development-list-key.pem"
SYSTEMD = ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET")  # in the environment of what systemd starts
HUB_CURVES = ("X25519", "P-256")
LIST_CURVE = "X25519"
LIST_KEY_AGREEMENT = "ECDH-ES+A256KW"

HubKey = ECKey | OKPKey


class KioskKey:
    """The kiosk's signing key. Its id is the thumbprint of the public key (RFC 7638)."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self.jwk: OKPKey = OKPKey.import_key(private)
        self.key_id: str = self.jwk.thumbprint()

    def public(self) -> dict[str, str | list[str]]:
        """The public key as a JWK, for the hub's list of kiosks."""
        return {**self.jwk.as_dict(private=False), "kid": self.key_id}

    def published(self) -> dict[str, Any]:
        """The public key in the forms in which a hub may want it: id, JWK and PEM."""
        return {"kid": self.key_id, "jwk": self.public(), "pem": self.jwk.as_pem(private=False).decode()}

    def __repr__(self) -> str:
        """Shows the id only."""
        return f"<KioskKey {self.key_id}>"


class ListKey:
    """The kiosk's key for lists: providers encrypt theirs for its public half. Its id is the thumbprint (RFC 7638)."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self.jwk: OKPKey = OKPKey.import_key(private)
        self.key_id: str = self.jwk.thumbprint()

    def public(self) -> dict[str, str | list[str]]:
        """The public key as a JWK, for the providers."""
        return {
            **self.jwk.as_dict(private=False),
            "kid": self.key_id,
            "use": "enc",
            "alg": LIST_KEY_AGREEMENT,
        }

    def published(self) -> dict[str, Any]:
        """The id of the key, and its public half as a JWK."""
        return {"kid": self.key_id, "jwk": self.public()}

    def __repr__(self) -> str:
        """Shows the id only."""
        return f"<ListKey {self.key_id}>"


class KeyMissing(ConfigError):
    """This process does not have the key and may not make one."""


@dataclass(frozen=True, slots=True)
class _KeyKind:
    """Where a key comes from: the credential of systemd, or the file of a development kiosk."""

    name: str
    credential: str
    file: str
    make: Callable[[], bytes] | None  # the contents of a new file; None: there must be one already


def _new_kiosk_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _new_store_key() -> bytes:
    return secrets.token_hex(KEY_BYTES).encode() + b"\n"


def _new_list_key() -> bytes:
    return X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


KIOSK = _KeyKind("kiosk key", CREDENTIAL, DEVELOPMENT_FILE, _new_kiosk_key)
STORE = _KeyKind("store key", STORE_CREDENTIAL, STORE_DEVELOPMENT_FILE, _new_store_key)
LIST = _KeyKind("list key", LIST_CREDENTIAL, LIST_DEVELOPMENT_FILE, _new_list_key)


def load_kiosk_key(
    state_dir: Path, environ: Mapping[str, str] = os.environ, *, development: bool = False, create: bool = True
) -> KioskKey:
    """The kiosk key from the systemd credential; without one, from the development file: then the daemon warns.

    With `create` (the daemon) the development file is created at the first start; else KeyMissing if there is none.
    `development` is the setting kiosk.development_key. ConfigError if a file cannot be used, and for a development key
    under systemd without that setting.
    """
    return _parse_kiosk_key(*_load(KIOSK, state_dir, environ, development=development, create=create))


def load_store_key(
    state_dir: Path,
    environ: Mapping[str, str] = os.environ,
    *,
    development: bool = False,
    create: bool = True,
    encrypted: bool = False,
) -> StoreKey:
    """The key of the stores on disk, from the same places and with the same rules as the kiosk key.

    If stores are `encrypted` already, no development file is made: KeyMissing if there is none.
    """
    kind = replace(STORE, make=None) if encrypted else STORE
    return _parse_store_key(*_load(kind, state_dir, environ, development=development, create=create))


def keep_development_store_key(state_dir: Path, key: StoreKey, environ: Mapping[str, str] = os.environ) -> None:
    """Write the development file of the store key again, if it was deleted with the stores that were written again.

    ConfigError if that is not possible. A key that systemd gives is left to it.
    """
    path = state_dir / STORE.file
    credential = Path(environ.get("CREDENTIALS_DIRECTORY", "")) / STORE.credential
    given = "CREDENTIALS_DIRECTORY" in environ and credential.exists()
    if not given and not os.path.lexists(path):
        _make_development_file(path, STORE.name, key.secret.hex().encode() + b"\n")


def load_list_key(
    state_dir: Path, environ: Mapping[str, str] = os.environ, *, development: bool = False, create: bool = True
) -> ListKey:
    """The key for lists, from the same places and with the same rules as the kiosk key."""
    return _parse_list_key(*_load(LIST, state_dir, environ, development=development, create=create))


def published_list_key(config: Config) -> dict[str, Any]:
    """The public half of this kiosk's list key. Makes none. ConfigError if it has none, or needs none."""
    if not config.watchlist.source:
        raise ConfigError("watchlist.source is not set: this kiosk fetches no lists, and has no key for them")
    kiosk = config.kiosk
    return load_list_key(kiosk.state_dir, development=kiosk.development_key, create=False).published()


def load_kiosk_key_file(path: Path) -> KioskKey:
    """The kiosk key from a file that an operator names, before systemd gives it to the daemon."""
    return _parse_kiosk_key(read_secret(path), path)


def load_list_key_file(path: Path) -> ListKey:
    """The key for lists from a file that an operator names."""
    return _parse_list_key(read_secret(path), path)


def started_by_systemd(environ: Mapping[str, str]) -> bool:
    """Whether systemd started this process. A shell of a desktop inherits INVOCATION_ID, but not the process id."""
    us = str(os.getpid())
    return any(environ.get(name) for name in SYSTEMD) or (
        "INVOCATION_ID" in environ and environ.get("SYSTEMD_EXEC_PID", us) == us
    )


def _load(
    kind: _KeyKind, state_dir: Path, environ: Mapping[str, str], *, development: bool, create: bool
) -> tuple[bytes, Path]:
    """The contents of the file with the key, and its path."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    credential = Path(directory) / kind.credential if directory else None
    if credential is not None and credential.exists():
        # systemd protects it by its folder; an access list for this account shows as mode bits of the group.
        return read_secret(credential, others=0), credential
    if create and not development and started_by_systemd(environ):
        raise ConfigError(_no_credential(kind, directory))
    return _load_development_file(kind, state_dir / kind.file, create=create)


def _no_credential(kind: _KeyKind, directory: str | None) -> str:
    found = "the unit has no credential"
    if directory:
        names = sorted(path.name for path in Path(directory).iterdir()) if Path(directory).is_dir() else []
        found = f"the unit has the credentials {', '.join(names) or '(none)'}"
    return (
        f"there is no {kind.name} {kind.credential!r}: {found}; "
        f"give it one with LoadCredential={kind.credential}:FILE, or for tests set kiosk.development_key = true"
    )


def _load_development_file(kind: _KeyKind, path: Path, *, create: bool) -> tuple[bytes, Path]:
    if not os.path.lexists(path):
        if not create or kind.make is None:
            raise KeyMissing(f"{path}: there is no {kind.name} here; only the daemon has it")
        _make_development_file(path, kind.name, kind.make())
    content = read_secret(path, owned=True)
    if create:
        text = "the %s is %s: for development only; give the unit a key with LoadCredential=%s:FILE"
        log.warning(text, kind.name, path, kind.credential)
    return content, path


def load_hub_key(path: Path) -> HubKey:
    """The hub's public encryption key from a JWK file, X25519 or P-256. ConfigError if it is something else."""
    wanted = f"a public key as a JWK, of the curve {' or '.join(HUB_CURVES)}"
    try:
        key = import_key(json.loads(read_public(path)))
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):  # the last: brackets without end
        # Without the cause, which may quote the file: that could be a private key.
        raise ConfigError(f"{path}: is not {wanted}") from None
    return _checked_hub_key(key, path, wanted)


def trusting(authority: Path) -> ssl.SSLContext:
    """A client context that trusts the authority of a file. ConfigError, or OwnershipError, names the file."""
    read_public(authority)
    try:
        context = ssl.create_default_context(cafile=authority)
    except ssl.SSLError as error:
        raise ConfigError(f"{authority}: holds no certificate authority: {error.reason}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """A client context for mutual TLS. ConfigError names the file that cannot be used.

    OwnershipError if an account other than this one and root may read the key, or if everybody may change a file.
    """
    context = trusting(config.ca)
    read_public(config.certificate)
    read_secret(config.key)
    try:
        # A password prompt would stop an unattended start: an encrypted key is refused instead.
        context.load_cert_chain(config.certificate, config.key, password=lambda: b"")
    except ssl.SSLError as error:
        files = f"{config.certificate} and {config.key}"
        raise ConfigError(f"{files}: are not a certificate and its unencrypted key: {error.reason}") from error
    return context


def _checked_hub_key(key: Key, path: Path, wanted: str) -> HubKey:
    if not isinstance(key, (OKPKey, ECKey)) or key.curve_name not in HUB_CURVES:
        raise ConfigError(f"{path}: is not {wanted}")
    if key.is_private:
        raise ConfigError(f"{path}: holds the hub's private key, which must never be on a kiosk: give {wanted}")
    if purpose := _other_purpose(key):
        raise ConfigError(f"{path}: this key is not for encryption ({purpose}): give the hub's encryption key")
    return key


def _other_purpose(key: HubKey) -> str:
    """What a JWK says that excludes encryption to it (RFC 7517, 4.2 to 4.4); empty if it says nothing of the kind.

    Browsers write an empty list of operations into a public key for key agreement.
    """
    about = key.as_dict(private=False)
    use, operations, algorithm = about.get("use", "enc"), about.get("key_ops", []), about.get("alg", "ECDH-ES")
    if use != "enc":
        return f"use is {use!r}"
    if operations and not {"deriveKey", "deriveBits"} & set(operations):
        return f"key_ops is {operations!r}"
    return "" if str(algorithm).startswith("ECDH-ES") else f"alg is {algorithm!r}"


def _parse_kiosk_key(pem: bytes, path: Path) -> KioskKey:
    private = _parse_pem(pem, path)
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(f"{path}: is not an Ed25519 key: make one with `openssl genpkey -algorithm ed25519`")
    return KioskKey(private)


def _parse_list_key(pem: bytes, path: Path) -> ListKey:
    private = _parse_pem(pem, path)
    if not isinstance(private, X25519PrivateKey):
        raise ConfigError(f"{path}: is not an X25519 key: make one with `openssl genpkey -algorithm x25519`")
    return ListKey(private)


def _parse_pem(pem: bytes, path: Path) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(f"{path}: is not an unencrypted private key in PEM (PKCS #8)") from None


def _parse_store_key(content: bytes, path: Path) -> StoreKey:
    """64 hexadecimal digits, or 32 bytes. These must not be text: a password is no key."""
    wanted = "is no store key: make one of 64 hexadecimal digits with `openssl rand -hex 32`"
    text = content.strip()
    if re.fullmatch(rb"[0-9A-Fa-f]{64}", text):
        secret = bytes.fromhex(text.decode())
    elif len(content) == KEY_BYTES and not content.isascii():
        secret = content
    else:
        raise ConfigError(f"{path}: {wanted}")
    if len(set(secret)) < KEY_BYTES // 4:  # such as a file of zeros; never seen among random keys
        raise ConfigError(f"{path}: is not random, and so {wanted}")
    return StoreKey(secret)


def _make_development_file(path: Path, name: str, content: bytes) -> None:
    unfinished = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)  # whole or not at all
        sync(path.parent)
    except OSError as error:
        raise ConfigError(f"{path}: the {name} cannot be written: {error.strerror}") from error
