"""The command line: exit statuses, messages without a traceback, and log lines for a terminal or the journal."""

import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent import __main__ as command_line
from agent.__main__ import EXIT_CONFIG, EXIT_FAILED, EXIT_INTERRUPTED, app, main
from agent.clock import SystemClock
from agent.config import load
from agent.errors import ConfigError, ControlError, StoreError
from agent.keys import DEVELOPMENT_FILE, LIST_DEVELOPMENT_FILE, load_kiosk_key, load_list_key
from simulators.polling import wait_until
from simulators.provider.provider import ListProvider
from simulators.sensors.ef01.device import Ef01Settings
from simulators.sensors.ef01.rig import Ef01Rig
from tests.conftest import impression_of
from tests.rigs.control_server import running_server
from tests.rigs.list_keeper import entry_of, make_provider
from tests.rigs.simulated_kiosk import CONFIG, make_stores


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Path:
    path = tmp_path / "kiosk-agent.toml"
    sensor = {"driver": "ef01", "url": "serial:/dev/null", "options": "", "position": "right_index", "timeout": "0.2"}
    path.write_text(CONFIG.format(folder=tmp_path, kiosk="", more="", **sensor))
    return path


def run(*arguments: object) -> tuple[int, str]:
    """Exit status and output of a command."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_a_good_configuration_is_summed_up(config: Path) -> None:
    status, output = run("check-config", "--config", config)
    assert (status, "good. Kiosk s1/k1" in output) == (0, True)


def test_a_sensor_that_does_not_answer_is_exit_status_1(config: Path) -> None:
    status, output = run("sensors", "--config", config)
    assert (status, "fault" in output) == (EXIT_FAILED, True)


def test_without_a_configuration_only_what_is_plugged_in_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "DEFAULT_CONFIG", Path("/nowhere/kiosk-agent.toml"))
    status, output = run("sensors", "--config", "/nowhere/kiosk-agent.toml")
    assert (status, output.startswith("plugged in")) == (0, True)


STANDALONE = {
    "watchlist list": "revision 0",
    "watchlist status": "revision 0: 0 references are searched",
    "watchlist update": "no lists of providers are configured",
    "watchlist verify": "there is no list on this kiosk",
    "outbox": "0 events wait for the hub",
    "identify": "refer: ",
}


@pytest.mark.parametrize("command", STANDALONE)
def test_without_a_daemon_a_request_is_served_here(config: Path, command: str) -> None:
    make_stores(load(config))
    status, output = run(*command.split(), "--config", config)
    assert (status, STANDALONE[command] in output) == (0, True)


def test_identify_with_an_absent_sensor_asks_for_no_finger(config: Path) -> None:
    config.write_text(config.read_text().replace("step_timeout_s = 0.2", "step_timeout_s = 20.0"))
    make_stores(load(config))
    started = time.monotonic()
    status, output = run("identify", "--config", config)
    assert (status, "refer: sensor unavailable" in output, "to the traveller  Please place" in output) == (
        0,
        True,
        False,
    )
    assert "there is no list" in output
    assert time.monotonic() - started < 15


def test_a_daemon_that_runs_is_asked(config: Path) -> None:
    answer = {
        "reference_id": "r-1",
        "searchable_here": True,
        "quality": {},
        "agreement": "a",
        "expires_at": "",
        "sealed": True,
    }
    with running_server(config.with_name("control.sock"), lambda *_: answer | {"sealed": True}):
        assert "reference r-1: searchable" in run("enrol", "--config", config)[1]
        assert "reference r-1 was removed" in run("watchlist", "remove", "r-1", "--config", config)[1]
        assert '"reference_id": "r-1"' in run("status", "--json", "--config", config)[1]


def test_the_public_key_is_shown_without_a_daemon_and_none_is_made(config: Path) -> None:
    state = config.parent / "state"
    with pytest.raises(ConfigError, match="there is no kiosk key here"):
        run("keys", "--config", config)
    assert not state.exists()
    key = load_kiosk_key(state)
    status, output = run("keys", "--config", config)
    assert (status, key.key_id in output, "-----BEGIN PUBLIC KEY-----" in output) == (0, True, True)
    assert "PRIVATE" not in output
    assert json.loads(run("keys", "--json", "--config", config)[1])["kid"] == key.key_id
    assert json.loads(run("keys", "--json", "--file", state / DEVELOPMENT_FILE)[1])["kid"] == key.key_id


def test_the_public_key_for_lists_is_shown_as_a_jwk_alone(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"watchlist\.source is not set"):
        run("keys", "--list", "--config", config)
    config.write_text(config.read_text() + '\n[watchlist]\nsource = "/lists"\nroot = "/root.json"\n')
    key = load_list_key(config.parent / "state")
    assert json.loads(run("keys", "--list", "--config", config)[1]) == key.public()
    file = config.parent / "state" / LIST_DEVELOPMENT_FILE
    assert json.loads(run("keys", "--list", "--file", file)[1]) == key.public()
    other = load_list_key(tmp_path / "elsewhere").published()
    with running_server(config.with_name("control.sock"), lambda *_: other):
        assert json.loads(run("keys", "--list", "--config", config)[1]) == other["jwk"]


def test_a_daemon_that_runs_is_asked_for_its_key(config: Path, tmp_path: Path) -> None:
    published = load_kiosk_key(tmp_path / "elsewhere").published()
    with running_server(config.with_name("control.sock"), lambda *_: published):
        assert published["kid"] in run("keys", "--config", config)[1]


NONSENSE = ("status", "sensors", "identify", "enrol", "outbox", "keys")
LISTS = ("status", "update", "verify", "list", "explain r-1")


def test_a_daemon_that_answers_nonsense_is_an_error_of_the_command(config: Path) -> None:
    with running_server(config.with_name("control.sock"), lambda *_: {"sensors": [7]}):
        for command in (*NONSENSE, *(f"watchlist {name}" for name in LISTS)):
            with pytest.raises(ControlError, match="an invalid answer"):
                run(*command.split(), "--config", config)


def test_a_hub_key_that_cannot_be_used_is_an_error_of_the_configuration(config: Path, tmp_path: Path) -> None:
    zero = {"kty": "OKP", "crv": "X25519", "x": "A" * 43}
    (tmp_path / "hub.jwk").write_text(json.dumps(zero))
    config.write_text(config.read_text() + f'[hub]\nencryption_key = "{tmp_path}/hub.jwk"\n')
    for command in ("check-config", "run"):
        with pytest.raises(ConfigError, match="nothing can be encrypted to this key"):
            run(command, "--config", config)


def test_clear_text_over_the_network_is_loud(config: Path) -> None:
    config.write_text(config.read_text() + '[hub]\nhost = "192.0.2.1"\n')
    with pytest.raises(ConfigError, match="in clear text"):
        run("check-config", "--config", config)
    config.write_text(config.read_text() + "insecure = true\n")
    assert "hub.insecure is on: events cross the network in clear text" in run("check-config", "--config", config)[1]


def test_a_sample_is_captured_and_recorded(tmp_path: Path) -> None:
    with Ef01Rig(Ef01Settings(), tmp_path / "port") as rig:
        rig.show(impression_of(1, 0))
        options = ["--option", "model=R307", "--option", "poll_s=0.01", "--out"]
        status, output = run("capture", "ef01", rig.url, *options, tmp_path / "x.png")
        assert (status, "256x288 at 500 ppi" in output) == (0, True)
        rig.lift()
        status, output = run("record", "ef01", rig.url, "--timeout", "0.3", *options, tmp_path / "x.txt")
        assert (status, "ended early: no sample" in output) == (EXIT_FAILED, True)


def entry(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> object:
    """The exit status of the program."""
    monkeypatch.setattr(sys, "argv", ["kiosk-agent", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_encounters_are_shown_until_the_daemon_ends(config: Path) -> None:
    """A watcher that is answered and then gets one announcement."""
    path = config.with_name("control.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1000)
                client.sendall(b'{"ok": true, "result": {}}\n{"announce": {"kind": "told", "text": "Thank you."}}\n')

        thread = threading.Thread(target=serve)
        thread.start()
        status, output = run("encounter", "--config", config)
        thread.join(10)
    assert (status, output) == (0, "  to the traveller  Thank you.\n")


def test_a_captured_signal_is_exit_status_130(tmp_path: Path) -> None:
    with Ef01Rig(Ef01Settings(), tmp_path / "port") as rig:

        def interrupt() -> None:
            if wait_until(lambda: rig.polls() > 1, 10):
                os.kill(os.getpid(), signal.SIGTERM)

        sender = threading.Thread(target=interrupt)
        sender.start()
        status, _ = run("capture", "ef01", rig.url, "--option", "poll_s=0.01")
        sender.join(10)
    assert status == EXIT_INTERRUPTED


def test_an_error_is_one_message_and_an_exit_status(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry(monkeypatch, "status", "--config", config) == EXIT_FAILED
    assert "no daemon listens here" in capsys.readouterr().err
    assert entry(monkeypatch, "capture", "ef01", "serial:/dev/null", "--option", "model") == EXIT_CONFIG
    assert capsys.readouterr().err == "kiosk-agent: --option model: write it as key=value\n"
    config.write_text("[kiosk]")
    assert entry(monkeypatch, "run", "--config", config) == EXIT_CONFIG
    assert "missing key plan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"), [(StoreError("full"), EXIT_FAILED), (KeyboardInterrupt(), EXIT_INTERRUPTED)]
)
def test_what_ends_a_command_is_told_by_its_status(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int
) -> None:
    def end() -> None:
        raise error

    monkeypatch.setattr(command_line, "app", end)
    assert entry(monkeypatch) == status


def set_up_logging(*, verbose: bool) -> tuple[int, logging.Handler]:
    """The level and the handler that the command line sets; those of pytest are put back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    try:
        command_line._log_to_stderr(verbose=verbose)
        return root.level, root.handlers[0]
    finally:
        root.handlers = handlers
        root.setLevel(level)


