"""Feeds random and mutated frames to every parser. It may raise only its declared errors, and must not grow or hang.

python -m tests.whole.drills.fuzz --frames 1000000
python -m tests.whole.drills.fuzz --parser sfm-stream --seed 3 --frames 5000
"""

import gc
import random
import sys
import time
import traceback
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.whole.drills.command_line import drill_parser, report_problems
from tests.whole.drills.fuzz_targets import PARSERS
from tests.whole.drills.sensors import Hang, no_hang

BATCH = 2_000  # frames between two checks of the memory
CHUNK, HANG_S = 200, 60.0  # this many frames must not take longer than this, even traced on a slow computer
TRACED = 6_000  # frames traced by tracemalloc, at the end of the run
GROWTH_TRACED = 64 * 1024  # allowed growth of the memory held by a parser during these frames, bytes
GROWTH_RESIDENT = 24 * 1024 * 1024  # allowed growth of the process during all frames of a parser, bytes
GENERATED_SHARE = 0.3  # of the frames, for a parser with a generator
FRAMES_PER_PARSER = 5_000  # then a new parser is made


def mutated(frame: bytes, rng: random.Random) -> bytes:
    """A frame with one to four random changes, or noise."""
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
            case _ if data:  # the header, which holds the lengths
                data[rng.randrange(min(len(data), 32))] = rng.randrange(256)
    return bytes(data)


@dataclass
class FuzzResult:
    """The result for one parser."""

    frames: int = 0
    seconds: float = 0.0
    raised: Counter[str] = field(default_factory=Counter)
    grown_resident: int = 0
    grown_traced: int = 0
    problems: list[str] = field(default_factory=list)


def run(name: str, frames: int, seed: int) -> FuzzResult:
    """Feed this many frames to one parser."""
    fuzz, started = _Fuzz(name, seed), time.monotonic()
    try:
        fuzz.feed(min(frames, BATCH))  # warm-up
        before = _resident()
        while fuzz.result.frames < frames:
            fuzz.feed(min(BATCH, frames - fuzz.result.frames))
        fuzz.result.grown_resident = _resident() - before
        fuzz.trace(min(TRACED, frames))
    except Hang:
        fuzz.problem(f"hangs: {fuzz.last.hex()}\n{traceback.format_exc(limit=-3)}")
    fuzz.result.seconds = time.monotonic() - started
    return fuzz.result


class _Fuzz:
    def __init__(self, name: str, seed: int) -> None:
        self.result = FuzzResult()
        self.last = b""
        self._parser = PARSERS[name]
        self._rng = random.Random(f"{name} {seed}")
        self._feed = self._parser.make_feed()

    def feed(self, count: int) -> None:
        for start in range(0, count, CHUNK):
            with no_hang(HANG_S):
                for _ in range(min(CHUNK, count - start)):
                    self._one()

    def trace(self, count: int) -> None:
        """Check that the memory held by the parser does not grow."""
        gc.collect()
        tracemalloc.start()
        try:
            self.feed(count // 2)
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            self.feed(count - count // 2)
            gc.collect()
            self.result.grown_traced = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        if self.result.grown_traced > GROWTH_TRACED or self.result.grown_resident > GROWTH_RESIDENT:
            self.problem(f"grows: {self.result.grown_traced} bytes, resident {self.result.grown_resident}")

    def _one(self) -> None:
        if self.result.frames % FRAMES_PER_PARSER == 0:
            self._feed = self._parser.make_feed()
        self.result.frames += 1
        self.last = self._next()
        try:
            self._feed(self.last)
        except self._parser.allowed_errors as error:
            self.result.raised[type(error).__name__] += 1
        except Exception:  # noqa: BLE001 - the drill reports it
            self.problem(f"frame {self.result.frames}, {self.last.hex()}:\n{traceback.format_exc(limit=-3)}")

    def _next(self) -> bytes:
        generate = self._parser.generate
        if generate is None or self._rng.random() > GENERATED_SHARE:
            return mutated(self._rng.choice(self._parser.frames), self._rng)
        frame = generate(self._rng)
        return frame if self._rng.random() < GENERATED_SHARE else mutated(frame, self._rng)

    def problem(self, text: str) -> None:
        if len(self.result.problems) < 3:
            self.result.problems.append(text)


def _resident() -> int:
    """The resident memory of the process, bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def main() -> int:
    """Fuzz the parsers and print the results. Exit status 1 if there was a problem."""
    parser = drill_parser(__doc__, frames=1_000_000)
    parser.add_argument("--parser", choices=PARSERS, action="append", help="only this parser; default: all")
    arguments = parser.parse_args()
    status = 0
    for name in arguments.parser or PARSERS:
        result = run(name, arguments.frames, arguments.seed)
        raised = ", ".join(f"{error} {count}" for error, count in result.raised.items()) or "no errors raised"
        growth = f"growth: {result.grown_resident // 1024} KiB resident, {result.grown_traced} bytes held"
        print(f"{name:18} {result.frames} frames in {result.seconds:.1f} s; {raised}; {growth}", flush=True)
        status |= report_problems(result.problems)
    return status


if __name__ == "__main__":
    sys.exit(main())
