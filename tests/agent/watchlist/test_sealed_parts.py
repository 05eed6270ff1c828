"""Encrypted parts: the kiosks that are named open them, nobody else; the rest is refused, and no key is shown."""

import json
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwe import GeneralJSONEncryption
from joserfc.jwk import OctKey, OKPKey

from agent.keys import KioskKey, ListKey
from agent.watchlist import sealed_parts
from agent.watchlist.list_format import ListFormatError
from agent.watchlist.sealed_parts import (
    MOST_SEALED_BYTES,
    new_content_key,
    open_keys,
    read_reader,
    readers_of,
    seal_part,
    write_keys,
)

A, B, C = (ListKey(X25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (1, 2, 3))
PART = b"the lines of a part"


def public(key: ListKey) -> OKPKey:
    return OKPKey.import_key({name: key.jwk.as_dict(private=False)[name] for name in ("kty", "crv", "x")})


def jwk(key: ListKey, **changes: object) -> bytes:
    return json.dumps(key.public() | changes).encode()


def secret(key: OctKey) -> str:
    return str(key.as_dict(private=True)["k"])


def test_each_kiosk_that_is_named_opens_the_parts() -> None:
    key = new_content_key()
    keys = write_keys([key], [public(A), public(B)])
    for kiosk in (A, B):
        opened = open_keys(keys, kiosk, "police")
        assert opened.open(seal_part(PART, key)) == PART
        assert opened.open(seal_part(b"", key)) == b""
    assert readers_of(keys) == (A.key_id, B.key_id)


def test_parts_of_several_revisions_have_their_own_content_keys() -> None:
    old, new = new_content_key(), new_content_key()
    opened = open_keys(write_keys([old, new], [public(A)]), A, "police")
    assert (opened.open(seal_part(b"old", old)), opened.open(seal_part(b"new", new))) == (b"old", b"new")
    assert old.kid != new.kid


def test_another_kiosk_is_told_what_to_do() -> None:
    with pytest.raises(ListFormatError) as refusal:
        open_keys(write_keys([new_content_key()], [public(A), public(B)]), C, "police")
    assert str(refusal.value) == (
        "the list of police is not encrypted for this kiosk: give the provider the output of `kiosk-agent keys --list`"
    )


def test_the_form_is_that_of_jose_and_no_content_key_is_readable() -> None:
    key = new_content_key()
    data = write_keys([key], [public(A)])
    content = json.loads(data)
    assert jwe.decrypt_json(content, A.jwk, algorithms=["ECDH-ES+A256KW", "A256GCM"]).plaintext
    (recipient,) = content["recipients"]
    assert (recipient["header"]["kid"], content["protected"]) == (
        A.key_id, "eyJhbGciOiJFQ0RILUVTK0EyNTZLVyIsImVuYyI6IkEyNTZHQ00ifQ",
    )  # fmt: skip
    assert secret(key).encode() not in data
    assert jwe.decrypt_compact(seal_part(PART, key), key, algorithms=["dir", "A256GCM"]).protected == {
        "alg": "dir", "enc": "A256GCM", "kid": key.kid,
    }  # fmt: skip


@given(st.binary(max_size=200))
def test_nothing_of_a_part_is_readable(data: bytes) -> None:
    key = new_content_key()
    sealed = seal_part(data + PART, key)
    assert PART not in sealed
    assert open_keys(write_keys([key], [public(A)]), A, "police").open(sealed) == data + PART


def test_a_part_under_an_unknown_key_is_refused() -> None:
    opened = open_keys(write_keys([new_content_key()], [public(A)]), A, "police")
    with pytest.raises(ListFormatError, match="with a key that is not among those of the list"):
        opened.open(seal_part(PART, new_content_key()))


@given(st.data())
def test_an_altered_part_is_refused(data: st.DataObject) -> None:
    key = new_content_key()
    opened = open_keys(write_keys([key], [public(A)]), A, "police")
    whole = seal_part(PART, key)
    at = data.draw(st.integers(0, len(whole) - 2))  # the last letter has bits that mean nothing
    altered = whole[:at] + data.draw(st.binary(min_size=1, max_size=3)) + whole[at + 1 :]
    if altered != whole:
        try:
            assert opened.open(altered) == PART  # another spelling of the same, such as padding
        except ListFormatError as refusal:
            assert secret(key) not in str(refusal)  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"....", b"a.b.c.d.e", b"\x78\x9c\x00", b"e30...." * 3],
)
def test_what_is_not_encrypted_is_refused(data: bytes) -> None:
    opened = open_keys(write_keys([new_content_key()], [public(A)]), A, "police")
    with pytest.raises(ListFormatError, match="not encrypted as its manifest says, or is damaged"):
        opened.open(data)


