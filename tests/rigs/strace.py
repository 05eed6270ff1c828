"""Runs a program under strace and lists what it does outside of its own place: connections, look-ups, files written."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

CALLS = (
    "connect,sendto,sendmsg,sendmmsg,open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,"
    "link,linkat,symlink,symlinkat"
)
LOOK_UP_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/gai.conf")  # the C library reads them to look up a name
WRITING = re.compile(r"\bO_(?:RDWR|WR[A-Z]+|CREAT|TMPFILE)\b")
OPENING = re.compile(r"\b(?:open|openat|openat2|creat)\(")
CHANGING = re.compile(r"\b(?:mkdir|mkdirat|mknod|mknodat|rename|renameat|renameat2|link|linkat|symlink|symlinkat)\(")
IPV4 = re.compile(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]+)"\)')
IPV6 = re.compile(r'sin6_port=htons\((\d+)\).*?inet_pton\(AF_INET6, "([^"]+)"')
PATH = re.compile(r'(?:<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')  # with the folder of a descriptor, as -y shows it
DNS = 53


@cache
def works() -> bool:
    """Whether strace is installed and may trace here."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-f", "--seccomp-bpf", "true"], capture_output=True, check=False).returncode == 0


class Trace:
    """What a program and all of its children did, apart from what belongs to it."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float) -> None:
        """Run the command in `folder`, which belongs to the program. CalledProcessError if it fails."""
        self._folder = folder
        out = folder / "trace"
        tracer = ["strace", "-f", "-y", "-s", "400", "--seccomp-bpf", "-e", f"trace={CALLS}", "-o", str(out)]
        subprocess.run(
            [*tracer, *command], cwd=folder, env=dict(environment), check=True, timeout=timeout, capture_output=True
        )
        self._lines = out.read_text(encoding="utf-8", errors="replace").splitlines()

    def strange(self, own: Sequence[Path] = ()) -> list[str]:
        """Each connection off this computer, each look-up of a name, and each file written outside of `own`."""
        allowed = (*(f"{path}/" for path in (self._folder, *own)), "/dev/", "/proc/self/", "/proc/thread-self/")
        return sorted({what for line in self._lines for what in self._strange(line, allowed)})

    def _strange(self, line: str, allowed: tuple[str, ...]) -> list[str]:
        found = [f"connects to {address} port {port}" for port, address in _connections(line) if _is_far(port, address)]
        if OPENING.search(line) and " = -1 " not in line:
            path = self._paths(line)[0]
            if path in LOOK_UP_FILES:
                found.append(f"looks up a name: reads {path}")
            if WRITING.search(line) and not path.startswith(allowed):
                found.append(f"writes {path}")
        elif CHANGING.search(line) and " = 0" in line:
            found += [f"makes {path}" for path in self._paths(line) if not path.startswith(allowed)]
        return found

    def _paths(self, line: str) -> list[str]:
        """The absolute paths of a call."""
        return [os.path.normpath(self._folder / folder / path) for folder, path in PATH.findall(line)]


def _connections(line: str) -> list[tuple[int, str]]:
    return [(int(port), address) for pattern in (IPV4, IPV6) for port, address in pattern.findall(line)]


def _is_far(port: int, address: str) -> bool:
    """Whether an address is not on this computer, or is that of a name server."""
    return port == DNS or not (address.startswith("127.") or address == "::1")
