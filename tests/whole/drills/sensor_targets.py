"""Each simulated sensor on a virtual clock, as the fault scripts of sensors.py drive it. One row a driver."""

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
    """What the models of simulators/ with a finger have in common."""

    faults: Faults

    def lift(self) -> None: ...


class Plug(Protocol):
    """A VirtualPort or a VirtualUsb."""

    def unplug(self) -> None: ...

    def replug(self) -> None: ...


@dataclass
class Target:
    """One sensor, its device and the plug between them."""

    sensor: Sensor
    device: Device
    plug: Plug
    time: VirtualTime
    about: str  # what was chosen of its options
    faults: tuple[str, ...]  # rows of FAULTS that the device can carry out
    transfer_bytes: int
    open_s: float  # within so long open() ends, whatever happens
    capture_s: float  # within so long of its time-out capture() ends
    close_s: float
    press: Callable[[int], NDArray[np.uint8]]  # something by a seed; the image that a sample of it must have
    claims: Callable[[], int]  # ports or interfaces that are still held
    power: Callable[[], int]  # which plugging-in this is, from 1; 0 while the cable is out
    clear: Callable[[], None]  # no fault waits any more
    disarm: Callable[[], None]  # a cable that was to be pulled at some byte stays in
    may_differ: int = 0  # pixels of a good sample, where the device itself loses some


SIDE = 48
NEVER = 1 << 40  # bytes
SLACK = 4.0  # times the longest transfer: an exchange is tried again, and what is on its way is let by first


def ef01(rng: random.Random) -> Target:
    """An EF01 module; packet size, rate and what the driver is told of them by chance."""
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
    image_s = 1.5 * line_s(SIDE * SIDE * (1 + 11 / 32) / 2 + 200, 9600) + 2

    def press(seed: int) -> NDArray[np.uint8]:
        image = np.random.default_rng(seed).integers(0, 16, (SIDE, SIDE), np.uint8) * np.uint8(17)
        module.press(image)
        return image

    return Target(
        sensor=Ef01(url, options, clock=time.now, connect=port.connect),
        device=module,
        plug=port,
        time=time,
        about=f"{url} {options} hello={settings.hello} packets={packet_size}",
        faults=EF01_FAULTS,
        transfer_bytes=SIDE * SIDE // 2 + 11 * (SIDE * SIDE // 2 // packet_size) + 40,
        open_s=3 * SLACK * (image_s + 4),
        capture_s=SLACK * (image_s + 4),
        close_s=0.0,
        press=press,
        claims=lambda: port.claims,
        power=lambda: port.power,
        clear=module.clear_faults,
        disarm=lambda: port.unplug_after(NEVER),
    )


def sfm(rng: random.Random) -> Target:
    """An SFM module; rate, transfer, depth, network form and the intermediate answer by chance."""
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
    image_s = 1.5 * line_s(SIDE * SIDE + 800, 9600) + 2

    def press(seed: int) -> NDArray[np.uint8]:
        levels, step = (16, 17) if grey == "4bit" else (256, 1)
        image = np.random.default_rng(seed).integers(0, levels, (SIDE, SIDE), np.uint8) * np.uint8(step)
        module.press(image)
        return image

    return Target(
        sensor=Sfm(url, options, clock=time.now, connect=port.connect),
        device=module,
        plug=port,
        time=time,
        about=f"{url} {options} {settings}",
        faults=tuple(name for name in SFM_FAULTS if terminal is not None or name != "wrong_address"),
        transfer_bytes=SIDE * SIDE + 200,
        open_s=3 * SLACK * (image_s + 4),
        capture_s=SLACK * (image_s + 4),
        close_s=image_s + 4,
        press=press,
        claims=lambda: port.claims,
        power=lambda: port.power,
        clear=module.clear_faults,
        disarm=lambda: port.unplug_after(NEVER),
    )


def line_s(count: float, baud: int) -> float:
    """Seconds of so many bytes on a serial line."""
    return 10 * count / baud


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
        time=usb.time,
        about="usb:298d:1010",
        faults=NB1010_FAULTS,
        transfer_bytes=90 * 540 + 64,
        open_s=20.0,
        capture_s=20.0,
        close_s=1.0,
        press=press,
        claims=lambda: usb.links,
        power=lambda: usb.port.plugs if usb.port.plugged else 0,
        clear=model.faults.clear,
        disarm=lambda: usb.port.unplug_after(NEVER),
    )


