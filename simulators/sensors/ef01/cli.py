"""kiosk-sim ef01: a module of the R305/R307/R503/AS608 family without hardware."""

from collections.abc import Callable
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
from simulators.sensors.ef01.commands import BAUD_UNIT, PACKET_SIZES, Ef01Settings
from simulators.sensors.ef01.rig import Ef01Rig
from simulators.transports.bindings import check_serial
from simulators.transports.remote import default_link

PPI_OF = {(192, 192): 508}  # the capacitive R503; the optical ones have 500


def _settings(size: str, ppi: int | None, baud: int, packet_size: int) -> Ef01Settings:
    try:
        width, height = (int(part) for part in size.lower().split("x"))
    except ValueError:
        raise ValueError(f"--size is like 256x288, not {size!r}") from None
    return Ef01Settings(
        width=width,
        height=height,
        ppi=PPI_OF.get((width, height), 500) if ppi is None else ppi,
        baud=baud,
        packet_size=packet_size,
        fast_baud=baud > 12 * BAUD_UNIT,
    )


def ef01(
    *,
    link: Link = None,
    image: Picture = None,
    source_ppi: SourcePpi = 500,
    person: PersonSeed = None,
    finger: FingerName = "right_index",
    impression: Impression = 0,
    condition: Skin = None,
    pressed: Annotated[bool, typer.Option("--pressed", help="Start with the finger on the sensor")] = False,
    pace: Annotated[bool, typer.Option("--pace", help="Bytes take the time that they take on a UART")] = False,
    baud: Annotated[int, typer.Option(help="Rate at power-on: 9600 times 1 to 12, or 960000")] = 57600,
    packet_size: Annotated[int, typer.Option(help=f"Bytes of a data packet: one of {PACKET_SIZES}")] = 128,
    size: Annotated[str, typer.Option(help="256x288 (ZFM-20, R301T, R307) or 192x192 (R503)")] = "256x288",
    ppi: Annotated[int | None, typer.Option(help="Resolution. Default: 508 for 192x192, else 500")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the faults' randomness")] = 0,
    control: Control = None,
    via: SerialVia = "pty",
) -> None:
    """Run a simulated EF01 fingerprint sensor (R305, R307, R503, AS608 ...) until Ctrl-C."""
    with plainly():
        check_serial(via)
        settings = _settings(size, ppi, baud, packet_size)
        rig = Ef01Rig(settings, link or default_link(), pace=pace, control=control, seed=seed, say=say)
        shown = shown_by(image, source_ppi, person, finger, impression, condition)
        run(rig, _introduction(rig, pace=pace), _facts(rig), shown, pressed=pressed)


def _introduction(rig: Ef01Rig, *, pace: bool) -> list[str]:
    settings = rig.settings
    rate = f"{settings.baud} baud, {settings.packet_size}-byte packets"
    return [
        f"simulated EF01 sensor, {settings.width}x{settings.height} at {settings.ppi} ppi",
        f"{rate}, {'paced like a UART' if pace else 'as fast as it goes (--pace for the speed of a UART)'}",
        f"port: {rig.link}",
    ]


def _facts(rig: Ef01Rig) -> dict[str, Callable[[], object]]:
    return {
        "image taken": lambda: rig.module.counters().images_taken,
        "image sent for": lambda: rig.module.counters().images_sent,
        "rate": lambda: rig.module.baud,
        "packet size": lambda: rig.module.packet_size,
    }
