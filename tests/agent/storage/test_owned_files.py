"""The agent's own files: plain, private, of its account; links, pipes and files of others are refused by name."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.storage.owned_files import (
    KEY_BYTES,
    OwnershipError,
    WatchedFile,
    account_name,
    check_owned,
    check_ownership,
    open_owned,
    read_public,
    read_secret,
    sync,
)
from tests.rigs.other_account import OTHER, as_other, as_root, give_to_other


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def private(path: Path, content: bytes = b"key") -> Path:
    path.touch(0o600)
    path.write_bytes(content)
    return path


# -- a file in the state directory


def opened(path: Path, *, create: bool) -> None:
    os.close(open_owned(path, create=create))


# For a file that this process opens itself, and for one that a library opens.
BOTH = pytest.mark.parametrize("check", [opened, check_owned])
Check = Callable[..., None]


@BOTH
def test_a_file_and_its_folders_are_made_private(tmp_path: Path, check: Check) -> None:
    path = tmp_path / "a" / "b" / "outbox.db"
    check(path, create=True)
    assert (mode(path), mode(path.parent), mode(path.parent.parent)) == (0o600, 0o700, 0o700)
    path.chmod(0o666)
    check(path, create=False)
    assert mode(path) == 0o600


@BOTH
def test_without_create_nothing_is_made(tmp_path: Path, check: Check) -> None:
    with pytest.raises(FileNotFoundError):
        check(tmp_path / "state" / "outbox.db", create=False)
    assert list(tmp_path.iterdir()) == []


@BOTH
@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_is_refused_and_its_target_is_neither_made_nor_changed(
    tmp_path: Path, create: object, there: object, check: Check
) -> None:
    target, link = tmp_path / "target", tmp_path / "outbox.db"
    link.symlink_to(target)
    if there:
        target.write_text("precious")
        target.chmod(0o644)
    with pytest.raises(OwnershipError, match=r"outbox\.db: is a symbolic link: remove it"):
        check(link, create=bool(create))
    assert target.exists() == there
    assert not there or (target.read_text(), mode(target)) == ("precious", 0o644)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / "outbox.db")
    for check in (opened, check_owned):
        with pytest.raises(OwnershipError, match="is not a plain file"):
            check(path, create=True)
    for read in (read_secret, read_public):
        with pytest.raises(OwnershipError, match="is not a plain file"):
            read(path)


@BOTH
def test_a_file_of_another_account_is_refused_with_the_command_that_corrects_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: Check
) -> None:
    path = private(tmp_path / "out box.db")
    us = account_name(os.geteuid())
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    with pytest.raises(OwnershipError) as refused:
        check(path, create=False)
    command = f"run `chown --no-dereference {OTHER}: '{path}'` as root"
    assert f"belongs to the account {us}, not to {OTHER}" in str(refused.value)
    assert command in str(refused.value)


@as_root
@BOTH
def test_the_other_account_is_named_also_if_the_file_cannot_be_opened(tmp_path: Path, check: Check) -> None:
    path = private(tmp_path / "outbox.db")
    give_to_other(tmp_path)
    with pytest.raises(OwnershipError, match=f"belongs to the account root, not to {OTHER}"):
        as_other(check, path, create=True)


@as_root
@BOTH
def test_a_folder_that_does_not_let_this_account_in_is_no_matter_of_the_owner(tmp_path: Path, check: Check) -> None:
    path = private(tmp_path / "outbox.db")
    give_to_other(path)
    tmp_path.chmod(0o700)
    with pytest.raises(PermissionError):
        as_other(check, path, create=False)


# -- the state directory


def test_a_state_directory_that_does_not_exist_yet_is_good(tmp_path: Path) -> None:
    check_ownership(tmp_path / "state")


def test_what_is_no_directory_is_named(tmp_path: Path) -> None:
    (path := tmp_path / "state").write_text("a file")
    with pytest.raises(ConfigError, match="state: cannot be read: Not a directory"):
        check_ownership(path)


def test_others_may_not_write_in_the_state_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    with pytest.raises(OwnershipError, match="other accounts may write here: chmod go-w"):
        check_ownership(tmp_path)


@as_root
def test_files_of_root_are_found_before_the_start_and_all_are_named(tmp_path: Path) -> None:
    os.chown(tmp_path, OTHER, OTHER)
    names = ["development-kiosk-key.pem", "outbox.db", "outbox.db-wal", "outbox.reserve", "watchlist.db", "agent.lock"]
    for name in [*names, "notes-of-root.txt", "outbox.db.bak", "watchlist.old.db"]:
        private(tmp_path / name)
    give_to_other(tmp_path)
    with pytest.raises(OwnershipError) as refused:
        as_other(check_ownership, tmp_path)
    paths = " ".join(str(tmp_path / name) for name in sorted(names))
    assert f"`chown --no-dereference {OTHER}: {paths}`" in str(refused.value)
    for name in names:
        os.chown(tmp_path / name, OTHER, OTHER)
    as_other(check_ownership, tmp_path)


@as_root
def test_a_directory_of_root_must_be_given_to_the_account(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(OwnershipError, match=f"chown --no-dereference {OTHER}: {tmp_path}"):
        as_other(check_ownership, tmp_path)


def test_a_directory_of_another_account_needs_that_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        give_to_other(tmp_path)
    them = account_name(tmp_path.stat().st_uid)
    monkeypatch.setattr(os, "geteuid", lambda: OTHER + 1)
    with pytest.raises(
        OwnershipError, match=f"belongs to the account {them}, but this is {OTHER + 1}: run the command"
    ):
        check_ownership(tmp_path)


# -- keys


@pytest.mark.parametrize("bits", [0o604, 0o640, 0o602, 0o620, 0o644])
def test_a_private_key_that_others_may_read_or_change_is_refused(tmp_path: Path, bits: int) -> None:
    path = private(tmp_path / "kiosk.key")
    assert read_secret(path) == b"key"
    path.chmod(bits)
    with pytest.raises(OwnershipError, match=f"others may read or change this private key: chmod 600 {path}"):
        read_secret(path)
    assert read_secret(path, others=0) == b"key"


@as_root
def test_a_key_of_root_that_the_group_may_read_must_also_be_given_to_the_account(tmp_path: Path) -> None:
    path = private(tmp_path / "kiosk.key")
    os.chown(path, 0, OTHER)
    path.chmod(0o640)
    tmp_path.chmod(0o755)
    with pytest.raises(OwnershipError, match=f": chown {OTHER}: {path} && chmod 600 {path};"):
        as_other(read_secret, path)


@as_root
def test_a_private_key_of_another_account_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path / "kiosk.key")
    os.chown(path, OTHER, OTHER)
    with pytest.raises(OwnershipError, match=f"belongs to the account {OTHER}, not to root"):
        read_secret(path)


@as_root
def test_a_private_key_that_this_account_cannot_read_names_the_account(tmp_path: Path) -> None:
    path = private(tmp_path / "kiosk.key")
    tmp_path.chmod(0o711)
    give_to_other(private(tmp_path / "x"))
    with pytest.raises(ConfigError, match=f"cannot be read: Permission denied for the account {OTHER}"):
        as_other(read_secret, path)


def test_a_key_of_the_state_directory_is_no_link_but_another_key_may_be(tmp_path: Path) -> None:
    (link := tmp_path / "link.pem").symlink_to(private(tmp_path / "key.pem"))
    assert read_secret(link) == b"key"
    with pytest.raises(OwnershipError, match="is a symbolic link"):
        read_secret(link, owned=True)


def test_a_missing_or_endless_key_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.pem: cannot be read: No such file"):
        read_public(tmp_path / "nothing.pem")
    with pytest.raises(ConfigError, match="too large for a key"):
        read_public(private(tmp_path / "much.pem", bytes(KEY_BYTES + 1)))
    with pytest.raises(OwnershipError, match="is not a plain file"):
        read_public(Path("/dev/zero"))


def test_a_public_key_that_everybody_may_change_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path / "hub.jwk")
    path.chmod(0o644)
    assert read_public(path) == b"key"
    path.chmod(0o646)
    with pytest.raises(OwnershipError, match=f"everybody may change this file: chmod o-w {path}"):
        read_public(path)


# -- files that vanish


def test_a_file_that_is_deleted_or_replaced_is_noticed(tmp_path: Path) -> None:
    path = private(tmp_path / "outbox.db")
    watched = WatchedFile(path)
    path.write_bytes(b"more")
    sync(path)
    assert not watched.replaced
    private(tmp_path / "new").rename(path)
    assert watched.replaced
    path.unlink()
    assert watched.replaced


def test_an_account_without_a_name_has_its_number() -> None:
    assert (account_name(0), account_name(OTHER)) == ("root", str(OTHER))
