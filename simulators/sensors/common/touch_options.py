"""The options that choose a finger, and running a simulated touch sensor until Ctrl-C."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from simulators.sensors.common.command_line import print_changes, print_event, stop_signal
from simulators.sensors.common.touch_rig import FINGER_NAMES, TouchRig
from simulators.transports.remote import Shown

ImageFile = Annotated[Path | None, typer.Option(help="An image of a finger (PNG, JPEG, BMP, TIFF)", metavar="FILE")]
SourcePpi = Annotated[
    float | None, typer.Option(help="Resolution of the image file. Default: what it states, else 500")
]
FingerName = Annotated[
    str, typer.Option(help=f"Which finger of the person: {', '.join(FINGER_NAMES)}", metavar="FINGER")
]
Impression = Annotated[int, typer.Option(min=0, help="Which impression of that finger, from 0")]
Skin = Annotated[
    str | None,
    typer.Option(help="normal, dry, wet, partial, light, heavy or unreadable. Default: mostly normal"),
]
Pressed = Annotated[bool, typer.Option("--pressed", help="Start with the finger on the sensor")]
Pace = Annotated[bool, typer.Option("--pace", help="Transfer data at the speed of the real sensor")]


def shown_finger(
    image: Path | None,
    source_ppi: float | None,
    person: int | None,
    finger: str,
    impression: int,
    condition: str | None,
) -> Shown:
    """The finger that the options choose; empty if they choose none. ValueError if they do not fit together."""
    if finger not in FINGER_NAMES:
        raise ValueError(f"there is no finger {finger!r}; choose one of {', '.join(FINGER_NAMES)}")
    shown = Shown()
    if image is not None:
        shown |= {"image": image}
        shown |= {} if source_ppi is None else {"source_ppi": source_ppi}
    if person is not None:
        shown |= {"person": person, "finger": finger, "impression": impression}
    if condition is not None:
        if person is None:
            raise ValueError("--condition is only for a synthetic finger: give --person SEED too")
        shown |= {"condition": condition}
    return shown


def serve(
    rig: TouchRig,
    introduction: list[str],
    facts: Mapping[str, Callable[[], object]],
    shown: Shown,
    *,
    pressed: bool,
) -> None:
    """Run a sensor until Ctrl-C. Prints `introduction` at start and a line for every change of `facts`."""
    if shown:
        rig.load(**shown)
    stop = stop_signal()  # only now: until here Ctrl-C ends the program immediately, even while an image is drawn
    with rig:
        for line in introduction:
            print_event(line)
        print_event(f"press a finger from another terminal:  kiosk-sim press --link {rig.link} --person 7")
        print_event("Ctrl-C ends")
        if pressed:
            rig.press()
        print_changes(rig, facts, stop)
    print_event("sensor stopped")
