"""Random and mutated frames into every parser: no error outside its families, no growth, no hang.

python -m tests.whole.drills.fuzz --frames 1000000
python -m tests.whole.drills.fuzz --parser sfm-stream --seed 3 --frames 5000
"""

import argparse
import gc
import random
import sys
import time
import traceback
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.whole.drills.fuzz_targets import PARSERS
from tests.whole.drills.sensors import Hang, no_hang

BATCH = 2_000  # frames between two looks at the clock and the memory
CHUNK, HANG_S = 200, 60.0  # so many frames take no longer than this, even traced on a slow machine
TRACED = 6_000  # frames under tracemalloc, at the end, when all is warm
GROWTH_TRACED = 64 * 1024  # bytes that a parser may hold more after them than before
GROWTH_RESIDENT = 24 * 1024 * 1024  # bytes that the process may grow by over all frames of one parser
DRAWN = 0.3  # of the frames, where a parser has a way to draw one
FRESH = 5_000  # frames after which a new parser takes over


def mutated(frame: bytes, rng: random.Random) -> bytes:
    """A frame with one to four things done to it; or noise."""
    if rng.random() < 0.1:
        return rng.randbytes(rng.randrange(80))
    data = bytearray(frame)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at % len(data)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                del data[at : at + rng.choice((1, 2, 13, 200))]
            case 3:
                data[at:at] = rng.randbytes(rng.choice((1, 2, 13)))
            case 4:
                data[at:at] = data[at : at + rng.choice((1, 4, 40))]
            case 5:
                del data[at:]
            case _ if data:  # the head, where the lengths stand
                data[rng.randrange(min(len(data), 32))] = rng.randrange(256)
    return bytes(data)


@dataclass
class Found:
    """What came of one parser."""

    frames: int = 0
    seconds: float = 0.0
    raised: Counter[str] = field(default_factory=Counter)
    grown_resident: int = 0
    grown_traced: int = 0
    problems: list[str] = field(default_factory=list)


def run(name: str, frames: int, seed: int) -> Found:
    """So many frames into one parser."""
    fuzz, started = _Fuzz(name, seed), time.monotonic()
    try:
        fuzz.feed(min(frames, BATCH))  # warm
        before = _resident()
        while fuzz.found.frames < frames:
            fuzz.feed(min(BATCH, frames - fuzz.found.frames))
        fuzz.found.grown_resident = _resident() - before
        fuzz.trace(min(TRACED, frames))
    except Hang:
        fuzz.problem(f"hangs: {fuzz.last.hex()}\n{traceback.format_exc(limit=-3)}")
    fuzz.found.seconds = time.monotonic() - started
    return fuzz.found


class _Fuzz:
    def __init__(self, name: str, seed: int) -> None:
        self.found = Found()
        self.last = b""
        self._parser = PARSERS[name]
        self._rng = random.Random(f"{name} {seed}")
        self._feed = self._parser.fresh()

    def feed(self, count: int) -> None:
        for start in range(0, count, CHUNK):
            with no_hang(HANG_S):
                for _ in range(min(CHUNK, count - start)):
                    self._one()

    def trace(self, count: int) -> None:
        """What the parser holds must not grow."""
        gc.collect()
        tracemalloc.start()
        try:
            self.feed(count // 2)
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            self.feed(count - count // 2)
            gc.collect()
            self.found.grown_traced = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        if self.found.grown_traced > GROWTH_TRACED or self.found.grown_resident > GROWTH_RESIDENT:
            self.problem(f"grows: {self.found.grown_traced} bytes, resident {self.found.grown_resident}")

    def _one(self) -> None:
        if self.found.frames % FRESH == 0:
            self._feed = self._parser.fresh()
        self.found.frames += 1
        self.last = self._next()
        try:
            self._feed(self.last)
        except self._parser.families as error:
            self.found.raised[type(error).__name__] += 1
        except Exception:  # noqa: BLE001 - the drill's finding
            self.problem(f"frame {self.found.frames}, {self.last.hex()}:\n{traceback.format_exc(limit=-3)}")

    def _next(self) -> bytes:
        drawn = self._parser.drawn
        if drawn is None or self._rng.random() > DRAWN:
            return mutated(self._rng.choice(self._parser.frames), self._rng)
        frame = drawn(self._rng)
        return frame if self._rng.random() < DRAWN else mutated(frame, self._rng)

    def problem(self, text: str) -> None:
        if len(self.found.problems) < 3:
            self.found.problems.append(text)


def _resident() -> int:
    """Bytes of memory that the process really has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def main() -> int:
    """Fuzz all; 1 when one had a problem."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--frames", type=int, default=1_000_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--parser", choices=PARSERS, action="append")
    asked = arguments.parse_args()
    failed = 0
    for name in asked.parser or PARSERS:
        found = run(name, asked.frames, asked.seed)
        raised = ", ".join(f"{error} {count}" for error, count in found.raised.items()) or "nothing raised"
        growth = f"grown {found.grown_resident // 1024} KiB resident, {found.grown_traced} bytes held"
        print(f"{name:18} {found.frames} frames in {found.seconds:.1f} s; {raised}; {growth}", flush=True)
        for problem in found.problems:
            print(f"PROBLEM: {problem}")
        failed += bool(found.problems)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
