"""Runs an MQTT 5 broker as a child process: Mosquitto if it is installed, else rumqttd from the iotcore wheel.

Both listen on 127.0.0.1 only. The child can be stopped, killed and started again on the same port, and ends with its
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

# Mosquitto writes its state a second after each change, so that it survives kill -9.
MOSQUITTO_PERSISTENCE = """\
persistence true
persistence_location {folder}/
autosave_on_changes true
autosave_interval 1
"""


class Broker:
    """A broker, as a context manager.

    `mosquitto`: True for Mosquitto, False for rumqttd, None for Mosquitto if it is installed and else rumqttd.
    `data_dir` makes Mosquitto keep sessions across restarts; `extra` is added to its configuration (another listener).
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
        """The name of the broker program."""
        return "Mosquitto" if self.mosquitto else "rumqttd (iotcore)"

    @property
    def running(self) -> bool:
        """Whether the child is running."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the child and wait until it accepts connections. RuntimeError if it does not."""
        if self.running:
            return
        if accepts_connections(self.port):
            raise RuntimeError(f"port {self.port} is in use")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command(), stdin=subprocess.PIPE, stdout=log, stderr=log)
        if not wait_until(lambda: not self.running or accepts_connections(self.port), READY_S) or not self.running:
            self.stop()
            output = self._log.read_text(encoding="utf-8", errors="replace")[-500:].strip()
            raise RuntimeError(f"{self.name} did not start on port {self.port}: {output or 'it printed nothing'}")

    def stop(self) -> None:
        """Stop the child cleanly; may be called twice."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._wait(STOP_S)

    def close(self) -> None:
        """Stop the child and remove the temporary folder."""
        self.stop()
        self._scratch.cleanup()

    def kill(self) -> None:
        """Kill the child, as a power cut would."""
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
        # Mosquitto ends shortly after the child process that started it.
        wait_until(lambda: not accepts_connections(self.port), STOP_S)

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
            text += "user root\n"  # otherwise it changes to an account that cannot read our temporary folder
        return text + self._extra


def find_mosquitto() -> str | None:
    """The path of Mosquitto, None if it is not installed. Debian installs it outside an ordinary user's PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def accepts_connections(port: int) -> bool:
    """Whether a server accepts connections on this port of 127.0.0.1."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=0.5):
        return True
    return False


def command(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 1883,
    rumqttd: Annotated[bool, typer.Option("--rumqttd", help="Use rumqttd even if Mosquitto is installed.")] = False,  # noqa: FBT002 - typer's way
) -> None:
    """Run an MQTT 5 broker on this machine until Ctrl-C."""
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    if problem := _run(port, done, mosquitto=False if rumqttd else None):
        print(f"error: {problem}", file=sys.stderr)
        raise typer.Exit(1)


def _run(port: int, done: threading.Event, *, mosquitto: bool | None) -> str:
    """Run until `done` is set. Returns the problem in one line; empty if there was none."""
    if not 0 < port <= HIGHEST_PORT:
        return f"--port is 1 to {HIGHEST_PORT}, not {port}"
    if accepts_connections(port):
        return f"port {port} is in use: choose another with --port"
    try:
        with Broker(port, mosquitto=mosquitto) as broker:
            print(f"{broker.name} listens on {HOST}:{port}; Ctrl-C ends it", flush=True)
            while broker.running and not done.wait(1.0):
                pass
            return "" if done.is_set() else "the broker ended unexpectedly"
    except (RuntimeError, OSError) as error:
        return " ".join(str(error).split())
