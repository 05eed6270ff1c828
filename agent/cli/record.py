"""Write down the traffic of one sensor for a technician, to be played back in a test."""

import io
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.cli.private_file import own_file
from agent.cli.sensor_check import explained
from agent.cli.signals import cancelled_by_signals
from agent.errors import AgentError, ConfigError
from drivers import open_sensor
from drivers.errors import Cancelled, CaptureRetry, Retry, SensorError
from drivers.recording import Recorder
from drivers.sample import Sample
from drivers.sensor import Sensor

SEED_OPTION = "seed"  # of a driver that draws something at random: a recording plays back only with the same

WARNING = "from now on the file holds a real finger or eye: let only somebody touch the sensor who agrees to that"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to record: the device, so many presentations, and how long to wait for each (seconds)."""

    driver: str
    url: str
    options: Mapping[str, str]
    samples: int
    timeout: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is in the file. `ended_by`: why it ended before all samples were taken; empty: they were."""

    samples: int
    lines: int
    ended_by: str = ""
    interrupted: bool = False


def record(wish: Wish, out: Path, tell: Tell) -> Recorded:
    """Record `wish.samples` presentations to the new file `out`; `tell` hears what the person is to do.

    What ends it early (unplugged, nobody came, Ctrl-C) stands in the answer, and the file holds all until then.
    AgentError when the device could not be opened at all, or `out` is there already: then there is no new file.
    """
    options = with_seed(wish)
    with own_file(out) as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8", line_buffering=True)  # a killed recording has whole lines
        recorder = Recorder(file, wish.driver, wish.url, options)
        try:
            sensor = open_sensor(wish.driver, wish.url, options, connect=recorder.connect)
            return _record(sensor, recorder, wish, tell)
        finally:
            file.detach()
            if not recorder.opened:
                out.unlink()


def with_seed(wish: Wish) -> dict[str, str]:
    """The options, and a seed where the driver has that option and none was given. ConfigError: something is wrong."""
    options = dict(wish.options)
    _check(wish, options)
    if SEED_OPTION in options:
        return options
    seeded = {**options, SEED_OPTION: f"0x{secrets.randbits(32):08x}"}
    try:
        _check(wish, seeded)
    except ConfigError:
        return options
    return seeded


def _check(wish: Wish, options: Mapping[str, str]) -> None:
    """Touches no device."""
    try:
        open_sensor(wish.driver, wish.url, options, connect=lambda *_: None)
    except ValueError as error:
        raise ConfigError(f"cannot be recorded: {error}") from error


def _record(sensor: Sensor, recorder: Recorder, wish: Wish, tell: Tell) -> Recorded:
    taken = list[Sample]()
    ended_by, interrupted = "", False
    with cancelled_by_signals(sensor):
        try:
            sensor.open()
            tell(WARNING)
            while len(taken) < wish.samples:
                taken.append(_present(sensor, wish, len(taken) + 1, tell))
        except Cancelled:
            ended_by, interrupted = "interrupted", True
        except (CaptureRetry, SensorError) as error:
            ended_by = explained(error)
        finally:
            sensor.close()
    if not recorder.opened:
        raise AgentError(ended_by)
    return Recorded(len(taken), recorder.lines, ended_by, interrupted)


def _present(sensor: Sensor, wish: Wish, number: int, tell: Tell) -> Sample:
    """One presentation; a person who did it wrong does it again."""
    again = "lift it, and present" if number > 1 else "present"
    tell(f"{number} of {wish.samples}: {again} a finger or an eye within {wish.timeout:g} s")
    while True:
        try:
            sample = sensor.capture(wish.timeout)
        except CaptureRetry as retry:
            if retry.reason in (Retry.NOTHING_PRESENTED, Retry.LIFT_FINGER):
                raise
            tell(explained(retry))
        else:
            height, width = sample.image.shape
            tell(f"{number} of {wish.samples}: a sample of {width}x{height}")
            return sample
