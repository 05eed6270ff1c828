"""Renders a frame of a synthetic eye as a near-infrared camera sees it, with the ground truth of the segmentation."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from simulators.people.eye_face import hair, hair_strands, opening, root_shade, skin, tear_glints
from simulators.people.eye_fields import Plane, clouds, coverage, soft
from simulators.people.eye_scene import Anatomy, Presentation
from simulators.people.eye_texture import Texture, sample_texture

OUTLINE_POINTS = 256
FRAME_HEIGHT = 480  # rows of the frame that the pixels of a Presentation refer to
LASH_SHADE = 0.25  # a pixel is unusable if a lash covers more than this share of it,
ROOT_SHADE = 0.35  # or if the roots of lashes darken it by more than this,
SPOT_SHADE = 0.2  # or if a highlight lightens it by more than this


@dataclass(frozen=True, slots=True, eq=False)
class EyeScene:
    """An image and its ground truth.

    `image` u8[h, w]; `pupil` and `limbus` f32[OUTLINE_POINTS, 2], points (x, y) of the true outlines, also under lids,
    empty [0, 2] where there is no eye; `usable` bool[h, w], iris that nothing covers; `facts` in pixels and shares.
    """

    image: NDArray[np.uint8]
    pupil: NDArray[np.float32]
    limbus: NDArray[np.float32]
    usable: NDArray[np.bool_]
    facts: dict[str, float]

    def __repr__(self) -> str:
        """The size, never pixels."""
        return f"<EyeScene {self.image.shape[1]}x{self.image.shape[0]}>"


@dataclass(frozen=True, slots=True)
class _Camera:
    """Converts pixels to millimetres on the eye and back. `matrix` maps eye coordinates to image coordinates."""

    matrix: NDArray[np.float64]
    middle: NDArray[np.float64]
    scale: float  # pixels a millimetre

    def eye(self, width: int, height: int) -> tuple[Plane, Plane]:
        """The eye coordinates x, y of every pixel of an image."""
        inverse = np.linalg.inv(self.matrix).astype(np.float32)
        dx = np.arange(width, dtype=np.float32)[None, :] - np.float32(self.middle[0])
        dy = np.arange(height, dtype=np.float32)[:, None] - np.float32(self.middle[1])
        return inverse[0, 0] * dx + inverse[0, 1] * dy, inverse[1, 0] * dx + inverse[1, 1] * dy

    def pixels(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """The pixel coordinates of points [..., 2] on the eye."""
        return np.asarray(points @ self.matrix.T + self.middle, np.float32)


def render_eye(
    rng: Generator, texture: Texture, anatomy: Anatomy, presentation: Presentation, width: int, height: int
) -> EyeScene:
    """Render one frame."""
    face, iris = _cameras(anatomy, presentation, width, height)
    fx, fy = face.eye(width, height)
    ix, iy = iris.eye(width, height)
    distance, angle = np.hypot(ix, iy), np.arctan2(iy, ix)
    pupil = _pupil(anatomy, presentation, angle)

    ball = _lit_round(
        rng, _eyeball(texture, anatomy, presentation, distance, angle, pupil), fx, fy, anatomy, presentation
    )
    open_share, edge = opening(anatomy, presentation, fx, fy, face.scale)
    roots = root_shade(anatomy, fx, edge)
    shade = 1 - presentation.lid_shadow * np.exp(-np.clip(edge[0], 0, None) / np.float32(0.7))
    image = open_share * ball * shade + (1 - open_share) * skin(rng, anatomy, presentation, fx, fy, edge)
    lashes = _lashes(rng, anatomy, presentation, face, width, height)
    cover = np.maximum(lashes, roots)
    image = image * (1 - cover) + cover * np.float32(anatomy.lash_light) * (0.7 + 0.6 * image)
    spots = _highlights(rng, anatomy, presentation, (face, iris), open_share)
    image, glare = _glasses(rng, presentation, image + spots)
    covered = (lashes > LASH_SHADE) | (roots > ROOT_SHADE) | (np.maximum(spots, glare) > SPOT_SHADE)
    usable = (distance > pupil) & (distance < anatomy.radius) & (open_share > 0.5) & ~covered
    return EyeScene(
        _exposed(rng, image, presentation, height),
        _outline(iris, anatomy, presentation, inner=True),
        _outline(iris, anatomy, presentation, inner=False),
        usable,
        _facts(anatomy, presentation, iris, usable),
    )


def _cameras(anatomy: Anatomy, presentation: Presentation, width: int, height: int) -> tuple[_Camera, _Camera]:
    """The camera of the face, and that of the iris, which the gaze rotates and foreshortens."""
    scale = presentation.iris_px * height / FRAME_HEIGHT / anatomy.radius
    rotation = np.array(
        [
            [np.cos(presentation.roll), -np.sin(presentation.roll)],
            [np.sin(presentation.roll), np.cos(presentation.roll)],
        ]
    )
    right, down = presentation.gaze
    foreshortening = np.diag([np.cos(right), np.cos(down)])
    middle = np.array([width * (0.5 + presentation.x), height * (0.5 + presentation.y)])
    ball_mm = 12.0  # radius of an eyeball: determines how far the iris moves with the gaze
    shift = np.array([ball_mm * np.sin(right), ball_mm * np.sin(down)]) * scale
    return _Camera(rotation * scale, middle - rotation @ shift, scale), _Camera(
        rotation @ foreshortening * scale, middle, scale
    )


def _pupil(anatomy: Anatomy, presentation: Presentation, angle: Plane) -> Plane:
    """The distance of the pupil's edge from the middle of the iris at each angle."""
    steps = OUTLINE_POINTS * 4
    around = np.arange(steps, dtype=np.float32) / steps * 2 * np.pi
    size = presentation.pupil * anatomy.radius
    dx, dy = anatomy.pupil_offset
    along, across = dx * np.cos(around) + dy * np.sin(around), dx * np.sin(around) - dy * np.cos(around)
    waves = np.sum([np.real(wave * np.exp(1j * k * around)) for k, wave in enumerate(anatomy.pupil_waves, 2)], axis=0)
    edge = np.asarray(along + np.sqrt(np.maximum(size**2 - across**2, 0)) + size * waves, np.float32)
    nearest = np.rint(angle * np.float32(steps / (2 * np.pi))).astype(np.int32)
    return np.asarray(np.take(edge, nearest, mode="wrap"), np.float32)


