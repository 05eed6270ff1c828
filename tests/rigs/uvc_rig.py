"""A bulk camera exported over USB/IP, for the contract in tests/drivers/test_sensor.py."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.transports.usb.usbip import UsbIpServer
from tests.rigs.simulated_rig import Pixels, SimulatedRig, noise_image

WIDTH, HEIGHT = 64, 48
PARTS = 12  # payloads of a frame: more than the driver has reads in flight, so a frame begins when it is chosen
HEADER_BYTES = 12
BEGIN_S = 5.0


def noise(seed: int, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """An image of the size of this camera."""
    return noise_image(seed, width, height)


@contextmanager
def uvc_rig(_folder: Path, pace: bool) -> Iterator[SimulatedRig]:  # noqa: FBT001 - one row of RIGS
    settings = UvcSettings(
        sizes=((WIDTH, HEIGHT),),
        rates=(1.4 if pace else 100.0,),
        readout=1.0 if pace else 0.0,
        max_payload=WIDTH * HEIGHT // PARTS + HEADER_BYTES,
    )
    camera = UvcCamera(settings, seed=1)

    def show(pixels: bytes) -> None:
        camera.show(lambda _number, _mode: pixels)

    def look(seed: int) -> Pixels:
        """Returns when the frames that begin now have the image."""
        image = noise(seed)
        show(image.tobytes())
        if camera.mode is not None:
            camera.wait_for_frames(2, BEGIN_S)
        return image

    with UsbIpServer(camera) as server:
        transfer_bytes = WIDTH * HEIGHT + PARTS * HEADER_BYTES
        yield SimulatedRig(server, camera, server.url, {}, transfer_bytes, look, lambda: show(bytes(WIDTH * HEIGHT)))
