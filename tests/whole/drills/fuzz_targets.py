"""The parsers that fuzz.py feeds: all that read bytes from a device, another program or a file."""

import io
import random
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

from PIL import Image

from drivers.ef01.framing import MAX_FRAME, Packet, PacketKind, Unframer
from drivers.ef01.tables import SystemParameters
from drivers.errors import CaptureRetry, LinkLost, ProtocolError
from drivers.nb1010.tables import FINGER_CHECK, lines_fault, message_fault
from drivers.recordings.playback import Player
from drivers.recordings.recording import TITLE, Line
from drivers.sfm.framing import Packet as SfmPacket
from drivers.sfm.framing import Unframer as SfmUnframer
from drivers.sfm.image import BadRecord, parse_record
from drivers.sfm.tables import result
from drivers.uru4000.image import decode, read_header
from drivers.usb.sysfs import raw_configuration
from drivers.usb.url import UsbIpUrl
from drivers.usb.usbip_import import DEVICE, import_device
from drivers.uvc.descriptors import MAX_INTERVAL, damage_of, streaming_interfaces
from drivers.uvc.formats import MJPEG, BadFrame
from drivers.uvc.jpeg import images
from drivers.uvc.payload import SLACK_BYTES, Assembler, begun_jpeg, exact_size
from drivers.uvc.probe_commit import StreamSettings
from simulators.sensors.nb1010.device import image_messages, reply, status
from simulators.sensors.uru4000.image import Block, image
from simulators.sensors.uvc.descriptors import UvcSettings, configuration
from tests.whole.drills.message_targets import MESSAGE_PARSERS
from tests.whole.drills.parser import Feed, Parser
from tests.whole.drills.picture_targets import PICTURE_PARSERS
from tests.whole.drills.record_targets import RECORD_PARSERS

UVC_FRAME_BYTES = 600
LINE = 384  # bytes of an image line of the U.are.U


def _ef01_stream() -> Feed:
    unframer = Unframer()

    def feed(data: bytes) -> None:
        unframer.feed(data)
        assert unframer.pending < MAX_FRAME
        if len(data) % 7 == 0:
            unframer.reset()
            assert unframer.pending == 0

    return feed


def _ef01_packet() -> Feed:
    def feed(data: bytes) -> None:
        packet = Packet.from_bytes(data)
        if len(packet.payload) == 17:
            SystemParameters.from_bytes(packet.payload[1:], "fuzz")

    return feed


def _sfm_stream() -> Feed:
    """Packets and the raw bytes after them, read as the link reads them."""
    unframer = SfmUnframer()

    def feed(data: bytes) -> None:
        unframer.feed(data)
        while packet := unframer.packet():
            result(packet.flag)
            unframer.body(packet.size % 64)
        assert unframer.pending < 64
        if len(data) % 7 == 0:
            while unframer.packet(final=True):
                pass
            assert unframer.pending == 0
        if len(data) % 31 == 0:
            unframer.clear()

    return feed


def _sfm_record() -> Feed:
    def feed(data: bytes) -> None:
        image = parse_record(data, "fuzz")
        assert image.pixels.shape == struct.unpack_from("<2i", data)[::-1]
        assert image.pixels.dtype == "uint8"

    return feed


def _nb1010() -> Feed:
    def feed(data: bytes) -> None:
        message_fault(data, FINGER_CHECK.answer, 16)
        for number in (0, 1, 89):
            lines_fault(data, number)

    return feed


def _uru4000_header() -> Feed:
    def feed(data: bytes) -> None:
        read_header(data)

    return feed


def _uru4000_blocks() -> Feed:
    def feed(data: bytes) -> None:
        header = read_header(data)
        decoded = decode(data, header, lambda number: 0x51EA2124 ^ number, upside_down=True)
        assert decoded.pixels.shape == (290, LINE)

    return feed


