"""A U.are.U 4500 exported over USB/IP, for the contract in tests/drivers/test_sensor.py."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulators.sensors.uru4000.device import HEIGHT, WIDTH, Uru4000Model, Uru4000Settings
from simulators.transports.usb.usbip import UsbIpServer
from tests.rigs.simulated_rig import Pixels, SimulatedRig, noise_image

MESSAGE_BYTES, HEADER_BYTES, KEY_BYTES = 64, 64, 4
LAST_PIXELS = ((218, 0), (118, 0), (1, 0))  # of the default scrambled blocks, in the upright image
IMAGE_S, PACED_IMAGE_S = 0.01, 0.8  # the real one takes 0.13 s


def as_captured(image: Pixels) -> Pixels:
    """The sample that a 4500 with the default blocks gives of `image`: the first row and three pixels are white."""
    captured = image.copy()
    captured[0] = 255
    for row, column in LAST_PIXELS:
        captured[row, column] = 255
    return captured


def noise(seed: int) -> Pixels:
    """An image of the size of this reader."""
    return noise_image(seed, WIDTH, HEIGHT)


@contextmanager
def uru4000_rig(_folder: Path, pace: bool) -> Iterator[SimulatedRig]:  # noqa: FBT001 - one row of RIGS
    model = Uru4000Model(Uru4000Settings(image_s=PACED_IMAGE_S if pace else IMAGE_S), seed=1)
    lines = sum(block.lines for block in model.settings.blocks)

    def press(seed: int) -> Pixels:
        image = noise(seed)
        model.press(image.tobytes())
        return as_captured(image)

    with UsbIpServer(model) as server:
        transfer_bytes = MESSAGE_BYTES + HEADER_BYTES + lines * WIDTH + KEY_BYTES
        yield SimulatedRig(server, model, server.url, {}, transfer_bytes, press, model.lift)
