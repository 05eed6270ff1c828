"""Draws a look of a synthetic eye as a near-infrared camera sees it, and tells where everything truly is."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from simulators.people.eye_face import hair, opening, rim, skin, strands_of, wet_spots
from simulators.people.eye_fields import Plane, clouds, shares, soft
from simulators.people.eye_scene import Build, Moment
from simulators.people.eye_texture import Texture, at

OUTLINE = 256  # points of a contour
FRAME = 480  # rows to which Moment's pixels refer
LASH_SHADE = 0.25  # a lash that covers more than this share of a pixel makes it unusable
ROOT_SHADE = 0.35  # so do roots of lashes that darken it by more than this
SPOT_SHADE = 0.2  # and a highlight that lightens it by more than this


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

    def eye(self, width: int, height: int) -> tuple[Plane, Plane]:
        """Eye coordinates x, y of every pixel of a picture."""
        inverse = np.linalg.inv(self.matrix).astype(np.float32)
        dx = np.arange(width, dtype=np.float32)[None, :] - np.float32(self.middle[0])
        dy = np.arange(height, dtype=np.float32)[:, None] - np.float32(self.middle[1])
        return inverse[0, 0] * dx + inverse[0, 1] * dy, inverse[1, 0] * dx + inverse[1, 1] * dy

    def picture(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Pixels of points [..., 2] on the eye."""
        return np.asarray(points @ self.matrix.T + self.middle, np.float32)


def look(rng: Generator, texture: Texture, build: Build, moment: Moment, width: int, height: int) -> EyeScene:
    """One frame."""
    face, iris = _cameras(build, moment, width, height)
    fx, fy = face.eye(width, height)
    ix, iy = iris.eye(width, height)
    distance, angle = np.hypot(ix, iy), np.arctan2(iy, ix)
    pupil = _pupil(build, moment, angle)

    ball = _lit_round(rng, _eyeball(texture, build, moment, distance, angle, pupil), fx, fy, build, moment)
    open_share, edge = opening(build, moment, fx, fy, face.scale)
    roots = rim(build, fx, edge)
    shade = 1 - moment.lid_shadow * np.exp(-np.clip(edge[0], 0, None) / np.float32(0.7))
    image = open_share * ball * shade + (1 - open_share) * skin(rng, build, moment, fx, fy, edge)
    lashes = _lashes(rng, build, moment, face, width, height)
    cover = np.maximum(lashes, roots)
    image = image * (1 - cover) + cover * np.float32(build.lash_light) * (0.7 + 0.6 * image)
    spots = _highlights(rng, build, moment, (face, iris), open_share)
    image, glare = _glasses(rng, moment, image + spots)
    covered = (lashes > LASH_SHADE) | (roots > ROOT_SHADE) | (np.maximum(spots, glare) > SPOT_SHADE)
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
    steps = OUTLINE * 4
    around = np.arange(steps, dtype=np.float32) / steps * 2 * np.pi
    size = moment.pupil * build.radius
    dx, dy = build.pupil_offset
    along, across = dx * np.cos(around) + dy * np.sin(around), dx * np.sin(around) - dy * np.cos(around)
    waves = np.sum([np.real(wave * np.exp(1j * k * around)) for k, wave in enumerate(build.pupil_waves, 2)], axis=0)
    edge = np.asarray(along + np.sqrt(np.maximum(size**2 - across**2, 0)) + size * waves, np.float32)
    nearest = np.rint(angle * np.float32(steps / (2 * np.pi))).astype(np.int32)
    return np.asarray(np.take(edge, nearest, mode="wrap"), np.float32)


def _eyeball(texture: Texture, build: Build, moment: Moment, distance: Plane, angle: Plane, pupil: Plane) -> Plane:
    depth = (distance - pupil) / np.maximum(build.radius - pupil, 0.1)
    near = (depth > -0.2) & (depth < 1.1)
    pattern = np.zeros_like(distance)
    pattern[near] = at(texture, depth[near], angle[near])
    # Darker towards the limbus, and a little next to the pupil.
    base = np.float32(build.iris_light) * (1.05 - np.float32(build.iris_fall) * np.clip(depth, 0, 1) ** 3)
    iris = base * (1 + np.float32(build.contrast * 2.0) * pattern)
    limbus = 1 - soft(distance - np.float32(build.radius), build.limbus_width)
    sclera = np.float32(build.sclera_light) * (1 - np.float32(0.012) * np.clip(distance - build.radius, 0, None))
    ball = iris * (1 - limbus) + sclera * limbus
    hole = soft(distance - pupil, 0.2)
    return np.asarray(ball * (1 - hole) + np.float32(moment.pupil_light * build.iris_light) * hole, np.float32)