def ridges(seed: int) -> NDArray[np.uint8]:
    """Waves with a margin: the driver tells a scrambled image from a plain one by the noise of its first lines."""
    angle, phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, 2)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = np.sin(0.35 * (rows * np.cos(angle) + columns * np.sin(angle)) + phase)
    image: NDArray[np.uint8] = (127.5 + 127.5 * waves).astype(np.uint8)
    image[:4] = image[-4:] = 255
    return image


def uru4000(rng: random.Random) -> Target:
    """A U.are.U of any kind, awake or asleep."""
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
        time=usb.time,
        about=f"{url} {settings}",
        faults=URU4000_FAULTS,
        transfer_bytes=64 + 64 + 290 * WIDTH,
        open_s=30.0,
        capture_s=30.0,
        close_s=5.0,
        press=press,
        claims=lambda: usb.links,
        power=lambda: usb.port.plugs if usb.port.plugged else 0,
        clear=model.clear_faults,
        disarm=lambda: usb.port.unplug_after(NEVER),
        may_differ=2 * WIDTH,  # a line is never sent, and the last pixels of scrambled blocks are lost
    )  # fmt: skip


class PulledReader(FrameReader):
    """Reads the stream of a camera in the thread that waits for a frame: virtual time has only one."""

    _pulled: Stream

    def start(self, stream: Stream) -> None:
        """Start the stream."""
        self._pulled = stream
        stream.start()

    def frame_after(self, moment: float, deadline: float) -> RawFrame:
        """The first whole frame that began after `moment`."""
        while self.link.now() < deadline:
            for frame in self._pulled.step():
                if frame.began_at > moment:
                    return frame
        raise ProtocolError("no readable frame in time")

    def cancel(self) -> None:
        """End the running or the next wait with Cancelled."""
        self.link.cancel()

    def close(self) -> None:
        """Stop the stream and give the link back."""
        if hasattr(self, "_pulled"):
            self._pulled.stop()
        self.link.close()


class PulledUvc(Uvc):
    """The driver with such a reader."""

    def _attach(self, interface: int) -> FrameReader:
        self._attachment.detach()
        reader = PulledReader(self._connect(self._url, interface))
        self._attachment.attach(reader)
        return reader


class Eye:
    """A camera as a device that something is held before."""

    def __init__(self, camera: UvcCamera) -> None:
        self.faults = camera.faults
        self._camera = camera

    def show(self, image: NDArray[np.uint8]) -> None:
        pixels = image.tobytes()
        self._camera.show(lambda _number, _mode: pixels)

    def lift(self) -> None:
        self.show(np.zeros((SIDE, SIDE), np.uint8))


def uvc(rng: random.Random) -> Target:
    """A camera with small pictures, at any rate."""
    settings = UvcSettings(
        sizes=((SIDE, SIDE),), rates=(rng.choice([10.0, 30.0, 100.0]),), max_payload=rng.choice([300, 1024, 3000]),
        separate_end=rng.random() < 0.3, timestamps=rng.random() < 0.7, timestamp_once=rng.random() < 0.3,
        padding_bytes=rng.choice([0, 0, 8]), readout=rng.choice([0.0, 0.9]),
    )  # fmt: skip
    camera = UvcCamera(settings, seed=rng.getrandbits(32))
    usb = VirtualUsb(camera)
    eye = Eye(camera)
    eye.lift()

    def press(seed: int) -> NDArray[np.uint8]:
        image = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), np.uint8)
        eye.show(image)
        return image

    return Target(
        sensor=PulledUvc("usb:1209:0001", {}, connect=usb.open_link),
        device=eye,
        plug=usb,
        time=usb.time,
        about=f"usb:1209:0001 {settings}",
        faults=UVC_FAULTS,
        transfer_bytes=3 * SIDE * SIDE,
        open_s=30.0,
        capture_s=30.0,
        close_s=11.0,
        press=press,
        claims=lambda: usb.links,
        power=lambda: usb.port.plugs if usb.port.plugged else 0,
        clear=camera.clear_faults,
        disarm=lambda: usb.port.unplug_after(NEVER),
    )


TARGETS: dict[str, Callable[[random.Random], Target]] = {
    "ef01": ef01,
    "sfm": sfm,
    "nb1010": nb1010,
    "uru4000": uru4000,
    "uvc": uvc,
}
