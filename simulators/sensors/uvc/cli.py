"""kiosk-sim uvc, look and away: run a simulated camera, and put an eye or an image in front of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from simulators.sensors.common.command_line import (
    Control,
    Link,
    PersonSeed,
    Port,
    Program,
    Seed,
    UsbVia,
    errors_as_messages,
    parse_size,
    print_changes,
    print_event,
    stop_signal,
)
from simulators.sensors.uvc.descriptors import DAMAGES, FORMATS, PLACES, VERSIONS, UvcSettings
from simulators.sensors.uvc.libusb import LibusbCamera
from simulators.sensors.uvc.rig import UvcRig
from simulators.sensors.uvc.scene import EYES, Look
from simulators.transports.bindings import behind_libusb
from simulators.transports.remote import SensorRemote, default_link
from simulators.transports.usb.machine import print_to_stderr, require, run_program

ImageFile = Annotated[Path | None, typer.Option(help="An image of an eye (PNG, JPEG, BMP, TIFF)", metavar="FILE")]
EyeName = Annotated[str, typer.Option(help=f"Which eye of the person: {' or '.join(EYES)}", metavar="EYE")]
Condition = Annotated[
    str | None,
    typer.Option(help="normal, half_closed, closed, dilated, blurred, moving, far ... Default: varies"),
]


def _sent(sends: str) -> tuple[str, int, int] | None:
    """Format and size of the frames, if they are not as announced."""
    if not sends:
        return None
    kind, _, size = sends.partition(" ")
    return kind, *parse_size(size.strip(), "752x480")


def _settings(
    size: str, kind: str, fps: float, version: str, descriptors: str, payload: int, sends: str, damage: str
) -> UvcSettings:
    width, height = parse_size(size, "640x480")
    if version not in VERSIONS:
        raise ValueError(f"--uvc is one of {', '.join(VERSIONS)}, not {version!r}")
    return UvcSettings(
        formats=(kind,),
        sizes=((width, height),),
        rates=(fps,),
        version=VERSIONS[version],
        max_payload=payload,
        descriptors_on=descriptors,
        sends=_sent(sends),
        damage=damage,
    )


def _look(image: Path | None, person: int | None, eye: str, condition: str | None) -> Look:
    """The look that the options choose; empty if they choose none."""
    look = Look()
    if image is not None:
        look |= {"image": image.absolute()}
    if person is not None:
        look |= {"person": person, "eye": eye}
    if condition is not None:
        if person is None:
            raise ValueError("--condition is only for a synthetic eye: give --person SEED too")
        look |= {"condition": condition}
    return look


def uvc(
    *,
    link: Link = None,
    port: Port = 0,
    image: ImageFile = None,
    person: PersonSeed = None,
    eye: EyeName = "left",
    condition: Condition = None,
    size: Annotated[str, typer.Option(help="Width and height in pixels")] = "640x480",
    kind: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}")] = "y800",
    fps: Annotated[float, typer.Option(help="Frames per second")] = 30.0,
    version: Annotated[str, typer.Option("--uvc", help=f"One of {', '.join(VERSIONS)}")] = "1.1",
    descriptors: Annotated[
        str, typer.Option(help=f"Where the class descriptors are: on the {' or the '.join(PLACES)}")
    ] = "interface",
    payload: Annotated[int, typer.Option(help="Maximum size of a payload in bytes, header included")] = 65_536,
    sends: Annotated[
        str, typer.Option(help="What the frames really hold, if it is not as announced: 'y800 752x480'")
    ] = "",
    damage: Annotated[str, typer.Option(help=f"Damage of the descriptors: one of {', '.join(DAMAGES)}")] = "none",
    via: UsbVia = "usbip",
    seed: Seed = 0,
    control: Control = None,
    program: Program = None,
) -> None:
    """Run a simulated USB camera (UVC over bulk) until Ctrl-C, or with --via libusb until PROGRAM ends."""
    with errors_as_messages():
        settings = _settings(size, kind, fps, version, descriptors, payload, sends, damage)
        look = _look(image, person, eye, condition)
        place = link or default_link()
        if behind_libusb(via, program, port):
            camera = LibusbCamera(settings, look, program or [], place, control=control)
            raise typer.Exit(_run_behind_libusb(camera, program or []))
        _serve(UvcRig(settings, place, port=port, control=control, seed=seed, report=print_event), look)


def _serve(rig: UvcRig, look: Look) -> None:
    stop = stop_signal()
    with rig:
        if look:
            rig.look(**look)
        print_event(f"simulated {rig.title}, {rig.settings.rates[0]:g} frames a second")
        print_event(f"a driver finds it at: {rig.url}")
        print_event(f"take a sample of it:  kiosk-agent capture uvc '{rig.url}'")
        print_event(f"look into it from another terminal:  kiosk-sim look --link {rig.link} --person 7 --eye left")
        print_event("Ctrl-C ends")
        facts: dict[str, Callable[[], object]] = {
            "commits of the host": lambda: rig.camera.counters().commits,
            "light": lambda: rig.camera.lamp_on,
        }
        print_changes(rig, facts, stop)
    print_event("sensor stopped")


def _run_behind_libusb(camera: LibusbCamera, program: list[str]) -> int:
    """Run a program on a simulated USB host with the camera. Returns its exit status."""
    require()
    print_to_stderr(f"simulated {camera.title}, at {camera.url} for {Path(program[0]).name}")
    print_to_stderr(f"look into it from another terminal:  kiosk-sim look --link {camera.link} --person 7 --eye left")
    return run_program(camera.usb_host, camera)


def look(
    *,
    link: Link = None,
    image: ImageFile = None,
    person: PersonSeed = None,
    eye: EyeName = "left",
    condition: Condition = None,
    control: Control = None,
) -> None:
    """Look into the simulated camera, or hold an image in front of it."""
    with errors_as_messages():
        chosen = _look(image, person, eye, condition)
        if not chosen:
            raise ValueError("nobody is named: give --person SEED (and --eye left or right) or --image FILE")
        details = {**chosen, "image": str(chosen["image"])} if "image" in chosen else {**chosen}
        answer = SensorRemote(link, control=control).ask("look", **details)
        print(f"in front of the camera: {answer['seen']}")
        print("go away with:  kiosk-sim away" + ("" if link is None else f" --link {link}"))


def away(*, link: Link = None, control: Control = None) -> None:
    """Go away from the simulated camera."""
    with errors_as_messages():
        print(f"in front of the camera: {SensorRemote(link, control=control).ask('away')['seen']}")
