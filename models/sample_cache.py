"""Keeps what assess() of an encoder extracts from a sample until encode() takes it."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from drivers.sample import Sample

KEPT = 4  # samples at most: a kiosk has two to four sensors

Extraction = TypeVar("Extraction")


class SampleCache(Generic[Extraction]):
    """What was extracted from the last KEPT samples. Safe to use from several threads.

    It does not hold the function that extracts: as a method of the encoder that holds the cache, this would keep a
    dropped encoder, and the memory of its network, until the garbage collector runs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, Extraction] = OrderedDict()

    def __len__(self) -> int:
        """How many samples are kept."""
        return len(self._kept)

    def keep(self, sample: Sample, extract: Callable[[Sample], Extraction]) -> Extraction:
        """The extraction of a sample, made if it is not kept yet. Keeps it, and drops the oldest of too many."""
        key = _key(sample)
        kept = self._pop(key)
        extraction = extract(sample) if kept is None else kept
        with self._lock:
            self._kept[key] = extraction
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return extraction

    def take(self, sample: Sample, extract: Callable[[Sample], Extraction]) -> Extraction:
        """The extraction of a sample, made if it is not kept; afterwards it is not kept."""
        kept = self._pop(_key(sample))
        return extract(sample) if kept is None else kept

    def _pop(self, key: bytes) -> Extraction | None:
        with self._lock:
            return self._kept.pop(key, None)


def _key(sample: Sample) -> bytes:
    """Equal for the same image at the same resolution. A digest, so that no image is kept longer than its sample."""
    digest = hashlib.blake2b(sample.image.tobytes(), digest_size=16)
    digest.update(f"{sample.image.shape} {sample.pixels_per_inch}".encode())
    return digest.digest()