def test_a_terminal_gets_lines_with_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert set_up_logging(verbose=True)[0] == logging.DEBUG
    level, handler = set_up_logging(verbose=False)
    assert level == logging.INFO
    assert handler.format(logging.makeLogRecord({"levelname": "INFO", "msg": "ready"})).endswith(" INFO    ready")


LEVELS = {logging.CRITICAL: 3, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


def test_the_journal_gets_a_priority_on_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1234")
    _, handler = set_up_logging(verbose=False)
    for level, priority in LEVELS.items():
        record = logging.makeLogRecord({"levelno": level, "msg": "one\ntwo"})
        assert handler.format(record) == f"<{priority}>one\n<{priority}>two"


def test_what_an_exception_quotes_adds_no_line_to_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1234")
    _, handler = set_up_logging(verbose=False)

    def fail() -> None:
        raise ValueError("the device says\n<0>forged\x1b[2J")

    def fail_twice() -> None:
        try:
            fail()
        except ValueError as error:
            raise KeyError("second") from error

    with pytest.raises(KeyError) as raised:
        fail_twice()
    info = (raised.type, raised.value, raised.tb)
    record = logging.makeLogRecord({"levelno": logging.ERROR, "msg": "failed", "exc_info": info})
    lines = handler.format(record).split("\n")
    assert all(line.startswith("<3>") for line in lines)
    assert "<3>ValueError: the device says\\x0a<0>forged\\x1b[2J" in lines
    assert "<3>The above exception was the direct cause of the following exception:" in lines
    assert lines[-1] == "<3>KeyError: 'second'"
    assert sum("in fail_twice" in line for line in lines) == 2


def test_a_stack_in_the_log_is_printable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    _, handler = set_up_logging(verbose=False)
    record = logging.makeLogRecord({"msg": "here", "stack_info": "Stack:\n  File \x1b[2J"})
    assert handler.format(record).endswith("here\nStack:\n  File \\x1b[2J")


@pytest.fixture(name="lists")
def _lists(config: Path, tmp_path: Path) -> Iterator[ListProvider]:
    """A provider with one person, from which the kiosk fetches."""
    with make_provider(tmp_path / "lists", SystemClock()) as lists:
        lists.put([entry_of(1, SystemClock().now())])
        lists.publish()
        section = f'[watchlist]\nsource = "{lists.public}"\nroot = "{lists.folder}/root.json"\n'
        config.write_text(config.read_text() + section)
        make_stores(load(config))
        yield lists


def test_the_commands_of_the_watchlist_show_what_a_provider_has_published(config: Path, lists: ListProvider) -> None:
    for command, text in {
        "update": "police: ",
        "status": "list police: revision 1, 1 references",
        "verify": "police: 1 references, complete on disk and in memory",
        "list": "p1",
        "explain p1": "reference p1 of police, searched",
    }.items():
        status, output = run("watchlist", *command.split(), "--config", config)
        assert (status, text in output) == (0, True), output
    with pytest.raises(ControlError, match="p1 is on the list of police: only they can withdraw it"):
        run("watchlist", "remove", "p1", "--config", config)
    with pytest.raises(ControlError, match="no reference p2 on the list: see `kiosk-agent watchlist list`"):
        run("watchlist", "explain", "p2", "--config", config)
    state = json.loads(run("watchlist", "status", "--json", "--config", config)[1])
    assert state["lists"][0]["categories"] == {"missing": 1}
    (lists.public / "metadata" / "timestamp.json").write_text("nothing")
    status, output = run("watchlist", "update", "--config", config)
    assert (status, output.startswith("all lists: ")) == (EXIT_FAILED, True)
