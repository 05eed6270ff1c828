"""The values of --via: the connections on which a simulated sensor can be served, and the options each one accepts."""

LAST_PORT = 65_535  # the highest TCP port
SERIAL, USB = ("pty",), ("usbip", "libusb")
ELSEWHERE = {
    SERIAL: "this sensor is on a serial line; nb1010, uru4000 and uvc are on USB",
    USB: "this sensor is on USB; ef01 and sfm are on a serial line",
}


def check_serial(via: str) -> None:
    """Raises ValueError if a serial sensor cannot be served this way."""
    _check(via, SERIAL)


def behind_libusb(via: str, program: list[str] | None, port: int) -> bool:
    """True if the USB device is served to the libusb of `program`. ValueError if options exclude each other."""
    _check(via, USB)
    if via == "libusb" and not program:
        raise ValueError("--via libusb needs a program behind --, as in: --via libusb -- kiosk-agent sensors")
    if via == "usbip" and program:
        raise ValueError(f"a program ({program[0]}) runs only with --via libusb: add it, or leave the program out")
    if via == "libusb" and port:
        raise ValueError("--port is only for --via usbip: with libusb nothing is exported")
    if not 0 <= port <= LAST_PORT:
        raise ValueError(f"--port must be 0 to {LAST_PORT}, not {port}")
    return via == "libusb"


def _check(via: str, has: tuple[str, ...]) -> None:
    if via in has:
        return
    hint = f": {ELSEWHERE[has]}" if via in (*SERIAL, *USB) else ""
    raise ValueError(f"--via must be {' or '.join(has)}, not {via!r}{hint}")
