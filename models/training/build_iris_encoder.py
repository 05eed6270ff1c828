"""Builds models/weights/iris_encoder.onnx: `python -m models.training.build_iris_encoder`. It is not trained.

1. The iris between two closed curves becomes a sheet of ROWS x ANGLES (Daugman's rubber sheet): GridSample.
2. The known part of the sheet is normalised to mean 0 and deviation 1; the rest becomes 0.
3. Two Gabor filters along the angle, SCALES, at four radii each, staggered, at every second angle: Conv.
4. The bits are the signs of the two parts of each response. A bit is known if the sheet is known at the centre of the
   filter, and if the response is not small relative to the mean of its kind. (A small response gives a fragile bit,
   which is 0 or 1 by chance.): Greater.
5. The bits are put into the order of models/iris/template.py.

input   image u8 [1, 1, h, w], usable bool [1, 1, h, w], pupil and limbus float32 [ANGLES, 2]: points x, y in pixels at
        the same angles
output  code bool [BITS], mask bool [BITS]
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from models.iris.template import BITS, COLUMNS, ORDER, PLANES
from models.training.build_leader import Graph, checked, write

OUTPUT = Path(__file__).parents[1] / "weights" / "iris_encoder.onnx"

ROWS, ANGLES = 64, 512
# Wavelength along the angle, and the first of the four rows. Chosen on the persons with odd numbers of CASIA and MMU2.
SCALES = ((20.0, 9), (32.0, 13))
ROW_STEP, COLUMN_STEP = 14, ANGLES // COLUMNS
SIGMA_OF_WAVELENGTH = 0.25  # deviation of the envelope along the angle, in wavelengths
SIGMA_ROWS = 3.5
REACH = 2.5  # deviations along the angle at which a filter ends
HALF_ROWS = 8
RADII = 4
KNOWN_ABOVE = 0.98  # share of usable pixels from which a sample of the sheet is known
FRAGILE = 0.2  # of the mean size of the responses of the same filter and part

Array = NDArray[np.float32]


def gabor(wavelength: float) -> Array:
    """The two parts of a filter with no response to a constant: [2, 1, rows, columns]."""
    sigma = SIGMA_OF_WAVELENGTH * wavelength
    half = int(np.ceil(REACH * sigma))
    y, x = np.mgrid[-HALF_ROWS : HALF_ROWS + 1, -half : half + 1].astype(float)
    envelope = np.exp(-(x**2) / (2 * sigma**2) - y**2 / (2 * SIGMA_ROWS**2))
    wave = envelope * np.exp(2j * np.pi * x / wavelength)
    wave -= envelope * (wave.sum() / envelope.sum())
    wave /= np.abs(wave).sum()
    return np.stack([wave.real, wave.imag])[:, np.newaxis].astype(np.float32)


def sheet(g: Graph) -> tuple[str, str]:
    """The iris, unrolled and normalised, and where it is known (0 or 1): [1, 1, ROWS, ANGLES] each."""
    share = ((np.arange(ROWS) + 0.5) / ROWS).reshape(1, ROWS, 1, 1)
    inner = g.add("Mul", "pupil", g.constant(1 - share))
    points = g.add("Add", inner, g.add("Mul", "limbus", g.constant(share)))
    size = g.add("Cast", g.add("Gather", g.add("Shape", "image"), g.constant([3, 2], np.int64)), to=TensorProto.FLOAT)
    scale = g.add("Div", g.constant(2.0), g.add("Sub", size, g.constant(1.0)))
    grid = g.add("Sub", g.add("Mul", points, scale), g.constant(1.0))
    both = g.concat(*(g.add("Cast", name, to=TensorProto.FLOAT) for name in ("image", "usable")))
    sampled = g.add("GridSample", both, grid, mode="linear", padding_mode="zeros", align_corners=1)
    known = g.add("Greater", g.channels(sampled, 1, 2), g.constant(KNOWN_ABOVE))
    weight = g.add("Cast", known, to=TensorProto.FLOAT)
    return normalised(g, g.channels(sampled, 0, 1), weight), weight


def normalised(g: Graph, grey: str, weight: str) -> str:
    """Grey with mean 0 and deviation 1 where the weight is 1, and 0 elsewhere."""
    centred = g.add("Sub", grey, mean(g, grey, weight))
    variance = mean(g, g.add("Mul", centred, centred), weight)
    deviation = g.add("Add", g.add("Sqrt", variance), g.constant(1.0))  # at least one grey level, also of a blank sheet
    return g.add("Mul", g.add("Div", centred, deviation), weight)


def mean(g: Graph, values: str, weight: str) -> str:
    """The mean over rows and columns where the weight is 1."""
    axes = g.constant([2, 3], np.int64)
    total = g.add("ReduceSum", g.add("Mul", values, weight), axes)
    count = g.add("ReduceSum", weight, axes)
    return g.add("Div", total, g.add("Max", count, g.constant(1.0)))


def responses(g: Graph, flat: str, wavelength: float, first_row: int) -> str:
    """The two parts of the response at four radii and COLUMNS angles: [1, 2, RADII, COLUMNS]."""
    kernel = gabor(wavelength)
    half = kernel.shape[3] // 2
    start, end = first_row - HALF_ROWS, first_row + ROW_STEP * (RADII - 1) + HALF_ROWS + 1
    band = sliced(g, flat, 2, start, end)
    before, after = sliced(g, band, 3, ANGLES - half, ANGLES), sliced(g, band, 3, 0, half)
    closed = g.add("Concat", before, band, after, axis=3)
    strided = g.add("Conv", closed, g.constant(kernel), strides=[ROW_STEP, COLUMN_STEP])
    return sliced(g, strided, 3, 0, COLUMNS)


def sliced(g: Graph, x: str, axis: int, first: int, last: int) -> str:
    """The part first..last-1 along an axis."""
    return g.add("Slice", x, *(g.constant([value], np.int64) for value in (first, last, axis)))


def at_centres(g: Graph, weight: str, first_row: int) -> str:
    """The weight at the centre of each filter: [1, 1, RADII, COLUMNS]."""
    rows = g.constant(first_row + ROW_STEP * np.arange(RADII), np.int64)
    columns = g.constant(COLUMN_STEP * np.arange(COLUMNS), np.int64)
    return g.add("Gather", g.add("Gather", weight, rows, axis=2), columns, axis=3)


def in_order(g: Graph, bits: str, output: str) -> None:
    """Bool [1, PLANES / RADII, RADII, COLUMNS] as [BITS] in the order of the stored form."""
    columns_first = g.add("Transpose", bits, perm=[0, 3, 1, 2])
    flat = g.add("Reshape", columns_first, g.constant([COLUMNS, PLANES], np.int64))
    ordered = g.add("Gather", flat, g.constant(ORDER, np.int64), axis=0)
    g.add("Reshape", ordered, g.constant([BITS], np.int64), output=output)


def network() -> Graph:
    """The whole graph."""
    g = Graph()
    flat, weight = sheet(g)
    found, known = [], []
    for wavelength, first_row in SCALES:
        answer = responses(g, flat, wavelength, first_row)
        there = at_centres(g, weight, first_row)
        size = g.add("Abs", answer)
        clear = g.add("Greater", size, g.add("Mul", mean(g, size, there), g.constant(FRAGILE)))
        found.append(answer)
        known.append(g.add("And", clear, g.add("Greater", there, g.constant(0.5))))
    mask = g.concat(*known)
    in_order(g, g.add("And", g.add("Greater", g.concat(*found), g.constant(0.0)), mask), "code")
    in_order(g, mask, "mask")
    return g


def to_model(g: Graph) -> onnx.ModelProto:
    """The model of the graph, with its inputs and outputs."""
    image: list[int | str] = [1, 1, "h", "w"]
    points: list[int | str] = [ANGLES, 2]
    inputs = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (
            ("image", TensorProto.UINT8, image),
            ("usable", TensorProto.BOOL, image),
            ("pupil", TensorProto.FLOAT, points),
            ("limbus", TensorProto.FLOAT, points),
        )
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.BOOL, [BITS]) for name in ("code", "mask")]
    return checked(g, "iris_encoder", inputs, outputs)


def main() -> None:
    """Build the graph and print its hash for manifest.toml."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, default=OUTPUT)
    options = arguments.parse_args()
    write(options.out, to_model(network()))


if __name__ == "__main__":
    main()
