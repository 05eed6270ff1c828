"""The interface of every driver. tests/drivers/test_sensor.py tests it for every row of SENSORS."""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from drivers.options import MountingOptions
from drivers.printable import printable
from drivers.sample import Modality, Position, Sample


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What a device reports about itself. Unknown values are empty; a size not known before the first image is 0."""

    driver: str
    model: str
    serial: str
    firmware: str
    width: int
    height: int
    pixels_per_inch: float
    depth_bits: int

    def __post_init__(self) -> None:
        for name in ("model", "serial", "firmware"):  # as the device says: anything may be in it
            object.__setattr__(self, name, printable(getattr(self, name)))


class Sensor(Protocol):
    """One attached device. One thread opens, captures and closes; any thread may call cancel().

    Every method raises only the errors of drivers.errors.

    A camera (`streams` is True) returns a frame at every capture: the newest one that began after the call or, within a
    capture window (see WindowedSensor), the next frame of the window. It cannot know whether a person is there, so it
    has no presentations and no lifts, and never raises NOTHING_PRESENTED; the quality of the frame shows that nobody is
    looking. All other sensors (`streams` is False) wait for a person.
    """

    modality: Modality
    streams: bool

    def open(self) -> DeviceInfo:
        """Claims the device and reads what it is. LinkLost if it is not there; ProtocolError if it does not answer."""

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        """Waits for a presentation and returns one sample of it.

        If the finger of the last sample has not been lifted, capture() first waits for the lift. `timeout` (seconds)
        limits the wait for the person, not the transfer; the deadline of the transfer follows from the image size.
        CaptureRetry if nobody came or the presentation gave no image.
        """

    def cancel(self) -> None:
        """Ends the running capture or open with Cancelled, within 0.3 s; the sensor stays usable.

        If none is running, the next one ends with Cancelled. The cancel is remembered until it has ended one; otherwise
        a stop between two calls would be lost.
        """

    def close(self) -> None:
        """Releases the device. Never raises; may be called twice and after any error."""


@runtime_checkable
class WindowedSensor(Protocol):
    """A camera whose captures within one capture window may return frames that began before the call.

    A call belongs to the current window if it follows within 0.1 s and names the same position. No frame is returned
    twice, and none that began more than 0.1 s before the call.
    """

    def begin_window(self) -> None:
        """Starts a new capture window: the frame of the next capture() begins after that call.

        Only the thread that captures may call it.
        """


@runtime_checkable
class LivenessCheck(Protocol):
    """A sensor that can be asked whether it still works, while nobody waits for a sample."""

    def check_alive(self) -> None:
        """Asks the device something cheap. SensorError if it does not work: close it, wait, open it. Or Cancelled.

        Only the thread that captures may call it, between two captures of an open device.
        """


@runtime_checkable
class LiftOverride(Protocol):
    """A sensor that waits for the lift of the last finger, and can be told not to."""

    def forget_finger(self) -> None:
        """The finger of the last sample counts as lifted: the next capture() takes an image of what is there.

        For a sensor that reports a finger although an image shows none. Only the thread that captures may call it.
        """


class MountedSensor:
    """A sensor that is not mounted upright: turns its images. What the sensor cannot do besides does nothing."""

    def __init__(self, sensor: Sensor, mounting: MountingOptions) -> None:
        self.modality = sensor.modality
        self.streams = sensor.streams
        self._sensor = sensor
        self._mounting = mounting

    def open(self) -> DeviceInfo:
        """As the sensor; the size is that of the turned image."""
        info = self._sensor.open()
        if self._mounting.rotation % 180 == 0:
            return info
        return replace(info, width=info.height, height=info.width)

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        """As the sensor, with the image turned upright."""
        sample = self._sensor.capture(timeout, position)
        image = sample.image[:, ::-1] if self._mounting.mirrored else sample.image
        turned = np.rot90(image, -(self._mounting.rotation // 90))  # rot90 turns anticlockwise
        return replace(sample, image=np.ascontiguousarray(turned))

    def cancel(self) -> None:
        """As the sensor."""
        self._sensor.cancel()

    def close(self) -> None:
        """As the sensor."""
        self._sensor.close()

    def begin_window(self) -> None:
        """As a WindowedSensor."""
        if isinstance(self._sensor, WindowedSensor):
            self._sensor.begin_window()

    def check_alive(self) -> None:
        """As a LivenessCheck."""
        if isinstance(self._sensor, LivenessCheck):
            self._sensor.check_alive()

    def forget_finger(self) -> None:
        """As a LiftOverride."""
        if isinstance(self._sensor, LiftOverride):
            self._sensor.forget_finger()


_: type[Sensor] = MountedSensor


def mounted(sensor: Sensor, mounting: MountingOptions) -> Sensor:
    """The sensor with upright images: the sensor itself if it is mounted upright."""
    upright = mounting.rotation == 0 and not mounting.mirrored
    return sensor if upright else MountedSensor(sensor, mounting)
