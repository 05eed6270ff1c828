"""A simulated camera and the stream that the driver makes of it, in virtual time."""

from drivers.uvc.descriptors import streaming_interfaces
from drivers.uvc.options import UvcOptions, choose_stream
from drivers.uvc.payload import RawFrame
from drivers.uvc.stream import Stream
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.sensors.uvc.frames import Mode, numbered
from tests.rigs.virtual_usb import UsbMemory, VirtualUsb

WIDTH, HEIGHT = 64, 48


MODE = Mode("y800", WIDTH, HEIGHT, 333_333)


class StreamRig:
    """A camera and the stream that the driver makes of it, in virtual time."""

    def __init__(self, options: dict[str, object] | None = None, *, memory: object = None, **facts: object) -> None:
        """`memory`: a UsbMemory that this camera shares with others."""
        given_facts = {"sizes": ((WIDTH, HEIGHT),), "max_payload": 1024, **facts}
        self.camera = UvcCamera(UvcSettings(**given_facts), seed=3)  # type: ignore[arg-type]
        self.usb = VirtualUsb(self.camera, memory=memory if isinstance(memory, UsbMemory) else None)
        self.link = self.usb.open_link()
        checked = UvcOptions.model_validate(options or {})
        self.stream = Stream(
            self.link, choose_stream(streaming_interfaces(self.link.configuration), checked), checked.light
        )
        self.stream.start()

    def frames(self, count: int) -> list[RawFrame]:
        """The next frames, each checked to be one that the camera sent."""
        found = list[RawFrame]()
        while len(found) < count:
            found += self.stream.step()
        assert all(frame.data == numbered(frame_number(frame), MODE) for frame in found)
        return found

    def numbers(self, count: int) -> list[int]:
        return [frame_number(frame) for frame in self.frames(count)]


def frame_number(frame: RawFrame) -> int:
    return int.from_bytes(frame.data[:8], "little")