def _lit_round(rng: Generator, ball: Plane, fx: Plane, fy: Plane, build: Build, moment: Moment) -> Plane:
    """The ball turns away from the light at the corners; the sclera has vessels."""
    away = np.clip((fx / np.float32(build.half_width) - np.float32(moment.ball_side)) ** 2, 0, 1.5)
    veins = np.float32(0.02) * clouds(rng, fx.shape[0], fx.shape[1], 2.5) * (fx**2 + fy**2 > build.radius**2)
    return np.asarray(ball * (1 - np.float32(moment.ball_fall) * away) - veins, np.float32)


def _lashes(rng: Generator, build: Build, moment: Moment, face: _Camera, width: int, height: int) -> Plane:
    """The share of each pixel that hair covers, of lids and brow."""
    return hair(rng, face.picture(strands_of(rng, build, moment)), face.scale, (height, width))


def _highlights(
    rng: Generator, build: Build, moment: Moment, cameras: tuple[_Camera, _Camera], open_share: Plane
) -> Plane:
    """How much lamps in the cornea, and in tears, lighten each pixel."""
    face, iris = cameras
    height, width = open_share.shape
    lamps = [(*iris.picture(np.array([[x, y]]))[0], r * iris.scale, light) for x, y, r, light in moment.highlights]
    tears = [(*face.picture(np.array([[x, y]]))[0], r * face.scale, 1.0) for x, y, r in wet_spots(rng, build, moment)]
    in_cornea, in_tears = (_discs(each, width, height) for each in (lamps, tears))
    return np.asarray(1.25 * np.maximum(in_cornea * (open_share > 0.5), in_tears), np.float32)


def _discs(discs: list[tuple[float, float, float, float]], width: int, height: int) -> Plane:
    """Round spots (x, y, radius, light), a little soft."""
    double = Image.new("L", (width * 2, height * 2))
    draw = ImageDraw.Draw(double)
    for x, y, radius, light in sorted(discs, key=lambda disc: disc[3]):
        size = max(2 * float(radius), 1.5)
        box = (2 * float(x) - size, 2 * float(y) - size, 2 * float(x) + size, 2 * float(y) + size)
        draw.ellipse(box, fill=int(255 * light))
    return np.asarray(ndimage.gaussian_filter(shares(double, width, height), 0.7, truncate=3), np.float32)


def _glasses(rng: Generator, moment: Moment, image: Plane) -> tuple[Plane, Plane]:
    """Lamps mirrored by lenses: blots anywhere, and a haze over everything; the rim of the glasses."""
    height, width = image.shape
    glare = np.zeros_like(image)
    if not moment.glare:
        return image, glare
    x, y = np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None]
    for _ in range(moment.glare):
        cx, cy = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
        wide, tall = rng.uniform(0.02, 0.10, 2) * width
        glare = np.maximum(glare, 1.2 * soft(np.hypot((x - cx) / wide, (y - cy) / tall) - 1, 0.5))
    image = image * np.float32(0.9) + np.float32(0.05)
    around = ((x - width * rng.uniform(0.3, 0.7)) / (0.55 * width)) ** 4
    ring = around + ((y - height * rng.uniform(0.4, 0.6)) / (0.48 * height)) ** 4
    image = np.where(np.abs(ring - 1) < rng.uniform(0, 0.25), np.float32(rng.uniform(0.05, 0.3)), image)
    return np.asarray(np.maximum(image, glare), np.float32), np.asarray(glare, np.float32)


def _exposed(rng: Generator, image: Plane, moment: Moment, height: int) -> NDArray[np.uint8]:
    """Light, focus, movement and the sensor."""
    y = np.linspace(-1, 1, image.shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, image.shape[1], dtype=np.float32)[None, :]
    slope = 1 + np.float32(moment.gradient[0]) * x + np.float32(moment.gradient[1]) * y
    image = ndimage.gaussian_filter(image * slope * np.float32(moment.light), moment.focus_px * height / FRAME)
    image = _moved(image, moment.motion_px[0] * height / FRAME, moment.motion_px[1] * height / FRAME)
    noise = np.float32(moment.noise) * rng.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(255 * np.clip(image, 0, 1.1) + noise), 0, 255).astype(np.uint8)


def _moved(image: Plane, dx: float, dy: float) -> Plane:
    """Smeared along a way of so many pixels."""
    length = np.hypot(dx, dy)
    if length < 0.7:
        return image
    steps = np.linspace(-0.5, 0.5, max(3, round(length)))
    smeared = [ndimage.shift(image, (s * dy, s * dx), order=1, mode="nearest") for s in steps]
    return np.asarray(np.mean(smeared, axis=0), np.float32)


def _outline(iris: _Camera, build: Build, moment: Moment, *, inner: bool) -> NDArray[np.float32]:
    angle = np.linspace(0, 2 * np.pi, OUTLINE, endpoint=False, dtype=np.float32)
    distance = _pupil(build, moment, angle) if inner else np.full_like(angle, build.radius)
    return iris.picture(np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=1))


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
