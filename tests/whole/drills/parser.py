"""What fuzz.py feeds: a parser with examples of what it reads."""

import random
from collections.abc import Callable
from dataclasses import dataclass

Feed = Callable[[bytes], None]


@dataclass(frozen=True)
class Parser:
    """Valid frames, a function that makes a new parser, and the errors that the parser may raise.

    `generate` makes a frame of random numbers that are consistent with each other. Mutations change only one of them.
    """

    frames: tuple[bytes, ...]
    make_feed: Callable[[], Feed]
    allowed_errors: tuple[type[Exception], ...] = ()
    generate: Callable[[random.Random], bytes] | None = None
