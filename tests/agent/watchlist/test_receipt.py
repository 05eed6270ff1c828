"""Receipts: what the kiosk signs can be verified with its public key, and nothing else can."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws

from agent.keys import KioskKey
from agent.watchlist.receipt import sign_receipt, verify_receipt

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
KEY, OTHER = (KioskKey(Ed25519PrivateKey.from_private_bytes(bytes([n] * 32))) for n in (1, 2))


def receipt(key: KioskKey = KEY) -> str:
    return sign_receipt(key, "police", 7, ["r-1", "r-2"], "withdrawn", NOON, site="s", kiosk="k")


def test_a_receipt_says_what_was_deleted_where_and_when() -> None:
    said = verify_receipt(receipt(), KEY.public())
    assert (said.site, said.kiosk, said.provider, said.revision) == ("s", "k", "police", 7)
    assert (said.reference_ids, said.reason, said.deleted_by) == (("r-1", "r-2"), "withdrawn", NOON)


@pytest.mark.parametrize(
    "text", ["", "a.b.c", receipt(OTHER), receipt()[:-4] + "AAAA", receipt().replace(".", ".A", 1)]
)
def test_what_this_kiosk_has_not_signed_is_no_receipt(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid receipt"):
        verify_receipt(text, KEY.public())


def test_another_signed_thing_is_no_receipt() -> None:
    other = jws.serialize_compact({"alg": "Ed25519"}, b"{}", KEY.jwk, algorithms=["Ed25519"])
    with pytest.raises(ValueError, match="not a receipt"):
        verify_receipt(other, KEY.public())


def test_a_key_of_another_kind_verifies_nothing() -> None:
    with pytest.raises(ValueError, match="not a valid receipt"):
        verify_receipt(receipt(), {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"})


def test_a_receipt_is_for_a_limited_number_of_references() -> None:
    with pytest.raises(ValueError, match="500 references at most"):
        sign_receipt(KEY, "police", 7, [f"r-{n}" for n in range(501)], "expired", NOON, site="s", kiosk="k")
