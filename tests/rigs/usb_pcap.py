"""Records the traffic between a host and a simulated device for umockdev: usbmon records in a pcapng file.

recorder = PcapRecorder(usb)      # a VirtualUsb; from now on every transfer is recorded
…
recorder.save(folder)             # "device" and "capture.pcapng", as umockdev-run wants them

Both are made from a simulated device and contain nothing from a recording of a real one.
"""

import struct
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from simulators.transports.usb.device import IN, UsbDescription
from simulators.transports.usb.port import End, HostTransfer
from simulators.transports.usb.standard import device_descriptor, endpoints
from tests.rigs.virtual_usb import VirtualUsb

BUS = 1
CONTROL, BULK = 2, 3  # types of transfer as usbmon has them
XFER_TYPE = {1: 1, 2: BULK, 3: 1}  # of the endpoint's descriptor -> of usbmon: interrupt is 1
IN_PROGRESS, CANCELLED = -115, -2
STATUS = {End.DONE: 0, End.STALLED: -32, End.GONE: -108}
LINK_TYPE = 220  # LINKTYPE_USB_LINUX_MMAPPED
NO_SETUP, NO_DATA_IN, NO_DATA_OUT, DATA = ord("-"), ord("<"), ord(">"), 0
GET_DESCRIPTOR = ((1, 18), (2, 9), (2, 0))  # what the kernel reads from a new device: kind, length (0: everything)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of usbmon."""

    at: float
    event: str  # "S", "C"
    number: int  # of the transfer
    kind: int
    endpoint: int
    setup: bytes
    status: int
    length: int
    data: bytes = field(repr=False)

    def packet(self, device: int) -> bytes:
        """With usbmon's header of 64 bytes."""
        seconds, micro = divmod(round(self.at * 1_000_000), 1_000_000)
        without = NO_DATA_IN if self.endpoint & IN else NO_DATA_OUT
        head = struct.pack(
            "<QBBBBHBBqiiII8sIIII",
            0xFFFF_8000_0000_0000 + self.number, ord(self.event), self.kind, self.endpoint, device, BUS,
            DATA if self.setup else NO_SETUP, DATA if self.data else without,
            1_700_000_000 + seconds, micro, self.status, self.length, len(self.data),
            self.setup, 8 if self.kind == 1 else 0, 0, 0x200 if self.endpoint & IN else 0, 0,
        )  # fmt: skip
        return head + self.data


