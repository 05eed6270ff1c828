"""What a simulated camera has in front of it, as the frames that it sends: a synthetic eye, a picture file, nobody."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import numpy as np
from PIL import Image

from drivers.sample import Position
from simulators.images import Grey, read_grey, resample
from simulators.sensors.uvc.frames import encode

EYES = {"left": Position.LEFT_EYE, "right": Position.RIGHT_EYE}
RING = 24  # looks of an eye that are shown again and again: one takes a third of a second to draw
EMPTY_LEVEL, EMPTY_NOISE = 24, 2.0  # of a dark room: mean and deviation, grey levels
JPEG_QUALITY = 92


class Look(TypedDict, total=False):
    """What is shown: either `image` or `person` is given."""

    image: Path
    person: int  # seed of a synthetic person
    eye: str  # of that person: left or right; left unless given
    condition: str  # simulators.people.person.EyeCondition; what people usually do unless given


def frames_of(look: Look, width: int, height: int) -> Iterator[Grey]:
    """The frames u8[height, width], drawn one by one as they are asked for. ValueError says what is wrong."""
    if unknown := set(look) - set(Look.__annotations__):
        raise ValueError(f"a look has no {', '.join(sorted(unknown))}; it has {', '.join(Look.__annotations__)}")
    if ("image" in look) == ("person" in look):
        raise ValueError("a look is of an image file or of a person: give one of the two")
    if "image" in look:
        return iter([framed(read_grey(Path(look["image"])), width, height)])
    return _eye_frames(look, width, height)


def _eye_frames(look: Look, width: int, height: int) -> Iterator[Grey]:
    from simulators.people.person import EyeCondition, Person  # noqa: PLC0415 - a camera that shows files needs no people

    name, asked = look.get("eye", "left"), look.get("condition")
    if name not in EYES:
        raise ValueError(f"there is no eye {name!r}; choose one of {', '.join(EYES)}")
    if asked is not None and asked not in tuple(EyeCondition):
        raise ValueError(f"there is no condition {asked!r}; choose one of {', '.join(EyeCondition)}")
    condition = None if asked is None else EyeCondition(asked)
    eye = Person(look["person"]).eye(EYES[name])
    return (eye.frame(number, width, height, condition) for number in range(RING))


def framed(picture: Grey, width: int, height: int) -> Grey:
    """The whole picture in the middle of a frame, as large as it fits, black around it."""
    fitted = resample(picture, min(width / picture.shape[1], height / picture.shape[0]))[:height, :width]
    frame = np.zeros((height, width), np.uint8)
    top, left = (height - fitted.shape[0]) // 2, (width - fitted.shape[1]) // 2
    frame[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
    return frame


def nobody(width: int, height: int, seed: int = 0) -> Grey:
    """An empty room: dark, and the noise of the sensor."""
    noise = np.random.default_rng(seed).normal(EMPTY_LEVEL, EMPTY_NOISE, (height, width))
    return np.clip(np.rint(noise), 0, 255).astype(np.uint8)


def on_the_wire(kind: str, grey: Grey) -> bytes:
    """A frame in the format of the camera."""
    if kind != "mjpeg":
        return encode(kind, grey.tobytes())
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def describe(look: Look) -> str:
    """In words."""
    if "image" in look:
        return str(look["image"])
    condition = f", {look['condition']}" if "condition" in look else ""
    return f"person {look['person']}, {look.get('eye', 'left')} eye{condition}"
