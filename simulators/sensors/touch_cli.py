"""kiosk-sim sfm, uru4000 and nb1010: run a simulated touch sensor."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from simulators.sensors.common import touch_options
from simulators.sensors.common.command_line import (
    Control,
    Link,
    PersonSeed,
    Port,
    Program,
    Seed,
    SerialVia,
    UsbVia,
    errors_as_messages,
    print_event,
)
from simulators.sensors.common.touch_options import serve, shown_finger
from simulators.sensors.common.touch_rig import TouchRig
from simulators.sensors.nb1010 import rig as nb1010_rig
from simulators.sensors.sfm.device import SfmSettings
from simulators.sensors.sfm.rig import SfmRig
from simulators.sensors.touch_libusb import LibusbRig, PluggedReader
from simulators.sensors.touch_plugged import TouchSettings
from simulators.sensors.uru4000 import rig as uru4000_rig
from simulators.sensors.uru4000.choice import Choice
from simulators.sensors.uru4000.device import READERS, TELLS
from simulators.transports.bindings import behind_libusb, check_serial
from simulators.transports.remote import Shown, default_link
from simulators.transports.usb.machine import print_to_stderr, require, run_program

Blocks = Annotated[
    str,
    typer.Option(
        metavar="FLAGS:LINES,...",
        help="The blocks of the image, such as 2:72,82:60,1:2,2:155. Flags are hexadecimal: 1 not sent, 2 scrambled, "
        "4 the key is held, 80 the key changes",
    ),
]
Tells = Annotated[
    str,
    typer.Option(
        help="When the reader answers a command to wait for a finger that is already there, or for a lift that has "
        f"already happened. One of {', '.join(TELLS)}: always, only the first time, never"
    ),
]


def sfm(
    *,
    link: Link = None,
    image: touch_options.ImageFile = None,
    source_ppi: touch_options.SourcePpi = None,
    person: PersonSeed = None,
    finger: touch_options.FingerName = "right_index",
    impression: touch_options.Impression = 0,
    condition: touch_options.Skin = None,
    pressed: touch_options.Pressed = False,
    pace: touch_options.Pace = False,
    baud: Annotated[int, typer.Option(help="Baud rate at power-on: 9600 to 921600")] = 115_200,
    terminal: Annotated[
        int | None, typer.Option(help="Its terminal number on an RS-485 network. Default: alone on its line")
    ] = None,
    seed: Seed = 0,
    control: Control = None,
    via: SerialVia = "pty",
) -> None:
    """Run a simulated Suprema SFM fingerprint module until Ctrl-C."""
    with errors_as_messages():
        check_serial(via)
        settings = SfmSettings(baud=baud, terminal=terminal)
        rig = SfmRig(settings, link or default_link(), pace=pace, control=control, seed=seed, report=print_event)
        shown = shown_finger(image, source_ppi, person, finger, impression, condition)
        _serve(rig, shown, {"rate": "baud"}, pressed=pressed)


def nb1010(
    *,
    link: Link = None,
    port: Port = 0,
    image: touch_options.ImageFile = None,
    source_ppi: touch_options.SourcePpi = None,
    person: PersonSeed = None,
    finger: touch_options.FingerName = "right_index",
    impression: touch_options.Impression = 0,
    condition: touch_options.Skin = None,
    pressed: touch_options.Pressed = False,
    pace: touch_options.Pace = False,
    seed: Seed = 0,
    control: Control = None,
    via: UsbVia = "usbip",
    program: Program = None,
) -> None:
    """Run a simulated NEXT Biometrics NB-1010-U: over USB/IP until Ctrl-C, or via libusb until PROGRAM ends."""
    with errors_as_messages():
        shown = shown_finger(image, source_ppi, person, finger, impression, condition)
        place = link or default_link()
        if behind_libusb(via, program, port):
            settings = TouchSettings(seed=seed, pace=pace)
            reader = PluggedReader("nb1010", nb1010_rig.KIND, nb1010_rig.VIEW, "usb:298d:1010", settings)
            rig = LibusbRig(reader, program or [], place, pressed=pressed, control=control)
            raise typer.Exit(run_behind_libusb(rig, program or [], shown, pressed=pressed))
        server = nb1010_rig.Nb1010Rig(place, port=port, pace=pace, control=control, seed=seed, report=print_event)
        _serve(server, shown, {"image sent": "images_sent"}, pressed=pressed)


def uru4000(
    *,
    link: Link = None,
    port: Port = 0,
    image: touch_options.ImageFile = None,
    source_ppi: touch_options.SourcePpi = None,
    person: PersonSeed = None,
    finger: touch_options.FingerName = "right_index",
    impression: touch_options.Impression = 0,
    condition: touch_options.Skin = None,
    pressed: touch_options.Pressed = False,
    pace: touch_options.Pace = False,
    reader: Annotated[str, typer.Option(help=f"One of {', '.join(READERS)}")] = "4500",
    blocks: Blocks = "",
    clear: Annotated[bool, typer.Option("--clear", help="Send the image without scrambling")] = False,
    asleep: Annotated[bool, typer.Option("--asleep", help="Start in low-power mode")] = False,
    hung: Annotated[bool, typer.Option("--hung", help="Start hung, until the host restarts the reader")] = False,
    tells: Tells = "always",
    seed: Seed = 0,
    control: Control = None,
    via: UsbVia = "usbip",
    program: Program = None,
) -> None:
    """Run a simulated U.are.U or Microsoft reader: over USB/IP until Ctrl-C, or via libusb until PROGRAM ends."""
    with errors_as_messages():
        shown = shown_finger(image, source_ppi, person, finger, impression, condition)
        choice = Choice(reader, blocks, clear, asleep, hung, tells)
        settings = choice.settings()
        place = link or default_link()
        if behind_libusb(via, program, port):
            model = READERS[reader]
            url = f"usb:{model.vendor:04x}:{model.product:04x}"
            plugged = TouchSettings(seed=seed, pace=pace, choice=asdict(choice))
            what = PluggedReader("uru4000", uru4000_rig.kind_of(model), uru4000_rig.VIEW, url, plugged)
            rig = LibusbRig(what, program or [], place, pressed=pressed, control=control)
            raise typer.Exit(run_behind_libusb(rig, program or [], shown, pressed=pressed))
        server = uru4000_rig.Uru4000Rig(
            settings, place, port=port, pace=pace, control=control, seed=seed, report=print_event
        )
        _serve(server, shown, {"image sent": "images_sent", "woken": "wakings"}, pressed=pressed)


def run_behind_libusb(rig: LibusbRig, program: list[str], shown: Shown, *, pressed: bool) -> int:
    """Run a program on a simulated USB host with the reader. Returns its exit status."""
    require()
    if shown:
        rig.load(**shown)
    elif pressed:
        raise ValueError("--pressed needs a finger: give --person SEED or --image FILE")
    print_to_stderr(f"simulated {rig.kind.title}, at {rig.url} for {Path(program[0]).name}")
    print_to_stderr(f"press a finger from another terminal:  kiosk-sim press --link {rig.link} --person 7")
    return run_program(rig.usb_host, rig)


def _serve(rig: TouchRig, shown: Shown, watched: Mapping[str, str], *, pressed: bool) -> None:
    introduction = [f"simulated {rig.kind.title}", f"a driver finds it at: {rig.url}", _capture_command(rig)]
    facts = {name: partial(_fact, rig, key) for name, key in watched.items()}
    serve(rig, introduction, facts, shown, pressed=pressed)


def _fact(rig: TouchRig, key: str) -> object:
    return rig.facts()[key]


def _capture_command(rig: TouchRig) -> str:
    options = "".join(f" --option {key}={value}" for key, value in rig.kind.options.items())
    return f"take a sample of it:  kiosk-agent capture {rig.kind.driver} '{rig.url}'{options}"