class PcapRecorder:
    """Records every transfer of a VirtualUsb from now on."""

    def __init__(self, usb: VirtualUsb) -> None:
        self._usb, self._port = usb, usb.port
        self._about = usb.port.model.description
        self._types = endpoints(self._about.configuration)
        self._numbers = count(1)
        self._in_flight: dict[int, tuple[int, HostTransfer]] = {}
        self.records = list[Record]()
        self._submit, self._unlink = self._port.submit, self._port.unlink
        self._enumerate()
        self._port.submit, self._port.unlink = self._submitted, self._unlinked  # type: ignore[method-assign]

    def _enumerate(self) -> None:
        """The requests of the kernel before a driver opens the device."""
        for kind, length in GET_DESCRIPTOR:
            whole = device_descriptor(self._about) if kind == 1 else self._about.configuration
            setup = struct.pack("<BBHHH", 0x80, 6, kind << 8, 0, length or len(whole))
            number = next(self._numbers)
            answer = whole[: length or len(whole)]
            self.records.append(self._record("S", number, 0x80, CONTROL, setup, IN_PROGRESS, len(answer), b""))
            self.records.append(self._record("C", number, 0x80, CONTROL, b"", 0, len(answer), answer))

    def _record(
        self, event: str, number: int, endpoint: int, kind: int, setup: bytes, status: int, length: int, data: bytes
    ) -> Record:
        return Record(self._usb.time.now(), event, number, kind, endpoint, setup, status, length, data)

    def _submitted(self, transfer: HostTransfer) -> None:
        number, ended = next(self._numbers), transfer.complete
        self._in_flight[id(transfer)] = number, transfer
        self._note("S", number, transfer, IN_PROGRESS, transfer.data)

        def complete(end: End, data: bytes) -> None:
            self._in_flight.pop(id(transfer))
            self._note("C", number, transfer, STATUS[end], data, ended=True)
            ended(end, data)

        transfer.complete = complete
        self._submit(transfer)

    def _unlinked(self, transfer: HostTransfer) -> bool:
        cancelled = self._unlink(transfer)
        if cancelled:
            number, _ = self._in_flight.pop(id(transfer))
            self._note("C", number, transfer, CANCELLED, b"", ended=True)
        return cancelled

    def _note(
        self, event: str, number: int, transfer: HostTransfer, status: int, data: bytes, *, ended: bool = False
    ) -> None:
        setup = transfer.setup
        endpoint = setup.request_type & IN if setup else transfer.endpoint
        kind = CONTROL if setup else XFER_TYPE[self._types[endpoint]]
        raw = b""
        if setup and not ended:
            raw = struct.pack("<BBHHH", setup.request_type, setup.request, setup.value, setup.index, setup.length)
        wanted = setup.length if setup else transfer.length
        length = (len(data) if endpoint & IN else wanted) if ended else wanted
        self.records.append(self._record(event, number, endpoint, kind, raw, status, length, data))

    def save(self, folder: Path, socket: int = 1) -> list[str]:
        """The arguments of umockdev-run for this device, plugged into 1-SOCKET."""
        folder.mkdir(parents=True, exist_ok=True)
        device, capture = folder / "device", folder / "capture.pcapng"
        path = f"/devices/pci0000:00/0000:00:14.0/usb1/1-{socket}"
        address = 10 + socket
        device.write_text(_device(self._about, path, socket, address), encoding="utf-8")
        capture.write_bytes(_pcapng(self.records, address))
        return ["-d", str(device), "-p", f"/sys{path}={capture}"]


def _pcapng(records: list[Record], address: int) -> bytes:
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    interface = struct.pack("<HHI", LINK_TYPE, 0, 0)
    packets = [_enhanced(record.packet(address), record.at) for record in records]
    return b"".join([_block(0x0A0D0D0A, section), _block(1, interface), *packets])


def _enhanced(packet: bytes, at: float) -> bytes:
    stamp = 1_700_000_000_000_000 + round(at * 1_000_000)
    padded = packet + bytes(-len(packet) % 4)
    return _block(6, struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), len(packet)) + padded)


def _block(kind: int, body: bytes) -> bytes:
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size


def _device(about: UsbDescription, path: str, socket: int, address: int) -> str:
    """The device description in the format of umockdev-record."""
    blob = (device_descriptor(about) + about.configuration).hex().upper()
    ids = {
        "idVendor": f"{about.vendor:04x}",
        "idProduct": f"{about.product:04x}",
        "bcdDevice": f"{about.bcd_device:04x}",
    }
    where = {"busnum": str(BUS), "devnum": str(address), "devpath": str(socket), "speed": "12"}
    other = {"bConfigurationValue": "1", "bNumConfigurations": "1", "bDeviceClass": "00", "serial": about.serial}
    return "\n".join(
        [
            f"P: {path}",
            f"N: bus/usb/{BUS:03d}/{address:03d}={blob}",
            f"E: DEVNAME=/dev/bus/usb/{BUS:03d}/{address:03d}",
            "E: DEVTYPE=usb_device",
            "E: SUBSYSTEM=usb",
            f"E: BUSNUM={BUS:03d}",
            f"E: DEVNUM={address:03d}",
            "E: MAJOR=189",
            f"E: MINOR={address - 1}",
            f"E: PRODUCT={about.vendor:x}/{about.product:x}/{about.bcd_device:x}",
            *(f"A: {name}={value}" for name, value in {**ids, **where, **other}.items()),
            f"H: descriptors={blob}",
            "",
            "",
        ]
    )
