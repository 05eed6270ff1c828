"""Draws a look of a synthetic eye as a near-infrared camera sees it, and tells where everything truly is."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from simulators.eye_scene import Build, Moment
from simulators.eye_texture import Texture, at

Plane = NDArray[np.float32]
OUTLINE = 256  # points of a contour
FRAME = 480  # rows to which Moment's pixels refer
LASH_SHADE = 0.25  # a lash that covers more than this share of a pixel makes it unusable
HALO = 1.5  # pixels around a highlight that are spoilt with it


@dataclass(frozen=True, slots=True, eq=False)
class EyeScene:
    """A picture and the truth about it.

    `image` u8[h, w]; `pupil` and `limbus` f32[OUTLINE, 2], points (x, y) of the true outlines, also under lids,
    empty [0, 2] where there is no eye; `usable` bool[h, w], iris that nothing covers; `facts` in pixels and shares.
    """

    image: NDArray[np.uint8]
    pupil: NDArray[np.float32]
    limbus: NDArray[np.float32]
    usable: NDArray[np.bool_]
    facts: dict[str, float]

    def __repr__(self) -> str:
        """Its size."""
        return f"<EyeScene {self.image.shape[1]}x{self.image.shape[0]}>"


@dataclass(frozen=True, slots=True)
class _Camera:
    """From pixels to millimetres on the eye and back. `matrix` takes eye to picture."""

    matrix: NDArray[np.float64]
    middle: NDArray[np.float64]
    scale: float  # pixels a millimetre

    def eye(self, x: Plane, y: Plane) -> tuple[Plane, Plane]:
        """Eye coordinates of pixels."""
        inverse = np.linalg.inv(self.matrix)
        dx, dy = x - self.middle[0], y - self.middle[1]
        return (
            np.asarray(inverse[0, 0] * dx + inverse[0, 1] * dy, np.float32),
            np.asarray(inverse[1, 0] * dx + inverse[1, 1] * dy, np.float32),
        )

    def picture(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        """Pixels of points [n, 2] on the eye."""
        return np.asarray(points @ self.matrix.T + self.middle, np.float32)


def _soft(distance: Plane, width: float) -> Plane:
    """1 well inside (distance below 0), 0 well outside, over about `width`."""
    return np.asarray(1 / (1 + np.exp(np.clip(distance / width * 4, -40, 40))), np.float32)


def _clouds(rng: Generator, height: int, width: int, size: float) -> Plane:
    """Smooth noise of spread 1, of blobs of about `size` pixels; drawn small where it is smooth."""
    step = max(1, int(size / 3))
    small = (-(-height // step) + 4, -(-width // step) + 4)
    noise = ndimage.gaussian_filter(rng.standard_normal(small, np.float32), size / step)
    noise = noise / max(float(noise.std()), 1e-6)
    return np.asarray(ndimage.zoom(noise, step, order=1)[:height, :width] if step > 1 else noise[:height, :width])


def look(rng: Generator, texture: Texture, build: Build, moment: Moment, width: int, height: int) -> EyeScene:
    """One frame."""
    face, iris = _cameras(build, moment, width, height)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    fx, fy = face.eye(x, y)
    ix, iy = iris.eye(x, y)
    distance, angle = np.hypot(ix, iy), np.arctan2(iy, ix)
    pupil = _pupil(build, moment, angle)

    ball = _eyeball(texture, build, distance, angle, pupil)
    ball = _lit_round(rng, ball, fx, fy, build)
    open_share, edge = _opening(build, moment, fx, fy, face.scale)
    shade = 1 - 0.3 * np.exp(-np.clip(edge[0], 0, None) / 0.7)  # the upper lid's shadow
    image = open_share * ball * shade + (1 - open_share) * _skin(rng, build, fx, edge)
    lashes = _lashes(rng, build, moment, face, width, height)
    image = image * (1 - lashes) + lashes * build.lash_light * (0.7 + 0.6 * image)
    spots = _highlights(moment, iris, x, y) * (open_share > 0.5)
    image = np.maximum(image, spots)
    image, glare = _glasses(rng, moment, image)
    covered = (lashes > LASH_SHADE) | (ndimage.maximum_filter(np.maximum(spots, glare), 1 + 2 * round(HALO)) > 0.6)
    usable = (distance > pupil) & (distance < build.radius) & (open_share > 0.5) & ~covered
    return EyeScene(
        _exposed(rng, image, moment, height),
        _outline(iris, build, moment, inner=True),
        _outline(iris, build, moment, inner=False),
        usable,
        _facts(build, moment, iris, usable),
    )


def _cameras(build: Build, moment: Moment, width: int, height: int) -> tuple[_Camera, _Camera]:
    """Of the face, and of the iris, which the gaze turns and foreshortens within it."""
    scale = moment.iris_px * height / FRAME / build.radius
    turn = np.array([[np.cos(moment.roll), -np.sin(moment.roll)], [np.sin(moment.roll), np.cos(moment.roll)]])
    right, down = moment.gaze
    squeeze = np.diag([np.cos(right), np.cos(down)])
    middle = np.array([width * (0.5 + moment.x), height * (0.5 + moment.y)])
    ball_mm = 12.0  # radius of an eyeball: how far the iris wanders with the gaze
    shift = np.array([ball_mm * np.sin(right), ball_mm * np.sin(down)]) * scale
    return _Camera(turn * scale, middle - turn @ shift, scale), _Camera(turn @ squeeze * scale, middle, scale)


def _pupil(build: Build, moment: Moment, angle: Plane) -> Plane:
    """Distance of the pupil's edge from the middle of the iris, in the direction of each angle."""
    size = moment.pupil * build.radius
    dx, dy = build.pupil_offset
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dx * np.sin(angle) - dy * np.cos(angle)
    waves = _waves(build)[np.asarray(angle / (2 * np.pi) * OUTLINE * 4, np.int32)]  # negative ones count from the end
    return np.asarray(along + np.sqrt(np.maximum(size**2 - across**2, 0)) + size * waves, np.float32)


