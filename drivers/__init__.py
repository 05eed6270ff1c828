"""Drivers of the sensors: the SENSORS table, one folder for each sensor, and the USB, serial and socket transports."""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from inspect import signature
from typing import cast

from drivers.options import Options, split_mounting
from drivers.sensor import Sensor, mounted

# name -> "module:Class". A module is imported only when it is needed. Class(url, options) checks both arguments and
# opens no device.
SENSORS: dict[str, str] = {
    "ef01": "drivers.ef01.driver:Ef01",
    "nb1010": "drivers.nb1010.driver:Nb1010",
    "sfm": "drivers.sfm.driver:Sfm",
    "uru4000": "drivers.uru4000.driver:Uru4000",
    "uvc": "drivers.uvc.driver:Uvc",
    "v4l2": "drivers.v4l2.driver:V4l2",
}

# Installed packages can add drivers in this entry point group: name = "module:Class". If SENSORS has the same name,
# SENSORS is used.
ENTRY_POINTS = "kiosk_agent.sensors"

SensorClass = Callable[..., Sensor]
Connect = Callable[..., object]
"""Opens a device: (URL, and for USB the interface) -> a Transport or a UsbLink."""


def known_drivers() -> dict[str, str]:
    """Returns every driver of this installation: name -> "module:Class"."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)} | SENSORS


def open_sensor(driver: str, url: str, options: Options | None = None, *, connect: Connect | None = None) -> Sensor:
    """Creates the sensor that a configuration names, without opening it.

    The options `rotation` and `mirrored` of every driver turn the images of a sensor that is not mounted upright.
    `connect` replaces the function that opens the device, for example with a recorder or a simulated device.
    ValueError if there is no such driver, if it cannot be imported or takes no `connect`, if the URL is wrong, or if an
    option is unknown or wrong.
    """
    make = sensor_class(driver)
    mounting, own_options = split_mounting(driver, options or {})
    if connect is None:
        return mounted(make(url, own_options), mounting)
    if "connect" not in signature(make).parameters:
        raise ValueError(f"driver {driver!r} takes no `connect`: its traffic cannot be recorded or simulated")
    return mounted(make(url, own_options, connect=connect), mounting)


def sensor_class(driver: str) -> SensorClass:
    """Returns the class of a driver. ValueError if there is no driver of this name or it cannot be imported."""
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
