"""Records the traffic between a driver and its device to a file, which a test can play back."""

import io
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.cli.private_file import private_file
from agent.cli.sensor_check import explain_failure
from agent.cli.signals import cancel_on_signals
from agent.errors import AgentError, ConfigError
from drivers import open_sensor
from drivers.errors import Cancelled, CaptureRetry, Retry, SensorError
from drivers.recordings.recording import Recorder
from drivers.sample import Sample
from drivers.sensor import Sensor

# The option of drivers that use random numbers: a recording plays back only with the seed that it was made with.
SEED_OPTION = "seed"

WARNING = "from now on the file will hold a real finger or eye: only a person who agrees to that may use the sensor"

ShowLine = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RecordingRequest:
    """What to record: the device, the number of presentations, and the seconds to wait for each."""

    driver: str
    url: str
    options: Mapping[str, str]
    samples: int
    timeout: float


@dataclass(frozen=True, slots=True)
class RecordingResult:
    """What is in the file. `ended_by` is why it ended before all samples were taken; empty if all were."""

    samples: int
    lines: int
    ended_by: str = ""
    interrupted: bool = False


def record(request: RecordingRequest, out: Path, show: ShowLine) -> RecordingResult:
    """Record `request.samples` presentations to the new file `out`; `show` gets instructions for the person.

    If it ends early (unplugged, nobody came, Ctrl-C), the result gives the reason, and the file contains the traffic
    until then. If the device cannot be opened or `out` already exists, raises AgentError and creates no file.
    """
    options = with_seed(request)
    with private_file(out) as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8", line_buffering=True)  # a killed recording has whole lines
        recorder = Recorder(file, request.driver, request.url, options)
        try:
            sensor = open_sensor(request.driver, request.url, options, connect=recorder.connect)
            return _record(sensor, recorder, request, show)
        finally:
            file.detach()
            if not recorder.opened:
                out.unlink()


def with_seed(request: RecordingRequest) -> dict[str, str]:
    """The options, with a random seed added if the driver takes one and none was given. ConfigError if one is wrong."""
    options = dict(request.options)
    _check(request, options)
    if SEED_OPTION in options:
        return options
    seeded = {**options, SEED_OPTION: f"0x{secrets.randbits(32):08x}"}
    try:
        _check(request, seeded)
    except ConfigError:
        return options
    return seeded


def _check(request: RecordingRequest, options: Mapping[str, str]) -> None:
    """ConfigError if the device cannot be recorded with these options. Touches no device."""
    try:
        open_sensor(request.driver, request.url, options, connect=lambda *_: None)
    except ValueError as error:
        raise ConfigError(f"cannot be recorded: {error}") from error


def _record(sensor: Sensor, recorder: Recorder, request: RecordingRequest, show: ShowLine) -> RecordingResult:
    taken = list[Sample]()
    ended_by, interrupted = "", False
    with cancel_on_signals(sensor):
        try:
            sensor.open()
            show(WARNING)
            while len(taken) < request.samples:
                taken.append(_present(sensor, request, len(taken) + 1, show))
        except Cancelled:
            ended_by, interrupted = "interrupted", True
        except (CaptureRetry, SensorError) as error:
            ended_by = explain_failure(error)
        finally:
            sensor.close()
    if not recorder.opened:
        raise AgentError(ended_by)
    return RecordingResult(len(taken), recorder.lines, ended_by, interrupted)


def _present(sensor: Sensor, request: RecordingRequest, number: int, show: ShowLine) -> Sample:
    """Capture one presentation; ask again if the sample could not be used."""
    instruction = "lift it, and present" if number > 1 else "present"
    show(f"{number} of {request.samples}: {instruction} a finger or an eye within {request.timeout:g} s")
    while True:
        try:
            sample = sensor.capture(request.timeout)
        except CaptureRetry as retry:
            if retry.reason in (Retry.NOTHING_PRESENTED, Retry.LIFT_FINGER):
                raise
            show(explain_failure(retry))
        else:
            height, width = sample.image.shape
            show(f"{number} of {request.samples}: a sample of {width}x{height}")
            return sample
