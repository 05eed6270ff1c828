"""The simulated sensors on a virtual clock for the fault scripts of sensors.py, one for each driver."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.ef01.driver import Ef01
from drivers.errors import ProtocolError
from drivers.nb1010.driver import Nb1010
from drivers.options import OptionValue
from drivers.sensor import Sensor
from drivers.session import CLOSE_S, TOTAL_S
from drivers.sfm.driver import Sfm
from drivers.uru4000.driver import Uru4000
from drivers.uvc.driver import Uvc
from drivers.uvc.payload import RawFrame
from drivers.uvc.stream import FrameReader, Stream
from simulators.sensors.ef01.device import EF01_FAULTS, Ef01Module, Ef01Settings
from simulators.sensors.nb1010.device import NB1010_FAULTS, Nb1010Model
from simulators.sensors.sfm.device import SfmModule, SfmSettings
from simulators.sensors.sfm.wire import SFM_FAULTS
from simulators.sensors.uru4000.device import (
    ALIVE,
    HEIGHT,
    READERS,
    URU4000_FAULTS,
    WIDTH,
    Uru4000Model,
    Uru4000Settings,
)
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UVC_FAULTS, UvcCamera
from simulators.transports.faults import Faults
from tests.rigs.virtual_serial import VirtualPort
from tests.rigs.virtual_usb import VirtualTime, VirtualUsb


class Device(Protocol):
    """A simulated device with something presented to it."""

    faults: Faults

    def lift(self) -> None: ...


class Plug(Protocol):
    """A VirtualPort or a VirtualUsb."""

    time: VirtualTime
    claims: int  # ports or links that are open

    @property
    def power(self) -> int:
        """How often the device was plugged in so far; 0 while it is unplugged."""

    def unplug(self) -> None: ...

    def unplug_after(self, count: int, /) -> None: ...

    def replug(self) -> None: ...


@dataclass
class Target:
    """One sensor, its simulated device and the connection between them."""

    sensor: Sensor
    device: Device
    plug: Plug
    about: str  # the options that were chosen
    faults: tuple[str, ...]  # rows of FAULTS that the device implements
    transfer_bytes: int
    open_s: float  # open() ends within this time, whatever happens
    capture_s: float  # capture() ends within this time after its timeout
    close_s: float  # close() ends within this time
    press: Callable[[int], NDArray[np.uint8]]  # present the image of a seed; returns the image that a sample must have
    clear: Callable[[], None]  # removes all pending faults
    may_differ: int = 0  # pixels of a good sample that may differ, because the device loses some

    @property
    def time(self) -> VirtualTime:
        """The clock of sensor and device."""
        return self.plug.time

    def disarm(self) -> None:
        """Cancel an unplugging that was planned for a later byte."""
        self.plug.unplug_after(NEVER)


SIDE = 48
NEVER = 1 << 40  # bytes


def ef01(rng: random.Random) -> Target:
    """An EF01 module with a random packet size and baud rate. The driver is given none, one or both of them."""
    time = VirtualTime()
    baud = rng.choice([9600, 57_600, 115_200])
    packet_size = rng.choice([32, 64, 128, 256])
    settings = Ef01Settings(width=SIDE, height=SIDE, baud=baud, packet_size=packet_size, hello=rng.random() < 0.3)
    module = Ef01Module(settings, seed=rng.getrandbits(32), clock=time.now)
    port = VirtualPort(module, time, seed=rng.getrandbits(32))
    options: dict[str, OptionValue] = {"width": SIDE, "height": SIDE}
    if rng.random() < 0.3:
        options["packet_size"] = rng.choice([32, 64, 128, 256])
    if rng.random() < 0.3:
        options["baud"] = rng.choice([57_600, 115_200])
    url = f"serial:/dev/ttyFP0?baud={baud}"

    def press(seed: int) -> NDArray[np.uint8]:
        image = np.random.default_rng(seed).integers(0, 16, (SIDE, SIDE), np.uint8) * np.uint8(17)
        module.press(image)
        return image

    return Target(
        sensor=Ef01(url, options, clock=time.now, connect=port.connect),
        device=module,
        plug=port,
        about=f"{url} {options} hello={settings.hello} packets={packet_size}",
        faults=EF01_FAULTS,
        transfer_bytes=SIDE * SIDE // 2 + 11 * (SIDE * SIDE // 2 // packet_size) + 40,
        open_s=TOTAL_S + CLOSE_S,
        capture_s=TOTAL_S,
        close_s=0.0,
        press=press,
        clear=module.clear_faults,
    )


def sfm(rng: random.Random) -> Target:
    """An SFM module with a random baud rate, transfer, depth, network form and intermediate answer."""
    time = VirtualTime()
    baud = rng.choice([9600, 57_600, 115_200])
    terminal = rng.choice([None, None, 7])
    settings = SfmSettings(
        width=SIDE, height=SIDE, baud=baud, terminal=terminal, send_scanned=rng.random() < 0.7,
        settle_s=rng.choice([0.0, 0.2]), timeout_code=rng.choice([0x30, 0x31, 0x3A]),
    )  # fmt: skip
    module = SfmModule(settings, seed=rng.getrandbits(32), clock=time.now)
    port = VirtualPort(module, time, seed=rng.getrandbits(32))
    grey = rng.choice(["8bit", "4bit"])
    options: dict[str, OptionValue] = {
        "width": SIDE, "height": SIDE, "grey": grey, "transfer": rng.choice(["auto", "extended", "plain"]),
    }  # fmt: skip
    if terminal is not None:
        options["terminal"] = terminal
    if rng.random() < 0.3:
        options["baud"] = rng.choice([57_600, 115_200])
    url = f"serial:/dev/ttyFP0?baud={baud}"
    # A module that lacks the commands for its image format keeps it until it is opened again: no fault that passes.
    excluded = ("refuses", "ignores", *(["wrong_address"] if terminal is None else []))

    def press(seed: int) -> NDArray[np.uint8]:
        levels, step = (16, 17) if grey == "4bit" else (256, 1)
        image = np.random.default_rng(seed).integers(0, levels, (SIDE, SIDE), np.uint8) * np.uint8(step)
        module.press(image)
        return image

    return Target(
        sensor=Sfm(url, options, clock=time.now, connect=port.connect),
        device=module,
        plug=port,
        about=f"{url} {options} {settings}",
        faults=tuple(name for name in SFM_FAULTS if name not in excluded),
        transfer_bytes=SIDE * SIDE + 200,
        open_s=TOTAL_S + CLOSE_S,
        capture_s=TOTAL_S,
        close_s=CLOSE_S,
        press=press,
        clear=module.clear_faults,
    )


FULL_SPEED = 1_000_000.0  # bytes a second


def nb1010(rng: random.Random) -> Target:
    """An NB-1010-U."""
    model = Nb1010Model("N1", seed=rng.getrandbits(32))
    usb = VirtualUsb(model, bytes_per_s=rng.choice([None, FULL_SPEED]))

    def press(seed: int) -> NDArray[np.uint8]:
        image = np.random.default_rng(seed).integers(0, 256, (180, 256), np.uint8)
        model.press(image.tobytes())
        return image

    return Target(
        sensor=Nb1010("usb:298d:1010", {}, connect=usb.open_link),
        device=model,
        plug=usb,
        about="usb:298d:1010",
        faults=NB1010_FAULTS,
        transfer_bytes=90 * 540 + 64,
        open_s=20.0,
        capture_s=20.0,
        close_s=1.0,
        press=press,
        clear=model.faults.clear,
    )


def ridges(seed: int) -> NDArray[np.uint8]:
    """Waves with a margin. The driver takes an image with noise in its first lines for a scrambled one."""
    angle, phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, 2)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = np.sin(0.35 * (rows * np.cos(angle) + columns * np.sin(angle)) + phase)
    image: NDArray[np.uint8] = (127.5 + 127.5 * waves).astype(np.uint8)
    image[:4] = image[-4:] = 255
    return image


def uru4000(rng: random.Random) -> Target:
    """A U.are.U of any model, in normal or low-power mode."""
    settings = Uru4000Settings(
        reader=rng.choice(list(READERS)), status=rng.choice([0x00, 0x80]) | ALIVE, ignored_wakes=rng.choice([0, 0, 3]),
        scrambled=rng.random() < 0.8, first_key=rng.getrandbits(8), tells=rng.choice(["always", "afresh"]),
    )  # fmt: skip
    model = Uru4000Model(settings, seed=rng.getrandbits(32))
    usb = VirtualUsb(model, bytes_per_s=rng.choice([None, FULL_SPEED]))
    url = f"usb:{model.reader.vendor:04x}:{model.reader.product:04x}"

    def press(seed: int) -> NDArray[np.uint8]:
        image = ridges(seed)
        model.press(image.tobytes())
        return image

    return Target(
        sensor=Uru4000(url, {}, connect=usb.open_link),
        device=model,
        plug=usb,
        about=f"{url} {settings}",
        faults=URU4000_FAULTS,
        transfer_bytes=64 + 64 + 290 * WIDTH,
        open_s=30.0,
        capture_s=30.0,
        close_s=5.0,
        press=press,
        clear=model.clear_faults,
        may_differ=2 * WIDTH,  # one line is not sent, and the last pixels of scrambled blocks are lost
    )  # fmt: skip


class SameThreadReader(FrameReader):
    """Reads the stream of a camera in the thread that waits for a frame, because virtual time has only one thread."""

    _source: Stream

    def start(self, stream: Stream) -> None:
        """Start the stream."""
        self._source = stream
        stream.start()

    def frame_after(self, moment: float, deadline: float) -> RawFrame:
        """The first whole frame that began after `moment`."""
        while self.link.now() < deadline:
            for frame in self._source.step():
                if frame.began_at > moment:
                    return frame
        raise ProtocolError("no readable frame in time")

    def cancel(self) -> None:
        """End the current or the next wait with Cancelled."""
        self.link.cancel()

    def close(self) -> None:
        """Stop the stream and close the link."""
        if hasattr(self, "_source"):
            self._source.stop()
        self.link.close()


class SameThreadUvc(Uvc):
    """The driver with a SameThreadReader."""

    def _attach(self, interface: int) -> FrameReader:
        self._attachment.detach()
        reader = SameThreadReader(self._connect(self._url, interface))
        self._attachment.attach(reader)
        return reader


class CameraScene:
    """A camera and the image in front of it, as a Device."""

    def __init__(self, camera: UvcCamera) -> None:
        self.faults = camera.faults
        self._camera = camera

    def show(self, image: NDArray[np.uint8]) -> None:
        pixels = image.tobytes()
        self._camera.show(lambda _number, _mode: pixels)

    def lift(self) -> None:
        self.show(np.zeros((SIDE, SIDE), np.uint8))


def uvc(rng: random.Random) -> Target:
    """A camera with small images, at a random frame rate."""
    settings = UvcSettings(
        sizes=((SIDE, SIDE),), rates=(rng.choice([10.0, 30.0, 100.0]),), max_payload=rng.choice([300, 1024, 3000]),
        separate_end=rng.random() < 0.3, timestamps=rng.random() < 0.7, timestamp_once=rng.random() < 0.3,
        padding_bytes=rng.choice([0, 0, 8]), readout=rng.choice([0.0, 0.9]),
    )  # fmt: skip
    camera = UvcCamera(settings, seed=rng.getrandbits(32))
    usb = VirtualUsb(camera)
    scene = CameraScene(camera)
    scene.lift()

    def press(seed: int) -> NDArray[np.uint8]:
        image = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), np.uint8)
        scene.show(image)
        return image

    return Target(
        sensor=SameThreadUvc("usb:1209:0001", {}, connect=usb.open_link),
        device=scene,
        plug=usb,
        about=f"usb:1209:0001 {settings}",
        faults=UVC_FAULTS,
        transfer_bytes=3 * SIDE * SIDE,
        open_s=30.0,
        capture_s=30.0,
        close_s=11.0,
        press=press,
        clear=camera.clear_faults,
    )


TARGETS: dict[str, Callable[[random.Random], Target]] = {
    "ef01": ef01,
    "sfm": sfm,
    "nb1010": nb1010,
    "uru4000": uru4000,
    "uvc": uvc,
}