def _eyeball(
    texture: Texture, anatomy: Anatomy, presentation: Presentation, distance: Plane, angle: Plane, pupil: Plane
) -> Plane:
    depth = (distance - pupil) / np.maximum(anatomy.radius - pupil, 0.1)
    near = (depth > -0.2) & (depth < 1.1)
    pattern = np.zeros_like(distance)
    pattern[near] = sample_texture(texture, depth[near], angle[near])
    # Darker towards the limbus, and a little next to the pupil.
    base = np.float32(anatomy.iris_light) * (1.05 - np.float32(anatomy.iris_fall) * np.clip(depth, 0, 1) ** 3)
    iris = base * (1 + np.float32(anatomy.contrast * 2.0) * pattern)
    limbus = 1 - soft(distance - np.float32(anatomy.radius), anatomy.limbus_width)
    sclera = np.float32(anatomy.sclera_light) * (1 - np.float32(0.012) * np.clip(distance - anatomy.radius, 0, None))
    ball = iris * (1 - limbus) + sclera * limbus
    hole = soft(distance - pupil, 0.2)
    return np.asarray(ball * (1 - hole) + np.float32(presentation.pupil_light * anatomy.iris_light) * hole, np.float32)


def _lit_round(
    rng: Generator, ball: Plane, fx: Plane, fy: Plane, anatomy: Anatomy, presentation: Presentation
) -> Plane:
    """Shade the eyeball towards the corners of the eye, and add the vessels of the sclera."""
    away = np.clip((fx / np.float32(anatomy.half_width) - np.float32(presentation.ball_side)) ** 2, 0, 1.5)
    veins = np.float32(0.02) * clouds(rng, fx.shape[0], fx.shape[1], 2.5) * (fx**2 + fy**2 > anatomy.radius**2)
    return np.asarray(ball * (1 - np.float32(presentation.ball_fall) * away) - veins, np.float32)


def _lashes(
    rng: Generator, anatomy: Anatomy, presentation: Presentation, face: _Camera, width: int, height: int
) -> Plane:
    """The share of each pixel that lashes and eyebrow cover."""
    return hair(rng, face.pixels(hair_strands(rng, anatomy, presentation)), face.scale, (height, width))


