"""What the iris segmenter learns from: scenes of synthetic people with true outlines, and what cameras do to them.

No picture of a real eye is in it.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from drivers.sample import Position
from simulators.people.person import EyeCondition, Person, blank

HEIGHT, WIDTH = 128, 160  # what the network sees
KEPT = 2  # a scene is kept in so many times that size, for the augmentation to choose from
MAPS = 3  # inside the pupil, inside the limbus (also under lids), usable iris
EYES = (Position.RIGHT_EYE, Position.LEFT_EYE)
SUPERSAMPLED = 4
BLANKS, CLOSED = 0.04, 0.09  # of the scenes: nothing there; and, up to here, closed eyes
LEAST_OPEN = 0.12
FIRST_PERSON = 1_000_000  # no test or demonstration goes there
LOOKS = 6  # scenes of a person: growing an iris takes longer than looking at it
BARS = 0.12  # of the pictures have a bar along an edge, as some cameras make
ASPECTS = ((288, 384), (280, 320), (240, 320), (216, 384))  # of the sensors that are imitated, height and width


@dataclass(frozen=True, slots=True)
class Pictures:
    """u8[n, h, w] pictures and u8[n, MAPS, h, w] true maps in 0..255, letterboxed to KEPT times the network's size."""

    images: NDArray[np.uint8]
    maps: NDArray[np.uint8]

    def __len__(self) -> int:
        """How many."""
        return len(self.images)