class _ClosedSocket(socket.socket):
    """A socket whose peer has sent `data` and closed the connection."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def recv(self, size: int, _flags: int = 0) -> bytes:
        return self._data.read(size)

    def sendall(self, _data: object, _flags: int = 0) -> None:
        """The data are dropped."""


def _usbip_import() -> Feed:
    url = UsbIpUrl("127.0.0.1", 3240, "1-1")

    def feed(data: bytes) -> None:
        assert import_device(_ClosedSocket(data), url).device_id < 1 << 64

    return feed


def _recording() -> Feed:
    def feed(data: bytes) -> None:
        text = data.decode("utf-8", "replace").splitlines()
        for line in text:
            if line[:1].isdigit():
                Line.parse(line)
        Player([TITLE, *text])

    return feed


class _FakeSysfs:
    """A folder in which every file contains `data`."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __truediv__(self, _name: str) -> "_FakeSysfs":
        return self

    def read_bytes(self) -> bytes:
        return self._data


def _configuration_file() -> Feed:
    """The descriptors of a device as sysfs has them."""

    def feed(data: bytes) -> None:
        for value in (0, 1, 255):
            found = raw_configuration("1-1", value, cast("Path", _FakeSysfs(bytes(18) + data)))
            assert not found or (found in data and found[5] == value)

    return feed


def _uvc_descriptors() -> Feed:
    def feed(data: bytes) -> None:
        damage_of(data)
        for stream in streaming_interfaces(data):
            for row in stream.formats:
                assert all(0 < frame.interval_for(None) <= MAX_INTERVAL for frame in row.frames)

    return feed


def _uvc_payloads(*, jpeg: bool) -> Callable[[], Feed]:
    def make_feed() -> Feed:
        find_fault = begun_jpeg if jpeg else exact_size(UVC_FRAME_BYTES)
        assembler = Assembler(find_fault, limit=UVC_FRAME_BYTES, packet_bytes=256)

        def feed(data: bytes) -> None:
            for frame in assembler.feed(data, 0.0):
                assert len(frame.data) <= UVC_FRAME_BYTES + SLACK_BYTES

        return feed

    return make_feed


def _uvc_images() -> Feed:
    def feed(data: bytes) -> None:
        last = 0
        for extent in images(data):
            assert last <= extent.begin < extent.end <= len(data)
            last = extent.end

    return feed


def _uvc_mjpeg() -> Feed:
    def feed(data: bytes) -> None:
        assert MJPEG.luma(data, 16, 16).shape == (16, 16)

    return feed


def _uvc_probe() -> Feed:
    def feed(data: bytes) -> None:
        StreamSettings.from_bytes(data)

    return feed


def _sfm_packets() -> tuple[bytes, ...]:
    head = SfmPacket(0x83, 22, 40, 0x61).to_bytes()
    return (
        SfmPacket(0x05, 0x9929).to_bytes(),
        SfmPacket(0x04, 0x30, 0, 0x61).to_bytes(),
        SfmPacket(0x15, 0, 40, 0x62).to_bytes() + SfmPacket(0x15, 0, 40, 0x61).to_bytes() + bytes(40) + b"\x0a",
        head + bytes(range(40)) + (780).to_bytes(4, "little"),
    )


def _ef01_packets() -> tuple[bytes, ...]:
    return (
        bytes.fromhex("EF01FFFFFFFF070013000000000000500003FFFFFFFF0002000C0477"),
        bytes.fromhex("EF01FFFFFFFF0100030F0013"),
        Packet(PacketKind.DATA, bytes(128)).to_bytes() + Packet(PacketKind.LAST_DATA, bytes(32)).to_bytes(),
        Packet(PacketKind.ACKNOWLEDGE, b"\0", 0x12345678).to_bytes(),
    )


def _records() -> tuple[bytes, ...]:
    return (
        struct.pack("<7i", 16, 16, 0, 0, 0, 256, 0) + bytes(256),
        struct.pack("<7i", 16, 32, 0, 0, 2, 256, 16) + bytes(272),
    )


def _generated_record(rng: random.Random) -> bytes:
    """A record of random size, in a depth of the protocol, with the number of bytes rounded down or up."""
    width, height = rng.randint(15, 60), rng.randint(15, 60)
    form, bits = rng.choice(((0, 8), (1, 1), (2, 4), (3, 8)))
    image_bytes, template = (width * height * bits + rng.choice((0, 7))) // 8, rng.choice((0, 0, 1, 384))
    packed = rng.randbytes(image_bytes + template)
    return struct.pack("<7i", width, height, 0, 0, form, image_bytes, template) + packed


