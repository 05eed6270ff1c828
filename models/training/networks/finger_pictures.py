"""What the fast finder of minutiae learns from: prints of synthetic people, and what LEADER sees in them.

No print of a real finger is in it. A picture is pressed and photographed first, and what comes out is shown to the
teacher: it is right about exactly what the student is shown. What augmented() does after that, it has not seen, so the
student learns to see as much in a worse picture.
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
from models.session import Session
from simulators.people.person import FINGERS, Person

SIDE = 256  # pixels of a picture
PLANES = 3  # position, direction (of 256 of a turn), kind: as the teacher's first three
FIRST_PERSON = 2_000_000  # no test or demonstration goes there
TOUCHES = 6  # of a finger: growing its skin takes longer than pressing it
SHARD = 192  # pictures of a file: thirty-two fingers
NO_FINGERS = 0.06  # of the pictures
LEAST_SKIN = 0.15  # of the picture; with less there is hardly anything to learn
WINDOW = 372  # pixels a side that are pressed, so that a turned and moved picture finds its corners there
TURN = 18.0  # degrees, standard deviation, beyond what the finger itself is turned

Grey = NDArray[np.uint8]
Image = NDArray[np.float32]
Batches = Iterator[tuple[Image, Grey]]


@dataclass(frozen=True, slots=True)
class Pictures:
    """u8[n, SIDE, SIDE] pictures, ridges dark, and u8[n, PLANES, SIDE, SIDE] what the teacher says of them."""

    images: Grey
    planes: Grey

    def __len__(self) -> int:
        """How many."""
        return len(self.images)


@lru_cache(maxsize=1)
def _teacher() -> Session:
    return Session(load_card("leader"), threads=1)


def taught(image: Grey) -> Grey:
    """What the teacher says of u8[h, w] (multiples of 32), as u8[PLANES, h, w]."""
    planes = _teacher().run(image.astype(np.float32)[None, :, :, None])[0]
    direction = np.round(planes[..., 1] * (256 / (2 * np.pi))).astype(np.int64) % 256
    said = np.stack([np.round(planes[..., 0] * 255), direction, np.round(planes[..., 2] * 255)])
    return said.astype(np.uint8)


def picture(number: int) -> tuple[Grey, Grey]:
    """One picture and what is to be said of it. The number decides person, finger, touch and sensor, or no finger."""
    rng = np.random.default_rng([12, number])
    if rng.random() < NO_FINGERS:
        return photographed(texture(rng), rng), np.zeros((PLANES, SIDE, SIDE), np.uint8)
    seen = next(one for one in _attempts(number) if foreground(one.astype(np.float32)).mean() >= LEAST_SKIN)
    return seen, taught(seen)


def _attempts(number: int) -> Iterator[Grey]:
    finger = Person(FIRST_PERSON + number // TOUCHES).fingers[number // TOUCHES % len(FINGERS)]
    for attempt in itertools.count():
        rng = np.random.default_rng([11, number, attempt])
        scale = float(np.exp(rng.uniform(-0.22, 0.22)))  # children and tall men; sensors that mistake their pitch
        pressed = finger.impression(int(rng.integers(1000)), WINDOW, WINDOW, PIXELS_PER_INCH * scale)
        yield photographed(placed(pressed, rng), rng)


def texture(rng: np.random.Generator) -> Image:
    """No finger, f32[SIDE, SIDE] of 0 to 255: noise drawn out in one direction, as cloth, dirt and faulty rows are.

    The teacher itself takes some of it for ridges; nobody has to.
    """
    noise = rng.standard_normal((2 * SIDE, 2 * SIDE), np.float32)
    drawn = ndimage.gaussian_filter(noise, np.exp(rng.uniform(np.log(0.4), np.log(6.0), 2)))
    turned = ndimage.rotate(drawn, rng.uniform(0, 180), reshape=False, order=1)[
        SIDE // 2 : -SIDE // 2, SIDE // 2 : -SIDE // 2
    ]
    steep = np.float32(np.exp(rng.uniform(-0.7, 1.5)))
    return np.asarray(127.5 + 127.5 * np.tanh(steep * turned / turned.std()), np.float32)


def placed(pressed: Grey, rng: np.random.Generator) -> Image:
    """A turned and moved part of it, f32[SIDE, SIDE]."""
    angle = np.deg2rad(rng.normal(0, TURN))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle_in = (np.array(pressed.shape) - 1) / 2 + rng.uniform(-70, 70, 2)
    offset = middle_in - turn @ np.full(2, (SIDE - 1) / 2)
    fill = float(np.median(pressed[:8]))
    out: Image = ndimage.affine_transform(
        pressed.astype(np.float32), turn, offset, (SIDE, SIDE), order=3, mode="constant", cval=fill
    )
    return out


def photographed(image: Image, rng: np.random.Generator) -> Grey:
    """What a sensor makes of it: light, contrast, sharpness, the noise of its pixels and rows, few greys."""
    image = np.clip(image / np.float32(255), 0, 1) ** np.exp(rng.uniform(-0.5, 0.5))
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    image = image * (1 + np.float32(rng.uniform(-0.25, 0.25)) * (x * np.cos(angle) + y * np.sin(angle)))
    if rng.random() < 0.5:
        image = dimmed(image, rng, 2.2)
    contrast = np.exp(rng.uniform(np.log(0.12), 0))
    image = image * contrast + rng.uniform(0, 1 - contrast)
    if rng.random() < 0.3:
        image = image + np.float32(rng.uniform(-0.3, 0.3)) * patches(rng)
    if rng.random() < 0.5:
        image = ndimage.gaussian_filter(image, rng.uniform(0.2, 1.1))
    if rng.random() < 0.3:  # the edges of ridges overdrawn, as some sensors' firmware does
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


def dimmed(image: Image, rng: np.random.Generator, strength: float) -> Image:
    """The ridges fainter in places, by a factor of up to e to the `strength`, about the grey that is there."""
    around = ndimage.gaussian_filter(image, 12)
    left = np.exp(-np.float32(rng.uniform(0.3, strength)) * patches(rng))
    dim: Image = around + (image - around) * left
    return dim


def patches(rng: np.random.Generator) -> Image:
    """Soft patches of some size, f32[SIDE, SIDE] from 0 to 1."""
    cells = int(rng.integers(3, 13))
    fine: Image = ndimage.zoom(rng.random((cells, cells), np.float32), SIDE / cells, order=1)
    return np.clip(fine[:SIDE, :SIDE] * 2 - np.float32(0.5), 0, 1)


def make(path: Path, shard: int) -> Path:
    """One file of SHARD pictures, unless it is there."""
    target = path / f"{shard:04d}.npz"
    if not target.exists():
        rendered = [picture(number) for number in range(shard * SHARD, (shard + 1) * SHARD)]
        unfinished = target.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.savez(file, images=np.stack([one[0] for one in rendered]), planes=np.stack([one[1] for one in rendered]))
        unfinished.rename(target)
    return target


def load(paths: list[Path]) -> Pictures:
    """The pictures of these files."""
    parts = []
    for path in paths:
        try:
            with np.load(path) as kept:
                parts.append((kept["images"], kept["planes"]))
        except (ValueError, KeyError, zipfile.BadZipFile) as error:
            raise SystemExit(f"{path}: is no file of pictures ({error}): remove it, it is made again") from None
    return Pictures(np.concatenate([one[0] for one in parts]), np.concatenate([one[1] for one in parts]))


def load_or_make(path: Path, count: int, workers: int) -> Pictures:
    """At least so many pictures, in files of the folder `path`; those of earlier runs are used again."""
    path.mkdir(parents=True, exist_ok=True)
    shards = range(-(-count // SHARD))
    with ProcessPoolExecutor(workers) as pool:
        return load(list(pool.map(make, [path] * len(shards), shards)))


def batches(pictures: Pictures, size: int, rng: np.random.Generator) -> Batches:
    """Without end: f32[size, 1, SIDE, SIDE] grey 0..255 and u8[size, PLANES, SIDE, SIDE], each another look."""
    while True:
        chosen = rng.permutation(len(pictures))
        for first in range(0, len(chosen) - size + 1, size):
            looks = [augmented(pictures.images[i], pictures.planes[i], rng) for i in chosen[first : first + size]]
            yield np.stack([image for image, _ in looks])[:, None], np.stack([planes for _, planes in looks])


def augmented(image: Grey, planes: Grey, rng: np.random.Generator) -> tuple[Image, Grey]:
    """A worse look at a picture, mirrored or not: other greys, softer, grainier, blotched, scratched."""
    if rng.random() < 0.5:
        image, planes = image[:, ::-1], planes[:, :, ::-1].copy()
        planes[1] = 128 - planes[1]  # half a turn less the angle, modulo 256
    seen = image.astype(np.float32)
    if rng.random() < 0.4:
        seen = ndimage.gaussian_filter(seen, rng.uniform(0.3, 0.9))
    if rng.random() < 0.4:
        seen = dimmed(seen, rng, 1.6)
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
    """Ridges broken into beads in places, as those of dry skin."""
    grain = ndimage.gaussian_filter(rng.standard_normal(image.shape, np.float32), rng.uniform(0.8, 2.0))
    holes = np.clip(2 * (grain / grain.std() - rng.uniform(0.3, 1.5)) + 2 * patches(rng), 0, 1)
    broken: Image = image + rng.uniform(0.4, 0.9) * holes * (np.percentile(image, 95) - image)
    return broken


def _flooded(image: Image, rng: np.random.Generator) -> Image:
    """Valleys filled up in places, as between ridges that are wet."""
    full = ndimage.gaussian_filter(ndimage.grey_erosion(image, int(rng.integers(2, 5))), rng.uniform(0.5, 1.5))
    wet: Image = image + rng.uniform(0.4, 0.9) * patches(rng) * (full - image)
    return wet


def _scratched(image: Image, rng: np.random.Generator) -> Image:
    """One to four fine lines, light or dark."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    for _ in range(int(rng.integers(1, 5))):
        angle, place = rng.uniform(0, np.pi), rng.uniform(0, SIDE, 2)
        away = (x - place[0]) * np.cos(angle) + (y - place[1]) * np.sin(angle)
        mark = np.exp(-0.5 * (away / rng.uniform(0.5, 1.6)) ** 2) * rng.uniform(0.4, 1)
        image = image + mark * (rng.choice([image.min(), image.max()]) - image)
    return np.asarray(image, np.float32)
