"""The modem control line DTR of a pseudo-terminal, which has none: it follows the host as that of a USB adapter does.

The kernel raises DTR when the port is opened, and lowers it at the last close unless the host has cleared HUPCL.
Some adapter boards restart their module when DTR rises. The opening of a pseudo-terminal is seen with inotify, which
reports two openings as one if nobody has read the first one yet.
"""

import ctypes
import os
import struct
import termios
from contextlib import suppress

IN_CLOSE_WRITE, IN_CLOSE_NOWRITE, IN_OPEN = 0x08, 0x10, 0x20  # <sys/inotify.h>
EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name: 0 for a single file
CFLAG = 2  # place of the control flags in what tcgetattr() returns


class ModemLine:
    """DTR of the terminal whose device end is open at `slave`. The openings of the host count, this one does not."""

    def __init__(self, slave: int) -> None:
        self._slave = slave
        self._opened = 0  # how many descriptors of the host are open
        self._high = self._raised = False
        attributes = termios.tcgetattr(slave)
        attributes[CFLAG] |= termios.HUPCL  # as the kernel sets it for a serial port
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        library = ctypes.CDLL(None, use_errno=True)
        self._events = int(library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        wanted = IN_OPEN | IN_CLOSE_WRITE | IN_CLOSE_NOWRITE
        if self._events < 0 or library.inotify_add_watch(self._events, os.ttyname(slave).encode(), wanted) < 0:
            raise OSError(ctypes.get_errno(), "cannot watch the openings of a pseudo-terminal with inotify")

    def fileno(self) -> int:
        """The descriptor that is readable when the host has opened or closed the port."""
        return self._events

    def take_raised(self) -> bool:
        """Whether DTR has risen since the last call."""
        with suppress(BlockingIOError):
            for _, mask, _, _ in EVENT.iter_unpack(os.read(self._events, 64 * EVENT.size)):
                self._note(mask)
        raised, self._raised = self._raised, False
        return raised

    def close(self) -> None:
        """Stop watching."""
        os.close(self._events)

    def _note(self, mask: int) -> None:
        if mask & IN_OPEN:
            self._opened += 1
            self._raised = self._raised or not self._high
            self._high = True
            return
        self._opened -= 1
        if self._opened == 0 and termios.tcgetattr(self._slave)[CFLAG] & termios.HUPCL:
            self._high = False