def _reader_images() -> tuple[bytes, ...]:
    """Short images, because a mutated one is decoded completely."""
    finger = bytes(290 * LINE)
    return tuple(
        image(finger, blocks, 7, lambda number: 0x1234567 + number)
        for blocks in ((Block(2, 3),), (Block(2, 1), Block(0, 1), Block(0x82, 2)), (Block(2, 2), Block(4, 1)))
    )


def _imports() -> tuple[bytes, ...]:
    about = DEVICE.pack(b"/sys/1-1", b"1-1", 1, 2, 2, 0x05BA, 0x000A, 0x0103, 0, 0, 0, 1, 1, 1)
    return tuple(struct.pack(">HHI", 0x0111, 3, status) + about for status in (0, 1, 2))


def _recordings() -> tuple[bytes, ...]:
    return (
        b"driver nb1010\nurl usb:298d:1010\noption ppi=385\n0.1 open =\n0.2 read 83 16 = 8037\n",
        b"driver uru4000\nurl usb:05ba:000a\n0.1 open ! LinkLost\n0.3 next 81 = -\n",
    )


def _payloads() -> tuple[bytes, ...]:
    pixels = bytes(200)
    return (
        b"\x02\x00" + pixels, b"\x02\x02" + pixels, b"\x02\x01" + pixels, b"\x02\x03" + pixels, b"\x02\x40",
        b"\x0c\x0e" + bytes(10) + pixels, b"\x0c\x0d" + bytes(10) + b"\xff\xd8" + pixels + b"\xff\xd9",
    )  # fmt: skip


def _jpegs() -> tuple[bytes, ...]:
    """A small image, alone, with noise and a thumbnail behind it, and progressive."""
    files = list[bytes]()
    for side, progressive in ((16, False), (8, False), (16, True)):
        stream = io.BytesIO()
        Image.new("L", (side, side), 90).save(stream, "JPEG", progressive=progressive)
        files.append(stream.getvalue())
    image, small, progressive_image = files
    return image, image + bytes(20) + small, small + image, progressive_image


PARSERS: dict[str, Parser] = {
    "ef01-stream": Parser(_ef01_packets(), _ef01_stream),
    "ef01-packet": Parser(_ef01_packets(), _ef01_packet, (ValueError, ProtocolError)),
    "sfm-stream": Parser(_sfm_packets(), _sfm_stream),
    "sfm-record": Parser(_records(), _sfm_record, (BadRecord, ProtocolError), _generated_record),
    "nb1010-message": Parser((status(1, 3), reply(2), *image_messages(bytes(512 * 2))[:2]), _nb1010),
    "uru4000-header": Parser(_reader_images(), _uru4000_header, (CaptureRetry,)),
    "uru4000-blocks": Parser(_reader_images(), _uru4000_blocks, (CaptureRetry,)),
    "usbip-import": Parser(_imports(), _usbip_import, (LinkLost, OSError)),
    "recording": Parser(_recordings(), _recording, (ValueError,)),
    "usb-configuration": Parser((configuration(UvcSettings()),), _configuration_file),
    "uvc-descriptors": Parser(
        (configuration(UvcSettings()), configuration(UvcSettings(formats=("y10",)))), _uvc_descriptors
    ),
    "uvc-payload": Parser(_payloads(), _uvc_payloads(jpeg=False)),
    "uvc-payload-jpeg": Parser(_payloads(), _uvc_payloads(jpeg=True)),
    "uvc-images": Parser(_jpegs(), _uvc_images),
    "uvc-mjpeg": Parser(_jpegs(), _uvc_mjpeg, (BadFrame,)),
    **MESSAGE_PARSERS,
    **PICTURE_PARSERS,
    **RECORD_PARSERS,
    "uvc-probe": Parser((StreamSettings(1, 1, 333_333, 1000, 1024).to_bytes(34),), _uvc_probe, (ProtocolError,)),
}
