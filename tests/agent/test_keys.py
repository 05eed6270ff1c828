"""Keys are loaded from the right place; anything else in their place is refused and named."""

import json
import os
import ssl
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)
from joserfc.jwk import ECKey, OKPKey

from agent.config import Config, TlsConfig
from agent.errors import ConfigError
from agent.keys import (
    CREDENTIAL,
    DEVELOPMENT_FILE,
    LIST_CREDENTIAL,
    LIST_DEVELOPMENT_FILE,
    STORE_CREDENTIAL,
    STORE_DEVELOPMENT_FILE,
    HubKey,
    KeyMissing,
    KioskKey,
    ListKey,
    keep_development_store_key,
    load_hub_key,
    load_kiosk_key,
    load_kiosk_key_file,
    load_list_key,
    load_list_key_file,
    load_store_key,
    published_list_key,
    tls_context,
)
from agent.storage.encryption import StoreKey
from tests.rigs.certificates import Authority

KIOSK = KioskKey(Ed25519PrivateKey.generate())
HUBS: dict[str, HubKey] = {"X25519": OKPKey.generate_key("X25519"), "P-256": ECKey.generate_key("P-256")}


def pem(key: Ed25519PrivateKey, encryption: KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def jwk_file(folder: Path, content: object) -> Path:
    path = folder / "hub.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# -- the kiosk key


def test_the_credential_of_systemd_comes_first(tmp_path: Path) -> None:
    credential = Ed25519PrivateKey.generate()
    (tmp_path / CREDENTIAL).write_bytes(pem(credential))
    state = tmp_path / "state"
    key = load_kiosk_key(state, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert key.key_id == KioskKey(credential).key_id
    assert not state.exists()


def test_without_one_a_development_key_is_made_once_private_and_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    first = load_kiosk_key(state, {})
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "development only" in caplog.text
    assert stat.S_IMODE((state / DEVELOPMENT_FILE).stat().st_mode) == 0o600
    assert load_kiosk_key(state, {}).key_id == first.key_id
    assert [file.name for file in state.iterdir()] == [DEVELOPMENT_FILE]


STARTED_BY_SYSTEMD = {
    "notify": {"NOTIFY_SOCKET": "/run/systemd/notify"},
    "invocation": {"INVOCATION_ID": "0123"},
    "process": {"INVOCATION_ID": "0123", "SYSTEMD_EXEC_PID": str(os.getpid())},
}


@pytest.mark.parametrize("how", STARTED_BY_SYSTEMD)
def test_under_systemd_no_development_key_is_made_unless_the_configuration_says_so(tmp_path: Path, how: str) -> None:
    with pytest.raises(ConfigError, match=r"the unit has no credential; .*LoadCredential=kiosk-key:FILE"):
        load_kiosk_key(tmp_path / "state", STARTED_BY_SYSTEMD[how])
    load_kiosk_key(tmp_path / "state", STARTED_BY_SYSTEMD[how], development=True)
    with pytest.raises(ConfigError, match=r"kiosk\.development_key = true"):  # also if there is one already
        load_kiosk_key(tmp_path / "state", STARTED_BY_SYSTEMD[how])


def test_a_misspelt_credential_is_no_development_key(tmp_path: Path) -> None:
    (tmp_path / "kiosk-kye").write_bytes(pem(Ed25519PrivateKey.generate()))
    with pytest.raises(ConfigError, match=r"no kiosk key 'kiosk-key': the unit has the credentials kiosk-kye; give"):
        load_kiosk_key(tmp_path / "state", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    (tmp_path / "kiosk-kye").unlink()
    with pytest.raises(ConfigError, match=r"the credentials \(none\)"):
        load_kiosk_key(tmp_path / "state", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert not (tmp_path / "state").exists()


def test_a_shell_below_a_service_of_the_desktop_is_not_started_by_systemd(tmp_path: Path) -> None:
    environ = {"INVOCATION_ID": "0123", "SYSTEMD_EXEC_PID": "1"}
    assert load_kiosk_key(tmp_path, environ).key_id == load_kiosk_key(tmp_path, environ, create=False).key_id


def test_a_command_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing, match="only the daemon has it"):
        load_kiosk_key(tmp_path, {}, create=False)
    assert list(tmp_path.iterdir()) == []


# -- the store key

HEX = "00112233445566778899aabbccddeeff" * 2
RAW = bytes(range(150, 182))


@pytest.mark.parametrize(
    ("content", "secret"),
    [(HEX.encode(), bytes.fromhex(HEX)), (HEX.upper().encode() + b"\n", bytes.fromhex(HEX)), (RAW, RAW)],
    ids=["digits", "capitals and a line end", "bytes"],
)
def test_the_store_key_is_the_credential(tmp_path: Path, content: bytes, secret: bytes) -> None:
    (tmp_path / STORE_CREDENTIAL).write_bytes(content)
    (tmp_path / STORE_CREDENTIAL).chmod(0o440)  # as systemd makes it
    key = load_store_key(tmp_path / "state", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert key == StoreKey(secret)
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"correct horse battery staple",
        b"abcdefghijklmnopqrstuvwxyz012345",
        HEX.encode()[:-1],
        HEX.encode() * 2,
        RAW + b"\n",
        b"0" * 64,
        bytes(32),
        b"\xff" * 32,
    ],
)
def test_what_is_no_random_key_of_32_bytes_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STORE_CREDENTIAL).write_bytes(content)
    with pytest.raises(ConfigError, match=r"store-key: is .*no store key: .*openssl rand -hex 32") as refusal:
        load_store_key(tmp_path / "state", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert len(content) < 2 or content.decode("latin-1") not in str(refusal.value)


def test_without_a_credential_the_daemon_makes_a_store_key_once_and_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = load_store_key(tmp_path / "state", {})
    assert load_store_key(tmp_path / "state", {}, create=False) == first != load_store_key(tmp_path / "other", {})
    file = tmp_path / "state" / STORE_DEVELOPMENT_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "LoadCredential=store-key:FILE" in caplog.messages[0]
    assert first.secret.hex() not in caplog.text


def test_under_systemd_no_store_key_is_made_unless_the_configuration_says_so(tmp_path: Path) -> None:
    environ = STARTED_BY_SYSTEMD["notify"]
    for encrypted in (False, True):
        with pytest.raises(
            ConfigError, match=r"no store key 'store-key': the unit has no credential; .*store-key:FILE"
        ):
            load_store_key(tmp_path, environ, encrypted=encrypted)
    load_store_key(tmp_path, environ, development=True)
    with pytest.raises(ConfigError, match=r"kiosk\.development_key = true"):  # also if there is one already
        load_store_key(tmp_path, environ, encrypted=True)


def test_a_store_key_is_not_made_again_for_stores_that_are_encrypted(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing, match="there is no store key here"):
        load_store_key(tmp_path, {}, encrypted=True)
    assert list(tmp_path.iterdir()) == []


# -- the list key


def list_pem(key: X25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def config_of(state: Path, source: str) -> Config:
    kiosk = {"site": "s", "name": "k", "state_dir": state}
    sensors = {"finger": {"driver": "ef01", "url": "serial:/dev/null"}}
    plan = {"steps": [{"sensor": "finger", "position": "right_index"}]}
    lists = {"source": source, "root": "/root.json"}
    return Config.model_validate({"kiosk": kiosk, "sensors": sensors, "plan": plan, "watchlist": lists})


def test_the_list_key_is_the_credential(tmp_path: Path) -> None:
    private = X25519PrivateKey.generate()
    (tmp_path / LIST_CREDENTIAL).write_bytes(list_pem(private))
    key = load_list_key(tmp_path / "state", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert key.key_id == ListKey(private).key_id == OKPKey.import_key(key.public()).thumbprint()
    assert not (tmp_path / "state").exists()


def test_the_public_list_key_says_what_it_is_for_and_nothing_private() -> None:
    private = X25519PrivateKey.generate()
    key = ListKey(private)
    assert key.published() == {"kid": key.key_id, "jwk": key.public()}
    assert key.public().keys() == {"kty", "crv", "x", "kid", "use", "alg"}
    assert (key.public()["crv"], key.public()["use"], key.public()["alg"]) == ("X25519", "enc", "ECDH-ES+A256KW")
    assert repr(key) == f"<ListKey {key.key_id}>"


def test_without_a_credential_the_daemon_makes_a_list_key_once_and_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = load_list_key(tmp_path, {})
    assert load_list_key(tmp_path, {}, create=False).key_id == first.key_id
    assert stat.S_IMODE((tmp_path / LIST_DEVELOPMENT_FILE).stat().st_mode) == 0o600
    assert "LoadCredential=list-key:FILE" in caplog.messages[0]
    assert load_list_key_file(tmp_path / LIST_DEVELOPMENT_FILE).key_id == first.key_id


def test_under_systemd_no_list_key_is_made_unless_the_configuration_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no list key 'list-key': the unit has no credential"):
        load_list_key(tmp_path, STARTED_BY_SYSTEMD["notify"])
    load_list_key(tmp_path, STARTED_BY_SYSTEMD["notify"], development=True)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"secret", "is not an unencrypted private key in PEM"), (pem(Ed25519PrivateKey.generate()), "not an X25519 key")],
)
def test_another_list_key_is_refused_and_not_quoted(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / LIST_CREDENTIAL).write_bytes(content)
    with pytest.raises(ConfigError, match=reason) as refusal:
        load_list_key(tmp_path / "state", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert content.decode() not in str(refusal.value)


def test_the_public_list_key_of_a_kiosk_is_published_only_where_lists_are_fetched(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"watchlist\.source is not set"):
        published_list_key(config_of(tmp_path, ""))
    with pytest.raises(KeyMissing, match="there is no list key here; only the daemon has it"):
        published_list_key(config_of(tmp_path, "/lists"))
    made = load_list_key(tmp_path, {})
    assert published_list_key(config_of(tmp_path, "/lists")) == made.published()


def test_the_development_key_is_no_link_to_another_file(tmp_path: Path) -> None:
    (tmp_path / "other.pem").touch(0o600)
    (tmp_path / DEVELOPMENT_FILE).symlink_to(tmp_path / "other.pem")
    with pytest.raises(ConfigError, match="is a symbolic link"):
        load_kiosk_key(tmp_path, {})


@pytest.mark.parametrize("systemd", [True, False])
def test_every_start_with_a_development_key_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, systemd: object
) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)} if systemd else {}
    for start in (1, 2, 3):
        load_kiosk_key(tmp_path / "state", environ, development=True)
        assert [r.levelname for r in caplog.records] == ["WARNING"] * start
    assert "development only" in caplog.records[-1].getMessage()
    assert f"LoadCredential={CREDENTIAL}" in caplog.records[-1].getMessage()


