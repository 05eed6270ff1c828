"""The command line that the drills share: arguments with defaults, the printed problems, the exit status."""

import argparse
import statistics
from collections.abc import Collection

MAX_PRINTED = 20


def drill_parser(description: str | None, *, seed: bool = True, **counts: int) -> argparse.ArgumentParser:
    """A parser with one option for each count and its default, and with --seed if the drill has one."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (({"seed": 1} if seed else {}) | counts).items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    return parser


def report_problems(problems: Collection[str]) -> int:
    """Print the first problems. The exit status: 1 if there are any, otherwise 0."""
    for problem in list(problems)[:MAX_PRINTED]:
        print(f"PROBLEM: {problem}", flush=True)
    if len(problems) > MAX_PRINTED:
        print(f"... and {len(problems) - MAX_PRINTED} more problems", flush=True)
    return 1 if problems else 0


def times_text(seconds: Collection[float]) -> str:
    """The median and the longest of some times."""
    return f"median {statistics.median_high(seconds):.2f} s, longest {max(seconds):.2f} s"