def _waves(build: Build) -> Plane:
    """How far the pupil's edge is from round, as shares of its radius, all around."""
    angle = np.arange(OUTLINE * 4) / (OUTLINE * 4) * 2 * np.pi
    waves = [np.real(wave * np.exp(1j * k * angle)) for k, wave in enumerate(build.pupil_waves, 2)]
    return np.asarray(np.sum(waves, axis=0), np.float32)


def _eyeball(texture: Texture, build: Build, distance: Plane, angle: Plane, pupil: Plane) -> Plane:
    depth = (distance - pupil) / np.maximum(build.radius - pupil, 0.1)
    near = (depth > -0.2) & (depth < 1.1)
    pattern = np.zeros_like(distance)
    pattern[near] = at(texture, depth[near], angle[near])
    # Darker towards the limbus, and a little next to the pupil.
    base = build.iris_light * (1.05 - 0.25 * np.clip(depth, 0, 1) ** 3)
    iris = base * (1 + build.contrast * 2.0 * pattern)
    limbus = 1 - _soft(distance - build.radius, build.limbus_width)
    sclera = build.sclera_light * (1 - 0.012 * np.clip(distance - build.radius, 0, None))
    ball = iris * (1 - limbus) + sclera * limbus
    hole = _soft(distance - pupil, 0.2)
    return np.asarray(ball * (1 - hole) + 0.07 * hole, np.float32)


def _lit_round(rng: Generator, ball: Plane, fx: Plane, fy: Plane, build: Build) -> Plane:
    """The ball turns away from the light at the corners; the sclera has vessels."""
    away = np.clip((fx / build.half_width) ** 2, 0, 1.5)
    veins = 0.02 * _clouds(rng, fx.shape[0], fx.shape[1], 2.5) * (np.hypot(fx, fy) > build.radius)
    return np.asarray(ball * (1 - 0.28 * away) - veins, np.float32)


