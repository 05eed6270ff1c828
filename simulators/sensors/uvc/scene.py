"""What is in front of a simulated camera, as frames: a synthetic eye, an image file, or an empty room."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import numpy as np
from PIL import Image

from drivers.sample import Position
from simulators.images import resample
from simulators.pictures.levels import Grey
from simulators.pictures.reader import read_grey
from simulators.sensors.uvc.frames import encode

EYES = {"left": Position.LEFT_EYE, "right": Position.RIGHT_EYE}
FRAMES_PER_LOOK = 24  # frames of an eye, shown repeatedly: one takes a third of a second to draw
EMPTY_LEVEL, EMPTY_NOISE = 24, 2.0  # mean and standard deviation of a dark room, grey levels
JPEG_QUALITY = 92


class Look(TypedDict, total=False):
    """The arguments of `kiosk-sim look`: either `image` or `person` is given."""

    image: Path
    person: int  # seed of a synthetic person
    eye: str  # which eye of that person: left or right; the default is left
    condition: str  # a simulators.people.person.EyeCondition; by default it varies as with real people


def frames_of(look: Look, width: int, height: int) -> Iterator[Grey]:
    """The frames u8[height, width], each drawn when it is requested. ValueError names what is wrong."""
    if unknown := set(look) - set(Look.__annotations__):
        raise ValueError(
            f"there is no argument {', '.join(sorted(unknown))}; a look takes {', '.join(Look.__annotations__)}"
        )
    if ("image" in look) == ("person" in look):
        raise ValueError("the camera sees an image file or a synthetic person: give one of the two")
    if "image" in look:
        return iter([letterbox(read_grey(Path(look["image"])), width, height)])
    return _eye_frames(look, width, height)


def _eye_frames(look: Look, width: int, height: int) -> Iterator[Grey]:
    from simulators.people.person import EyeCondition, Person  # noqa: PLC0415 - image files do not need synthetic people

    name, state = look.get("eye", "left"), look.get("condition")
    if name not in EYES:
        raise ValueError(f"there is no eye {name!r}; choose one of {', '.join(EYES)}")
    if state is not None and state not in tuple(EyeCondition):
        raise ValueError(f"there is no condition {state!r}; choose one of {', '.join(EyeCondition)}")
    condition = None if state is None else EyeCondition(state)
    eye = Person(look["person"]).eye(EYES[name])
    return (eye.frame(number, width, height, condition) for number in range(FRAMES_PER_LOOK))


def letterbox(image: Grey, width: int, height: int) -> Grey:
    """The whole image in the centre of a frame, as large as possible, on black."""
    fitted = resample(image, min(width / image.shape[1], height / image.shape[0]))[:height, :width]
    frame = np.zeros((height, width), np.uint8)
    top, left = (height - fitted.shape[0]) // 2, (width - fitted.shape[1]) // 2
    frame[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
    return frame


def empty_room(width: int, height: int, seed: int = 0) -> Grey:
    """A frame of a dark room without a person: only the noise of the sensor."""
    noise = np.random.default_rng(seed).normal(EMPTY_LEVEL, EMPTY_NOISE, (height, width))
    return np.clip(np.rint(noise), 0, 255).astype(np.uint8)


def camera_bytes(kind: str, grey: Grey) -> bytes:
    """The bytes of a frame in the pixel format of the camera, MJPEG included."""
    if kind != "mjpeg":
        return encode(kind, grey.tobytes())
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def describe(look: Look) -> str:
    """The look as one line of text."""
    if "image" in look:
        return str(look["image"])
    condition = f", {look['condition']}" if "condition" in look else ""
    return f"person {look['person']}, {look.get('eye', 'left')} eye{condition}"
