"""Which account a command acts as. Root's commands act as the account that owns the state directory.

The agent's account may write to that directory, so what lies there must never tell root what to create or to change:
root gives up its rights before it opens anything in it. The files that a command makes then belong to the daemon's
account as well, which can open them at its next start.
"""

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agent.config import KioskConfig
from agent.errors import AgentError
from agent.storage.owned_files import account_name

ACCOUNT = "kiosk-agent"  # systemd/kiosk-agent.sysusers makes it
EXTRA_GROUPS = ("dialout",)  # as SupplementaryGroups= of the unit
STATE_DIR: Path = KioskConfig.model_fields["state_dir"].default


@dataclass(frozen=True, slots=True)
class Account:
    """The ids of an account, with the groups that the unit gives to it."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    @classmethod
    def of(cls, uid: int, gid: int) -> "Account":
        """The account with this user id; `gid` is its group if it is in no list of accounts."""
        groups = {gid}
        with suppress(KeyError):
            known = pwd.getpwuid(uid)
            gid = known.pw_gid
            groups = set(os.getgrouplist(known.pw_name, gid))
        for name in EXTRA_GROUPS:
            with suppress(KeyError):
                groups.add(grp.getgrnam(name).gr_gid)
        return cls(uid, gid, tuple(sorted(groups)))


def owner_of(state_dir: Path) -> Account | None:
    """The account that the agent runs as, if this process is root's and the agent is not; else None.

    The owner of the state directory; before the first start the account that the installation makes.
    """
    if os.geteuid() != 0:
        return None
    try:
        found = state_dir.stat()
    except OSError:
        if state_dir != STATE_DIR:
            return None
        try:
            known = pwd.getpwnam(ACCOUNT)
        except KeyError:
            return None
        return Account.of(known.pw_uid, known.pw_gid)
    return Account.of(found.st_uid, found.st_gid) if found.st_uid else None


def become_owner(state_dir: Path) -> None:
    """Make root's process one of the account that owns the state directory, for good. Others stay what they are.

    AgentError if the system does not let root do that, as in some containers.
    """
    account = owner_of(state_dir) if state_dir.exists() else None
    if account is None:
        return
    with _allowed(account):
        os.setgroups(account.groups)
        os.setgid(account.gid)
        os.setuid(account.uid)


@contextmanager
def acting_as(account: Account | None) -> Iterator[None]:
    """Act as this account for a while: what it may not read, cannot be read here. None changes nothing.

    AgentError if the system does not let root do that.
    """
    if account is None:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    try:
        with _allowed(account):
            os.setgroups(account.groups)
            os.setegid(account.gid)
            os.seteuid(account.uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        with suppress(PermissionError):  # where it could not be changed
            os.setgroups(groups)


@contextmanager
def _allowed(account: Account) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        name = account_name(account.uid)
        raise AgentError(
            f"the state directory belongs to the account {name}, and root cannot become it ({error.strerror}): "
            f"run the command as {name}"
        ) from error
