"""A serial line without threads, file descriptors and waiting: a Transport to a SerialDevice on a virtual clock."""

from itertools import count
from random import Random

from drivers.errors import Cancelled, DeviceBusy, LinkLost
from drivers.transport import SerialUrl, Url
from simulators.transports.serial.uart import Line, SerialDevice
from tests.rigs.virtual_usb import VirtualTime

MIN_STEP_S = 1e-6  # rounding must not stop the time


class VirtualPort:
    """The port of a device, for one host at a time.

    If the host uses another baud rate than the device, both receive noise.
    """

    def __init__(self, device: SerialDevice, time: VirtualTime, *, pace: bool = True, seed: int = 0) -> None:
        self.device = device
        self.time = time
        self.bytes_sent = 0
        self.claims = 0  # transports that are open
        self.openings = 0  # how often the port was opened
        self.keeps_dtr = True  # the host clears HUPCL, so that DTR stays on when it closes the port
        self._dtr_kept = False
        self._line = Line(pace=pace, faults=device.faults)
        self._noise = Random(seed)
        self._plugged = False
        self._generation = 0
        self._unplug_in: int | None = None
        self._unread = bytearray()  # arrived at the host, not read yet
        self.host_baud: int | None = None
        self.replug()

    @property
    def power(self) -> int:
        """How often the device was plugged in so far; 0 while it is unplugged."""
        return self._generation if self._plugged else 0

    def connect(self, url: Url) -> "VirtualTransport":
        """Open the port, as drivers.transport.open_transport does."""
        if not self._plugged:
            raise LinkLost("virtual port: no such port")
        if self.claims:
            raise DeviceBusy("virtual port: another program holds the port")
        self.host_baud = url.baud if isinstance(url, SerialUrl) else None
        self._unread.clear()
        self.claims += 1
        self.openings += 1
        if not self._dtr_kept and (params := self.device.faults.peek("restarts")):
            self._line.clear()
            self._line.queue(self.device.power_on(self.time.seconds + float(params["seconds"])))
        self._dtr_kept = self.keeps_dtr
        return VirtualTransport(self, self._generation)

    def unplug(self) -> None:
        """Unplug the device."""
        self._plugged = False
        self._unplug_in = None
        self._line.clear()

    def unplug_after(self, count: int) -> None:
        """Unplug the device after `count` more bytes to the host."""
        self._unplug_in = count
        if count <= 0:
            self.unplug()

    def replug(self) -> None:
        """Plug the device in, if it is unplugged. This powers it on."""
        if not self._plugged:
            self._plugged = True
            self._dtr_kept = False
            self._generation += 1
            self._unread.clear()
            self._line.queue(self.device.power_on(self.time.seconds))

    def alive(self, generation: int) -> bool:
        """Whether the device is still plugged in, without interruption since a transport was opened."""
        if self._plugged and (params := self.device.faults.take("unplug")):
            self.unplug_after(int(params["after"]))
        return (self._plugged or bool(self._unread)) and generation == self._generation

    def moments(self) -> list[float]:
        """The next times at which something may arrive."""
        if not self._plugged:
            return []
        return [at for at in (self._line.wake_at(), self.device.next_send_at()) if at is not None]

    def take(self) -> bytes:
        """The bytes that have arrived at the host."""
        if self._plugged:
            self._line.queue(self.device.unsolicited(self.time.seconds))
            for data, baud in self._line.arrived(self.time.seconds):
                self._arrive(self._as_received(data, baud))
        data, self._unread = bytes(self._unread), bytearray()
        return data

    def send(self, data: bytes) -> None:
        """Send bytes from the host to the device."""
        baud = self.device.baud
        received_at = self._line.receive(len(data), self.time.seconds, baud)
        self._line.queue(self.device.receive(self._as_received(data, baud), received_at))

    def _arrive(self, data: bytes) -> None:
        if not self._plugged:
            return
        data = data[: self._unplug_in]
        self._unread += data
        self.bytes_sent += len(data)
        if self._unplug_in is not None:
            self.unplug_after(self._unplug_in - len(data))

    def _as_received(self, data: bytes, baud: int) -> bytes:
        return data if self.host_baud in (None, baud) else self._noise.randbytes(len(data))


class VirtualTransport:
    """A Transport. While it waits, the virtual time advances and the actions planned for that time run."""

    def __init__(self, port: VirtualPort, generation: int) -> None:
        self._port = port
        self._generation = generation
        self._cancelled = False
        self._closed = False

    def read(self, timeout: float) -> bytes:
        """The bytes that have arrived. Waits at most `timeout` seconds for the first one."""
        port, time = self._port, self._port.time
        until = time.seconds + max(timeout, 0.0)
        while True:
            self._check()
            if data := port.take():
                return data
            if time.seconds >= until:
                return b""
            soon = max(min([until, *port.moments()]), time.seconds + MIN_STEP_S)
            actions = count()
            time.run(lambda: next(actions) > 0, min(soon, until) - time.seconds)  # noqa: B023 - called before the next iteration

    def write(self, data: bytes) -> None:
        """Send everything."""
        self._check()
        self._port.send(data)

    def set_baud(self, baud: int) -> None:
        """Change the rate of the host."""
        self._check()
        self._port.host_baud = baud

    def cancel(self) -> None:
        """End the current or the next call with Cancelled."""
        self._cancelled = not self._closed

    def close(self) -> None:
        """Release the port."""
        self._port.claims -= not self._closed
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise LinkLost("virtual port: closed")
        if self._cancelled:
            self._cancelled = False
            raise Cancelled("virtual port")
        if not self._port.alive(self._generation):
            raise LinkLost("virtual port: hung up")
