"""kiosk-sim press, lift, status and fault: commands to a simulated sensor that runs in another terminal."""

import time
from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from simulators.sensors.common import touch_options
from simulators.sensors.common.command_line import Control, Link, PersonSeed, errors_as_messages
from simulators.sensors.fault_sets import sensors_with
from simulators.transports.faults import ALWAYS, FAULTS, Fault
from simulators.transports.remote import SensorRemote

NOT_FAULTS = {"clear": "remove all pending faults", "replug": "plug the cable in again"}

RESULTS = {  # what is printed after a fault; for all other faults: that it is pending
    "clear": "done",
    "replug": "done",
    "unplug": "the cable is unplugged, now or after so many bytes (kiosk-sim fault replug plugs it in again)",
}


def press(
    *,
    link: Link = None,
    image: touch_options.ImageFile = None,
    source_ppi: touch_options.SourcePpi = None,
    person: PersonSeed = None,
    finger: touch_options.FingerName = "right_index",
    impression: touch_options.Impression = 0,
    condition: touch_options.Skin = None,
    hold: Annotated[float | None, typer.Option(min=0, help="Lift the finger after so many seconds")] = None,
    control: Control = None,
) -> None:
    """Press a finger on the simulated sensor. Without --image or --person: the finger that was pressed last."""
    with errors_as_messages():
        remote = SensorRemote(link, control=control)
        shown = touch_options.shown_finger(image, source_ppi, person, finger, impression, condition)
        print(f"on the sensor: {remote.press(**shown)['finger']}")
        if hold is None:
            print("lift it with:  kiosk-sim lift" + ("" if link is None else f" --link {link}"))
            return
        try:
            time.sleep(hold)
        finally:
            _lift(remote)


def lift(*, link: Link = None, control: Control = None) -> None:
    """Lift the finger from the simulated sensor."""
    with errors_as_messages():
        _lift(SensorRemote(link, control=control))


def _lift(remote: SensorRemote) -> None:
    stays = remote.lift()["finger_on"]
    print("lifted, but the sensor still detects it (fault stuck): kiosk-sim fault clear" if stays else "lifted")


def status(*, link: Link = None, control: Control = None) -> None:
    """Show what the simulated sensor is, what is on it, its pending faults and its counters."""
    with errors_as_messages():
        for name, value in SensorRemote(link, control=control).status().items():
            pairs = [f"{key} {count}" for key, count in value.items()] if isinstance(value, dict) else [str(value)]
            print(f"{name:13} {', '.join(pairs) or '-'}")


def fault(
    name: Annotated[str, typer.Argument(help="A fault of `kiosk-sim fault list`, or clear, replug or list")],
    *,
    param: Annotated[list[str] | None, typer.Option(help="A parameter of the fault, as name=value")] = None,
    times: Annotated[int | None, typer.Option(help="How often the fault occurs; 0: until cleared")] = None,
    link: Link = None,
    control: Control = None,
) -> None:
    """Make the simulated sensor misbehave. `kiosk-sim fault list` shows the faults."""
    with errors_as_messages():
        remote = SensorRemote(link, control=control)
        if name == "list":
            print(fault_table() if link is None and control is None else fault_table_of(remote))
            return
        if name not in (*FAULTS, *NOT_FAULTS):
            raise ValueError(f"there is no fault {name!r}; there are: {', '.join([*FAULTS, *NOT_FAULTS])}, list")
        without_parameters = {"clear": remote.clear, "replug": remote.replug}
        if name in without_parameters:
            without_parameters[name]()
        else:
            remote.fault(name, times=times, **dict(_pair(text) for text in param or ()))
        print(f"{name}: {RESULTS.get(name, 'occurs at the next opportunity (kiosk-sim fault clear cancels it)')}")


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise ValueError(f"--param must be NAME=VALUE, such as bytes=2, not {text!r}")
    return key, value


def fault_table() -> str:
    """One line per fault: name, the sensors that have it, what happens, how often, parameters."""
    return _table(FAULTS, lambda name: f"{' '.join(sensors_with(name)):30} ")


def fault_table_of(remote: SensorRemote) -> str:
    """One line per fault of a running sensor: name, what happens, how often, parameters."""
    has = remote.faults()
    return _table({name: row for name, row in FAULTS.items() if name in has}, lambda _: "")


def _table(rows: Mapping[str, Fault], column: Callable[[str], str]) -> str:
    lines = [_row(name, row, column(name)) for name, row in rows.items()]
    return "\n".join(lines + [f"{name:15} {what}" for name, what in NOT_FAULTS.items()])


def _row(name: str, row: Fault, column: str) -> str:
    often = "until cleared" if row.times == ALWAYS else f"{row.times}x"
    params = " ".join(
        f"{key}={value:#x}" if key == "address" else f"{key}={value}" for key, value in row.params.items()
    )
    return f"{name:15} {column}{row.help} [{often}] {params}".rstrip()
