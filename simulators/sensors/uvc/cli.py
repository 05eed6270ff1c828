"""kiosk-sim uvc, look, away: a camera without hardware, and who looks into it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from simulators.sensors.cli import Control, Link, PersonSeed, plainly, say, stop_signal
from simulators.sensors.uvc.descriptors import FORMATS, PLACES, VERSIONS, UvcSettings
from simulators.sensors.uvc.libusb import LibusbCamera
from simulators.sensors.uvc.rig import UvcRig
from simulators.sensors.uvc.scene import EYES, Look
from simulators.transports.bindings import behind_libusb
from simulators.transports.remote import SensorRemote, default_link
from simulators.transports.usb.machine import print_to_stderr, require, run_program

WATCH_S = 0.2  # how often the counters are looked at for the lines on the screen

Picture = Annotated[Path | None, typer.Option(help="A picture of an eye (PNG, JPEG, BMP, TIFF)", metavar="FILE")]
EyeName = Annotated[str, typer.Option(help=f"Which eye of the person: {' or '.join(EYES)}", metavar="EYE")]
Condition = Annotated[
    str | None,
    typer.Option(help="normal, half_closed, closed, dilated, blurred, moving, far ... Default: what people usually do"),
]


def _settings(size: str, kind: str, fps: float, version: str, descriptors: str, payload: int) -> UvcSettings:
    try:
        width, height = (int(part) for part in size.lower().split("x"))
    except ValueError:
        raise ValueError(f"--size is like 640x480, not {size!r}") from None
    if version not in VERSIONS:
        raise ValueError(f"--uvc is one of {', '.join(VERSIONS)}, not {version!r}")
    return UvcSettings(
        formats=(kind,),
        sizes=((width, height),),
        rates=(fps,),
        version=VERSIONS[version],
        max_payload=payload,
        descriptors_on=descriptors,
    )


def _look(image: Path | None, person: int | None, eye: str, condition: str | None) -> Look:
    """What the options name; empty when they name nothing."""
    look = Look()
    if image is not None:
        look |= {"image": image.absolute()}
    if person is not None:
        look |= {"person": person, "eye": eye}
    if condition is not None:
        if person is None:
            raise ValueError("--condition is of a synthetic eye: give --person SEED too")
        look |= {"condition": condition}
    return look


def uvc(
    *,
    link: Link = None,
    port: Annotated[int, typer.Option(help="TCP port to export it on; 0: any that is free")] = 0,
    image: Picture = None,
    person: PersonSeed = None,
    eye: EyeName = "left",
    condition: Condition = None,
    size: Annotated[str, typer.Option(help="Pixels")] = "640x480",
    kind: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}")] = "y800",
    fps: Annotated[float, typer.Option(help="Frames a second")] = 30.0,
    version: Annotated[str, typer.Option("--uvc", help=f"One of {', '.join(VERSIONS)}")] = "1.1",
    descriptors: Annotated[
        str, typer.Option(help=f"Where the class descriptors hang: on the {' or the '.join(PLACES)}")
    ] = "interface",
    payload: Annotated[int, typer.Option(help="Bytes of a payload at most, header included")] = 65_536,
    via: Annotated[str, typer.Option(help="usbip, or libusb: a simulated machine for one PROGRAM")] = "usbip",
    seed: Annotated[int, typer.Option(help="Seed of the faults' randomness")] = 0,
    control: Control = None,
    program: Annotated[list[str] | None, typer.Argument(help="With --via libusb: what runs there, behind --")] = None,
) -> None:
    """Run a simulated USB camera (UVC over bulk) until Ctrl-C, or with --via libusb until PROGRAM ends."""
    with plainly():
        settings = _settings(size, kind, fps, version, descriptors, payload)
        look = _look(image, person, eye, condition)
        if behind_libusb(via, program, port):
            raise typer.Exit(_run_behind_libusb(settings, look, link or default_link(), control, program or []))
        rig = UvcRig(settings, link or default_link(), port=port, control=control, seed=seed, say=say)
        _serve(rig, look)


def _serve(rig: UvcRig, look: Look) -> None:
    stop = stop_signal()
    with rig:
        if look:
            rig.look(**look)
        say(f"simulated {rig.status()['sensor']}, {rig.settings.rates[0]:g} frames a second")
        say(f"a driver finds it at: {rig.url}")
        say(f"take a sample of it:  kiosk-agent capture uvc '{rig.url}'")
        say(f"look into it from another terminal:  kiosk-sim look --link {rig.link} --person 7 --eye left")
        say("Ctrl-C ends")
        facts: dict[str, Callable[[], object]] = {
            "commits of the host": lambda: rig.camera.counters().commits,
            "light": lambda: rig.camera.lamp_on,
            "unplugged": rig.server.unplugged.is_set,
        }
        known = {name: read() for name, read in facts.items()}
        while not stop.wait(WATCH_S):
            for name, read in facts.items():
                if (value := read()) != known[name]:
                    known[name] = value
                    say(f"{name}: {value}")
    say("sensor stopped")


def _run_behind_libusb(settings: UvcSettings, look: Look, link: Path, control: Path | None, program: list[str]) -> int:
    """Run a program on a simulated machine with the camera, under the real libusb; its exit status."""
    require()
    camera = LibusbCamera(settings, look, program, link, control)
    print_to_stderr(f"simulated UVC camera, at {camera.url} for {Path(program[0]).name}")
    print_to_stderr(f"look into it from another terminal:  kiosk-sim look --link {link} --person 7 --eye left")
    return run_program(camera.usb_host, camera)


def look(
    *,
    link: Link = None,
    image: Picture = None,
    person: PersonSeed = None,
    eye: EyeName = "left",
    condition: Condition = None,
    control: Control = None,
) -> None:
    """Look into the simulated camera, or hold a picture before it."""
    with plainly():
        asked = _look(image, person, eye, condition)
        if not asked:
            raise ValueError("who looks? give --person SEED (and --eye left or right) or --image FILE")
        details = {**asked, "image": str(asked["image"])} if "image" in asked else {**asked}
        answer = SensorRemote(link, control=control).ask("look", **details)
        print(f"before the camera: {answer['seen']}")
        print("go away with:  kiosk-sim away" + ("" if link is None else f" --link {link}"))


def away(*, link: Link = None, control: Control = None) -> None:
    """Go away from the simulated camera."""
    with plainly():
        print(f"before the camera: {SensorRemote(link, control=control).ask('away')['seen']}")
