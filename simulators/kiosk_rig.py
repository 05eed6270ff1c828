"""A complete kiosk on one computer: broker, hub, simulated sensors, and the agent as a separate daemon process.

The demo, the drills and the end-to-end tests use it; a drill then stops or unplugs one of the parts.
"""

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from agent.control.protocol import ControlClient
from agent.errors import ControlError
from agent.keys import load_kiosk_key, load_list_key
from drivers.sample import Modality, Position
from simulators.hub.broker import Broker
from simulators.hub.hub import HubSimulator, PrintLine
from simulators.hub.keys import HubKeys
from simulators.people.person import Condition, EyeCondition, Person
from simulators.polling import wait_until
from simulators.provider.provider import ListProvider
from simulators.sensors.common.touch_rig import TouchRig
from simulators.sensors.ef01 import rig as ef01_rig
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.rig import UvcRig
from simulators.sensors.uvc.scene import Look

READY_S = 60.0  # the first start on a slow computer reads every library from the disk
ANSWER_S = 60.0
STOP_S = 10.0
LIFT_S = 1.0  # longest wait until the agent notices a lift; an agent that does not run never does
SITE, KIOSK = "demo-port", "kiosk-1"
PROVIDER = "ministry"

Json = Mapping[str, Any]
MakeSensor = Callable[[Path], TouchRig]  # the argument is the path for its port or its control socket

# The rig uses modules of the agent in this process, whose log is discarded. The log of the daemon is a file.
logging.getLogger("agent").addHandler(logging.NullHandler())

CONFIG = """\
[kiosk]
site = "{site}"
name = "{kiosk}"
state_dir = "{folder}/state"
control_socket = "{folder}/control.sock"
development_key = true

[sensors.finger]
driver = "{driver}"
url = "{url}"
options = {{ {options} }}

{camera}
[plan]
steps = [{steps}]
step_timeout_s = 10.0

[hub]
port = {port}
reconnect_max_s = 1.0
encryption_key = "{hub_key}"

[outbox]
resend_after_s = 2.0

[local_list]
enabled = true
"""


CAMERA = """\
[sensors.camera]
driver = "uvc"
url = "{url}"
"""

LISTS = """
[watchlist]
source = "{source}"
root = "{root}"
require_sealed = true
"""

# Frames without an eye after which the agent has noticed that it left: 1.5 s at 30 frames per second. It checks every
# 0.5 s at least, then about every second frame for 0.6 s. EMPTY_S is the longest wait, for a camera that sends none.
EMPTY_FRAMES, EMPTY_S = 45, 3.0


