"""The training data of the iris segmenter: scenes of synthetic people with true outlines, and effects of cameras.

It contains no image of a real eye.
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

HEIGHT, WIDTH = 128, 160  # input size of the network
KEPT_SCALE = 2  # a scene is kept at this multiple of the input size, so that the augmentation can move in it
MAPS = 3  # inside the pupil, inside the limbus (also under lids), usable iris
EYES = (Position.RIGHT_EYE, Position.LEFT_EYE)
SUPERSAMPLED = 4
BLANK_SHARE, CLOSED_SHARE = 0.04, 0.09  # of the scenes: without an eye; with a blank or a closed eye
MIN_OPENING = 0.12  # of the lids, from which the outlines are drawn
FIRST_PERSON = 1_000_000  # tests and demonstrations use lower seeds
SCENES_PER_PERSON = 6  # generating an iris takes longer than rendering it
BAR_SHARE = 0.12  # of the images: with a bar along an edge, as some cameras make
ASPECTS = ((288, 384), (280, 320), (240, 320), (216, 384))  # height and width of the simulated sensors


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Images u8[n, h, w] and true maps u8[n, MAPS, h, w] in 0..255, at KEPT_SCALE times the input size."""

    images: NDArray[np.uint8]
    maps: NDArray[np.uint8]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.images)


def inside(contour: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    """The share of each pixel that lies inside a closed curve of points (x, y), in 0..255."""
    big = Image.new("L", (width * SUPERSAMPLED, height * SUPERSAMPLED))
    points = [(float(x), float(y)) for x, y in (contour + 0.5) * SUPERSAMPLED]
    ImageDraw.Draw(big).polygon(points, fill=255)
    return np.asarray(big.resize((width, height), Image.Resampling.BOX))


def letterboxed(image: NDArray[np.uint8], height: int, width: int, fill: int) -> NDArray[np.uint8]:
    """The image at the largest size that fits, in the centre of u8[height, width]."""
    scale = min(height / image.shape[0], width / image.shape[1])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    small = np.asarray(
        Image.fromarray(image).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)
    )
    framed = np.full((height, width), fill, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    framed[top : top + size[1], left : left + size[0]] = small
    return framed


def scene(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One image and its maps. The number determines person, eye, frame and camera."""
    rng = np.random.default_rng([7, number])
    height, width = ASPECTS[rng.integers(len(ASPECTS))]
    eye = Person(FIRST_PERSON + number // SCENES_PER_PERSON).eye(EYES[number // SCENES_PER_PERSON % 2])
    kind = rng.random()
    if kind < BLANK_SHARE:
        shown = blank(rng, width, height)
    else:
        shown = eye.scene(int(rng.integers(1000)), width, height, EyeCondition.CLOSED if kind < CLOSED_SHARE else None)
    # The outlines under closed lids are not visible, so they are not learned.
    visible = shown.facts.get("opening", 0.0) > MIN_OPENING
    outlines = [inside(contour, height, width) for contour in (shown.pupil, shown.limbus) if visible]
    maps = [
        *(outlines or [np.zeros((height, width), np.uint8)] * 2),
        np.asarray(shown.usable, np.uint8) * np.uint8(255),
    ]
    tall, wide = HEIGHT * KEPT_SCALE, WIDTH * KEPT_SCALE
    framed = np.stack([letterboxed(one, tall, wide, 0) for one in maps])
    return letterboxed(shown.image, tall, wide, int(np.median(shown.image))), framed


def make(count: int, workers: int, first: int = 0) -> TrainingSet:
    """Renders `count` scenes in parallel processes."""
    with ProcessPoolExecutor(workers) as pool:
        rendered = list(pool.map(scene, range(first, first + count), chunksize=8))
    return TrainingSet(np.stack([image for image, _ in rendered]), np.stack([maps for _, maps in rendered]))


def load_or_make(path: Path, count: int, workers: int) -> TrainingSet:
    """The scenes of an earlier run in `path`, or new ones, which are kept there."""
    if path.exists():
        with np.load(path) as kept:
            return TrainingSet(kept["images"], kept["maps"])
    made = make(count, workers)
    np.savez(path, images=made.images, maps=made.maps)
    return made


def batches(
    training_set: TrainingSet, size: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Endless augmented batches: images f32[size, 1, HEIGHT, WIDTH] in 0..1, maps f32[size, MAPS, HEIGHT, WIDTH]."""
    while True:
        chosen = rng.integers(len(training_set), size=size)
        batch = [augmented(training_set.images[i], training_set.maps[i], rng) for i in chosen]
        yield np.stack([image for image, _ in batch])[:, None], np.stack([maps for _, maps in batch])


def augmented(
    image: NDArray[np.uint8], maps: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A scene as another camera sees it: moved, rotated, scaled, mirrored; then with other light, focus and noise."""
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
    """The transform from pixels of the network to those of the scene."""
    scale = KEPT_SCALE / np.exp(rng.uniform(-0.45, 0.45))
    stretch = np.exp(rng.uniform(-0.08, 0.08))
    angle = np.deg2rad(rng.normal(0, 9))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.diag([scale * stretch, scale / stretch])
    middle_out = np.array([(HEIGHT - 1) / 2, (WIDTH - 1) / 2])
    middle_in = np.array([(HEIGHT * KEPT_SCALE - 1) / 2, (WIDTH * KEPT_SCALE - 1) / 2])
    shift = rng.uniform(-0.18, 0.18, 2) * (HEIGHT * KEPT_SCALE, WIDTH * KEPT_SCALE)
    return matrix, middle_in + shift - matrix @ middle_out


def _placed(
    layer: NDArray[np.uint8], matrix: NDArray[np.float64], offset: NDArray[np.float64], mode: str, fill: float
) -> NDArray[np.float32]:
    placed: NDArray[np.float32] = ndimage.affine_transform(
        layer.astype(np.float32), matrix, offset, (HEIGHT, WIDTH), order=1, mode=mode, cval=fill
    )
    return placed


def _photographed(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Applies light from a side, contrast, gamma, focus, movement, noise and glare."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.float32(rng.uniform(-0.35, 0.35)) * (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)))
    image = image * (1 + slope)
    image = np.clip(image, 0, 1) ** np.exp(rng.uniform(-0.6, 0.6))
    # Skin may be too bright for the sensor; a pupil is never too dark.
    dark, light = np.percentile(image, (0.5, 97))
    image = (image - dark) / max(light - dark, 0.1) * rng.uniform(0.35, 1.7) + rng.uniform(0, 0.2)
    if rng.random() < 0.5:
        image = ndimage.gaussian_filter(image, rng.uniform(0, 1.6, 2))
    if rng.random() < 0.15:
        cy, cx, wide, tall = rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.8), *rng.uniform(0.03, 0.25, 2)
        image = np.where(((x - cx) / wide) ** 2 + ((y - cy) / tall) ** 2 < 1, rng.uniform(0.8, 1.0), image)
    if rng.random() < BAR_SHARE:
        image = _barred(image, rng)
    noise = rng.uniform(0, 0.05) * rng.standard_normal(image.shape, np.float32)
    return np.clip(image + noise, 0, 1).astype(np.float32)


def _barred(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Replaces one edge of the image by a grey bar."""
    rotations = int(rng.integers(4))
    rotated = np.rot90(image, rotations).copy()
    rotated[: int(rng.integers(1, 14))] = rng.uniform(0, 1)
    return np.rot90(rotated, -rotations)
