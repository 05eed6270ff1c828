"""A simulated U.are.U reader in virtual time, and its driver. A test controls every request, message and second."""

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import CaptureRetry, Retry
from drivers.options import OptionValue
from drivers.uru4000.driver import Uru4000
from simulators.sensors.uru4000.device import Block, Uru4000Model, Uru4000Settings
from simulators.transports.usb.device import Setup
from simulators.transports.usb.port import HostTransfer
from tests.rigs.virtual_usb import VirtualUsb

HUNG, ASLEEP = 0x85, 0x81


ONE_BLOCK = (Block(2, 200), Block(2, 89))


PERSON_S = 5.0


class ReaderRig:
    """A reader, its USB connection and the driver that uses it."""

    def __init__(self, settings: Uru4000Settings | None = None, **options: OptionValue) -> None:
        self.model = Uru4000Model(settings or Uru4000Settings())
        self.usb = VirtualUsb(self.model)
        self.requests = list[str]()  # of the host, in order
        self._submit, self.usb.port.submit = self.usb.port.submit, self._record  # type: ignore[method-assign]
        reader = self.model.reader
        url = f"usb:{reader.vendor:04x}:{reader.product:04x}"
        self.sensor = Uru4000(url, options, connect=self.usb.open_link)

    def _record(self, transfer: HostTransfer) -> None:
        self.requests.append(_text(transfer, transfer.setup))
        self._submit(transfer)

    def new_requests(self) -> list[str]:
        """The requests since the last call, without the interrupt read that is always pending."""
        requests, self.requests[:] = [request for request in self.requests if request != "read 81"], []
        return requests

    def press(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.model.press(image.tobytes())
        return image

    def later(self, seconds: float, image: NDArray[np.uint8] | None) -> None:
        """Plan that a person presses (or lifts, for None) in the middle of a wait."""
        self.usb.time.later(seconds, self.model.lift if image is None else lambda: self.model.press(image.tobytes()))

    def retry(self, timeout: float = 0.0) -> Retry:
        with pytest.raises(CaptureRetry) as caught:
            self.sensor.capture(timeout)
        return caught.value.reason

    def captured(self, timeout: float = PERSON_S) -> NDArray[np.uint8]:
        return self.sensor.capture(timeout).image


def _text(transfer: HostTransfer, setup: Setup | None) -> str:
    if setup is None:
        return f"read {transfer.endpoint:02x}" + (f" {transfer.length}" if transfer.endpoint == 0x82 else "")
    register = f"{setup.value:02x}"
    return f"r{register} {setup.length}" if setup.request_type == 0xC0 else f"w{register} {transfer.data.hex()}"


def opened(settings: Uru4000Settings | None = None, **options: OptionValue) -> ReaderRig:
    rig = ReaderRig(settings, **options)
    rig.sensor.open()
    rig.new_requests()
    return rig
