from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from simulators.provider.errors import ProviderError
from simulators.provider.keys import KeyFolders, make_keys


def write_key(
    path: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, encryption: KeySerializationEncryption
) -> None:
    path.touch(0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))


def test_keys_are_private_files_named_by_their_role(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    make_keys(folder, "root", 2)
    make_keys(folder, "root", 1)
    assert sorted(path.name for path in folder.iterdir()) == ["root-1.pem", "root-2.pem", "root-3.pem"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())


def test_a_key_is_found_by_its_content_in_any_of_the_folders(tmp_path: Path) -> None:
    keys = [key.keyid for key in make_keys(tmp_path / "a", "root", 2)]
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "root-2.pem").rename(tmp_path / "b" / "another-name.pem")
    folders = KeyFolders([tmp_path / "a", tmp_path / "b"])
    assert [signer.public_key.keyid for signer in folders.signers("root", keys, 2)] == keys
    assert folders.has(keys, 2)


def test_fewer_keys_than_the_threshold_are_refused_with_what_to_do(tmp_path: Path) -> None:
    keys = [key.keyid for key in make_keys(tmp_path, "root", 2)]
    (tmp_path / "root-2.pem").unlink()
    folders = KeyFolders([tmp_path])
    with pytest.raises(ProviderError, match="root is signed with 2 of its 2 keys, and 1 are here") as caught:
        folders.signers("root", keys, 2)
    assert "--keys FOLDER" in str(caught.value)
    assert not folders.has(keys, 2)


def test_one_key_twice_is_one_key(tmp_path: Path) -> None:
    keys = [key.keyid for key in make_keys(tmp_path, "root", 2)]
    (tmp_path / "root-2.pem").write_bytes((tmp_path / "root-1.pem").read_bytes())
    with pytest.raises(ProviderError, match="1 are here"):
        KeyFolders([tmp_path]).signers("root", keys, 2)


def test_a_folder_that_is_not_there_has_no_keys(tmp_path: Path) -> None:
    assert not KeyFolders([tmp_path / "none"]).has(["id"], 1)


def test_what_is_no_usable_key_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "x.pem"
    path.touch(0o600)
    path.write_bytes(b"text")
    with pytest.raises(ProviderError, match=r"x\.pem: is not a private key"):
        KeyFolders([tmp_path]).has([], 1)
    write_key(path, ed25519.Ed25519PrivateKey.generate(), BestAvailableEncryption(b"word"))
    with pytest.raises(ProviderError, match=r"x\.pem: is not a private key without a password"):
        KeyFolders([tmp_path]).has([], 1)
    write_key(path, ec.generate_private_key(ec.SECP256R1()), NoEncryption())
    with pytest.raises(ProviderError, match=r"x\.pem: is not an Ed25519 key"):
        KeyFolders([tmp_path]).has([], 1)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    make_keys(tmp_path, "root", 1)
    (tmp_path / "root-1.pem").chmod(0o644)
    with pytest.raises(ProviderError, match=r"root-1\.pem"):
        KeyFolders([tmp_path]).has([], 1)