def _lids(build: Build, moment: Moment, fx: Plane) -> tuple[Plane, Plane]:
    """Heights (y) of the upper and lower lid at places along the eye; equal where it is closed."""
    bow = np.clip(1 - (fx / build.half_width) ** 2, 0, None) ** 0.75
    meet = 0.65 * build.lower  # a lid that closes is mostly the upper one
    parted = min(1.0, moment.opening * 3)
    lowest = build.lower * (0.75 + 0.25 * moment.opening)
    upper = build.slant * fx - (build.upper * moment.opening - meet * (1 - moment.opening)) * bow
    lower = build.slant * fx + (lowest * parted + meet * (1 - parted)) * bow
    return np.asarray(upper, np.float32), np.asarray(lower, np.float32)


def _opening(build: Build, moment: Moment, fx: Plane, fy: Plane, scale: float) -> tuple[Plane, tuple[Plane, Plane]]:
    """How much of each pixel is eyeball, and its distance in mm below the upper and above the lower lid."""
    upper, lower = _lids(build, moment, fx)
    below, above = fy - upper, lower - fy
    share = _soft(-np.minimum(below, above), 2.8 / scale) * (np.abs(fx) < build.half_width)
    return np.asarray(share, np.float32), (below, above)


def _skin(rng: Generator, build: Build, fx: Plane, edge: tuple[Plane, Plane]) -> Plane:
    """Lids with a fold, wrinkles along them, pores, and a brighter moist rim."""
    height, width = fx.shape
    broad, pores = _clouds(rng, height, width, height / 10), _clouds(rng, height, width, 1.0)
    creases = _clouds(rng, height, width, height / 30)
    above, below = -edge[0], -edge[1]
    fold = np.exp(-(((above - rng.uniform(2.5, 5.0)) / 0.35) ** 2)) * rng.uniform(0.0, 0.35)
    wrinkled = np.sin(np.minimum(above, below) * rng.uniform(2, 4) + 4 * broad + 2 * creases)
    lines = -rng.uniform(0, 0.08) * np.clip(wrinkled - 0.5, 0, 1) * np.clip(creases, 0, 1)
    rim = 0.12 * np.exp(-((np.minimum(np.abs(above), np.abs(below)) / 0.4) ** 2)) * (np.abs(fx) < build.half_width)
    shine = 0.25 * np.clip(pores - 1.8, 0, 1) * np.clip(broad, 0, 1)
    skin = build.skin_light * (1 + 0.10 * broad + 0.025 * pores - fold + lines + rim + shine)
    return np.asarray(skin, np.float32)


def _lashes(rng: Generator, build: Build, moment: Moment, face: _Camera, width: int, height: int) -> Plane:
    """Hair, of lids and brow: the share of each pixel that it covers."""
    double = Image.new("L", (width * 2, height * 2))
    draw = ImageDraw.Draw(double)
    lengths = build.lash_length * rng.uniform(0.4, 1.2, build.lashes)
    strands = [_strand(rng, build, moment, upper=True, length=length) for length in lengths]
    strands += [_strand(rng, build, moment, upper=False, length=length / 2) for length in lengths[::3]]
    strands += [_hair(rng, build) for _ in range(250)] if rng.random() < 0.6 else []
    for strand in strands:
        points = [(float(x) * 2, float(y) * 2) for x, y in face.picture(strand)]
        thick = max(1, round(face.scale * rng.uniform(0.12, 0.30)))
        draw.line(points, fill=int(rng.uniform(120, 255)), width=thick, joint="curve")
    shares = np.asarray(double.resize((width, height), Image.Resampling.BOX), np.float32) / 255
    return np.asarray(np.clip(ndimage.gaussian_filter(shares, 0.5) * 1.15, 0, 0.95), np.float32)


def _strand(rng: Generator, build: Build, moment: Moment, *, upper: bool, length: float) -> NDArray[np.float64]:
    """One lash, from its root on a lid."""
    root = rng.uniform(-0.95, 0.95) * build.half_width
    above, below = _lids(build, moment, np.array([root], np.float32))
    steps = np.linspace(0, 1, 6)
    outwards = 0.6 * root / build.half_width + rng.normal(0, 0.25)
    # Seen from the front a lash comes towards the camera; some hang over the eye, some turn up before the lid.
    hang = np.clip(build.lash_hang + rng.normal(0, 0.25), -0.9, 1)
    fall = length * (0.35 * steps + (hang - 0.35) * steps**2) if upper else length * (0.3 * steps + 0.5 * steps**2)
    start = above[0] if upper else below[0]
    return np.stack([root + length * outwards * steps, start + fall], axis=1)


