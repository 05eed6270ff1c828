"""Receipts: the kiosk's signed word that references were deleted from its memory and its disk."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from pydantic import BaseModel, ConfigDict, ValidationError

from agent.keys import KioskKey

TYPE = "kiosk-receipt"
ALGORITHM = "Ed25519"
MOST_IDS = 500


class Receipt(BaseModel):
    """What a receipt says."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    site: str
    kiosk: str
    provider: str
    revision: int  # of the list that no longer has them
    reason: str  # "withdrawn" or "expired"
    reference_ids: tuple[str, ...]
    deleted_by: datetime  # trusted time at which nothing of them was left


def sign_receipt(
    key: KioskKey,
    provider: str,
    revision: int,
    reference_ids: Sequence[str],
    reason: str,
    trusted_time: datetime,
    *,
    site: str,
    kiosk: str,
) -> str:
    """The receipt as a compact JWS (RFC 7515), signed by the kiosk. ValueError for more than MOST_IDS references."""
    if len(reference_ids) > MOST_IDS:
        raise ValueError(f"a receipt is for {MOST_IDS} references at most, not for {len(reference_ids)}")
    receipt = Receipt(
        site=site,
        kiosk=kiosk,
        provider=provider,
        revision=revision,
        reason=reason,
        reference_ids=tuple(reference_ids),
        deleted_by=trusted_time,
    )
    header = {"alg": ALGORITHM, "typ": TYPE, "kid": key.key_id}
    return jws.serialize_compact(header, receipt.model_dump_json().encode(), key.jwk, algorithms=[ALGORITHM])


def verify_receipt(text: str, public: Mapping[str, Any]) -> Receipt:
    """What a receipt says. ValueError if it is not one, or was not signed by this key (a public JWK)."""
    try:
        signed = jws.deserialize_compact(text, OKPKey.import_key(dict(public)), algorithms=[ALGORITHM])
        if signed.headers().get("typ") != TYPE:
            raise ValueError("signed, but not a receipt")
        return Receipt.model_validate_json(signed.payload)
    except (JoseError, ValidationError, KeyError, TypeError) as error:
        raise ValueError(f"not a valid receipt: {type(error).__name__}") from error