class KioskRig:
    """Runs everything while the context lasts. `say` gets the lines of the hub; the agent's log is in `log`."""

    def __init__(
        self,
        *,
        environment: Mapping[str, str] | None = None,
        say: PrintLine | None = None,
        sensor: MakeSensor | None = None,
        positions: Sequence[Position] = (Position.RIGHT_INDEX,),
        mosquitto: bool | None = None,
        lists: bool = False,
    ) -> None:
        """`lists`: a provider's repository, encrypted for the kiosk, which searches them; else only the local list."""
        self._scratch = tempfile.TemporaryDirectory(prefix="kiosk-")
        self.folder = Path(self._scratch.name)
        self.config = self.folder / "kiosk-agent.toml"
        self.log = self.folder / "agent.log"
        self.broker = Broker(mosquitto=mosquitto, data_dir=self._folder("broker"))
        self._keys = HubKeys.load_or_make(self.folder / "hub.json", [self._kiosk_public_key()])
        self.hub = HubSimulator(self.broker.port, db=self.folder / "hub.db", print_line=say, keys=self._keys)
        self.sensor = (sensor or ef01_rig.default_rig)(self.folder / "sensor")
        self.positions = tuple(positions)  # what the plan asks for, in its order
        eyes = any(position.modality is Modality.IRIS for position in positions)
        self.camera = UvcRig(UvcSettings(), self.folder / "camera") if eyes else None
        self.lists = ListProvider.init(self.folder / "lists", [PROVIDER]) if lists else None
        self.client = ControlClient(self.folder / "control.sock")
        self.agent: subprocess.Popen[bytes] | None = None
        self._environment = dict(environment or {})
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._scratch.cleanup)
            if self.lists is not None:
                stack.enter_context(self.lists)
                self.lists.add_readers([(KIOSK, json.dumps(self._kiosk_list_key()).encode())])
            stack.enter_context(self.broker)
            stack.enter_context(self.hub)
            stack.enter_context(self.sensor)
            if self.camera is not None:
                stack.enter_context(self.camera)
            self._write_config()
            stack.callback(self.stop_agent)
            self.start_agent()
            self._resources = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def lift(self) -> None:
        """Lift the finger and wait until the driver notices: otherwise the next finger would be the same one to it."""
        self.sensor.lift()
        self.sensor.wait_until_lift_noticed(LIFT_S)

    def press(self, seed: int, position: Position, impression: int, condition: Condition | None) -> None:
        """Put a finger of a synthetic person on the sensor."""
        view = self.sensor.view
        finger = Person(seed).finger(position)
        self.sensor.show(finger.impression(impression, view.width, view.height, view.ppi, condition))

    def look(self, seed: int, position: Position, condition: EyeCondition | None) -> None:
        """Let a synthetic person look into the camera. RuntimeError if the plan has no eye."""
        if self.camera is None:
            raise RuntimeError("this kiosk has no camera: its plan asks for no eye")
        look = Look(person=seed, eye=position.removesuffix("_eye"))
        self.camera.look(**(look if condition is None else look | {"condition": condition.value}))

    def take_away(self, position: Position) -> None:
        """Remove the finger or the eye, and wait until the agent has noticed."""
        if position.modality is Modality.IRIS and self.camera is not None:
            self.camera.away()
            sent = self.camera.camera.counters().frames_sent
            camera = self.camera.camera
            wait_until(lambda: camera.counters().frames_sent >= sent + EMPTY_FRAMES, EMPTY_S)
        else:
            self.lift()

    def start_agent(self) -> None:
        """Start the daemon and wait for an answer on its control socket. RuntimeError has the end of its log."""
        command = [sys.executable, "-m", "agent", "run", "--config", str(self.config)]
        env = os.environ | self._environment
        with self.log.open("ab") as log:
            self.agent = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        if not wait_until(lambda: self._answers() or not self.running, READY_S) or not self.running:
            self.kill_agent()
            raise RuntimeError(f"the agent did not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    @property
    def running(self) -> bool:
        """Whether the daemon runs."""
        return self.agent is not None and self.agent.poll() is None

    @property
    def ended_with(self) -> int | None:
        """The status of a daemon that ended although neither stop_agent() nor kill_agent() did it; else None."""
        return None if self.agent is None else self.agent.poll()

    def stop_agent(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Stop the daemon; returns the seconds from the signal to its end, 0 if it was not started.

        RuntimeError if it had ended before, does not end, or ends with a status other than 0.
        """
        status = self.ended_with
        agent, self.agent = self.agent, None
        if status is not None:
            raise RuntimeError(f"the agent ended unexpectedly with status {status}")
        if agent is None:
            return 0.0
        start = time.monotonic()
        agent.send_signal(number)
        try:
            status = agent.wait(STOP_S)
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.wait()
            raise RuntimeError(f"the agent did not end within {STOP_S:.0f} s of {number.name}") from None
        if status != 0:
            raise RuntimeError(f"the agent ended with status {status}")
        return time.monotonic() - start

    def kill_agent(self) -> None:
        """Kill the daemon, as a power cut would."""
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait()
            self.agent = None

    def _answers(self) -> bool:
        try:
            self.client.ask("status")
        except ControlError:
            return False
        return True

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def _kiosk_public_key(self) -> dict[str, Any]:
        return dict(load_kiosk_key(self.folder / "state", {}).public())

    def _kiosk_list_key(self) -> dict[str, Any]:
        return dict(load_list_key(self.folder / "state", {}).public())

    def _write_config(self) -> None:
        text = CONFIG.format(
            site=SITE,
            kiosk=KIOSK,
            folder=self.folder,
            driver=self.sensor.kind.driver,
            url=self.sensor.url,
            options=", ".join(f"{key} = {json.dumps(value)}" for key, value in self.sensor.kind.options.items()),
            camera=CAMERA.format(url=self.camera.url) if self.camera else "",
            steps=", ".join(_step(position) for position in self.positions),
            port=self.broker.port,
            hub_key=self.folder / "hub.pub.json",
        )
        if self.lists is not None:
            text += LISTS.format(source=self.lists.public, root=self.folder / "lists" / "root.json")
        self.config.write_text(text, encoding="utf-8")


class Watcher:
    """Receives the kiosk's announcements, across restarts of the agent, for `on_announcement` and for a queue."""

    def __init__(self, rig: KioskRig, on_announcement: Callable[[Json], None] = lambda _: None) -> None:
        self._client = rig.client
        self._on_announcement = on_announcement
        self._queue: queue.SimpleQueue[Json] = queue.SimpleQueue()
        self._listening = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name="watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._listening.wait(READY_S):
            self._stopping.set()
            raise RuntimeError("the agent did not answer the request to watch")
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()

    def wait_for(self, kind: str, timeout: float = ANSWER_S) -> Json:
        """The next announcement of a kind; others before it are dropped. TimeoutError if none arrives."""
        deadline = time.monotonic() + timeout
        while (announcement := self.next(max(0.0, deadline - time.monotonic())))["kind"] != kind:
            pass
        return announcement

    def next(self, timeout: float = ANSWER_S) -> Json:
        """The next announcement of any kind. TimeoutError if none arrives."""
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"no announcement from the kiosk for {timeout:.0f} s") from None

    def discard_pending(self) -> None:
        """Drop the announcements in the queue."""
        while not self._queue.empty():
            self._queue.get()

    def _main(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._client.watch() as announcements:
                    self._listening.set()
                    for announcement in announcements:
                        self._on_announcement(announcement)
                        self._queue.put(announcement)
            except (ControlError, OSError, json.JSONDecodeError):
                self._stopping.wait(0.05)  # the agent does not run now: try again


def _step(position: Position) -> str:
    sensor = "camera" if position.modality is Modality.IRIS else "finger"
    return f'{{ sensor = "{sensor}", position = "{position}" }}'
