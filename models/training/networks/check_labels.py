"""Measures iris_segmenter.onnx on real eyes with labels: python -m models.training.networks.check_labels FOLDER...

FOLDER contains images. `FOLDER-labels` contains two files for each: NAME.txt with four lines (the number of points of
the outline of the pupil, that of the iris, then the points of each as `x y angle`), and NAME_mask.png, the usable
iris. Nothing is trained here.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.manifest import load_card
from models.onnx_session import Session
from models.training.networks.eye_pictures import HEIGHT, WIDTH, inside, letterboxed

MAPS = ("pupil", "limbus", "usable")
LOST_OVERLAP = 0.6  # overlap of the limbus below which the iris counts as lost

Grey = NDArray[np.uint8]


def labelled(folder: Path, every: int) -> Iterator[tuple[Grey, list[Grey]]]:
    """Images, and their maps in 0..255, of the same size."""
    for label in sorted(Path(f"{folder}-labels").glob("*.txt"))[::every]:
        image = np.asarray(Image.open(next(folder.glob(f"{label.stem}.*"))).convert("L"))
        mask = np.asarray(Image.open(label.with_name(f"{label.stem}_mask.png")).convert("L"))
        outlines = [inside(points, *image.shape) for points in _outlines(label)]
        yield image, [*outlines, np.asarray(np.where(mask > 0, 255, 0), np.uint8)]


def _outlines(label: Path) -> list[NDArray[np.float32]]:
    lines = label.read_text(encoding="ascii").splitlines()[2:4]
    return [np.array(line.split(), np.float32).reshape(-1, 3)[:, :2] for line in lines]


def overlaps(session: Session, image: Grey, maps: list[Grey]) -> list[float]:
    """The intersection over union of each map, at the resolution of the network."""
    small = letterboxed(image, HEIGHT, WIDTH, int(np.median(image)))
    drawn = session.run(small[None, None].astype(np.float32))[0] > 0.5
    known = [letterboxed(one, HEIGHT, WIDTH, 0) > 127 for one in maps]
    return [float(((a & b).sum() + 1) / ((a | b).sum() + 1)) for a, b in zip(drawn, known, strict=True)]


def report(session: Session, folder: Path, every: int) -> str:
    """One line with the mean overlaps and the 5 % quantiles."""
    found = np.array([overlaps(session, image, maps) for image, maps in labelled(folder, every)])
    means, poor = found.mean(axis=0), np.percentile(found, 5, axis=0)
    each = ", ".join(f"{name} {m:.3f} ({p:.3f})" for name, m, p in zip(MAPS, means, poor, strict=True))
    lost = int((found[:, 1] < LOST_OVERLAP).sum())
    return f"{folder.name}, {len(found)}: mean overlap (5 % are below) {each}; lost {lost}"


def main() -> None:
    """Print a line for each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--every", type=int, default=1, help="use only every Nth image")
    options = parser.parse_args()
    blank = {"image": np.zeros((1, 1, HEIGHT, WIDTH), np.float32)}
    session = Session(load_card("iris-segmenter"), 1, blank)
    for folder in options.folders:
        print(report(session, folder, options.every))


if __name__ == "__main__":
    main()
