"""kiosk-sim ef01: run a simulated module of the R305/R307/R503/AS608 family."""

from collections.abc import Callable
from typing import Annotated

import typer

from simulators.sensors.common import touch_options
from simulators.sensors.common.command_line import (
    Control,
    Link,
    PersonSeed,
    Seed,
    SerialVia,
    errors_as_messages,
    parse_size,
    print_event,
)
from simulators.sensors.ef01.commands import BAUD_UNIT, PACKET_SIZES, Ef01Settings
from simulators.sensors.ef01.rig import Ef01Rig
from simulators.transports.bindings import check_serial
from simulators.transports.remote import default_link

PPI_OF = {(192, 192): 508}  # the capacitive R503; the optical modules have 500


def _settings(size: str, ppi: int | None, baud: int, packet_size: int) -> Ef01Settings:
    width, height = parse_size(size, "256x288")
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
    image: touch_options.ImageFile = None,
    source_ppi: touch_options.SourcePpi = None,
    person: PersonSeed = None,
    finger: touch_options.FingerName = "right_index",
    impression: touch_options.Impression = 0,
    condition: touch_options.Skin = None,
    pressed: touch_options.Pressed = False,
    pace: touch_options.Pace = False,
    baud: Annotated[int, typer.Option(help="Baud rate at power-on: 9600 times 1 to 12, or 960000")] = 57600,
    packet_size: Annotated[int, typer.Option(help=f"Bytes of a data packet: one of {PACKET_SIZES}")] = 128,
    size: Annotated[str, typer.Option(help="256x288 (ZFM-20, R301T, R307) or 192x192 (R503)")] = "256x288",
    ppi: Annotated[int | None, typer.Option(help="Resolution. Default: 508 for 192x192, else 500")] = None,
    seed: Seed = 0,
    control: Control = None,
    via: SerialVia = "pty",
) -> None:
    """Run a simulated EF01 fingerprint sensor (R305, R307, R503, AS608 ...) until Ctrl-C."""
    with errors_as_messages():
        check_serial(via)
        settings = _settings(size, ppi, baud, packet_size)
        rig = Ef01Rig(settings, link or default_link(), pace=pace, control=control, seed=seed, report=print_event)
        shown = touch_options.shown_finger(image, source_ppi, person, finger, impression, condition)
        touch_options.serve(rig, _introduction(rig, pace=pace), _facts(rig), shown, pressed=pressed)


def _introduction(rig: Ef01Rig, *, pace: bool) -> list[str]:
    settings = rig.settings
    rate = f"{settings.baud} baud, {settings.packet_size}-byte packets"
    return [
        f"simulated EF01 sensor, {settings.width}x{settings.height} at {settings.ppi} ppi",
        f"{rate}, {'at the speed of a UART' if pace else 'as fast as possible (--pace for the speed of a UART)'}",
        f"port: {rig.link}",
    ]


def _facts(rig: Ef01Rig) -> dict[str, Callable[[], object]]:
    return {
        "image taken": lambda: rig.module.counters().images_taken,
        "image sent for": lambda: rig.module.counters().images_sent,
        "rate": lambda: rig.module.baud,
        "packet size": lambda: rig.module.packet_size,
    }
