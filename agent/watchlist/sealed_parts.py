"""Parts of a list that only the kiosks can read that the provider has named: encrypted with JOSE (RFC 7516). No I/O.

    PROVIDER/parts/NAME   a part in a JWE, compact form: "dir" and A256GCM; its kid is the id of the content key
    PROVIDER/keys.json    the content keys that are in use, a set of JWKs (RFC 7517), in a JWE of the general JSON form:
                          one recipient for each kiosk, ECDH-ES+A256KW; its kid is the thumbprint of that list key

Both are signed as every target is, so nobody but the provider can make them. No message quotes a key.
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from joserfc import jwe
from joserfc.jwe import GeneralJSONEncryption, JWERegistry
from joserfc.jwk import GuestProtocol, OctKey, OKPKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from agent.keys import LIST_CURVE, LIST_KEY_AGREEMENT, ListKey
from agent.watchlist.list_format import PART_BYTES, ListFormatError

KEYS = "keys.json"
KEYS_BYTES = 4 << 20  # a kiosk takes 300 bytes
MOST_KIOSKS = 10_000
MOST_SEALED_BYTES = 2 * PART_BYTES  # of a part: the form of JWE takes a third more than the content
MOST_JWK_BYTES = 4096

DIRECT, ENCRYPTION = "dir", "A256GCM"
CONTENT_KEY_BITS = 256

SHOW_KEY = "`kiosk-agent keys --list`"


def _registry(most: int, *algorithms: str) -> JWERegistry:
    made = JWERegistry(algorithms=[*algorithms, ENCRYPTION])
    made.max_ciphertext_length = most
    return made


_PARTS = _registry(MOST_SEALED_BYTES, DIRECT)
_KEYS = _registry(256 << 10, LIST_KEY_AGREEMENT)


class _Hidden(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class _ContentKey(_Hidden):
    kty: Literal["oct"]
    kid: str = Field(min_length=1, max_length=64)
    k: str = Field(repr=False, min_length=43, max_length=43)


class _ContentKeys(_Hidden):
    keys: tuple[_ContentKey, ...]


class _Wrapped(_Hidden):
    header: dict[str, Any]
    encrypted_key: str


class _Keys(_Hidden):
    """keys.json."""

    protected: str
    iv: str
    ciphertext: str
    tag: str
    recipients: tuple[_Wrapped, ...] = Field(max_length=MOST_KIOSKS)


@dataclass(frozen=True, slots=True)
class SealPolicy:
    """With which key this kiosk reads encrypted lists, and whether it takes others, too."""

    list_key: ListKey | None = None
    required: bool = False


def new_content_key() -> OctKey:
    """A content key that nobody else has. Its id says nothing of it."""
    return OctKey.generate_key(CONTENT_KEY_BITS, {"kid": secrets.token_urlsafe(12)}, private=True)


def seal_part(data: bytes, key: OctKey) -> bytes:
    """A part, encrypted with a content key."""
    header = {"alg": DIRECT, "enc": ENCRYPTION, "kid": str(key.kid)}
    return jwe.encrypt_compact(header, data, key, registry=_PARTS).encode()


def write_keys(content_keys: Iterable[OctKey], readers: Iterable[OKPKey]) -> bytes:
    """The bytes of keys.json: the content keys, for each of these kiosks."""
    keys = {"keys": [key.as_dict(private=True) for key in content_keys]}
    sealed = GeneralJSONEncryption({"alg": LIST_KEY_AGREEMENT, "enc": ENCRYPTION}, json.dumps(keys).encode())
    for reader in readers:
        sealed.add_recipient({"kid": reader.thumbprint()}, reader)
    return json.dumps(jwe.encrypt_json(sealed, None, registry=_KEYS), separators=(",", ":")).encode() + b"\n"


class ContentKeys:
    """The content keys of a list, with which its parts are opened."""

    def __init__(self, keys: Mapping[str, OctKey]) -> None:
        self._keys = dict(keys)

    def __repr__(self) -> str:
        """Shows no key."""
        return f"<ContentKeys: {len(self._keys)}>"

    def open(self, data: bytes) -> bytes:
        """A part as it was before it was encrypted. ListFormatError if it cannot be opened."""
        if len(data) > MOST_SEALED_BYTES:
            raise ListFormatError(f"the encrypted part has {len(data)} bytes; at most {MOST_SEALED_BYTES} are read")
        try:
            plaintext = jwe.decrypt_compact(data, self._key_of, registry=_PARTS).plaintext
        except ListFormatError:
            raise
        except Exception:  # noqa: BLE001 - the library has many, and a message may quote what it read
            raise ListFormatError("the part is not encrypted as its manifest says, or is damaged") from None
        return plaintext or b""

    def _key_of(self, recipient: GuestProtocol) -> OctKey:
        found = self._keys.get(str(recipient.headers().get("kid")))
        if found is None:
            raise ListFormatError("the part is encrypted with a key that is not among those of the list")
        return found


def open_keys(data: bytes, list_key: ListKey, provider: str) -> ContentKeys:
    """The content keys of a list. ListFormatError, with what to do, if they are not for this kiosk."""
    sealed = _parsed_keys(data)
    for one in sealed.recipients:
        if one.header.get("kid") == list_key.key_id:
            return _opened_keys(sealed, one, list_key)
    raise ListFormatError(
        f"the list of {provider} is not encrypted for this kiosk: give the provider the output of {SHOW_KEY}"
    )


def readers_of(data: bytes) -> tuple[str, ...]:
    """The key ids of the kiosks that can read a list, of its keys.json."""
    return tuple(str(one.header.get("kid")) for one in _parsed_keys(data).recipients)


def read_reader(data: bytes) -> OKPKey:
    """The public list key of a kiosk: a JWK. ListFormatError says what else it is, and quotes nothing of it."""
    try:
        content = from_json(data) if len(data) <= MOST_JWK_BYTES else None
    except ValueError:
        content = None
    if not isinstance(content, dict) or "kty" not in content:
        raise ListFormatError(f"is not a public key as a JWK: give the output of {SHOW_KEY}")
    if "d" in content or "k" in content:
        raise ListFormatError(f"holds a private key, which must never leave its kiosk: give the output of {SHOW_KEY}")
    if content.get("crv") != LIST_CURVE or content.get("use", "enc") != "enc":
        raise ListFormatError(f"is not the list key of a kiosk ({LIST_CURVE}): give the output of {SHOW_KEY}")
    try:
        key = OKPKey.import_key({name: content[name] for name in ("kty", "crv", "x")})
        write_keys([new_content_key()], [key])  # some keys have the right form and cannot be used
    except Exception:  # noqa: BLE001 - as above
        raise ListFormatError(f"cannot be used: it is damaged; give the output of {SHOW_KEY}") from None
    if content.get("kid", key.thumbprint()) != key.thumbprint():
        raise ListFormatError(f"was changed: its kid is of another key; give the output of {SHOW_KEY}")
    return key


def _parsed_keys(data: bytes) -> _Keys:
    if len(data) > KEYS_BYTES:
        raise ListFormatError(f"{KEYS} has {len(data)} bytes; at most {KEYS_BYTES} are read")
    try:
        return _Keys.model_validate_json(data)
    except ValidationError:
        raise ListFormatError(f"{KEYS} is not a JWE with the keys of a list") from None


def _opened_keys(sealed: _Keys, mine: _Wrapped, list_key: ListKey) -> ContentKeys:
    flattened: Any = sealed.model_dump(exclude={"recipients"}) | mine.model_dump()
    try:
        plaintext = jwe.decrypt_json(flattened, list_key.jwk, registry=_KEYS).plaintext or b""
        keys = _ContentKeys.model_validate_json(plaintext).keys
        return ContentKeys({one.kid: OctKey.import_key(one.model_dump()) for one in keys})
    except Exception:  # noqa: BLE001 - as above: it may quote a key
        raise ListFormatError(f"{KEYS} cannot be opened with the list key of this kiosk: it is damaged") from None
