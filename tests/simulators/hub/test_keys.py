"""The hub's keys: a file of its own, and seals that it opens only from kiosks that it trusts."""

import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwe
from joserfc.jwk import OKPKey

from agent.hub.sealing import seal
from agent.keys import KioskKey
from simulators.hub.keys import HubKeys, UnsealError

KIOSK = KioskKey(Ed25519PrivateKey.generate())


def sealed_for(keys: HubKeys, kiosk: KioskKey = KIOSK) -> str:
    return seal(b"templates", kiosk, OKPKey.import_key(keys.public()))


def test_a_new_key_is_private_and_its_public_half_lies_next_to_it(tmp_path: Path) -> None:
    path = tmp_path / "hub.json"
    keys = HubKeys.load_or_make(path, [KIOSK.public()])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = json.loads((tmp_path / "hub.pub.json").read_text(encoding="utf-8"))
    assert public == keys.public()
    assert "d" not in public


def test_a_key_that_is_there_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "hub.json"
    token = sealed_for(HubKeys.load_or_make(path))
    assert HubKeys.load_or_make(path, [KIOSK.public()]).unseal(token) == b"templates"


@pytest.mark.parametrize(
    "content",
    [OKPKey.generate_key("X25519").as_dict(private=False), {"kty": "oct", "k": "c2VjcmV0" * 4}],
    ids=["public", "symmetric"],
)
def test_a_file_without_a_private_key_is_refused_by_name(tmp_path: Path, content: dict[str, str]) -> None:
    path = tmp_path / "hub.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"hub\.json: is not a private JWK"):
        HubKeys.load_or_make(path)


def test_only_a_trusted_kiosk_is_accepted() -> None:
    keys = HubKeys(OKPKey.generate_key("X25519"))
    token = sealed_for(keys)
    with pytest.raises(UnsealError, match="not signed by a known kiosk"):
        keys.unseal(token)
    keys.trust(KIOSK.public())
    assert keys.unseal(token) == b"templates"


def test_a_seal_for_another_hub_is_not_opened() -> None:
    mine, other = (HubKeys(OKPKey.generate_key("X25519"), [KIOSK.public()]) for _ in range(2))
    with pytest.raises(UnsealError):
        mine.unseal(sealed_for(other))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("stranger", "unknown_kiosk_key"),
        ("forger", "wrong_signature"),
        ("other hub", "cannot_decrypt"),
        ("unsigned", "wrong_signature"),
    ],
)
def test_a_refusal_says_whose_key_is_wrong(case: str, reason: str) -> None:
    keys = HubKeys.make([KIOSK.public()])
    forger = KioskKey(Ed25519PrivateKey.generate())
    if case == "forger":
        forger.key_id = KIOSK.key_id
    token = sealed_for(HubKeys.make() if case == "other hub" else keys, forger)
    if case == "unsigned":
        header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM"}
        token = jwe.encrypt_compact(header, b"x", OKPKey.import_key(keys.public()), algorithms=list(header.values()))
    with pytest.raises(UnsealError) as refused:
        keys.unseal(token)
    assert refused.value.reason == reason
