"""Root acts as the owner of the state directory: nothing in it makes root create or change a file elsewhere."""

import os
import pwd
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.__main__ import app
from agent.cli import account as module
from agent.cli.account import Account, acting_as, become_owner, owner_of
from agent.config import load
from agent.errors import AgentError, ConfigError
from agent.keys import load_kiosk_key
from agent.standalone import StandaloneKiosk
from drivers.ef01.driver import Ef01
from tests.rigs.other_account import OTHER, as_root, give_to_other, in_child
from tests.rigs.simulated_kiosk import CONFIG, config_of, make_stores

# Loaded before the child gives up root, because the libraries of this computer may belong to root alone.
NEEDED = (ThreadPoolExecutor, load_kiosk_key, StandaloneKiosk, Ef01)


@pytest.fixture(name="state")
def _state(tmp_path: Path) -> Path:
    """The state directory of the account OTHER."""
    (state := tmp_path / "state").mkdir(mode=0o700)
    give_to_other(state)
    return state


def ids() -> tuple[int, int, list[int]]:
    return os.geteuid(), os.getegid(), sorted(os.getgroups())


def become_owner_and_root(state: Path) -> tuple[int, int, bool, bool]:
    """The account and group afterwards, whether it has root's group, and whether root was refused."""
    become_owner(state)
    try:
        os.setuid(0)
    except PermissionError:
        return os.getuid(), os.getgid(), 0 in os.getgroups(), True
    return os.getuid(), os.getgid(), 0 in os.getgroups(), False


@as_root
def test_root_becomes_the_owner_for_good(state: Path) -> None:
    assert in_child(become_owner_and_root, state) == (OTHER, OTHER, False, True)


@as_root
def test_root_stays_root_with_its_own_directory_or_with_none(tmp_path: Path) -> None:
    before = ids()
    become_owner(tmp_path)
    become_owner(tmp_path / "nothing")
    assert ids() == before
    assert owner_of(tmp_path) is None


def test_another_account_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    assert owner_of(tmp_path) is None


@as_root
def test_before_the_first_start_it_is_the_account_of_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STATE_DIR", tmp_path / "state")
    monkeypatch.setattr(module, "ACCOUNT", "nobody")
    nobody = pwd.getpwnam("nobody")
    found = owner_of(tmp_path / "state")
    assert found is not None
    assert (found.uid, found.gid, nobody.pw_gid in found.groups) == (nobody.pw_uid, nobody.pw_gid, True)
    assert owner_of(tmp_path / "another") is None
    monkeypatch.setattr(module, "ACCOUNT", "no-such-account")
    assert owner_of(tmp_path / "state") is None


def test_a_group_that_the_machine_does_not_have_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXTRA_GROUPS", ("no-such-group",))
    assert Account.of(OTHER, OTHER).groups == (OTHER,)


@as_root
def test_where_root_may_not_change_its_account_the_command_says_so(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setgroups", refuse)
    with pytest.raises(AgentError, match=f"root cannot become it .*: run the command as {OTHER}"):
        become_owner(state)
    before = ids()
    refused = pytest.raises(AgentError, match=f"root cannot become it .*: run the command as {OTHER}")
    with refused, acting_as(owner_of(state)):
        pass
    assert ids()[:2] == before[:2]


@as_root
def test_acting_as_an_account_ends(state: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    before = ids()
    with acting_as(owner_of(state)), pytest.raises(PermissionError):
        secret.read_text()
    with acting_as(None):
        assert secret.read_text() == ""
    assert ids() == before


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def write_config(folder: Path, more: str = "") -> Path:
    path = folder / "kiosk-agent.toml"
    sensor = {"driver": "ef01", "url": "serial:/dev/null", "options": "", "position": "right_index", "timeout": "0.2"}
    path.write_text(CONFIG.format(folder=folder, kiosk="", more=more, **sensor))
    return path


@as_root
def test_no_link_in_the_state_directory_makes_root_create_or_change_a_file(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    make_stores(load(path))
    state = tmp_path / "state"
    for file in (state, *state.iterdir()):
        give_to_other(file)
    (victims := tmp_path / "victims").mkdir(mode=0o777)
    for name in ("outbox.reserve", "outbox.reserve.new", "outbox.db-journal"):
        (state / name).unlink(missing_ok=True)
        (state / name).symlink_to(victims / name)
        os.chown(state / name, OTHER, OTHER, follow_symlinks=False)
    assert in_child(run, "outbox", "--config", path)[0] == 0
    assert list(victims.iterdir()) == []
    assert {file.lstat().st_uid for file in state.iterdir()} == {OTHER}


@as_root
def test_a_check_refuses_a_file_that_only_root_can_read(tmp_path: Path, state: Path) -> None:
    assert state.exists()
    (key := tmp_path / "hub.jwk").touch(0o600)
    path = write_config(tmp_path, f'[hub]\nencryption_key = "{key}"')
    with pytest.raises(ConfigError, match=rf"hub\.jwk: cannot be read: Permission denied for the account {OTHER}"):
        run("check-config", "--config", path)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"kiosk-agent\.toml: cannot be read: Permission denied"):
        run("check-config", "--config", path)


@as_root
def test_root_checks_a_kiosk_that_has_run_and_compiles_as_root(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = []
    monkeypatch.setattr("agent.kiosk.load_encoders", lambda _: accounts.append(os.geteuid()))
    assert run("check-config", "--config", write_config(tmp_path))[0] == 0
    assert (accounts, state.stat().st_uid) == ([0], OTHER)


def test_a_configuration_of_this_account_is_checked_as_this_account(tmp_path: Path) -> None:
    config_of(tmp_path)
    assert run("check-config", "--config", write_config(tmp_path))[0] == 0
