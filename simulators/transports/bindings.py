"""--via: the wires on which a simulated sensor can be served, and what goes with each."""

LAST_PORT = 65_535  # of TCP
SERIAL, USB = ("pty",), ("usbip", "libusb")
ELSEWHERE = {
    SERIAL: "this sensor is on a serial line; nb1010, uru4000 and uvc are on USB",
    USB: "this sensor is on USB; ef01 and sfm are on a serial line",
}


def check_serial(via: str) -> None:
    """ValueError: a serial sensor has no such wire."""
    _check(via, SERIAL)


def behind_libusb(via: str, program: list[str] | None, port: int) -> bool:
    """Whether a USB device is to be behind the libusb of a program. ValueError: what does not go together."""
    _check(via, USB)
    if via == "libusb" and not program:
        raise ValueError("--via libusb needs a program behind --, as in: --via libusb -- kiosk-agent sensors")
    if via == "usbip" and program:
        raise ValueError(f"a program ({program[0]}) runs only with --via libusb; to others the device is exported")
    if via == "libusb" and port:
        raise ValueError("--port is of --via usbip: behind libusb nothing is exported")
    if not 0 <= port <= LAST_PORT:
        raise ValueError(f"--port is from 0 to {LAST_PORT}, not {port}")
    return via == "libusb"


def _check(via: str, has: tuple[str, ...]) -> None:
    if via in has:
        return
    hint = f": {ELSEWHERE[has]}" if via in (*SERIAL, *USB) else ""
    raise ValueError(f"--via is {' or '.join(has)}, not {via!r}{hint}")
