"""An independent client of the simulated U.are.U 4500: Debian's libfprint captures one image.

    /usr/bin/python3 libfprint_client.py OUT        OUT: width and height in a line, then the grey bytes

Runs under Debian's Python, which has the bindings (packages libfprint-2-2, gir1.2-fprint-2.0, python3-gi).
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    FPrint: Any
else:
    import gi

    gi.require_version("FPrint", "2.0")
    from gi.repository import FPrint


def main() -> None:
    """Opens the only device, captures an image and writes it."""
    context = FPrint.Context()
    (device,) = context.get_devices()
    device.open_sync()
    image = device.capture_sync(True)  # wait for a finger
    device.close_sync()
    head = f"{image.get_width()} {image.get_height()}\n".encode()
    Path(sys.argv[1]).write_bytes(head + bytes(image.get_data()))


if __name__ == "__main__":
    main()