def _hair(rng: Generator, build: Build) -> NDArray[np.float64]:
    """One hair of the brow."""
    x, steps = rng.uniform(-1.6, 1.6) * build.half_width, np.linspace(0, 1, 4)
    y = -build.brow + 0.02 * x**2 + rng.normal(0, 2.2)
    return np.stack([x + rng.uniform(3, 6) * np.sign(x) * steps, y - rng.uniform(-1, 3) * steps], axis=1)


def _highlights(moment: Moment, iris: _Camera, x: Plane, y: Plane) -> Plane:
    """The lamps in the cornea."""
    spots = np.zeros_like(x)
    for hx, hy, radius in moment.highlights:
        (px, py), size = iris.picture(np.array([[hx, hy]]))[0], max(radius * iris.scale, 1.0)
        spots = np.maximum(spots, 1.25 * _soft(np.hypot(x - px, y - py) - size, 2.0))
    return np.asarray(spots, np.float32)


def _glasses(rng: Generator, moment: Moment, image: Plane) -> tuple[Plane, Plane]:
    """Lamps mirrored by lenses: blots anywhere, and a haze over everything."""
    height, width = image.shape
    glare = np.zeros_like(image)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    for _ in range(moment.glare):
        cx, cy = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
        wide, tall = rng.uniform(0.02, 0.10, 2) * width
        glare = np.maximum(glare, 1.2 * _soft(np.hypot((x - cx) / wide, (y - cy) / tall) - 1, 0.5))
    if moment.glare:
        image = image * 0.9 + 0.05
        around = ((x - width * rng.uniform(0.3, 0.7)) / (0.55 * width)) ** 4
        ring = around + ((y - height * rng.uniform(0.4, 0.6)) / (0.48 * height)) ** 4
        image = np.where(np.abs(ring - 1) < rng.uniform(0, 0.25), 0.1, image)
    return np.asarray(np.maximum(image, glare), np.float32), np.asarray(glare, np.float32)


def _exposed(rng: Generator, image: Plane, moment: Moment, height: int) -> NDArray[np.uint8]:
    """Light, focus, movement and the sensor."""
    y, x = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
    image = image * moment.light * (1 + moment.gradient[0] * x + moment.gradient[1] * y)
    image = ndimage.gaussian_filter(image, moment.focus_px * height / FRAME)
    length = np.hypot(*moment.motion_px) * height / FRAME
    if length > 0.7:
        steps = np.linspace(-0.5, 0.5, max(3, round(length)))
        moved = [
            ndimage.shift(image, (s * moment.motion_px[1], s * moment.motion_px[0]), order=1, mode="nearest")
            for s in steps
        ]
        image = np.mean(moved, axis=0)
    noisy = 255 * np.clip(image, 0, 1.1) + moment.noise * rng.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _outline(iris: _Camera, build: Build, moment: Moment, *, inner: bool) -> NDArray[np.float32]:
    angle = np.linspace(0, 2 * np.pi, OUTLINE, endpoint=False, dtype=np.float32)
    distance = _pupil(build, moment, angle) if inner else np.full_like(angle, build.radius)
    return iris.picture(np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=1).astype(np.float64))


def _facts(build: Build, moment: Moment, iris: _Camera, usable: NDArray[np.bool_]) -> dict[str, float]:
    ring = np.pi * (build.radius**2) * (1 - moment.pupil**2) * iris.scale**2
    return {
        "iris_diameter_px": 2 * build.radius * iris.scale,
        "pupil_ratio": moment.pupil,
        "gaze": float(np.hypot(*moment.gaze)),
        "opening": moment.opening,
        "focus_px": moment.focus_px,
        "usable_share": float(usable.sum() / ring),
    }
