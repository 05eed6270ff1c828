"""kiosk-sim: the table of its commands. The module of a command is imported only when the command is used."""

import importlib
import shlex
import sys

import typer

from simulators.extras import explain_missing_library

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
SENSOR_COMMANDS = ("press", "lift", "look", "away", "status", "fault")


def correct_command(arguments: list[str]) -> str:
    """The message for `SENSOR COMMAND …`, which is not a command line of kiosk-sim; empty for any other."""
    if len(arguments) < 2 or arguments[0] not in SENSORS or arguments[1] not in SENSOR_COMMANDS:
        return ""
    right = shlex.join(arguments[1:])
    return (
        f"error: {arguments[1]} is a separate command, for a running sensor:  kiosk-sim {right}\n"
        f"To start one in another terminal:  kiosk-sim {arguments[0]}   (give both the same --link PATH)"
    )


def main() -> None:
    """Run the command that is the first argument; without one, show all commands."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if message := correct_command(sys.argv[1:]):
        sys.exit(message)
    app = typer.Typer(
        name="kiosk-sim",
        help="Simulated sensors, people, broker and hub: try the agent without hardware.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(lambda: None)  # keeps sub-commands although only one may be registered
    for name, target in COMMANDS.items():
        if command in (name, "", "--help") or command not in COMMANDS:
            module, _, function = target.partition(":")
            with explain_missing_library():
                app.command(name)(getattr(importlib.import_module(module), function))
    app()


if __name__ == "__main__":
    main()
