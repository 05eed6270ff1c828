"""Signs with the kiosk's key, then encrypts to the hub: JWE(JWS(plaintext)), both in compact form (RFC 7515, 7516).

A broker, a bridge or a stolen disk of the broker reveals nothing of it, and the hub can verify which kiosk it is from.
simulators.hub.keys opens it, and shares no code with this module.
"""

from pathlib import Path

from joserfc import jwe, jws

from agent.errors import ConfigError
from agent.keys import HubKey, KioskKey

SIGNATURE = "Ed25519"  # RFC 9864; its older name in JOSE, EdDSA, is deprecated by the same document
KEY_AGREEMENT = "ECDH-ES+A256KW"
ENCRYPTION = "A256GCM"


def seal(plaintext: bytes, kiosk_key: KioskKey, hub_key: HubKey) -> str:
    """Seal some bytes: returns a JWE whose content is a JWS."""
    signed = jws.serialize_compact(
        {"alg": SIGNATURE, "kid": kiosk_key.key_id}, plaintext, kiosk_key.jwk, algorithms=[SIGNATURE]
    )
    return _encrypt(signed, hub_key, {"cty": "JOSE"})


def check_hub_key(hub_key: HubKey, path: Path) -> None:
    """Encrypt something for trial. ConfigError if that fails: some keys have the right form and cannot be used."""
    try:
        _encrypt("trial", hub_key, {})
    except Exception as error:
        raise ConfigError(
            f"{path}: nothing can be encrypted to this key ({type(error).__name__}): ask for the hub's public key again"
        ) from error


def _encrypt(text: str, hub_key: HubKey, more: dict[str, str]) -> str:
    header = {"alg": KEY_AGREEMENT, "enc": ENCRYPTION, "kid": hub_key.thumbprint(), **more}
    return jwe.encrypt_compact(header, text, hub_key, algorithms=[KEY_AGREEMENT, ENCRYPTION])
