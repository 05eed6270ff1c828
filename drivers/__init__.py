"""Everything that touches hardware: one file a sensor, the SENSORS table, the transports under them."""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from drivers.options import Options
from drivers.sensor import Sensor

# name -> "module:Class", imported only when asked for. Class(url, options) checks both and touches no device.
SENSORS: dict[str, str] = {
    "ef01": "drivers.ef01:Ef01",
    "nb1010": "drivers.nb1010:Nb1010",
    "sfm": "drivers.sfm:Sfm",
    "uru4000": "drivers.uru4000:Uru4000",
    "uvc": "drivers.uvc:Uvc",
    "v4l2": "drivers.v4l2:V4l2",
}

# Installed packages add drivers here: name = "module:Class". A row of SENSORS wins over an outside driver of its name.
ENTRY_POINTS = "kiosk_agent.sensors"

SensorClass = Callable[[str, Options], Sensor]


def known_drivers() -> dict[str, str]:
    """Every driver of this installation: name -> "module:Class"."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)} | SENSORS


def open_sensor(driver: str, url: str, options: Options | None = None) -> Sensor:
    """Make the sensor that a configuration names; it is not opened yet.

    ValueError: no such driver, a driver that cannot be imported, a bad URL, an unknown or wrong option.
    """
    known = known_drivers()
    if driver not in known:
        raise ValueError(f"there is no driver {driver!r}; there are: {', '.join(sorted(known))}")
    return _load(driver, known[driver])(url, options or {})


def _load(driver: str, target: str) -> SensorClass:
    module, _, name = target.partition(":")
    try:
        return cast("SensorClass", getattr(import_module(module), name))
    except (ImportError, AttributeError) as error:
        raise ValueError(f"driver {driver!r} cannot be imported from {target}: {error}") from error
