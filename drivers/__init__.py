"""Everything that touches hardware: one file a sensor, the SENSORS table, the transports under them."""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from inspect import signature
from typing import cast

from drivers.options import Options
from drivers.sensor import Sensor

# name -> "module:Class", imported only when asked for. Class(url, options) checks both and touches no device.
SENSORS: dict[str, str] = {
    "ef01": "drivers.ef01.driver:Ef01",
    "nb1010": "drivers.nb1010.driver:Nb1010",
    "sfm": "drivers.sfm.driver:Sfm",
    "uru4000": "drivers.uru4000.driver:Uru4000",
    "uvc": "drivers.uvc.driver:Uvc",
    "v4l2": "drivers.v4l2.driver:V4l2",
}

# Installed packages add drivers here: name = "module:Class". A row of SENSORS wins over an outside driver of its name.
ENTRY_POINTS = "kiosk_agent.sensors"

SensorClass = Callable[..., Sensor]
Connect = Callable[..., object]
"""(URL, and for USB the interface) -> what the URL's own open() gives: a Transport or a UsbLink."""


def known_drivers() -> dict[str, str]:
    """Every driver of this installation: name -> "module:Class"."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)} | SENSORS


def open_sensor(driver: str, url: str, options: Options | None = None, *, connect: Connect | None = None) -> Sensor:
    """Make the sensor that a configuration names; it is not opened yet.

    `connect` stands in for the URL's own way to the device: a recorder, a simulated wire. ValueError: no such driver, a
    driver that cannot be imported or takes no `connect`, a bad URL, an unknown or wrong option.
    """
    make = sensor_class(driver)
    if connect is None:
        return make(url, options or {})
    if "connect" not in signature(make).parameters:
        raise ValueError(f"driver {driver!r} takes no `connect`: nobody can listen to its wire or stand in for it")
    return make(url, options or {}, connect=connect)


def sensor_class(driver: str) -> SensorClass:
    """The class of a driver. ValueError: there is none of this name, or it cannot be imported."""
    known = known_drivers()
    if driver not in known:
        raise ValueError(f"there is no driver {driver!r}; there are: {', '.join(sorted(known))}")
    return _load(driver, known[driver])


def _load(driver: str, target: str) -> SensorClass:
    module, _, name = target.partition(":")
    try:
        return cast("SensorClass", getattr(import_module(module), name))
    except (ImportError, AttributeError) as error:
        raise ValueError(f"driver {driver!r} cannot be imported from {target}: {error}") from error