def inside(contour: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    """The share of each pixel that lies inside a closed curve of points (x, y), in 0..255."""
    big = Image.new("L", (width * SUPERSAMPLED, height * SUPERSAMPLED))
    points = [(float(x), float(y)) for x, y in (contour + 0.5) * SUPERSAMPLED]
    ImageDraw.Draw(big).polygon(points, fill=255)
    return np.asarray(big.resize((width, height), Image.Resampling.BOX))


def letterboxed(picture: NDArray[np.uint8], height: int, width: int, fill: int) -> NDArray[np.uint8]:
    """The picture at the largest size that fits, in the middle of u8[height, width]."""
    scale = min(height / picture.shape[0], width / picture.shape[1])
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    small = np.asarray(
        Image.fromarray(picture).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)
    )
    framed = np.full((height, width), fill, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    framed[top : top + size[1], left : left + size[0]] = small
    return framed


def scene(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One picture and its maps. The number decides person, eye, frame and camera."""
    rng = np.random.default_rng([7, number])
    height, width = ASPECTS[rng.integers(len(ASPECTS))]
    eye = Person(FIRST_PERSON + number // LOOKS).eye(EYES[number // LOOKS % 2])
    kind = rng.random()
    if kind < BLANKS:
        shown = blank(rng, width, height)
    else:
        shown = eye.scene(int(rng.integers(1000)), width, height, EyeCondition.CLOSED if kind < CLOSED else None)
    # What a closed lid hides nobody can draw.
    seen = shown.facts.get("opening", 0.0) > LEAST_OPEN
    outlines = [inside(contour, height, width) for contour in (shown.pupil, shown.limbus) if seen]
    maps = [
        *(outlines or [np.zeros((height, width), np.uint8)] * 2),
        np.asarray(shown.usable, np.uint8) * np.uint8(255),
    ]
    tall, wide = HEIGHT * KEPT, WIDTH * KEPT
    framed = np.stack([letterboxed(one, tall, wide, 0) for one in maps])
    return letterboxed(shown.image, tall, wide, int(np.median(shown.image))), framed


def make(count: int, workers: int, first: int = 0) -> Pictures:
    """Render so many scenes, in processes."""
    with ProcessPoolExecutor(workers) as pool:
        rendered = list(pool.map(scene, range(first, first + count), chunksize=8))
    return Pictures(np.stack([image for image, _ in rendered]), np.stack([maps for _, maps in rendered]))


def load_or_make(path: Path, count: int, workers: int) -> Pictures:
    """The scenes of an earlier run, or new ones, kept in `path`."""
    if path.exists():
        with np.load(path) as kept:
            return Pictures(kept["images"], kept["maps"])
    made = make(count, workers)
    np.savez(path, images=made.images, maps=made.maps)
    return made


def batches(
    pictures: Pictures, size: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Without end: f32[size, 1, HEIGHT, WIDTH] in 0..1 and f32[size, MAPS, HEIGHT, WIDTH], each another look."""
    while True:
        chosen = rng.integers(len(pictures), size=size)
        looks = [augmented(pictures.images[i], pictures.maps[i], rng) for i in chosen]
        yield np.stack([image for image, _ in looks])[:, None], np.stack([maps for _, maps in looks])


def augmented(
    image: NDArray[np.uint8], maps: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Another camera's look at a scene: moved, turned, scaled, mirrored; then other light, focus and noise."""
    matrix, offset = _placement(rng)
    mirrored = rng.random() < 0.5
    around = "nearest" if rng.random() < 0.5 else "constant"
    layers = []
    for number, layer in enumerate([image, *maps]):
        source = layer[:, ::-1] if mirrored else layer
        mode, fill = (around, float(np.median(image))) if number == 0 else ("constant", 0.0)
        layers.append(_placed(source, matrix, offset, mode, fill))
    return _photographed(layers[0] / np.float32(255), rng), np.stack(layers[1:]) / np.float32(255)


def _placement(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From pixels of the network's picture to those of the scene."""
    scale = KEPT / np.exp(rng.uniform(-0.45, 0.45))
    stretch = np.exp(rng.uniform(-0.08, 0.08))
    angle = np.deg2rad(rng.normal(0, 9))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([scale * stretch, scale / stretch])
    middle_out = np.array([(HEIGHT - 1) / 2, (WIDTH - 1) / 2])
    middle_in = np.array([(HEIGHT * KEPT - 1) / 2, (WIDTH * KEPT - 1) / 2])
    shift = rng.uniform(-0.18, 0.18, 2) * (HEIGHT * KEPT, WIDTH * KEPT)
    return matrix, middle_in + shift - matrix @ middle_out


def _placed(
    layer: NDArray[np.uint8], matrix: NDArray[np.float64], offset: NDArray[np.float64], mode: str, fill: float
) -> NDArray[np.float32]:
    placed: NDArray[np.float32] = ndimage.affine_transform(
        layer.astype(np.float32), matrix, offset, (HEIGHT, WIDTH), order=1, mode=mode, cval=fill
    )
    return placed


def _photographed(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Light from a side, contrast, gamma, focus, movement, noise, glare."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.float32(rng.uniform(-0.35, 0.35)) * (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)))
    image = image * (1 + slope)
    image = np.clip(image, 0, 1) ** np.exp(rng.uniform(-0.6, 0.6))
    # Skin may be too light for the sensor, a pupil is never too dark for it.
    dark, light = np.percentile(image, (0.5, 97))
    image = (image - dark) / max(light - dark, 0.1) * rng.uniform(0.35, 1.7) + rng.uniform(0, 0.2)
    if rng.random() < 0.5:
        image = ndimage.gaussian_filter(image, rng.uniform(0, 1.6, 2))
    if rng.random() < 0.15:
        cy, cx, wide, tall = rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.8), *rng.uniform(0.03, 0.25, 2)
        image = np.where(((x - cx) / wide) ** 2 + ((y - cy) / tall) ** 2 < 1, rng.uniform(0.8, 1.0), image)
    if rng.random() < BARS:
        image = _barred(image, rng)
    noise = rng.uniform(0, 0.05) * rng.standard_normal(image.shape, np.float32)
    return np.clip(image + noise, 0, 1).astype(np.float32)


def _barred(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """One side of the picture is no picture."""
    turns = int(rng.integers(4))
    turned = np.rot90(image, turns).copy()
    turned[: int(rng.integers(1, 14))] = rng.uniform(0, 1)
    return np.rot90(turned, -turns)
