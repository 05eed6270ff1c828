"""A broker as a child process: it starts, stops, dies and starts again, and says why when it does not."""

import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from simulators.hub import broker as broker_module
from simulators.hub.broker import HOST, Broker, accepts_connections, free_port
from simulators.polling import wait_until
from tests.rigs.event_path import BROKERS, needs_mosquitto


@pytest.mark.parametrize(
    ("port", "said"),
    [(99_999, "error: --port is 1 to 65535, not 99999\n"), (0, "error: --port is 1 to 65535, not 0\n")],
)
def test_a_port_that_cannot_be_is_refused_in_one_line(port: int, said: str) -> None:
    command = [sys.executable, "-m", "simulators", "broker", "--port", str(port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (1, said)


def test_a_broker_that_does_not_start_says_why_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("simulators.hub.broker.signal.signal", lambda *_: None)
    monkeypatch.setattr(broker_module, "RUMQTTD", "this is\nno configuration")
    with pytest.raises(typer.Exit) as ended:
        broker_module.command(port=free_port(), rumqttd=True)
    assert ended.value.exit_code == 1
    said = capsys.readouterr().err
    assert re.fullmatch(r"error: rumqttd \(iotcore\) did not start on port \d+: .+\n", said)


@pytest.mark.parametrize("mosquitto", BROKERS)
def test_a_broker_stops_dies_and_starts_again_on_its_port(mosquitto: object) -> None:
    with Broker(mosquitto=bool(mosquitto)) as broker:
        for end in (broker.stop, broker.kill):
            assert accepts_connections(broker.port)
            end()
            assert not accepts_connections(broker.port)
            assert not broker.running
            broker.start()
    assert not accepts_connections(broker.port)


def test_a_broker_that_cannot_start_says_why() -> None:
    with Broker(mosquitto=False) as first:
        second = Broker(first.port, mosquitto=False)
        with pytest.raises(RuntimeError, match="in use"):
            second.start()
        second.close()


def test_a_broker_is_started_once_and_may_be_stopped_twice() -> None:
    with Broker(mosquitto=False) as broker:
        broker.start()
        assert broker.running
        assert broker.name == "rumqttd (iotcore)"
        broker.stop()
        broker.stop()
        broker.kill()
        assert not broker.running


def test_a_broker_that_cannot_start_leaves_nothing_behind() -> None:
    with Broker(mosquitto=False) as first:
        second = Broker(first.port, mosquitto=False)
        with pytest.raises(RuntimeError, match="in use"):
            second.__enter__()
        assert not Path(second._scratch.name).exists()


def test_a_broker_that_does_not_stop_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    with Broker(mosquitto=False) as broker:
        monkeypatch.setattr(broker_module, "STOP_S", 0.0)
        broker.stop()
        assert wait_until(lambda: not accepts_connections(broker.port), 5)


def test_without_mosquitto_it_cannot_be_insisted_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(RuntimeError, match="mosquitto is not installed: apt-get install mosquitto"):
        Broker(mosquitto=True, data_dir=tmp_path)
    broker = Broker()
    assert not broker.mosquitto
    broker.close()


@needs_mosquitto
def test_mosquitto_keeps_its_state_in_the_folder_that_it_is_given(tmp_path: Path) -> None:
    with Broker(mosquitto=True, data_dir=tmp_path, extra=f"listener {(more := free_port())} {HOST}\n") as broker:
        assert broker.name == "Mosquitto"
        assert accepts_connections(more)
        broker.stop()
    assert (tmp_path / "mosquitto.db").exists()


def test_the_command_runs_until_it_is_told_to_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers: dict[int, Callable[..., None]] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    start = Broker.start

    def start_and_signal(broker: Broker) -> None:
        start(broker)
        handlers[signal.SIGTERM]()

    monkeypatch.setattr(Broker, "start", start_and_signal)
    broker_module.command(port=(port := free_port()), rumqttd=True)
    assert capsys.readouterr().out == f"rumqttd (iotcore) listens on {HOST}:{port}; Ctrl-C ends it\n"
    assert not accepts_connections(port)


def test_the_command_says_when_its_broker_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start = Broker.start

    def start_and_die(broker: Broker) -> None:
        start(broker)
        broker.kill()

    monkeypatch.setattr(Broker, "start", start_and_die)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(typer.Exit):
        broker_module.command(port=free_port(), rumqttd=True)
    assert capsys.readouterr().err == "error: the broker ended unexpectedly\n"


def test_the_command_refuses_a_port_that_is_in_use_or_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        for port in (taken.getsockname()[1], 0):
            with pytest.raises(typer.Exit):
                broker_module.command(port=port)
    used, none = capsys.readouterr().err.splitlines()
    assert used.endswith("is in use: choose another with --port")
    assert none == "error: --port is 1 to 65535, not 0"
