"""The hub's side of sealed payloads: opens JWE(JWS(...)) and verifies who signed it. No code shared with the agent."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from joserfc import jwe, jws
from joserfc.jwk import ECKey, Key, OKPKey, import_key

JWE_ALGORITHMS = ["ECDH-ES+A256KW", "A256GCM"]
JWS_ALGORITHMS = ["Ed25519"]


class Unsealable(Exception):
    """Not for this hub, changed on its way, or not signed by a kiosk that we know."""


class HubKeys:
    """The hub's private encryption key and the kiosks that it knows, by key id."""

    def __init__(self, private: OKPKey | ECKey, kiosks: Iterable[dict[str, Any]] = ()) -> None:
        self._private = private
        self._kiosks: dict[str, Key] = {}
        for kiosk in kiosks:
            self.trust(kiosk)

    @classmethod
    def load_or_make(cls, path: Path, kiosks: Iterable[dict[str, Any]] = ()) -> "HubKeys":
        """From a private JWK file; a new one is made with its public half beside it, named *.pub.json."""
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
        """What a kiosk needs in order to seal for us."""
        return dict(self._private.as_dict(private=False))

    def trust(self, kiosk: dict[str, Any]) -> None:
        """Accept signatures of a kiosk, given its public JWK."""
        key = OKPKey.import_key(kiosk)
        self._kiosks[key.thumbprint()] = key

    def unseal(self, token: str) -> bytes:
        """The plaintext. Unsealable otherwise."""
        try:
            content = jwe.decrypt_compact(token, self._private, algorithms=JWE_ALGORITHMS).plaintext or b""
            signer = jws.extract_compact(content).headers().get("kid")
            return jws.deserialize_compact(content, self._kiosks[str(signer)], algorithms=JWS_ALGORITHMS).payload
        except Exception as error:  # noqa: BLE001 - a stranger's bytes make the library raise KeyError and more
            raise Unsealable(
                f"cannot be opened, or is signed by no kiosk that we know: {type(error).__name__}"
            ) from None
