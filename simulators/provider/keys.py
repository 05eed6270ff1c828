"""The private keys of a list repository: Ed25519, one PEM file each, mode 0600, in folders that the operator names.

A key is found by its content, never by the name of its file: the files may lie on different sticks, in any folder.
"""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, Key

from agent.errors import ConfigError
from agent.storage.owned_files import read_secret
from simulators.provider.errors import ProviderError, write_file


def make_keys(folder: Path, role: str, count: int) -> list[Key]:
    """Make new keys of a role in the folder, ROLE-1.pem and so on; returns their public halves."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = []
    for _ in range(count):
        signer = CryptoSigner.generate_ed25519()
        write_file(_free_name(folder, role), signer.private_bytes, 0o600)
        made.append(signer.public_key)
    return list[Key](made)


class KeyFolders:
    """All keys in some folders, read when they are needed. The folders may change between uses."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = tuple(folders)

    def signers(self, role: str, key_ids: Sequence[str], threshold: int) -> list[CryptoSigner]:
        """Those of the role's keys that are here. ProviderError if they are fewer than the threshold."""
        known = self._all()
        found = [known[key_id] for key_id in key_ids if key_id in known]
        if len(found) < threshold:
            places = ", ".join(map(str, self._folders))
            raise ProviderError(
                f"{role} is signed with {threshold} of its {len(key_ids)} keys, and {len(found)} are here ({places})",
                "insert the media with the others, and name the folder of each with --keys FOLDER",
            )
        return found

    def has(self, key_ids: Sequence[str], threshold: int) -> bool:
        """Whether enough of these keys are here."""
        return len(self._all().keys() & set(key_ids)) >= threshold

    def _all(self) -> dict[str, CryptoSigner]:
        signers = (_signer(path) for folder in self._folders for path in sorted(folder.glob("*.pem")))
        return {signer.public_key.keyid: signer for signer in signers}


def _signer(path: Path) -> CryptoSigner:
    try:
        key = load_pem_private_key(read_secret(path), None)
    except ConfigError as error:
        raise ProviderError(error) from error
    except (ValueError, TypeError) as error:  # TypeError: it is encrypted
        raise ProviderError(f"{path}: is not a private key without a password", "move it out of this folder") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ProviderError(f"{path}: is not an Ed25519 key", "move it out of this folder")
    return CryptoSigner(key)


def _free_name(folder: Path, role: str) -> Path:
    names = (folder / f"{role}-{number}.pem" for number in itertools.count(1))
    return next(path for path in names if not path.exists())
