"""A simulated NB-1010-U exported over USB/IP, for the contract of sensors and for its own tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers.nb1010.driver import Nb1010
from simulators.sensors.nb1010.device import HEIGHT, WIDTH, Nb1010Model
from simulators.transports.usb.usbip import UsbIpServer
from tests.rigs.simulated_rig import Pixels, SimulatedRig, noise_image
from tests.rigs.virtual_usb import VirtualUsb

IMAGE_ON_WIRE = 90 * 540
SLOW = IMAGE_ON_WIRE / 0.9  # bytes a second: an image takes 0.9 s


def noise(seed: int) -> Pixels:
    """An image of the size of this sensor."""
    return noise_image(seed, WIDTH, HEIGHT)


def press(model: Nb1010Model, seed: int) -> Pixels:
    """Puts a finger on the sensor; returns its image."""
    image = noise(seed)
    model.press(image.tobytes())
    return image


@contextmanager
def nb1010_rig(_folder: Path, pace: bool) -> Iterator[SimulatedRig]:  # noqa: FBT001 - one row of RIGS
    model = Nb1010Model("N1")
    with UsbIpServer(model, bytes_per_s=SLOW if pace else None) as server:
        transfer_bytes = 3 * 16 + IMAGE_ON_WIRE
        yield SimulatedRig(
            server, model, server.url, {"poll_s": 0.01}, transfer_bytes, lambda seed: press(model, seed), model.lift
        )


URL = "usb:298d:1010"


def sensor_on(usb: VirtualUsb, **options: float) -> Nb1010:
    return Nb1010(URL, options, connect=usb.open_link)
