"""Checks sensors for a technician: whether each one answers, and the quality and timing of one sample."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from agent.cli.private_file import check_writable, private_file
from agent.cli.signals import cancel_on_signals
from agent.config import Config
from agent.encounter.best_frame import BestFrameSensor
from agent.encounter.messages import message_text
from agent.errors import AgentError, ConfigError
from agent.kiosk import make_sensor
from drivers import open_sensor
from drivers.errors import CaptureRetry, DeviceBusy, ProtocolError, SensorError
from drivers.sample import Modality, Position, Sample, size_text
from drivers.sensor import DeviceInfo, Sensor
from models import load_encoder
from models.encoder import Flaw, Quality
from models.iris.frame_check import load_frame_check

NAMES_OPTIONS = ("option", "set width")  # words of messages of drivers that name an option
GIVE_OPTION = (
    "On the command line an option is --option NAME=VALUE, in the configuration a line NAME = VALUE of the sensor"
)
SIZE_UNKNOWN = "size known after the first image"


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """One sample with its quality, the seconds until it was taken and the seconds to assess it."""

    info: DeviceInfo
    sample: Sample
    quality: Quality
    waited_s: float
    assess_s: float


def check_all(config: Config) -> Mapping[str, dict[str, Any]]:
    """Open each configured sensor and return its state, in the form of the daemon's status."""
    return {name: _check(config, name) for name in config.sensors}


def _check(config: Config, name: str) -> dict[str, Any]:
    sensor = make_sensor(config, name)
    try:
        info = sensor.open()
    except SensorError as error:
        return {"state": "fault", "driver": config.sensors[name].driver, "detail": str(error)}
    else:
        return {"state": "ready", "driver": info.driver, "detail": describe(info)}
    finally:
        sensor.close()


def describe(info: DeviceInfo) -> str:
    """One line about a sensor: model, image size, bit depth, serial number, firmware."""
    known = asdict(info)
    size = size_text(info.width, info.height, info.pixels_per_inch) if info.width else SIZE_UNKNOWN
    return f"{info.model or info.driver}, {size}, {info.depth_bits} bit" + "".join(
        f", {key} {known[key]}" for key in ("serial", "firmware") if known[key]
    )


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """A request for one sample within `timeout` seconds, written to `out` if that is given.

    `any_frame`: take the next frame of a camera, whether it shows an eye or not.
    """

    driver: str
    url: str
    options: Mapping[str, str]
    timeout: float
    out: Path | None = None
    any_frame: bool = False


def capture_one(request: CaptureRequest, show: Callable[[str], None]) -> CaptureResult:
    """Open a device, wait for one presentation, assess it, and write it if the request names a file.

    `show` gets the messages that a traveller would see while a camera searches for an eye. The file must not exist yet;
    only its owner can read it. AgentError if no sample was taken; Cancelled after a signal, with the device closed.
    """
    out = request.out
    if out is not None:
        check_writable(out)  # before a person is asked to touch the sensor
    try:
        sensor = open_sensor(request.driver, request.url, request.options)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    info, sample, waited = _capture(
        sensor if request.any_frame or not sensor.streams else _best_frame_sensor(sensor, show), request
    )
    encoder = load_encoder(sample.modality, 2)
    start = time.perf_counter()
    quality = encoder.assess(sample)
    assessed = time.perf_counter() - start
    if out is not None:
        _write(sample, out)
    return CaptureResult(info, sample, quality, waited, assessed)


def _capture(sensor: Sensor, request: CaptureRequest) -> tuple[DeviceInfo, Sample, float]:
    """The device's information, one sample, and the seconds from opening until the sample was taken."""
    with cancel_on_signals(sensor):
        try:
            info = sensor.open()
            start = time.perf_counter()
            sample = sensor.capture(request.timeout)
            return info, sample, time.perf_counter() - start
        except (CaptureRetry, SensorError) as error:
            raise AgentError(explain_failure(error, sensor.modality)) from error
        finally:
            sensor.close()


def _best_frame_sensor(camera: Sensor, show: Callable[[str], None]) -> BestFrameSensor:
    """The camera as the daemon uses it: it captures the best frame of an eye."""

    def show_message(flaw: Flaw, position: Position) -> None:
        show(message_text(flaw, position, camera.modality))

    return BestFrameSensor(camera, load_frame_check(camera.modality), show_message)


def explain_failure(error: CaptureRetry | SensorError, modality: Modality = Modality.FINGER) -> str:
    """Explain to a technician why there is no sample, and what to do."""
    if isinstance(error, CaptureRetry):
        return f"no sample: {error} - the traveller would be told: {message_text(error.reason, modality=modality)}"
    if isinstance(error, DeviceBusy):
        return f"{error}: if it is the daemon (see `kiosk-agent status`), stop the daemon first"
    if isinstance(error, ProtocolError) and any(word in str(error) for word in NAMES_OPTIONS):
        return f"{error}. {GIVE_OPTION}"
    return str(error)  # also of PermissionDenied, which names the commands that give permission


def _write(sample: Sample, out: Path) -> None:
    known = {"dpi": (sample.pixels_per_inch, sample.pixels_per_inch)} if sample.pixels_per_inch else {}
    with private_file(out) as file:
        Image.fromarray(sample.image).save(file, format="PNG", **known)
