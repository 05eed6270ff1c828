"""The broker's child process: it ends with its parent, whatever ends that."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.hub import broker_child
from simulators.hub.broker import HOST, RUMQTTD, accepts_connections, free_port
from simulators.polling import wait_until
from tests.rigs.event_path import BROKERS


@pytest.mark.parametrize("mosquitto", BROKERS)
def test_a_broker_ends_with_its_parent(mosquitto: object) -> None:
    script = "import os, sys; from simulators.hub.broker import Broker; b = Broker(mosquitto=sys.argv[1] == 'True')\n"
    script += "b.start(); print(b.port, flush=True); os.kill(os.getpid(), 9)"
    died = subprocess.run(
        [sys.executable, "-c", script, str(mosquitto)], capture_output=True, text=True, check=False, timeout=30
    )
    assert died.returncode == -signal.SIGKILL
    assert wait_until(lambda: not accepts_connections(int(died.stdout)), 5)


@pytest.fixture(name="configuration")
def _configuration(tmp_path: Path) -> Path:
    path = tmp_path / "rumqttd.toml"
    path.write_text(RUMQTTD.format(host=HOST, port=free_port()), encoding="utf-8")
    return path


def test_it_ends_with_its_input_and_not_with_ctrl_c(configuration: Path) -> None:
    command = [sys.executable, "-m", broker_child.__name__, str(configuration)]
    port = int(configuration.read_text(encoding="utf-8").split(f"{HOST}:")[1].split('"')[0])
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert wait_until(lambda: accepts_connections(port), 10)
        child.send_signal(signal.SIGINT)
        assert accepts_connections(port)
        child.stdin.close()
        assert child.wait(10) == 0
    assert not accepts_connections(port)
