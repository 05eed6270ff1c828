"""What a power cut leaves of the files that a program writes: recorded with strace, replayed with what was not synced.

What a file had at its last fsync is kept. Of each write after that, all, nothing, or only the first sectors are left,
in any combination. Files that are made, renamed or deleted are so at once and in order, as on a journaling file system.
The shared-memory file of SQLite is left out: it is made anew.
"""

import random
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
CALLS = "openat,creat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"
NOT_KEPT = "-shm"

_WRITE = re.compile(
    r'\b(?:pwrite64|write)\(\d+<([^>]*)>(?:\(deleted\))?, "((?:\\x[0-9a-f]{2})*)"(\.*), \d+(?:, (\d+))?'
)
_SYNC = re.compile(r"\b(?:fsync|fdatasync)\(\d+<([^>]*)>")
_TRUNCATE = re.compile(r"\bftruncate\(\d+<([^>]*)>, (\d+)")
_OPEN = re.compile(r'\b(?:openat|creat)\(.*?"((?:\\x[0-9a-f]{2})*)"(.*)')
_MOVE = re.compile(r'\brename(?:at|at2)?\(.*?"((?:\\x[0-9a-f]{2})*)".*?"((?:\\x[0-9a-f]{2})*)"')
_UNLINK = re.compile(r'\bunlink(?:at)?\((?:\w+(?:<([^>]*)>)?, )?"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True, slots=True)
class Step:
    """What was done to a file: write, truncate, sync, make, move or unlink."""

    kind: str
    path: str
    data: bytes = b""
    at: int | None = None  # of a write; None: at the end. Of truncate: the new length
    to: str = ""


@dataclass(slots=True)
class _File:
    kept: bytearray = field(default_factory=bytearray)
    waiting: list[Step] = field(default_factory=list)
    length: int = 0

    def add(self, step: Step) -> None:
        at = self.length if step.at is None else step.at
        self.length = at if step.kind == "truncate" else max(self.length, at + len(step.data))
        self.waiting.append(Step(step.kind, step.path, step.data, at))

    def sync(self) -> None:
        for step in self.waiting:
            _apply(self.kept, step)
        self.waiting.clear()

    def left(self, chance: random.Random) -> bytes:
        content = bytearray(self.kept)
        for step in self.waiting:
            share = chance.choice(("all", "nothing", "torn"))
            if share == "all":
                _apply(content, step)
            elif share == "torn" and step.kind == "write":
                sectors = chance.randrange(len(step.data) // SECTOR + 1)
                _apply(content, Step("write", step.path, step.data[: sectors * SECTOR], step.at))
        return bytes(content)


def _apply(content: bytearray, step: Step) -> None:
    at = step.at or 0
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    if step.kind == "truncate":
        del content[at:]
    else:
        content[at : at + len(step.data)] = step.data


def record(command: Sequence[str], folder: Path, log: Path, cwd: Path) -> list[Step]:
    """Run a program and record what it does to the files of a folder. CalledProcessError if it fails."""
    traced = ["strace", "-f", "-y", "-xx", "-s", "100000000", "-e", f"trace={CALLS}", "-o", str(log), *command]
    subprocess.run(traced, check=True, cwd=cwd)
    inside = f"{folder}/"
    with log.open(encoding="ascii", errors="replace") as lines:
        steps = (step for line in lines if " = -1 " not in line for step in _steps(line))
        return [step for step in steps if step.path.startswith(inside) and NOT_KEPT not in step.path]


def _steps(line: str) -> list[Step]:  # noqa: PLR0911 - one for each call
    if found := _WRITE.search(line):
        path, data, cut, at = found.groups()
        assert not cut
        return [Step("write", _path(path), _bytes(data), None if at is None else int(at))]
    if found := _SYNC.search(line):
        return [Step("sync", _path(found[1]))]
    if found := _TRUNCATE.search(line):
        return [Step("truncate", _path(found[1]), at=int(found[2]))]
    if found := _MOVE.search(line):
        return [Step("move", _bytes(found[1]).decode(), to=_bytes(found[2]).decode())]
    if found := _UNLINK.search(line):
        folder, name = _path(found[1] or ""), _bytes(found[2]).decode()
        return [Step("unlink", name if name.startswith("/") else f"{folder}/{name}")]
    found = _OPEN.search(line)
    if found is None or "O_CREAT" not in found[2]:
        return []
    path = _bytes(found[1]).decode()
    return [Step("make", path), *([Step("truncate", path, at=0)] if "O_TRUNC" in found[2] else [])]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _path(text: str) -> str:
    return _bytes(text).decode() if text.startswith("\\x") else text


def leave(steps: Sequence[Step], before: Path, recorded: Path, after: Path, chance: random.Random) -> None:
    """Write into `after` what is left of `recorded`, which was `before`, when the power was cut after these steps."""
    files: dict[str, _File] = {}
    for path in sorted(before.rglob("*")) if before.exists() else ():
        if path.is_file() and NOT_KEPT not in path.name:
            content = bytearray(path.read_bytes())
            files[str(recorded / path.relative_to(before))] = _File(content, length=len(content))
    for step in steps:
        _replay(files, step)
    after.mkdir(mode=0o700)
    for name, file in files.items():
        path = after / Path(name).relative_to(recorded)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(0o600)
        path.write_bytes(file.left(chance))


def _replay(files: dict[str, _File], step: Step) -> None:
    known = files.get(step.path)
    if step.kind in ("write", "truncate", "make"):
        known = files.setdefault(step.path, known or _File())
        if step.kind != "make":
            known.add(step)
    elif known is not None and step.kind == "sync":
        known.sync()
    elif known is not None:  # moved or deleted
        del files[step.path]
        if step.kind == "move":
            files[step.to] = known