@pytest.mark.parametrize("header", [{"zip": "DEF"}, {"alg": "A256KW"}, {"enc": "A128CBC-HS256"}])
def test_another_method_is_refused(header: dict[str, str]) -> None:
    key = new_content_key()
    opened = open_keys(write_keys([key], [public(A)]), A, "police")
    made: dict[str, Any] = {"alg": "dir", "enc": "A256GCM", "kid": key.kid} | header
    data = jwe.encrypt_compact(made, PART, key, algorithms=["dir", "A256KW", "A256GCM", "A128CBC-HS256", "DEF"])
    with pytest.raises(ListFormatError, match="not encrypted as its manifest says"):
        opened.open(data.encode())


def test_too_much_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_keys(write_keys([new_content_key()], [public(A)]), A, "police")
    with pytest.raises(ListFormatError, match=f"at most {MOST_SEALED_BYTES} are read"):
        opened.open(bytes(MOST_SEALED_BYTES + 1))
    monkeypatch.setattr(sealed_parts, "KEYS_BYTES", 10)
    with pytest.raises(ListFormatError, match=r"keys\.json has 11 bytes; at most 10 are read"):
        open_keys(bytes(11), A, "police")


@pytest.mark.parametrize("change", [{"recipients": 7}, {"recipients": None}, {"iv": 1}, {"recipients": [{}]}])
def test_keys_of_another_form_are_refused(change: dict[str, object]) -> None:
    content = json.loads(write_keys([new_content_key()], [public(A)])) | change
    for data in (json.dumps(content).encode(), b"{}", b"[" * 99_999, b"\xff"):
        with pytest.raises(ListFormatError, match=r"keys\.json is not a JWE with the keys of a list"):
            open_keys(data, A, "police")


@pytest.mark.parametrize("name", ["iv", "tag", "ciphertext", "protected"])
def test_damaged_keys_are_refused(name: str) -> None:
    content = json.loads(write_keys([new_content_key()], [public(A)]))
    with pytest.raises(ListFormatError, match=r"keys\.json cannot be opened with the list key of this kiosk"):
        open_keys(json.dumps(content | {name: "AAAA" + content[name][4:]}).encode(), A, "police")


def test_keys_that_another_kiosk_was_given_under_our_name_are_refused() -> None:
    content = json.loads(write_keys([new_content_key()], [public(B)]))
    content["recipients"][0]["header"]["kid"] = A.key_id
    with pytest.raises(ListFormatError, match="cannot be opened with the list key of this kiosk"):
        open_keys(json.dumps(content).encode(), A, "police")


@pytest.mark.parametrize(
    "inside", [b"", b"{}", b'{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}', b'{"keys":[{"kty":"OKP","kid":"a"}]}']
)
def test_content_keys_of_another_form_are_refused_and_not_quoted(inside: bytes) -> None:
    sealed = GeneralJSONEncryption({"alg": "ECDH-ES+A256KW", "enc": "A256GCM"}, inside)
    sealed.add_recipient({"kid": A.key_id}, public(A))
    data = json.dumps(jwe.encrypt_json(sealed, None, algorithms=["ECDH-ES+A256KW", "A256GCM"])).encode()
    with pytest.raises(ListFormatError, match="cannot be opened") as refusal:
        open_keys(data, A, "police")
    assert "c2VjcmV0" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_no_key_is_shown() -> None:
    key = new_content_key()
    opened = open_keys(write_keys([key], [public(A)]), A, "police")
    assert repr(opened) == "<ContentKeys: 1>"
    assert secret(key) not in repr(sealed_parts._ContentKey(kty="oct", kid="a", k=secret(key)))


# -- the public keys of the kiosks


def test_the_public_key_of_a_kiosk_is_read() -> None:
    assert read_reader(jwk(A)).thumbprint() == A.key_id
    assert read_reader(json.dumps(A.jwk.as_dict(private=False)).encode()).thumbprint() == A.key_id


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is not a public key as a JWK"),
        (b"[]", "is not a public key as a JWK"),
        (b"{}", "is not a public key as a JWK"),
        (b"-----BEGIN PRIVATE KEY-----", "is not a public key as a JWK"),
        (jwk(A, more="x" * 5000), "is not a public key as a JWK"),
        (jwk(A, d="c2VjcmV0"), "holds a private key, which must never leave its kiosk"),
        (json.dumps(KioskKey(Ed25519PrivateKey.generate()).public()).encode(), "is not the list key of a kiosk"),
        (json.dumps({"kty": "oct", "k": "c2VjcmV0"}).encode(), "holds a private key"),
        (jwk(A, use="sig"), "is not the list key of a kiosk"),
        (jwk(A, x="AAAA"), "cannot be used: it is damaged"),
        (jwk(A, x="A" * 43), "cannot be used: it is damaged"),  # a point of low order
        (jwk(A, x=None), "cannot be used: it is damaged"),
        (jwk(A, kid=B.key_id), "was changed: its kid is of another key"),
    ],
)
def test_what_is_no_public_list_key_is_refused_and_not_quoted(data: bytes, reason: str) -> None:
    with pytest.raises(ListFormatError, match=reason) as refusal:
        read_reader(data)
    assert re.search("give the output of `kiosk-agent keys --list`$", str(refusal.value))
    assert "c2VjcmV0" not in str(refusal.value)
