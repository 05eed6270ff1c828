"""A small USB device for tests of links and bindings. Standard library only: Debian's own Python runs it too."""

from collections import deque

from simulators.transports.faults import Faults
from simulators.transports.usb.device import Setup, Stall, UsbDescription, UsbModel, UsbWire
from simulators.transports.usb.standard import configuration_descriptor, endpoint_descriptor, interface_descriptor

BELL, OUT, IN = 0x81, 0x02, 0x83
VENDOR_IN, VENDOR_OUT = 0xC0, 0x40
CONFIGURATION = configuration_descriptor(
    interface_descriptor(0, 0, 3, (0xFF, 0xFF, 0xFF)),
    endpoint_descriptor(BELL, 3, 64, 8),
    endpoint_descriptor(OUT, 2, 64),
    endpoint_descriptor(IN, 2, 64),
)


class Echo:
    """Sends back what it receives: bulk on IN after `delay` seconds, a register by control request, rings on BELL."""

    def __init__(self, serial: str = "E1", delay: float = 0.5) -> None:
        self.delay = delay
        self.faults = Faults(1)
        self.description = UsbDescription(
            0x1209, 0x0001, 0x0100, "Kiosk", "Echo", serial, (0, 0, 0), CONFIGURATION, "full"
        )
        self.register = b""
        self.wire: UsbWire | None = None
        self.asks = 0
        self.heard = deque[bytes]()

    def attach(self, wire: UsbWire, _now: float) -> None:
        self.wire = wire

    def control(self, setup: Setup, data: bytes) -> bytes:
        if setup.request != 4:
            raise Stall
        if data:
            self.register = data
        return self.register

    def received(self, _endpoint: int, data: bytes) -> None:
        self.heard.append(data)
        assert self.wire is not None
        self.wire.send(IN, data, self.delay)

    def read_submitted(self, _endpoint: int, _length: int) -> None:
        self.asks += 1

    def ring(self, data: bytes) -> None:
        assert self.wire is not None
        self.wire.send(BELL, data)

    def detach(self) -> None:
        self.wire = None


_: type[UsbModel] = Echo
