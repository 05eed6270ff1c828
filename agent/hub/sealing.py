"""Signs with the kiosk's key, then encrypts to the hub: JWE(JWS(plaintext)), both in compact form (RFC 7515, 7516).

A broker, a bridge or a stolen disk of the broker reveals nothing of it, and the hub can verify which kiosk it is from.
simulators.hub.keys opens it, and shares no code with this module.
"""

from joserfc import jwe, jws

from agent.keys import HubKey, KioskKey

SIGNATURE = "Ed25519"  # RFC 9864; its older name in JOSE, EdDSA, is deprecated by the same document
KEY_AGREEMENT = "ECDH-ES+A256KW"
ENCRYPTION = "A256GCM"


def seal(plaintext: bytes, kiosk_key: KioskKey, hub_key: HubKey) -> str:
    """Seal some bytes: returns a JWE whose content is a JWS."""
    signed = jws.serialize_compact(
        {"alg": SIGNATURE, "kid": kiosk_key.key_id}, plaintext, kiosk_key.jwk, algorithms=[SIGNATURE]
    )
    header = {"alg": KEY_AGREEMENT, "enc": ENCRYPTION, "cty": "JOSE", "kid": hub_key.thumbprint()}
    return jwe.encrypt_compact(header, signed, hub_key, algorithms=[KEY_AGREEMENT, ENCRYPTION])
