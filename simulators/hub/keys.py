"""The hub's side of sealed payloads: decrypts JWE(JWS(...)) and verifies the signer. Shares no code with the agent."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from joserfc import jwe, jws
from joserfc.jwk import ECKey, Key, OKPKey, import_key

T = TypeVar("T")

JWE_ALGORITHMS = ["ECDH-ES+A256KW", "A256GCM"]
JWS_ALGORITHMS = ["Ed25519"]


# Why a payload cannot be verified, as the acknowledgement says it.
UNKNOWN_KIOSK_KEY, WRONG_SIGNATURE, CANNOT_DECRYPT = "unknown_kiosk_key", "wrong_signature", "cannot_decrypt"


class UnsealError(Exception):
    """The payload is not for this hub, was changed in transfer, or is not signed by a known kiosk."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class HubKeys:
    """The hub's private encryption key, and the public keys of the trusted kiosks by key id."""

    def __init__(self, private: OKPKey | ECKey, kiosks: Iterable[dict[str, Any]] = ()) -> None:
        self._private = private
        self._kiosks: dict[str, Key] = {}
        for kiosk in kiosks:
            self.trust(kiosk)

    @classmethod
    def make(cls, kiosks: Iterable[dict[str, Any]] = ()) -> "HubKeys":
        """A new key, which is in no file."""
        return cls(OKPKey.generate_key("X25519"), kiosks)

    @classmethod
    def load_or_make(cls, path: Path, kiosks: Iterable[dict[str, Any]] = ()) -> "HubKeys":
        """Load a private JWK file, or create it. Its public key is written next to it, named *.pub.json."""
        if not path.exists():
            made = OKPKey.generate_key("X25519")
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(made.as_dict(private=True), file)
        key = import_key(json.loads(path.read_text(encoding="utf-8")))
        if not isinstance(key, (OKPKey, ECKey)) or not key.is_private:
            raise ValueError(f"{path}: is not a private JWK of an elliptic curve")
        keys = cls(key, kiosks)
        path.with_suffix(".pub.json").write_text(json.dumps(keys.public()), encoding="utf-8")
        return keys

    def public(self) -> dict[str, Any]:
        """The public JWK that a kiosk needs to encrypt for this hub."""
        return dict(self._private.as_dict(private=False))

    def trust(self, kiosk: dict[str, Any]) -> None:
        """Accept signatures of a kiosk, given its public JWK."""
        key = OKPKey.import_key(kiosk)
        self._kiosks[key.thumbprint()] = key

    def unseal(self, token: str) -> bytes:
        """Decrypt and verify a sealed payload. UnsealError if that fails."""
        content = _tried(CANNOT_DECRYPT, "cannot be decrypted", lambda: self._decrypt(token))
        signer = _tried(
            WRONG_SIGNATURE, "is not signed", lambda: str(jws.extract_compact(content).headers().get("kid"))
        )
        kiosk = self._kiosks.get(signer)
        if kiosk is None:
            raise UnsealError(UNKNOWN_KIOSK_KEY, "is not signed by a known kiosk")
        return _tried(
            WRONG_SIGNATURE,
            "has a wrong signature",
            lambda: jws.deserialize_compact(content, kiosk, algorithms=JWS_ALGORITHMS).payload,
        )

    def _decrypt(self, token: str) -> bytes:
        return jwe.decrypt_compact(token, self._private, algorithms=JWE_ALGORITHMS).plaintext or b""


def _tried(reason: str, text: str, work: Callable[[], T]) -> T:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - invalid input makes the library raise KeyError and others
        raise UnsealError(reason, f"{text}: {type(error).__name__}") from None
