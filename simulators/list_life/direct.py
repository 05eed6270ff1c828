"""Writes a list of persons with one finger and one iris directly to the disk of a kiosk, without a provider."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from rich.progress import track

from agent.events.event import Category
from agent.watchlist.reference import Agreement, Terms
from agent.watchlist.segment import Segment
from agent.watchlist.store import gallery_of_blocks
from agent.watchlist.table import ReferenceTable, Row
from drivers.sample import Position
from models.finger.search.block import Block
from models.finger.template import FORMAT as FINGER_FORMAT
from models.gallery import BLOCK
from models.iris.gallery import IrisBlock
from models.iris.search_layout import split
from models.iris.template import FORMAT as IRIS_FORMAT
from simulators.list_life.stages import AGREEMENT, FEWER, PROVIDER, SEED, Bench, out
from simulators.people.finger_minutiae import fingers
from simulators.people.iris_codes import VARIANTS, code_columns, visible_columns

DISTINCT = 8  # blocks of persons that differ; a longer list repeats them, with other ids
FORMATS = (FINGER_FORMAT, IRIS_FORMAT)


def write(bench: Bench) -> None:
    """Write a list of persons with one finger and one iris directly to the disk, block after block."""
    ids = [f"reference-{number:07}" for number in range(bench.persons)]
    numbers: dict[str, list[int]] = {name: [] for name in FORMATS}
    distinct = [_blocks(number) for number in range(min(DISTINCT, -(-len(ids) // BLOCK)))]
    with bench.open_store() as store:
        for at in track(range(0, len(ids), BLOCK), "writing people", console=out):
            keys = tuple(ids[at : at + BLOCK])
            finger, eye = distinct[at // BLOCK % DISTINCT]
            kept = np.arange(BLOCK) < len(keys)
            for name, block in ((FINGER_FORMAT, finger.take(kept)), (IRIS_FORMAT, eye.take(kept))):
                numbers[name].append(store.put_block(PROVIDER, replace(block, keys=keys)))
        segment = Segment(PROVIDER, 1, _table(ids), {name: gallery_of_blocks(name, ()) for name in FORMATS})
        store.commit([store.stage_blocks(segment, {name: tuple(found) for name, found in numbers.items()})])
        store.truncate_log()


def _blocks(number: int) -> tuple[Block, IrisBlock]:
    """A full block of fingers, and one of eyes, without keys."""
    rng, keys = np.random.default_rng([SEED, number]), ("",) * BLOCK
    of_fingers, of_eyes = (np.full(BLOCK, tuple(Position).index(position), np.uint8) for position in FEWER)
    made = fingers(rng, BLOCK)
    every = np.arange(BLOCK)
    codes = code_columns(rng, -(-BLOCK // VARIANTS)).variant(every // VARIANTS, every % VARIANTS)
    eyes = split(*codes.words(visible_columns(rng, BLOCK)))
    return Block.of(keys, of_fingers, [made.one(i) for i in range(BLOCK)]), IrisBlock(keys, of_eyes, *eyes)


def _table(ids: Sequence[str]) -> ReferenceTable:
    now = int(time.time())
    terms = Terms(AGREEMENT, Category.WANTED, "H-1", "N-1")
    kinds = tuple(sorted(zip(FEWER, FORMATS, strict=True)))
    times = (now, now + 90 * 86_400, now + 60 * 86_400, now)
    review = datetime.now(UTC) + timedelta(days=300)
    agreement = Agreement(AGREEMENT, PROVIDER, "bench", "bench", "N-1", ("hub",), 365, review)
    return ReferenceTable.of_rows((Row(one, times, terms, kinds) for one in ids), {AGREEMENT: agreement})
