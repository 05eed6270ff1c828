"""The contract that every driver keeps; tests/drivers/test_sensor.py runs it for every row of SENSORS."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from drivers.sample import Modality, Position, Sample


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What a device says of itself. Unknown values are empty strings; a size not known before the first image is 0."""

    driver: str
    model: str
    serial: str
    firmware: str
    width: int
    height: int
    pixels_per_inch: float
    depth_bits: int


class Sensor(Protocol):
    """One attached device. One thread opens, captures and closes; cancel() may come from any thread.

    Every method raises only the errors of drivers.errors.

    A sensor that `streams` (a camera) returns a frame at every capture, the newest that began after the call or, where
    it has looks (see WindowedSensor), the next of the look: it cannot know whether anybody is there, and has no presentations,
    lifts or NOTHING_PRESENTED. That nobody is looking shows in the quality of the frame. All others (`streams` False)
    wait for a person.
    """

    modality: Modality
    streams: bool

    def open(self) -> DeviceInfo:
        """Claim the device and learn what it is. LinkLost: it is not there; ProtocolError: no answer."""

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        """Wait for a presentation and return one sample of it.

        A finger that has not been lifted since the last sample is no new presentation: capture first waits for the
        lift. `timeout` (seconds) bounds the waiting for the person, not the transfer, which has a deadline of its own
        from the size of the image. CaptureRetry when nobody came or the presentation gave no image.
        """

    def cancel(self) -> None:
        """End the running capture or open with Cancelled, within 0.3 s; the sensor stays usable.

        When none runs, the next one ends so: remembered until it has ended one, or a stop could slip between two calls.
        """

    def close(self) -> None:
        """Give the device back. Never raises; may be called twice and after any error."""


@runtime_checkable
class WindowedSensor(Protocol):
    """A camera that gives one frame after another to calls of one look, though the next has begun before the call.

    Calls go on with a look that follow within a tenth of a second and name the same position. No frame is given twice,
    and none that began longer than a tenth of a second before the call.
    """

    def begin_window(self) -> None:
        """The next capture() begins a look: its frame begins after that call. By the thread that captures."""
