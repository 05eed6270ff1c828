"""What is sealed opens only for the hub, and only if it is unchanged and from a kiosk that the hub knows."""

import base64
import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey

from agent.errors import ConfigError
from agent.hub.sealing import check_hub_key, seal
from agent.keys import HubKey, KioskKey, load_hub_key
from simulators.hub.keys import HubKeys, UnsealError

KIOSK = KioskKey(Ed25519PrivateKey.generate())
OTHER_KIOSK = KioskKey(Ed25519PrivateKey.generate())
HUBS: dict[str, HubKey] = {"X25519": OKPKey.generate_key("X25519"), "P-256": ECKey.generate_key("P-256")}
OTHER_HUBS: dict[str, HubKey] = {"X25519": OKPKey.generate_key("X25519"), "P-256": ECKey.generate_key("P-256")}


@pytest.mark.parametrize("curve", HUBS)
@settings(deadline=None, max_examples=25)
@given(plaintext=st.binary(max_size=3000))
def test_what_is_sealed_opens_for_the_hub_and_for_it_alone(curve: str, plaintext: bytes) -> None:
    hub = HUBS[curve]
    sealed = seal(plaintext, KIOSK, public_half(hub))
    assert HubKeys(hub, [KIOSK.public()]).unseal(sealed) == plaintext
    with pytest.raises(UnsealError):
        HubKeys(OTHER_HUBS[curve], [KIOSK.public()]).unseal(sealed)


def public_half(hub: HubKey) -> HubKey:
    return type(hub).import_key(hub.as_dict(private=False))


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_any_changed_bit_is_noticed(data: st.DataObject) -> None:
    parts = [
        base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        for part in seal(b"templates of two fingers", KIOSK, public_half(HUBS["X25519"])).split(".")
    ]
    which = data.draw(st.integers(0, len(parts) - 1))
    bit = data.draw(st.integers(0, 8 * len(parts[which]) - 1))
    parts[which] = bytes(byte ^ (1 << bit % 8) * (place == bit // 8) for place, byte in enumerate(parts[which]))
    changed = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    with pytest.raises(UnsealError):
        HubKeys(HUBS["X25519"], [KIOSK.public()]).unseal(changed)


@pytest.mark.parametrize("token", ["", ".", "....", "a.b.c", "a.b.c.d.e", "\u20ac" * 5])
def test_what_is_no_token_is_not_opened(token: str) -> None:
    with pytest.raises(UnsealError):
        HubKeys(HUBS["X25519"]).unseal(token)


def test_a_kiosk_that_the_hub_does_not_know_is_not_believed() -> None:
    sealed = seal(b"x", OTHER_KIOSK, public_half(HUBS["X25519"]))
    with pytest.raises(UnsealError, match="not signed by a known kiosk"):
        HubKeys(HUBS["X25519"], [KIOSK.public()]).unseal(sealed)


def test_a_signature_under_anothers_id_is_not_believed() -> None:
    forger = KioskKey(Ed25519PrivateKey.generate())
    forger.key_id = KIOSK.key_id
    with pytest.raises(UnsealError):
        HubKeys(HUBS["X25519"], [KIOSK.public()]).unseal(seal(b"x", forger, public_half(HUBS["X25519"])))


def test_the_plaintext_and_the_signature_cannot_be_read_on_the_way() -> None:
    sealed = seal(b"a template", KIOSK, public_half(HUBS["X25519"]))
    header, *_ = sealed.split(".")
    assert KIOSK.key_id not in sealed
    assert len(sealed.split(".")) == 5  # a JWE; the JWS is inside
    assert "YSB0ZW1wbGF0ZQ" not in sealed
    assert header


def test_the_simulated_hub_makes_its_key_once_and_publishes_half_of_it(tmp_path: Path) -> None:
    path = tmp_path / "hub.json"
    first = HubKeys.load_or_make(path, [KIOSK.public()])
    again = HubKeys.load_or_make(path, [KIOSK.public()])
    sealed = seal(b"x", KIOSK, load_hub_key(tmp_path / "hub.pub.json"))
    assert first.unseal(sealed) == again.unseal(sealed) == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# X25519 points of small order, in which every agreement gives zero (RFC 7748, 6.1, and the list of D. J. Bernstein).
SMALL_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 20).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 18).to_bytes(32, "little"),
]


@pytest.mark.parametrize("point", SMALL_ORDER, ids=range(len(SMALL_ORDER)))
def test_a_hub_key_that_nothing_can_be_encrypted_to_is_refused_before_the_first_enrolment(
    tmp_path: Path, point: bytes
) -> None:
    path = tmp_path / "hub.jwk"
    x = base64.urlsafe_b64encode(point).rstrip(b"=").decode()
    path.write_text(json.dumps({"kty": "OKP", "crv": "X25519", "x": x}))
    with pytest.raises(ConfigError, match=r"hub\.jwk: nothing can be encrypted to this key"):
        check_hub_key(load_hub_key(path), path)


@pytest.mark.parametrize("curve", HUBS)
def test_a_good_hub_key_passes_the_trial(curve: str) -> None:
    check_hub_key(public_half(HUBS[curve]), Path("hub.jwk"))