def test_a_place_where_no_key_can_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    with pytest.raises(ConfigError, match=r"development-kiosk-key\.pem: the kiosk key cannot be written"):
        load_kiosk_key(tmp_path / "state", {})


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    load_kiosk_key(tmp_path, {})
    (tmp_path / DEVELOPMENT_FILE).chmod(0o640)
    with pytest.raises(ConfigError, match="others may read"):
        load_kiosk_key(tmp_path, {})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not an unencrypted private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not an unencrypted private key"),
        (pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"x")), "not an unencrypted private key"),
        (
            generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "not an Ed25519 key",
        ),
    ],
    ids=["empty", "garbage", "encrypted", "rsa"],
)
def test_another_file_in_its_place_is_refused_and_not_quoted(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / CREDENTIAL).write_bytes(content)
    with pytest.raises(ConfigError, match=says) as refusal:
        load_kiosk_key(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert str(tmp_path / CREDENTIAL) in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_the_id_is_the_thumbprint_of_the_public_half_and_nothing_shows_the_private_one() -> None:
    public = KIOSK.public()
    assert "d" not in public
    assert OKPKey.import_key(public).thumbprint() == KIOSK.key_id == public["kid"]
    assert str(KIOSK.jwk.as_dict(private=True)["d"]) not in repr(KIOSK)


# -- the hub's key


@pytest.mark.parametrize("curve", HUBS)
def test_the_hubs_public_key_is_read(tmp_path: Path, curve: str) -> None:
    loaded = load_hub_key(jwk_file(tmp_path, HUBS[curve].as_dict(private=False)))
    assert loaded.thumbprint() == HUBS[curve].thumbprint()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is not a public key"),
        ("[]", "is not a public key"),
        ('{"kty":"OKP"}', "is not a public key"),
        ('{"kty":"OKP","crv":"X25519","x":"AAAA"}', "is not a public key"),
        (OKPKey.generate_key("Ed25519").as_dict(private=False), "is not a public key"),
        (ECKey.generate_key("P-521").as_dict(private=False), "is not a public key"),
        (HUBS["X25519"].as_dict(private=True), "private key, which must never be on a kiosk"),
    ],
)
def test_another_key_in_its_place_is_refused(tmp_path: Path, content: object, says: str) -> None:
    path = jwk_file(tmp_path, content)
    with pytest.raises(ConfigError, match=says) as refusal:
        load_hub_key(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"use": "sig"}, r"not for encryption \(use is 'sig'\)"),
        ({"key_ops": ["verify"]}, r"key_ops is \['verify'\]"),
        ({"alg": "ES256"}, r"alg is 'ES256'"),
        ({"alg": "RSA-OAEP"}, r"alg is 'RSA-OAEP'"),
    ],
)
@pytest.mark.parametrize("curve", HUBS)
def test_a_hub_key_for_something_else_is_refused(
    tmp_path: Path, curve: str, about: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        load_hub_key(jwk_file(tmp_path, HUBS[curve].as_dict(private=False) | about))


def test_brackets_without_end_are_no_hub_key(tmp_path: Path) -> None:
    path = tmp_path / "hub.json"
    path.write_text("[" * 30_000)
    with pytest.raises(ConfigError, match="is not a public key as a JWK"):
        load_hub_key(path)


@pytest.mark.parametrize(
    "about", [{"use": "enc"}, {"key_ops": []}, {"key_ops": ["deriveBits"]}, {"alg": "ECDH-ES+A256KW"}]
)
def test_a_hub_key_that_says_that_it_is_for_encryption_is_read(tmp_path: Path, about: dict[str, object]) -> None:
    load_hub_key(jwk_file(tmp_path, HUBS["X25519"].as_dict(private=False) | about))


def test_the_public_key_is_given_as_id_jwk_and_pem(tmp_path: Path) -> None:
    (path := tmp_path / "kiosk-key.pem").write_bytes(pem(private := Ed25519PrivateKey.generate()))
    path.chmod(0o600)
    published = load_kiosk_key_file(path).published()
    assert OKPKey.import_key(published["jwk"]).thumbprint() == published["kid"] == KioskKey(private).key_id
    assert "d" not in published["jwk"]
    assert load_pem_public_key(published["pem"].encode()) == private.public_key()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hub\.json: cannot be read"):
        load_hub_key(tmp_path / "hub.json")


# -- TLS


def test_a_tls_context_demands_the_brokers_certificate_and_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("kiosk")
    context = tls_context(TlsConfig(ca=authority.path, certificate=certificate, key=key))
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_tls_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("kiosk")
    key.chmod(0o644)
    with pytest.raises(ConfigError, match=f"{key}: others may read or change this private key: chmod 600"):
        tls_context(TlsConfig(ca=authority.path, certificate=certificate, key=key))


@pytest.mark.parametrize("wrong", ["ca", "certificate", "key", "another's key", "encrypted key"])
def test_unfit_tls_files_are_named(tmp_path: Path, wrong: str) -> None:
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("kiosk")
    _, other_key = authority.issue("other")
    for private in ("bad.pem", "sealed.pem"):
        (tmp_path / private).touch(0o600)
    (bad := tmp_path / "bad.pem").write_text("not PEM")
    (sealed := tmp_path / "sealed.pem").write_bytes(
        pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"secret"))
    )
    files = {"ca": authority.path, "certificate": certificate, "key": key}
    files |= {
        "ca": {"ca": bad},
        "certificate": {"certificate": bad},
        "key": {"key": bad},
        "another's key": {"key": other_key},
        "encrypted key": {"key": sealed},
    }[wrong]
    with pytest.raises(ConfigError, match=str(tmp_path)):
        tls_context(TlsConfig(**files))


def test_a_development_store_key_that_was_deleted_is_written_again(tmp_path: Path) -> None:
    key = load_store_key(tmp_path, {})
    (tmp_path / STORE_DEVELOPMENT_FILE).unlink()
    keep_development_store_key(tmp_path, key, {})
    assert load_store_key(tmp_path, {}, create=False) == key
    before = (tmp_path / STORE_DEVELOPMENT_FILE).stat()
    keep_development_store_key(tmp_path, key, {})
    assert (tmp_path / STORE_DEVELOPMENT_FILE).stat().st_ino == before.st_ino


def test_a_store_key_of_systemd_is_never_written_into_the_state_directory(tmp_path: Path) -> None:
    (tmp_path / STORE_CREDENTIAL).write_text("0123456789abcdef" * 4)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    keep_development_store_key(tmp_path / "state", load_store_key(tmp_path / "state", environ), environ)
    assert not (tmp_path / "state").exists()
