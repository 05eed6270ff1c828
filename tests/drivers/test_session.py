"""What a driver does on open, failure, cancel and close, with a device that only notes what is done to it."""

import pytest

from drivers.errors import Cancelled, DeviceBusy, LinkLost
from drivers.session import SensorSession


class NotedDevice:
    """A device that is held in an Attachment: counts the calls."""

    def __init__(self) -> None:
        self.cancels = self.closes = 0

    def cancel(self) -> None:
        self.cancels += 1

    def close(self) -> None:
        self.closes += 1


class Driver(SensorSession):
    """A driver of one NotedDevice; open() ends with `error` if there is one."""

    def __init__(self) -> None:
        super().__init__("noted at usb:1209:0001")
        self.device: NotedDevice | None = None
        self.releases = 0

    def open(self, error: BaseException | None = None) -> NotedDevice:
        with self._opening(), self._named_errors():
            device = NotedDevice()
            self._attachment.attach(device)
            if error is not None:
                raise error
            self.device = device
            return device

    def capture(self, error: BaseException | None = None) -> NotedDevice:
        with self._attachment.attempt():
            device = self._require_open(self.device)
            if error is not None:
                raise error
            return device

    def _release(self) -> None:
        self.device = None
        self.releases += 1


@pytest.fixture(name="driver")
def _driver() -> Driver:
    return Driver()


def test_a_second_open_closes_the_device_first(driver: Driver) -> None:
    first = driver.open()
    second = driver.open()
    assert (first.closes, second.closes) == (1, 0)
    assert driver.capture() is second


@pytest.mark.parametrize("error", [LinkLost("unplugged"), Cancelled(), KeyboardInterrupt()])
def test_a_failed_open_releases_the_device(driver: Driver, error: BaseException) -> None:
    with pytest.raises(type(error)):
        driver.open(error)
    assert driver.releases == 2  # before, and after the error
    with pytest.raises(LinkLost, match=r"^noted at usb:1209:0001: not open$"):
        driver.capture()


def test_close_may_be_called_twice(driver: Driver) -> None:
    device = driver.open()
    driver.close()
    driver.close()
    assert device.closes == 1


def test_errors_get_the_name_of_the_device_and_keep_their_type(driver: Driver) -> None:
    with pytest.raises(DeviceBusy, match=r"^noted at usb:1209:0001: in use$"):
        driver.open(DeviceBusy("in use"))


def test_a_cancel_reaches_the_device_and_is_kept_until_it_has_ended_something(driver: Driver) -> None:
    device = driver.open()
    driver.cancel()
    assert device.cancels == 1
    reopened = driver.open()  # nothing was ended: the new device is cancelled too
    assert reopened.cancels == 1
    with pytest.raises(Cancelled):
        driver.capture(Cancelled())
    assert driver.open().cancels == 0


def test_a_driver_must_say_how_it_releases_its_device() -> None:
    with pytest.raises(NotImplementedError):
        SensorSession("nothing").close()