def _highlights(
    rng: Generator, anatomy: Anatomy, presentation: Presentation, cameras: tuple[_Camera, _Camera], open_share: Plane
) -> Plane:
    """The light that reflections of lamps in the cornea and in tears add to each pixel."""
    face, iris = cameras
    height, width = open_share.shape
    lamps = [(*iris.pixels(np.array([[x, y]]))[0], r * iris.scale, light) for x, y, r, light in presentation.highlights]
    tears = [
        (*face.pixels(np.array([[x, y]]))[0], r * face.scale, 1.0)
        for x, y, r in tear_glints(rng, anatomy, presentation)
    ]
    in_cornea, in_tears = (_discs(each, width, height) for each in (lamps, tears))
    return np.asarray(1.25 * np.maximum(in_cornea * (open_share > 0.5), in_tears), np.float32)


def _discs(discs: list[tuple[float, float, float, float]], width: int, height: int) -> Plane:
    """Draw discs (x, y, radius, light) with a soft edge."""
    double = Image.new("L", (width * 2, height * 2))
    draw = ImageDraw.Draw(double)
    for x, y, radius, light in sorted(discs, key=lambda disc: disc[3]):
        size = max(2 * float(radius), 1.5)
        box = (2 * float(x) - size, 2 * float(y) - size, 2 * float(x) + size, 2 * float(y) + size)
        draw.ellipse(box, fill=int(255 * light))
    return np.asarray(ndimage.gaussian_filter(coverage(double, width, height), 0.7, truncate=3), np.float32)


def _glasses(rng: Generator, presentation: Presentation, image: Plane) -> tuple[Plane, Plane]:
    """Add glasses: reflections of lamps at random places, a haze over the whole image, and the frame of the glasses."""
    height, width = image.shape
    glare = np.zeros_like(image)
    if not presentation.glare:
        return image, glare
    x, y = np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None]
    for _ in range(presentation.glare):
        cx, cy = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
        wide, tall = rng.uniform(0.02, 0.10, 2) * width
        glare = np.maximum(glare, 1.2 * soft(np.hypot((x - cx) / wide, (y - cy) / tall) - 1, 0.5))
    image = image * np.float32(0.9) + np.float32(0.05)
    around = ((x - width * rng.uniform(0.3, 0.7)) / (0.55 * width)) ** 4
    ring = around + ((y - height * rng.uniform(0.4, 0.6)) / (0.48 * height)) ** 4
    image = np.where(np.abs(ring - 1) < rng.uniform(0, 0.25), np.float32(rng.uniform(0.05, 0.3)), image)
    return np.asarray(np.maximum(image, glare), np.float32), np.asarray(glare, np.float32)


def _exposed(rng: Generator, image: Plane, presentation: Presentation, height: int) -> NDArray[np.uint8]:
    """Apply illumination, focus, motion blur and sensor noise."""
    y = np.linspace(-1, 1, image.shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, image.shape[1], dtype=np.float32)[None, :]
    slope = 1 + np.float32(presentation.gradient[0]) * x + np.float32(presentation.gradient[1]) * y
    image = ndimage.gaussian_filter(
        image * slope * np.float32(presentation.light), presentation.focus_px * height / FRAME_HEIGHT
    )
    image = _moved(
        image, presentation.motion_px[0] * height / FRAME_HEIGHT, presentation.motion_px[1] * height / FRAME_HEIGHT
    )
    noise = np.float32(presentation.noise) * rng.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(255 * np.clip(image, 0, 1.1) + noise), 0, 255).astype(np.uint8)


def _moved(image: Plane, dx: float, dy: float) -> Plane:
    """The image with motion blur along (dx, dy) pixels."""
    length = np.hypot(dx, dy)
    if length < 0.7:
        return image
    steps = np.linspace(-0.5, 0.5, max(3, round(length)))
    smeared = [ndimage.shift(image, (s * dy, s * dx), order=1, mode="nearest") for s in steps]
    return np.asarray(np.mean(smeared, axis=0), np.float32)


def _outline(iris: _Camera, anatomy: Anatomy, presentation: Presentation, *, inner: bool) -> NDArray[np.float32]:
    angle = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False, dtype=np.float32)
    distance = _pupil(anatomy, presentation, angle) if inner else np.full_like(angle, anatomy.radius)
    return iris.pixels(np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=1))


def _facts(anatomy: Anatomy, presentation: Presentation, iris: _Camera, usable: NDArray[np.bool_]) -> dict[str, float]:
    ring = np.pi * (anatomy.radius**2) * (1 - presentation.pupil**2) * iris.scale**2
    return {
        "iris_diameter_px": 2 * anatomy.radius * iris.scale,
        "pupil_ratio": presentation.pupil,
        "gaze": float(np.hypot(*presentation.gaze)),
        "opening": presentation.opening,
        "focus_px": presentation.focus_px,
        "usable_share": float(usable.sum() / ring),
    }
