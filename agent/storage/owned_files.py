"""Opens the agent's own files so that no other account decides which file is opened, or what is in it.

The state directory belongs to the agent's account. A file in it is opened from a handle on its folder and never through
a symbolic link, and must be a plain file of the account that runs. A file of another account is refused, because the
daemon could not open it at its next start, or because the other account wrote it; the message has the `chown` to run.
"""

import errno
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import ConfigError

_PARTS = ("", "-wal", "-shm", "-journal", ".new", ".plain")
# The agent's files in the state directory. Others there, such as somebody's copy of the outbox, are not looked at.
FILES = frozenset(
    {"agent.lock", "outbox.reserve", "outbox.reserve.new"}
    | {"development-kiosk-key.pem", "development-kiosk-key.new", "development-store-key", "development-store-key.new"}
    | {"development-list-key.pem", "development-list-key.new"}
    | {f"{store}.db{part}" for store in ("outbox", "watchlist") for part in _PARTS}
)
KEY_BYTES = 64 * 1024  # a key or a certificate is smaller

# Neither through a symbolic link, nor waiting for the other end of a pipe.
_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_LINKS = "is a symbolic link: remove it; the agent opens none in its own directory"


class OwnershipError(ConfigError):
    """A file belongs to another account, or others may read or change it. A restart cannot help: a person must."""


def check_ownership(folder: Path) -> None:
    """OwnershipError if the state directory or a file of the agent in it is not this account's. It may be missing."""
    try:
        found = folder.stat()
        _refuse_owner(folder, found.st_uid)
        if found.st_mode & 0o022:
            raise OwnershipError(f"{folder}: other accounts may write here: chmod go-w {shlex.quote(str(folder))}")
        owners = {path: path.lstat().st_uid for path in sorted(folder.iterdir()) if path.name in FILES}
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be read: {error.strerror}") from error
    foreign = [path for path, owner in owners.items() if owner != found.st_uid]
    if foreign:
        raise OwnershipError(_foreign(foreign, owners[foreign[0]]))


def open_owned(path: Path, *, create: bool) -> int:
    """A descriptor of a plain file of this account, for reading and writing, with mode 0600.

    With `create` the file and its folders are made, private. FileNotFoundError and other OSErrors pass through;
    OwnershipError for a link, for anything but a plain file, and for a file of another account.
    """
    if create:
        _make_folders(path.parent)
    with _folder(path) as folder:
        descriptor = _open(path, os.O_RDWR | (os.O_CREAT if create else 0), folder)
    try:
        _check_plain(path, os.fstat(descriptor))
        _refuse_owner(path, os.fstat(descriptor).st_uid)
        os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_owned(path: Path, *, create: bool) -> None:
    """As open_owned(), for a file that a library opens afterwards. Does not open a file that exists.

    Closing a file drops all POSIX locks that the process has on it: those of its databases, too.
    """
    try:
        with _folder(path) as folder:
            descriptor = os.open(path.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
        os.close(open_owned(path, create=True))
        return
    try:
        found = os.fstat(descriptor)
        if stat.S_ISLNK(found.st_mode):
            raise OwnershipError(f"{path}: {_NO_LINKS}")
        _check_plain(path, found)
        _refuse_owner(path, found.st_uid)
        if stat.S_IMODE(found.st_mode) != 0o600:
            os.chmod(f"/proc/self/fd/{descriptor}", 0o600)  # noqa: PTH101 - of the file that was checked
    finally:
        os.close(descriptor)


def read_secret(path: Path, *, others: int = 0o077, owned: bool = False) -> bytes:
    """The contents of a file with a private key. ConfigError if it cannot be read, is too large or is no plain file.

    OwnershipError if an account other than this one and root may read it (the mode bits `others`) or owns it. With
    `owned` it must be this account's own, and not a symbolic link: for a file in the state directory.
    """
    content, found = _read(path, follow=not owned)
    if found.st_uid not in ({os.geteuid()} if owned else {0, os.geteuid()}):
        raise OwnershipError(_foreign([path], found.st_uid))
    if found.st_mode & others:
        name, us = shlex.quote(str(path)), account_name(os.geteuid())
        give = "" if found.st_uid == os.geteuid() else f"chown {us}: {name} && "  # else nobody but root could read it
        raise OwnershipError(
            f"{path}: others may read or change this private key: {give}chmod 600 {name}; "
            "if it was readable for long, replace the key"
        )
    return content


def read_public(path: Path, most: int = KEY_BYTES) -> bytes:
    """The contents of a file with public keys or a certificate. OwnershipError if everybody may change it."""
    content, found = _read(path, follow=True, most=most)
    if found.st_mode & 0o002:
        raise OwnershipError(f"{path}: everybody may change this file: chmod o-w {shlex.quote(str(path))}")
    return content


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class WatchedFile:
    """Notices that a file was deleted or replaced after it was opened: who has it open still uses the old one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity = self._now()

    @property
    def replaced(self) -> bool:
        """Whether the name now leads to no file, or to another one."""
        return self._now() != self._identity

    def _now(self) -> tuple[int, int] | None:
        try:
            found = os.lstat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


def account_name(uid: int) -> str:
    """The name of an account; its number if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _read(path: Path, *, follow: bool, most: int = KEY_BYTES) -> tuple[bytes, os.stat_result]:
    flags = os.O_RDONLY | (_SAFE & ~os.O_NOFOLLOW if follow else _SAFE)
    try:
        with _folder(path) as folder:
            descriptor = _open(path, flags, folder)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            _check_plain(path, found)
            content = file.read(most + 1)
    except OSError as error:
        account = account_name(os.geteuid())
        denied = f" for the account {account}" if error.errno == errno.EACCES else ""
        raise ConfigError(f"{path}: cannot be read: {error.strerror}{denied}") from error
    if len(content) > most:
        raise ConfigError(f"{path}: is too large for a key or a certificate (more than {most // 1024} KiB)")
    return content, found


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    """A handle on the folder of a file: what is opened from it stays in it, even if the folder is replaced."""
    handle = os.open(path.parent, os.O_DIRECTORY | os.O_PATH | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


def _open(path: Path, flags: int, folder: int) -> int:
    """Open a file from the handle of its folder, and say what a symbolic link or another account is."""
    try:
        return os.open(path.name, flags | (0 if flags & os.O_ACCMODE == os.O_RDONLY else _SAFE), 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OwnershipError(f"{path}: {_NO_LINKS}") from error
        if error.errno == errno.EACCES and flags & os.O_ACCMODE == os.O_RDWR:
            _refuse_owner(path, os.lstat(path.name, dir_fd=folder).st_uid)
        raise


def _check_plain(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OwnershipError(f"{path}: is not a plain file: remove it, or name another one")


def _refuse_owner(path: Path, owner: int) -> None:
    if owner == os.geteuid():
        return
    if owner != 0 and path.is_dir():
        us, them = account_name(os.geteuid()), account_name(owner)
        raise OwnershipError(
            f"{path}: belongs to the account {them}, but this is {us}: run the command as {them} or as root"
        )
    raise OwnershipError(_foreign([path], owner))


def _foreign(paths: list[Path], owner: int) -> str:
    """What is wrong with the owner of files, and the command that corrects it."""
    us = account_name(os.geteuid())
    names = " ".join(shlex.quote(str(path)) for path in paths)
    return (
        f"{paths[0]}: belongs to the account {account_name(owner)}, not to {us}, as which the agent runs: "
        f"run `chown --no-dereference {us}: {names}` as root, then start the agent again"
    )


def _make_folders(folder: Path) -> None:
    """Make missing folders with mode 0700, whatever the umask."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
