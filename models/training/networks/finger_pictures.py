"""The training data of leader-student: fingerprints of synthetic people, with the minutiae that LEADER finds in them.

It contains no print of a real finger. First, the effects of touch and sensor are simulated; the result is given to the
teacher, so that its answer belongs to exactly this image. The effects of augmented() are applied after that: the
student learns to find as much in a worse image.
"""

import itertools
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.finger.image import foreground
from models.finger.minutiae import PIXELS_PER_INCH
from models.manifest import load_card
from models.onnx_session import Session
from simulators.people.person import FINGERS, Person

SIDE = 256  # pixels; images are square
PLANES = 3  # position, direction (in 1/256 of a full circle), kind: the first three of the teacher
FIRST_PERSON = 2_000_000  # tests and demonstrations use lower seeds
IMPRESSIONS_PER_FINGER = 6  # generating skin takes longer than rendering an impression
SHARD = 192  # images in a file: 32 fingers
NO_FINGER_SHARE = 0.06  # of the images
MIN_SKIN_SHARE = 0.15  # of the image; less skin has hardly anything to learn from
WINDOW = 372  # pixels a side of an impression: contains the corners of a rotated and moved image
ROTATION = 18.0  # degrees, standard deviation, in addition to the rotation of the finger itself

Grey = NDArray[np.uint8]
Image = NDArray[np.float32]
Batches = Iterator[tuple[Image, Grey]]


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Images u8[n, SIDE, SIDE], ridges dark, and the planes of the teacher u8[n, PLANES, SIDE, SIDE]."""

    images: Grey
    planes: Grey

    def __len__(self) -> int:
        """The number of images."""
        return len(self.images)


@lru_cache(maxsize=1)
def _teacher() -> Session:
    return Session(load_card("leader"), threads=1)


def teacher_planes(image: Grey) -> Grey:
    """The output u8[PLANES, h, w] of the teacher for an image u8[h, w], sides multiples of 32."""
    planes = _teacher().run(image.astype(np.float32)[None, :, :, None])[0]
    direction = np.round(planes[..., 1] * (256 / (2 * np.pi))).astype(np.int64) % 256
    rounded = np.stack([np.round(planes[..., 0] * 255), direction, np.round(planes[..., 2] * 255)])
    return rounded.astype(np.uint8)


def example(number: int) -> tuple[Grey, Grey]:
    """One image and its planes. The number determines person, finger, touch and sensor, or that there is no finger."""
    rng = np.random.default_rng([12, number])
    if rng.random() < NO_FINGER_SHARE:
        return photographed(texture(rng), rng), np.zeros((PLANES, SIDE, SIDE), np.uint8)
    image = next(one for one in _attempts(number) if foreground(one.astype(np.float32)).mean() >= MIN_SKIN_SHARE)
    return image, teacher_planes(image)


def _attempts(number: int) -> Iterator[Grey]:
    of_all = number // IMPRESSIONS_PER_FINGER
    finger = Person(FIRST_PERSON + of_all).fingers[of_all % len(FINGERS)]
    for attempt in itertools.count():
        rng = np.random.default_rng([11, number, attempt])
        scale = float(np.exp(rng.uniform(-0.22, 0.22)))  # small and large fingers; sensors with a wrong resolution
        pressed = finger.impression(int(rng.integers(1000)), WINDOW, WINDOW, PIXELS_PER_INCH * scale)
        yield photographed(placed(pressed, rng), rng)


def texture(rng: np.random.Generator) -> Image:
    """An image without a finger, f32[SIDE, SIDE], 0..255: noise stretched in one direction, as cloth, dirt or bad rows.

    The teacher finds ridges in some of it; the student must not.
    """
    noise = rng.standard_normal((2 * SIDE, 2 * SIDE), np.float32)
    drawn = ndimage.gaussian_filter(noise, np.exp(rng.uniform(np.log(0.4), np.log(6.0), 2)))
    rotated = ndimage.rotate(drawn, rng.uniform(0, 180), reshape=False, order=1)[
        SIDE // 2 : -SIDE // 2, SIDE // 2 : -SIDE // 2
    ]
    steep = np.float32(np.exp(rng.uniform(-0.7, 1.5)))
    return np.asarray(127.5 + 127.5 * np.tanh(steep * rotated / rotated.std()), np.float32)


def placed(pressed: Grey, rng: np.random.Generator) -> Image:
    """A rotated and moved part of an impression, f32[SIDE, SIDE]."""
    angle = np.deg2rad(rng.normal(0, ROTATION))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle_in = (np.array(pressed.shape) - 1) / 2 + rng.uniform(-70, 70, 2)
    offset = middle_in - rotation @ np.full(2, (SIDE - 1) / 2)
    fill = float(np.median(pressed[:8]))
    out: Image = ndimage.affine_transform(
        pressed.astype(np.float32), rotation, offset, (SIDE, SIDE), order=3, mode="constant", cval=fill
    )
    return out


def photographed(image: Image, rng: np.random.Generator) -> Grey:
    """Applies the effects of a sensor: light, contrast, sharpness, noise of pixels and rows, few grey levels."""
    image = np.clip(image / np.float32(255), 0, 1) ** np.exp(rng.uniform(-0.5, 0.5))
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    image = image * (1 + np.float32(rng.uniform(-0.25, 0.25)) * (x * np.cos(angle) + y * np.sin(angle)))
    if rng.random() < 0.5:
        image = faded(image, rng, 2.2)
    contrast = np.exp(rng.uniform(np.log(0.12), 0))
    image = image * contrast + rng.uniform(0, 1 - contrast)
    if rng.random() < 0.3:
        image = image + np.float32(rng.uniform(-0.3, 0.3)) * patches(rng)
    if rng.random() < 0.5:
        image = ndimage.gaussian_filter(image, rng.uniform(0.2, 1.1))
    if rng.random() < 0.3:  # sharpened edges of ridges, as the firmware of some sensors does
        image = image + rng.uniform(0.3, 1.5) * (image - ndimage.gaussian_filter(image, 1.5))
    grain = rng.standard_normal(image.shape, np.float32)
    if rng.random() < 0.4:
        grain = ndimage.gaussian_filter(grain, rng.uniform(0.4, 1.2))
        grain /= grain.std()
    image = image + contrast * rng.gamma(1.2, 0.03) * grain
    for lines in ((SIDE, 1), (1, SIDE)):
        if rng.random() < 0.2:
            image = image + np.float32(contrast * rng.uniform(0, 0.04)) * rng.standard_normal(lines, np.float32)
    levels = 15 if rng.random() < 0.08 else 255
    return np.asarray(np.round(np.clip(image, 0, 1) * levels) * (255 // levels), np.uint8)


def faded(image: Image, rng: np.random.Generator, strength: float) -> Image:
    """Makes the ridges fainter in places, by a factor of up to e to the `strength`, around the local grey."""
    around = ndimage.gaussian_filter(image, 12)
    left = np.exp(-np.float32(rng.uniform(0.3, strength)) * patches(rng))
    dim: Image = around + (image - around) * left
    return dim


def patches(rng: np.random.Generator) -> Image:
    """Soft patches of random size, f32[SIDE, SIDE], 0 to 1."""
    cells = int(rng.integers(3, 13))
    fine: Image = ndimage.zoom(rng.random((cells, cells), np.float32), SIDE / cells, order=1)
    return np.clip(fine[:SIDE, :SIDE] * 2 - np.float32(0.5), 0, 1)


def make(path: Path, shard: int) -> Path:
    """Makes one file of SHARD images, if it does not exist."""
    target = path / f"{shard:04d}.npz"
    if not target.exists():
        rendered = [example(number) for number in range(shard * SHARD, (shard + 1) * SHARD)]
        unfinished = target.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.savez(file, images=np.stack([one[0] for one in rendered]), planes=np.stack([one[1] for one in rendered]))
        unfinished.rename(target)
    return target


def load(paths: list[Path]) -> TrainingSet:
    """The images of these files."""
    parts = []
    for path in paths:
        try:
            with np.load(path) as kept:
                parts.append((kept["images"], kept["planes"]))
        except (ValueError, KeyError, zipfile.BadZipFile) as error:
            raise SystemExit(f"{path}: is not a file of images ({error}): remove it, it is made again") from None
    return TrainingSet(np.concatenate([one[0] for one in parts]), np.concatenate([one[1] for one in parts]))


def load_or_make(path: Path, count: int, workers: int) -> TrainingSet:
    """At least `count` images, in files of the folder `path`. Files of earlier runs are used again."""
    path.mkdir(parents=True, exist_ok=True)
    shards = range(-(-count // SHARD))
    with ProcessPoolExecutor(workers) as pool:
        return load(list(pool.map(make, [path] * len(shards), shards)))


def batches(training_set: TrainingSet, size: int, rng: np.random.Generator) -> Batches:
    """Endless augmented batches: images f32[size, 1, SIDE, SIDE], 0..255, and planes u8[size, PLANES, SIDE, SIDE]."""
    while True:
        chosen = rng.permutation(len(training_set))
        for first in range(0, len(chosen) - size + 1, size):
            batch = [
                augmented(training_set.images[i], training_set.planes[i], rng) for i in chosen[first : first + size]
            ]
            yield np.stack([image for image, _ in batch])[:, None], np.stack([planes for _, planes in batch])


def augmented(image: Grey, planes: Grey, rng: np.random.Generator) -> tuple[Image, Grey]:
    """A worse version of an image, mirrored or not: other greys, softer, grainier, blotched, scratched."""
    if rng.random() < 0.5:
        image, planes = image[:, ::-1], planes[:, :, ::-1].copy()
        planes[1] = 128 - planes[1]  # half a circle minus the angle, modulo 256
    seen = image.astype(np.float32)
    if rng.random() < 0.4:
        seen = ndimage.gaussian_filter(seen, rng.uniform(0.3, 0.9))
    if rng.random() < 0.4:
        seen = faded(seen, rng, 1.6)
    if rng.random() < 0.3:
        seen = seen + np.float32(rng.uniform(-60, 60)) * patches(rng)
    if rng.random() < 0.2:
        seen = _scratched(seen, rng)
    touch = rng.random()
    if touch < 0.2:
        seen = _speckled(seen, rng)
    elif touch < 0.35:
        seen = _flooded(seen, rng)
    if rng.random() < 0.6:
        spread = np.float32(rng.gamma(1.2, 0.08) * seen.std())
        seen = seen + spread * rng.standard_normal(seen.shape, np.float32)
    middle, contrast = float(seen.mean()), float(np.exp(rng.uniform(-1.2, 0.2)))
    seen = (seen - middle) * contrast + middle + rng.uniform(-30, 30)
    return np.round(np.clip(seen, 0, 255, dtype=np.float32)), planes


def _speckled(image: Image, rng: np.random.Generator) -> Image:
    """Breaks ridges into beads in places, as on dry skin."""
    grain = ndimage.gaussian_filter(rng.standard_normal(image.shape, np.float32), rng.uniform(0.8, 2.0))
    holes = np.clip(2 * (grain / grain.std() - rng.uniform(0.3, 1.5)) + 2 * patches(rng), 0, 1)
    broken: Image = image + rng.uniform(0.4, 0.9) * holes * (np.percentile(image, 95) - image)
    return broken


def _flooded(image: Image, rng: np.random.Generator) -> Image:
    """Fills valleys in places, as on wet skin."""
    full = ndimage.gaussian_filter(ndimage.grey_erosion(image, int(rng.integers(2, 5))), rng.uniform(0.5, 1.5))
    wet: Image = image + rng.uniform(0.4, 0.9) * patches(rng) * (full - image)
    return wet


def _scratched(image: Image, rng: np.random.Generator) -> Image:
    """Draws one to four fine lines, bright or dark."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    for _ in range(int(rng.integers(1, 5))):
        angle, place = rng.uniform(0, np.pi), rng.uniform(0, SIDE, 2)
        away = (x - place[0]) * np.cos(angle) + (y - place[1]) * np.sin(angle)
        mark = np.exp(-0.5 * (away / rng.uniform(0.5, 1.6)) ** 2) * rng.uniform(0.4, 1)
        image = image + mark * (rng.choice([image.min(), image.max()]) - image)
    return np.asarray(image, np.float32)
