"""An MQTT 5 broker as a child process: Mosquitto where it is installed, else rumqttd from the iotcore wheel.

Both listen on 127.0.0.1 alone. The child can be stopped, killed and started again on the same port, and ends with its
parent. rumqttd keeps sessions and retained messages in memory only; Mosquitto can keep them in `data_dir`.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Annotated, Self

import typer

from simulators.polling import wait_until

HOST = "127.0.0.1"
HIGHEST_PORT = 65535
READY_S = 10.0
STOP_S = 3.0

RUMQTTD = """\
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = 16777216
max_inflight_count = 200
dynamic_filters = true
"""

MOSQUITTO = """\
listener {port} {host}
allow_anonymous true
max_queued_messages 0
max_inflight_messages 0
log_type none
"""

# Writes its state a second after each change: survives kill -9.
MOSQUITTO_PERSISTENCE = """\
persistence true
persistence_location {folder}/
autosave_on_changes true
autosave_interval 1
"""


class Broker:
    """A context manager. `mosquitto`: None takes it where installed and else rumqttd; True insists; False is rumqttd.

    `data_dir` makes Mosquitto keep sessions across restarts; `extra` is more of its configuration (another listener).
    """

    def __init__(
        self, port: int = 0, *, mosquitto: bool | None = None, data_dir: Path | None = None, extra: str = ""
    ) -> None:
        self.port = port or free_port()
        self.mosquitto = find_mosquitto() is not None if mosquitto is None else mosquitto
        if self.mosquitto and find_mosquitto() is None:
            raise RuntimeError("mosquitto is not installed: apt-get install mosquitto")
        self._scratch = tempfile.TemporaryDirectory(prefix="kiosk-broker-")
        self._log = Path(self._scratch.name) / "broker.log"
        self._data_dir, self._extra = data_dir, extra
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Which broker it is."""
        return "Mosquitto" if self.mosquitto else "rumqttd (iotcore)"

    @property
    def running(self) -> bool:
        """Whether the child lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the child and wait until it accepts connections. RuntimeError when it does not."""
        if self.running:
            return
        if answers(self.port):
            raise RuntimeError(f"port {self.port} is in use")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command(), stdin=subprocess.PIPE, stdout=log, stderr=log)
        if not wait_until(lambda: not self.running or answers(self.port), READY_S) or not self.running:
            self.stop()
            said = self._log.read_text(encoding="utf-8", errors="replace")[-500:].strip()
            raise RuntimeError(f"{self.name} did not start on port {self.port}: {said or 'it said nothing'}")

    def stop(self) -> None:
        """End the child in order; safe to call twice."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._wait(STOP_S)

    def close(self) -> None:
        """Stop, and remove the scratch folder."""
        self.stop()
        self._scratch.cleanup()

    def kill(self) -> None:
        """End the child as a power cut would."""
        if self._process is not None:
            self._process.kill()
        self._wait(STOP_S)

    def _wait(self, timeout: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()
        wait_until(lambda: not answers(self.port), STOP_S)  # Mosquitto dies a moment after the child that held it

    def _command(self) -> list[str]:
        text = self._mosquitto_text() if self.mosquitto else RUMQTTD.format(host=HOST, port=self.port)
        path = Path(self._scratch.name) / ("mosquitto.conf" if self.mosquitto else "rumqttd.toml")
        path.write_text(text, encoding="utf-8")
        program = [find_mosquitto() or ""] if self.mosquitto else []
        return [sys.executable, "-m", "simulators.hub.broker_child", str(path), *program]

    def _mosquitto_text(self) -> str:
        text = MOSQUITTO.format(port=self.port, host=HOST)
        if self._data_dir is not None:
            text += MOSQUITTO_PERSISTENCE.format(folder=self._data_dir)
        if os.geteuid() == 0:
            text += "user root\n"  # it would change to an account that cannot read our scratch folder
        return text + self._extra


def find_mosquitto() -> str | None:
    """Where Mosquitto is; Debian installs it outside an ordinary user's PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=0.5):
        return True
    return False


def command(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 1883,
    rumqttd: Annotated[bool, typer.Option("--rumqttd", help="Use rumqttd even where Mosquitto is installed.")] = False,  # noqa: FBT002 - typer's way
) -> None:
    """Run an MQTT 5 broker on this machine until Ctrl-C."""
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    if problem := _run(port, done, mosquitto=False if rumqttd else None):
        print(f"error: {problem}", file=sys.stderr)
        raise typer.Exit(1)


def _run(port: int, done: threading.Event, *, mosquitto: bool | None) -> str:
    """Run until told to end. What went wrong, in one line; empty when nothing did."""
    if not 0 < port <= HIGHEST_PORT:
        return f"--port is 1 to {HIGHEST_PORT}, not {port}"
    if answers(port):
        return f"port {port} is in use: give another with --port"
    try:
        with Broker(port, mosquitto=mosquitto) as broker:
            print(f"{broker.name} listens on {HOST}:{port}; Ctrl-C ends it", flush=True)
            while broker.running and not done.wait(1.0):
                pass
            return "" if done.is_set() else "the broker ended by itself"
    except (RuntimeError, OSError) as error:
        return " ".join(str(error).split())
