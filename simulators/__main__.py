"""kiosk-sim: one row a command; a command's module is imported only when it is asked for."""

import importlib
import shlex
import sys

import typer

from simulators.extras import needed

COMMANDS = {
    "ef01": "simulators.sensors.ef01.cli:ef01",
    "nb1010": "simulators.sensors.touch_cli:nb1010",
    "sfm": "simulators.sensors.touch_cli:sfm",
    "uru4000": "simulators.sensors.touch_cli:uru4000",
    "uvc": "simulators.sensors.uvc.cli:uvc",
    "look": "simulators.sensors.uvc.cli:look",
    "away": "simulators.sensors.uvc.cli:away",
    "press": "simulators.sensors.cli:press",
    "lift": "simulators.sensors.cli:lift",
    "status": "simulators.sensors.cli:status",
    "fault": "simulators.sensors.cli:fault",
    "hub": "simulators.hub.hub:command",
    "broker": "simulators.hub.broker:command",
    "demo": "simulators.demo:command",
}


SENSORS = ("ef01", "nb1010", "sfm", "uru4000", "uvc")
ORDERS = ("press", "lift", "look", "away", "status", "fault")


def misplaced(arguments: list[str]) -> str:
    """What to type in place of `SENSOR ORDER …`; empty: it is none."""
    if len(arguments) < 2 or arguments[0] not in SENSORS or arguments[1] not in ORDERS:
        return ""
    order = shlex.join(arguments[1:])
    return (
        f"error: {arguments[1]} is a command of its own, for a sensor that runs:  kiosk-sim {order}\n"
        f"To start one in another terminal:  kiosk-sim {arguments[0]}   (--link PATH names it, in both)"
    )


def main() -> None:
    """Run the command named first on the command line; without one, show them all."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    if instead := misplaced(sys.argv[1:]):
        sys.exit(instead)
    app = typer.Typer(
        name="kiosk-sim",
        help="The other side of every wire: sensors, people, broker and hub, without hardware.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(lambda: None)  # keeps sub-commands although only one may be registered
    for name, target in COMMANDS.items():
        if asked in (name, "", "--help") or asked not in COMMANDS:
            module, _, function = target.partition(":")
            with needed():
                app.command(name)(getattr(importlib.import_module(module), function))
    app()


if __name__ == "__main__":
    main()
