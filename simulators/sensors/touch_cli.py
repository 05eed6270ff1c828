"""kiosk-sim sfm, uru4000, nb1010: touch sensors without hardware, on the wires that they have."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from simulators.sensors.cli import (
    Control,
    FingerName,
    Impression,
    Link,
    PersonSeed,
    Picture,
    SerialVia,
    Skin,
    SourcePpi,
    plainly,
    run,
    say,
    shown_by,
)
from simulators.sensors.nb1010 import rig as nb1010_rig
from simulators.sensors.sfm.device import SfmSettings
from simulators.sensors.sfm.rig import SfmRig
from simulators.sensors.touch_libusb import LibusbRig, Unit
from simulators.sensors.touch_plugged import TouchSettings
from simulators.sensors.touch_rig import TouchRig
from simulators.sensors.uru4000 import rig as uru4000_rig
from simulators.sensors.uru4000.choice import Choice
from simulators.sensors.uru4000.device import READERS, TELLS
from simulators.transports.bindings import behind_libusb, check_serial
from simulators.transports.remote import Shown, default_link
from simulators.transports.usb.machine import print_to_stderr, require, run_program

Pressed = Annotated[bool, typer.Option("--pressed", help="Start with the finger on the sensor")]
Pace = Annotated[bool, typer.Option("--pace", help="Bytes take the time that they take on the real wire")]
Seed = Annotated[int, typer.Option(help="Seed of the faults' randomness")]
Via = Annotated[str, typer.Option(help="usbip, or libusb: on a simulated machine, for PROGRAM alone")]
Program = Annotated[list[str] | None, typer.Argument(help="With --via libusb: what runs there, behind --")]
Port = Annotated[int, typer.Option(help="TCP port of this machine to export the device on; 0: any that is free")]

Blocks = Annotated[
    str,
    typer.Option(
        metavar="FLAGS:LINES,...",
        help="How the image is cut, such as 2:72,82:60,1:2,2:155; flags in hexadecimal: 1 not sent, 2 scrambled, "
        "4 the key is held, 80 the key changes",
    ),
]
Tells = Annotated[
    str, typer.Option(help=f"Whether it says at once that a finger is there already, or gone: {', '.join(TELLS)}")
]


def sfm(
    *,
    link: Link = None,
    image: Picture = None,
    source_ppi: SourcePpi = 500,
    person: PersonSeed = None,
    finger: FingerName = "right_index",
    impression: Impression = 0,
    condition: Skin = None,
    pressed: Pressed = False,
    pace: Pace = False,
    baud: Annotated[int, typer.Option(help="Rate at power-on: 9600 to 921600")] = 115_200,
    terminal: Annotated[int | None, typer.Option(help="Its number on an RS-485 network; none: alone on a line")] = None,
    seed: Seed = 0,
    control: Control = None,
    via: SerialVia = "pty",
) -> None:
    """Run a simulated Suprema SFM fingerprint module until Ctrl-C."""
    with plainly():
        check_serial(via)
        settings = SfmSettings(baud=baud, terminal=terminal)
        rig = SfmRig(settings, link or default_link(), pace=pace, control=control, seed=seed, say=say)
        shown = shown_by(image, source_ppi, person, finger, impression, condition)
        _run(rig, shown, {"rate": "baud"}, pressed=pressed)


def nb1010(
    *,
    link: Link = None,
    port: Port = 0,
    image: Picture = None,
    source_ppi: SourcePpi = 500,
    person: PersonSeed = None,
    finger: FingerName = "right_index",
    impression: Impression = 0,
    condition: Skin = None,
    pressed: Pressed = False,
    pace: Pace = False,
    seed: Seed = 0,
    control: Control = None,
    via: Via = "usbip",
    program: Program = None,
) -> None:
    """Run a simulated NEXT Biometrics NB-1010-U: over USB/IP until Ctrl-C, or via libusb until PROGRAM ends."""
    with plainly():
        shown = shown_by(image, source_ppi, person, finger, impression, condition)
        if behind_libusb(via, program, port):
            settings = TouchSettings(seed=seed, pace=pace)
            unit = Unit("nb1010", nb1010_rig.KIND, nb1010_rig.VIEW, "usb:298d:1010", settings)
            raise typer.Exit(run_unit(unit, program or [], shown, link, control, pressed=pressed))
        rig = nb1010_rig.Nb1010Rig(link or default_link(), port=port, pace=pace, control=control, seed=seed, say=say)
        _run(rig, shown, {"image sent": "images_sent"}, pressed=pressed)


def uru4000(
    *,
    link: Link = None,
    port: Port = 0,
    image: Picture = None,
    source_ppi: SourcePpi = 500,
    person: PersonSeed = None,
    finger: FingerName = "right_index",
    impression: Impression = 0,
    condition: Skin = None,
    pressed: Pressed = False,
    pace: Pace = False,
    reader: Annotated[str, typer.Option(help=f"One of {', '.join(READERS)}")] = "4500",
    blocks: Blocks = "",
    clear: Annotated[bool, typer.Option("--clear", help="The image is not scrambled")] = False,
    asleep: Annotated[bool, typer.Option("--asleep", help="It is in low power when it is plugged in")] = False,
    hung: Annotated[bool, typer.Option("--hung", help="It hangs when it is plugged in, until it is restarted")] = False,
    tells: Tells = "always",
    seed: Seed = 0,
    control: Control = None,
    via: Via = "usbip",
    program: Program = None,
) -> None:
    """Run a simulated U.are.U or Microsoft reader: over USB/IP until Ctrl-C, or via libusb until PROGRAM ends."""
    with plainly():
        shown = shown_by(image, source_ppi, person, finger, impression, condition)
        choice = Choice(reader, blocks, clear, asleep, hung, tells)
        settings = choice.settings()
        if behind_libusb(via, program, port):
            known = READERS[reader]
            url = f"usb:{known.vendor:04x}:{known.product:04x}"
            one = TouchSettings(seed=seed, pace=pace, choice=asdict(choice))
            unit = Unit("uru4000", uru4000_rig.kind_of(known), uru4000_rig.VIEW, url, one)
            raise typer.Exit(run_unit(unit, program or [], shown, link, control, pressed=pressed))
        place = link or default_link()
        rig = uru4000_rig.Uru4000Rig(settings, place, port=port, pace=pace, control=control, seed=seed, say=say)
        _run(rig, shown, {"image sent": "images_sent", "woken": "wakings"}, pressed=pressed)


def run_unit(
    unit: Unit, program: list[str], shown: Shown, link: Path | None, control: Path | None, *, pressed: bool
) -> int:
    """Run a program on a simulated machine with the reader; its exit status."""
    require()
    rig = LibusbRig(unit, program, link or default_link(), pressed=pressed, control=control)
    if shown:
        rig.load(**shown)
    elif pressed:
        raise ValueError("--pressed needs a finger: give --person SEED or --image FILE")
    print_to_stderr(f"simulated {rig.kind.title}, at {rig.url} for {Path(program[0]).name}")
    print_to_stderr(f"press a finger from another terminal:  kiosk-sim press --link {rig.link} --person 7")
    return run_program(rig.usb_host, rig)


def _run(rig: TouchRig, shown: Shown, watched: Mapping[str, str], *, pressed: bool) -> None:
    introduction = [f"simulated {rig.kind.title}", f"a driver finds it at: {rig.url}", _try(rig)]
    facts = {name: partial(_fact, rig, key) for name, key in watched.items()}
    run(rig, introduction, facts, shown, pressed=pressed)


def _fact(rig: TouchRig, key: str) -> object:
    return rig.facts()[key]


def _try(rig: TouchRig) -> str:
    options = "".join(f" --option {key}={value}" for key, value in rig.kind.options.items())
    return f"take a sample of it:  kiosk-agent capture {rig.kind.driver} '{rig.url}'{options}"
