"""Loads keys. This is the only module that loads private ones.

One Ed25519 kiosk key signs what leaves the kiosk. It comes from a systemd credential (LoadCredential=kiosk-key:...) or,
for development, from a file that is created at the first start. The hub's encryption key is public. TLS keys are loaded
directly into a TLS context.
"""

import json
import logging
import os
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, import_key

from agent.config import TlsConfig
from agent.errors import ConfigError

log = logging.getLogger(__name__)

CREDENTIAL = "kiosk-key"
DEVELOPMENT_FILE = "development-kiosk-key.pem"
HUB_CURVES = ("X25519", "P-256")

HubKey = ECKey | OKPKey


class KioskKey:
    """The kiosk's signing key. Its id is the thumbprint of the public key (RFC 7638)."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self.jwk: OKPKey = OKPKey.import_key(private)
        self.key_id: str = self.jwk.thumbprint()

    def public(self) -> dict[str, str | list[str]]:
        """The public key as a JWK, for the hub's list of kiosks."""
        return {**self.jwk.as_dict(private=False), "kid": self.key_id}

    def __repr__(self) -> str:
        """Shows the id only."""
        return f"<KioskKey {self.key_id}>"


def load_kiosk_key(state_dir: Path, environ: Mapping[str, str] = os.environ) -> KioskKey:
    """The kiosk key from the systemd credential; without one, with a warning, from the development file.

    The development file is created at the first start. ConfigError if a file cannot be used.
    """
    directory = environ.get("CREDENTIALS_DIRECTORY")
    credential = Path(directory) / CREDENTIAL if directory else None
    if credential is not None and credential.exists():
        return _parse_kiosk_key(_read(credential), credential)
    return _load_development_key(state_dir / DEVELOPMENT_FILE)


def _load_development_key(path: Path) -> KioskKey:
    if not path.exists():
        _make_development_key(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError(
            f"{path}: others may read this private key: chmod 600 it, or delete it and a new one is created"
        )
    log.warning(
        "the kiosk key is %s: for development only; give the unit a key with LoadCredential=%s:FILE", path, CREDENTIAL
    )
    return _parse_kiosk_key(_read(path), path)


def load_hub_key(path: Path) -> HubKey:
    """The hub's public encryption key from a JWK file, X25519 or P-256. ConfigError if it is something else."""
    wanted = f"a public key as a JWK, of the curve {' or '.join(HUB_CURVES)}"
    try:
        key = import_key(json.loads(_read(path)))
    except (JoseError, ValueError, TypeError, KeyError):
        # Without the cause, which may quote the file: that could be a private key.
        raise ConfigError(f"{path}: is not {wanted}") from None
    return _checked_hub_key(key, path, wanted)


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """A client context for mutual TLS. ConfigError names the file that cannot be used."""
    for path in (config.ca, config.certificate, config.key):
        _read(path)
    try:
        context = ssl.create_default_context(cafile=config.ca)
    except ssl.SSLError as error:
        raise ConfigError(f"{config.ca}: holds no certificate authority: {error.reason}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
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
    return key


def _parse_kiosk_key(pem: bytes, path: Path) -> KioskKey:
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(f"{path}: is not an unencrypted private key in PEM (PKCS #8)") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(f"{path}: is not an Ed25519 key: make one with `openssl genpkey -algorithm ed25519`")
    return KioskKey(private)


def _make_development_key(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    unfinished = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)  # whole or not at all
    except OSError as error:
        raise ConfigError(f"{path}: the kiosk key cannot be written: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
