"""Look at sensors for a technician: whether one answers, and what one sample of it is like."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from agent.cli.private_file import check_place, own_file
from agent.cli.signals import cancelled_by_signals
from agent.config import Config
from agent.encounter.best_frame import Viewer
from agent.encounter.messages import say
from agent.errors import AgentError, ConfigError
from agent.kiosk import make_sensor
from drivers import open_sensor
from drivers.errors import CaptureRetry, DeviceTaken, SensorError
from drivers.sample import Modality, Sample, sized
from drivers.sensor import DeviceInfo, Sensor
from models import load_encoder
from models.encoder import Quality
from models.iris.frame_check import load_frame_check

SIZE_UNKNOWN = "size known after the first image"


@dataclass(frozen=True, slots=True)
class Capture:
    """One sample as a technician sees it."""

    info: DeviceInfo
    sample: Sample
    quality: Quality
    waited_s: float
    assess_s: float


def probe_all(config: Config) -> Mapping[str, dict[str, Any]]:
    """Open each configured sensor and say what it answers, in the form of the daemon's status."""
    return {name: _probe(config, name) for name in config.sensors}


def _probe(config: Config, name: str) -> dict[str, Any]:
    sensor = make_sensor(config, name)
    try:
        info = sensor.open()
    except SensorError as error:
        return {"state": "fault", "driver": config.sensors[name].driver, "detail": str(error)}
    else:
        return {"state": "ready", "driver": info.driver, "detail": described(info)}
    finally:
        sensor.close()


def described(info: DeviceInfo) -> str:
    """What a sensor says of itself, in a line."""
    known = asdict(info)
    size = sized(info.width, info.height, info.pixels_per_inch) if info.width else SIZE_UNKNOWN
    return f"{info.model or info.driver}, {size}, {info.depth_bits} bit" + "".join(
        f", {key} {known[key]}" for key in ("serial", "firmware") if known[key]
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a technician wants of a device: one sample within `timeout` seconds, written to `out` where that is given.

    `any_frame`: of a camera the next frame, whether an eye is in it or not.
    """

    driver: str
    url: str
    options: Mapping[str, str]
    timeout: float
    out: Path | None = None
    any_frame: bool = False


def capture_one(wanted: Wanted, tell: Callable[[str], None]) -> Capture:
    """Open a device, wait for one presentation, assess it, and write it where that is asked for.

    `tell` takes what a traveller would be told while a camera looks for an eye. AgentError says why there is no sample;
    the file must not exist yet, and only its owner may read it. Cancelled: by a signal; the device is closed.
    """
    out = wanted.out
    if out is not None:
        check_place(out)  # before anybody is asked to touch the sensor
    try:
        sensor = open_sensor(wanted.driver, wanted.url, wanted.options)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    info, sample, waited = _take(sensor if wanted.any_frame or not sensor.streams else _viewer(sensor, tell), wanted)
    encoder = load_encoder(sample.modality, 2)
    start = time.perf_counter()
    quality = encoder.assess(sample)
    assessed = time.perf_counter() - start
    if out is not None:
        _write(sample, out)
    return Capture(info, sample, quality, waited, assessed)


def _take(sensor: Sensor, wanted: Wanted) -> tuple[DeviceInfo, Sample, float]:
    """What the device says of itself, one sample of it, and the seconds until that."""
    with cancelled_by_signals(sensor):
        try:
            info = sensor.open()
            start = time.perf_counter()
            sample = sensor.capture(wanted.timeout)
            return info, sample, time.perf_counter() - start
        except (CaptureRetry, SensorError) as error:
            raise AgentError(explained(error, sensor.modality)) from error
        finally:
            sensor.close()


def _viewer(camera: Sensor, tell: Callable[[str], None]) -> Viewer:
    """As the daemon looks through a camera: the best frame of an eye."""
    modality = camera.modality
    return Viewer(camera, load_frame_check(modality), lambda flaw, position: tell(say(flaw, position, modality)))


def explained(error: CaptureRetry | SensorError, modality: Modality = Modality.FINGER) -> str:
    """Why there is no sample, and what to do, for a technician."""
    if isinstance(error, CaptureRetry):
        return f"no sample: {error} - the traveller would be told: {say(error.reason, modality=modality)}"
    if isinstance(error, DeviceTaken):
        return f"{error}: if the daemon does (see `kiosk-agent status`), stop the daemon first"
    return str(error)  # of Forbidden too: it names the commands that give permission


def _write(sample: Sample, out: Path) -> None:
    known = {"dpi": (sample.pixels_per_inch, sample.pixels_per_inch)} if sample.pixels_per_inch else {}
    with own_file(out) as file:
        Image.fromarray(sample.image).save(file, format="PNG", **known)
