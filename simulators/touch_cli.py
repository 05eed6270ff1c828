"""kiosk-sim sfm, uru4000, nb1010: touch sensors without hardware, on the wires that they have."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated

import typer

from simulators.nb1010_rig import Nb1010Rig
from simulators.remote import Shown, default_link
from simulators.sensor_cli import (
    Control,
    FingerName,
    Impression,
    Link,
    PersonSeed,
    Picture,
    Skin,
    SourcePpi,
    plainly,
    run,
    say,
    shown_by,
)
from simulators.sfm import SfmSettings
from simulators.sfm_rig import SfmRig
from simulators.touch_rig import TouchRig
from simulators.uru4000 import READERS, Uru4000Settings
from simulators.uru4000_rig import Uru4000Rig

Pressed = Annotated[bool, typer.Option("--pressed", help="Start with the finger on the sensor")]
Pace = Annotated[bool, typer.Option("--pace", help="Bytes take the time that they take on the real wire")]
Seed = Annotated[int, typer.Option(help="Seed of the faults' randomness")]
Port = Annotated[int, typer.Option(help="TCP port of this machine to export the device on; 0: any that is free")]


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
) -> None:
    """Run a simulated Suprema SFM fingerprint module until Ctrl-C."""
    with plainly():
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
) -> None:
    """Run a simulated NEXT Biometrics NB-1010-U, exported over USB/IP, until Ctrl-C."""
    with plainly():
        rig = Nb1010Rig(link or default_link(), port=port, pace=pace, control=control, seed=seed, say=say)
        shown = shown_by(image, source_ppi, person, finger, impression, condition)
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
    seed: Seed = 0,
    control: Control = None,
) -> None:
    """Run a simulated U.are.U 4000, 4000B, 4500 or Microsoft reader, exported over USB/IP, until Ctrl-C."""
    with plainly():
        if reader not in READERS:
            raise ValueError(f"there is no reader {reader!r}; choose one of {', '.join(READERS)}")
        settings = Uru4000Settings(reader=reader)
        rig = Uru4000Rig(settings, link or default_link(), port=port, pace=pace, control=control, seed=seed, say=say)
        shown = shown_by(image, source_ppi, person, finger, impression, condition)
        _run(rig, shown, {"image sent": "images_sent", "woken": "wakings"}, pressed=pressed)


def _run(rig: TouchRig, shown: Shown, watched: Mapping[str, str], *, pressed: bool) -> None:
    introduction = [f"simulated {rig.kind.title}", f"a driver finds it at: {rig.url}", _try(rig)]
    facts = {name: partial(_fact, rig, key) for name, key in watched.items()}
    run(rig, introduction, facts, shown, pressed=pressed)


def _fact(rig: TouchRig, key: str) -> object:
    return rig.facts()[key]


def _try(rig: TouchRig) -> str:
    options = "".join(f" --option {key}={value}" for key, value in rig.kind.options.items())
    return f"take a sample of it:  kiosk-agent capture {rig.kind.driver} '{rig.url}'{options}"
