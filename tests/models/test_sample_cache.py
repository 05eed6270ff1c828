"""What is extracted from a sample is kept from assess() to encode(), and no longer."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from drivers.sample import Modality, Position, Sample
from models.sample_cache import KEPT, SampleCache


def _sample(grey: int) -> Sample:
    image = np.full((4, 6), grey, np.uint8)
    return Sample(Modality.FINGER, Position.UNKNOWN, image, 8, 500.0, datetime.now(UTC), "test")


class Cache:
    """A cache whose extractions are texts, and the samples from which they were made."""

    def __init__(self) -> None:
        self.made: list[Sample] = []
        self._cache: SampleCache[str] = SampleCache()

    def __len__(self) -> int:
        return len(self._cache)

    def keep(self, sample: Sample) -> str:
        return self._cache.keep(sample, self._extract)

    def take(self, sample: Sample) -> str:
        return self._cache.take(sample, self._extract)

    def _extract(self, sample: Sample) -> str:
        self.made.append(sample)
        return f"grey {sample.image[0, 0]}"


@pytest.fixture(name="cache")
def _cache() -> Cache:
    return Cache()


def test_what_was_kept_is_not_extracted_again_and_taken_once(cache: Cache) -> None:
    assert [cache.keep(_sample(1)), cache.keep(_sample(1)), cache.take(_sample(1))] == ["grey 1"] * 3
    assert len(cache.made) == 1
    assert len(cache) == 0
    assert cache.take(_sample(1)) == "grey 1"
    assert len(cache.made) == 2


def test_the_oldest_sample_is_dropped_and_one_that_is_kept_again_is_the_newest(cache: Cache) -> None:
    for grey in (*range(KEPT), 0, KEPT):
        cache.keep(_sample(grey))
    assert len(cache) == KEPT
    cache.made.clear()
    assert [cache.take(_sample(grey)) for grey in (0, KEPT)] == ["grey 0", f"grey {KEPT}"]
    assert not cache.made
    cache.take(_sample(1))
    assert len(cache.made) == 1


def test_another_shape_or_resolution_is_another_sample(cache: Cache) -> None:
    one = _sample(1)
    for sample in (one, replace(one, image=one.image.reshape(6, 4)), replace(one, pixels_per_inch=1000.0)):
        cache.keep(sample)
    assert (len(cache.made), len(cache)) == (3, 3)
