"""Random minutiae, and a second impression of the same synthetic finger."""

import dataclasses

import numpy as np

from models.finger.minutiae import Minutiae, no_minutiae


def random_minutiae(seed: int, count: int = 40, width: int = 300, height: int = 350) -> Minutiae:
    """Random minutiae at least a ridge apart."""
    rng = np.random.default_rng(seed)
    places = np.empty((0, 2))
    while len(places) < count:
        one = rng.uniform((0, 0), (width, height))
        if not len(places) or np.hypot(*(places - one).T).min() > 8:
            places = np.vstack([places, one])
    return dataclasses.replace(
        no_minutiae(width, height),
        x=places[:, 0].astype(np.uint16),
        y=places[:, 1].astype(np.uint16),
        direction=rng.integers(0, 65_536, count).astype(np.uint16),
        kind=rng.integers(1, 3, count).astype(np.uint8),
        qualities=rng.integers(30, 101, count).astype(np.uint8),
    )


def moved(minutiae: Minutiae, degrees: float, shift: tuple[int, int], noise: float = 0.0, seed: int = 0) -> Minutiae:
    """The same finger rotated counter-clockwise about its middle, shifted, and with measurement noise."""
    rng = np.random.default_rng(seed)
    rotation = np.deg2rad(degrees)
    x, y = minutiae.x - minutiae.width / 2, minutiae.y - minutiae.height / 2
    place = np.stack([np.cos(rotation) * x + np.sin(rotation) * y, np.cos(rotation) * y - np.sin(rotation) * x])
    place += np.array(shift)[:, np.newaxis] + 300 + rng.normal(0, noise, place.shape)
    direction = minutiae.direction.astype(float) + degrees / 360 * 65_536 + rng.normal(0, noise * 300, len(minutiae))
    return dataclasses.replace(
        minutiae,
        width=700,
        height=700,
        x=place[0].round().astype(np.uint16),
        y=place[1].round().astype(np.uint16),
        direction=(direction.round().astype(int) % 65_536).astype(np.uint16),
    )
