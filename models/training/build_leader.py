"""Builds models/weights/leader.onnx from the official LEADER weights: `python -m models.training.build_leader`.

LEADER (Cappelli and Ferrara, arXiv 2602.15493) maps a grey fingerprint at 500 ppi to minutiae. Its weights are part of
the PyPI distribution `pyfing` (MIT). The graph is our own: it computes the same function, arranged for speed on a CPU.

- LayerNormalization and Gelu are single nodes (opset 20); dilated convolutions are single convolutions.
- A 1x1 reduction followed by a 1x1 adjustment becomes one matrix where that is cheaper; nothing is between them.
- In the three heads, the operations on single pixels are done before the upsampling to full size, not after it, and the
  5x5 convolution of the upsampled image becomes a 3x3 one with four outputs, one for each pixel of a 2x2 block.

input   float32 [n, h, w, 1], grey 0..255, ridges dark, h and w multiples of 32
output  float32 [n, h, w, 4]: position 0..1, direction (radians, counter-clockwise, y up), type (>= 0.5: ridge
        ending), quality: the blurred position, 0..1, where it is the largest of its 7x7 neighbourhood, else 0
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

PYFING = "pyfing==0.7.3"
WEIGHTS_PATH = "pyfing/models/LEADER.weights.h5"
WEIGHTS_SHA256 = "0cbf12af936482d10ba54b23f40a9b192ab767df2f81bc96c5954585735fefe6"
OUTPUT = Path(__file__).parents[1] / "weights" / "leader.onnx"

OPSET = 20  # the first with Gelu
IR_VERSION = 10  # read by onnxruntime >= 1.18
LAYER_NORM_EPSILON = 1e-3  # the default of Keras, in which the network was trained
CONTEXT_FILTERS = (16, 32, 64, 128)  # of the context encoder and, reversed, its decoder
REFINEMENT_LEVELS = 4
SIZE_MULTIPLE = 32  # of the sides of an image, which is halved five times
ATTENTION_DILATIONS = (1, 3, 6)
GAUSSIAN_5 = np.array([1, 4, 6, 4, 1], np.float32) / 16  # OpenCV's kernel of size 5 at its default width
NMS_SIZE = 7

Array = NDArray[np.float32]
Weights = dict[str, list[Array]]


class Graph:
    """Collects nodes and weights. Images are NCHW unless a name says otherwise. Methods return the output name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: float | str | list[int]) -> str:
        """Add a node with one output."""
        name = output or f"{kind}_{len(self.nodes)}"
        node = helper.make_node(kind, list(inputs), [name], name=name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in sorted(attributes.items()))
        self.nodes.append(node)
        return name

    def constant(self, value: object, dtype: type = np.float32) -> str:
        """Add a weight or an argument."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype), name))
        return name

    def conv(self, x: str, layer: list[Array], dilation: int = 1, group: int = 1) -> str:
        """A convolution that keeps the size; `layer` is a kernel [h, w, in, out] as in Keras, and perhaps a bias."""
        kernel, *bias = layer
        inputs = [x, self.constant(kernel.transpose(3, 2, 0, 1)), *map(self.constant, bias)]
        reach = dilation * (kernel.shape[0] // 2)
        return self.add("Conv", *inputs, dilations=[dilation] * 2, pads=[reach] * 4, group=group)

    def depthwise(self, x: str, kernel: Array) -> str:
        """One filter a channel; `kernel` is [h, w, channels, 1] as in Keras."""
        return self.conv(x, [kernel.transpose(0, 1, 3, 2)], group=kernel.shape[2])

    def dense(self, x_nhwc: str, matrix: Array, bias: Array) -> str:
        """A 1x1 convolution of an NHWC image; `matrix` is [in, out]."""
        return self.multiply_add(x_nhwc, self.constant(matrix), self.constant(bias))

    def multiply_add(self, x_nhwc: str, matrix: str, bias: str) -> str:
        """The same with constants that are already added."""
        return self.add("Add", self.add("MatMul", x_nhwc, matrix), bias)

    def bands(self, x_nhwc: str, count: int) -> list[str]:
        """An NHWC image as `count` bands of equal height, which must divide it."""
        names = [f"Split_{len(self.nodes)}_{number}" for number in range(count)]
        self.nodes.append(helper.make_node("Split", [x_nhwc], names, name=names[0], axis=1, num_outputs=count))
        return names

    def normalise(self, x_nhwc: str, scale_bias: list[Array]) -> str:
        """LayerNormalization over the channels of each pixel."""
        scale, bias = (self.constant(value) for value in scale_bias)
        return self.add("LayerNormalization", x_nhwc, scale, bias, axis=-1, epsilon=LAYER_NORM_EPSILON)

    def gelu(self, x: str) -> str:
        """The exact Gelu, by the error function, as in Keras."""
        return self.add("Gelu", x)

    def to_nhwc(self, x: str) -> str:
        """Move the channels last."""
        return self.add("Transpose", x, perm=[0, 2, 3, 1])

    def to_nchw(self, x: str) -> str:
        """Move the channels first."""
        return self.add("Transpose", x, perm=[0, 3, 1, 2])

    def pool(self, kind: str, x: str) -> str:
        """Halve the size; `kind` is MaxPool or AveragePool."""
        return self.add(kind, x, kernel_shape=[2, 2], strides=[2, 2])

    def channels(self, x: str, first: int, last: int) -> str:
        """Channels first..last-1."""
        bounds = [self.constant([value], np.int64) for value in (first, last, 1)]
        return self.add("Slice", x, *bounds)

    def concat(self, *parts: str) -> str:
        """Join images along the channels."""
        return self.add("Concat", *parts, axis=1)

    def upsample(self, x: str) -> str:
        """Double the size by repeating pixels."""
        scales = self.constant([1, 1, 2, 2])
        return self.add(
            "Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )


def stem(g: Graph, w: Weights, name: str, pooling: str, x: str) -> str:
    """Two 5x5 convolutions, one dilated, side by side."""
    plain = g.conv(x, w[f"{name}_conv"])
    dilated = g.conv(x, w[f"{name}_dilated_conv"], dilation=2)
    x = g.gelu(g.normalise(g.to_nhwc(g.concat(plain, dilated)), w[f"{name}_ln"]))
    return g.pool(pooling, g.to_nchw(x))


def separable(g: Graph, w: Weights, name: str, x: str) -> str:
    """Depthwise 5x5, then 1x1."""
    depthwise, pointwise, bias = w[f"{name}_conv"]
    x = g.dense(g.to_nhwc(g.depthwise(x, depthwise)), pointwise[0, 0], bias)
    return g.to_nchw(g.gelu(g.normalise(x, w[f"{name}_ln"])))


def downsample(g: Graph, x: str, channels: int) -> str:
    """Halve the size: the first half of the channels by maximum, the second by mean."""
    first = g.pool("MaxPool", g.channels(x, 0, channels // 2))
    second = g.pool("AveragePool", g.channels(x, channels // 2, channels))
    return g.concat(first, second)


def expanded(g: Graph, w: Weights, name: str, x: str, after: tuple[Array, Array], bands: int) -> str:
    """Depthwise 7x7, normalised, four times the channels, Gelu, then the 1x1 `after` (matrix, bias); NHWC.

    The image with four times the channels is the largest of all, so it is processed band by band: a band stays in the
    cache of the processor, while the whole image would be read from memory several times.
    """
    x = g.normalise(g.to_nhwc(g.depthwise(x, w[f"{name}_depthwise_conv"][0])), w[f"{name}_ln"])
    matrix, bias = w[f"{name}_conv_exp"]
    wide, narrow = (g.constant(matrix[0, 0]), g.constant(bias)), tuple(g.constant(value) for value in after)
    parts = [g.gelu(g.multiply_add(band, *wide)) for band in g.bands(x, bands)]
    return g.add("Concat", *(g.multiply_add(part, *narrow) for part in parts), axis=1)


def bottleneck(g: Graph, w: Weights, name: str, x: str, level: int, after: tuple[Array, Array] | None = None) -> str:
    """adjust(x + reduce(expand(x))), NHWC; `after`, a further 1x1 (matrix, bias), is folded into the adjustment.

    `level` is how many times the image was halved. The two paths are adjusted separately, so that reduce and adjust
    become one matrix, unless that matrix would be larger.
    """
    (reduce, reduce_bias), (adjust, adjust_bias) = w[f"{name}_conv_red"], w[f"{name}_conv_adj"]
    reduce, adjust = reduce[0, 0], adjust[0, 0]
    if after is not None:
        adjust, adjust_bias = adjust @ after[0], adjust_bias @ after[0] + after[1]
    skip, bands = g.to_nhwc(x), SIZE_MULTIPLE >> level
    if adjust.shape[1] > adjust.shape[0]:
        return g.dense(g.add("Add", skip, expanded(g, w, name, x, (reduce, reduce_bias), bands)), adjust, adjust_bias)
    narrow = expanded(g, w, name, x, (reduce @ adjust, reduce_bias @ adjust + adjust_bias), bands)
    return g.add("Add", narrow, g.add("MatMul", skip, g.constant(adjust)))


def context(g: Graph, w: Weights, x: str) -> str:
    """The first encoder and decoder: the context, which is the kind of skin at each place."""
    skips = []
    for level, filters in enumerate(CONTEXT_FILTERS):
        x = separable(g, w, f"enc0_{level}", x)
        skips.append(x)
        x = downsample(g, x, filters)
    for level in reversed(range(len(CONTEXT_FILTERS))):
        x = g.concat(g.upsample(separable(g, w, f"dec0_{level}", x)), skips[level])
    return x


def attention(g: Graph, w: Weights, x: str) -> str:
    """The context, weighted by an attention map that is computed from it at three dilations."""
    parts = [g.gelu(g.conv(x, w[f"attention_conv_d{d}"], dilation=d)) for d in ATTENTION_DILATIONS]
    weight = g.add("Sigmoid", g.conv(g.concat(*parts), w["attention_s"]))
    return g.add("Mul", x, weight)


def refinement(g: Graph, w: Weights, x: str) -> str:
    """The second encoder and decoder: the positions of the minutiae."""
    skips = []
    for level in range(REFINEMENT_LEVELS):
        x = g.to_nchw(bottleneck(g, w, f"enc1_{level}", x, level + 1))
        skips.append(x)
        x = downsample(g, x, w[f"enc1_{level}_conv_adj"][1].size)
    for level in reversed(range(REFINEMENT_LEVELS)):
        x = g.concat(g.upsample(g.to_nchw(bottleneck(g, w, f"dec1_{level}", x, level + 2))), skips[level])
    return x


def phases(kernel: Array) -> Array:
    """The 3x3 kernels [3, 3, in, out * 4] that give on an image the result of a 5x5 kernel on the upsampled image.

    Output o of phase (row, column) of a 2x2 block is channel o * 4 + row * 2 + column.
    """
    tap = np.array(
        [[(phase + k) // 2 + 1 for k in range(-2, 3)] for phase in (0, 1)]
    )  # tap k of the 5x5 kernel is this tap, 0..2, of the 3x3 kernel
    out = np.zeros((3, 3, kernel.shape[2], kernel.shape[3], 2, 2), np.float32)
    for row in (0, 1):
        for column in (0, 1):
            for y, x in np.ndindex(5, 5):
                out[tap[row, y], tap[column, x], :, :, row, column] += kernel[y, x]
    return out.reshape(3, 3, kernel.shape[2], -1)


def head(g: Graph, w: Weights, name: str, final: str, x: str) -> str:
    """The head of position, direction (as a vector) or type, at full size, before its last function."""
    matrix, bias = w[f"{name}_conv1"]
    x = g.normalise(bottleneck(g, w, f"{name}_ibc", x, 1, after=(matrix[0, 0], bias)), w[f"{name}_ln"])
    matrix, bias = w[f"{name}_conv2"]
    x = g.to_nchw(g.gelu(g.dense(x, matrix[0, 0], bias)))
    kernel, bias = w[final]
    x = g.conv(x, [phases(kernel), np.repeat(bias, 4)])
    return g.add("DepthToSpace", x, blocksize=2, mode="CRD")


def angle(g: Graph, vector: str) -> str:
    """The atan2 of (channel 1, channel 0); ONNX has no such operator."""
    x, y = g.channels(vector, 0, 1), g.channels(vector, 1, 2)
    zero, pi = g.constant(0.0), g.constant(np.pi)
    x = g.add("Where", g.add("Equal", x, zero), g.constant(np.finfo(np.float32).tiny), x)
    half = g.add("Atan", g.add("Div", y, x))
    turn = g.add("Where", g.add("Less", y, zero), g.constant(-np.pi), pi)
    return g.add("Where", g.add("Less", x, zero), g.add("Add", half, turn), half)


def peaks(g: Graph, position: str) -> str:
    """The blurred position where it is the largest of its neighbourhood, else 0."""
    blurred = g.conv(position, [np.outer(GAUSSIAN_5, GAUSSIAN_5)[:, :, None, None].astype(np.float32)])
    largest = g.add("MaxPool", blurred, kernel_shape=[NMS_SIZE] * 2, strides=[1, 1], pads=[NMS_SIZE // 2] * 4)
    return g.add("Where", g.add("Equal", blurred, largest), blurred, g.constant(0.0))


def network(w: Weights) -> Graph:
    """The whole graph."""
    g = Graph()
    image = g.to_nchw("input")
    gated = attention(g, w, context(g, w, stem(g, w, "stem0", "MaxPool", image)))
    x = refinement(g, w, g.concat(gated, stem(g, w, "stem1", "AveragePool", image)))
    position = g.add("Sigmoid", head(g, w, "head_0", "head_conv_pos", x))
    direction = angle(g, head(g, w, "head_1", "head_conv_dir", x))
    kind = g.add("Sigmoid", head(g, w, "head_2", "head_conv_typ", x))
    planes = g.concat(position, direction, kind, peaks(g, position))
    g.add("Transpose", planes, perm=[0, 2, 3, 1], output="output")
    return g


def to_model(g: Graph) -> onnx.ModelProto:
    """The model of the graph, with its input and output."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "h", "w", depth])
        for name, depth in (("input", 1), ("output", 4))
    ]
    return checked(g, "leader", ends[:1], ends[1:])


def checked(
    g: Graph, name: str, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
) -> onnx.ModelProto:
    """The model of a graph with these inputs and outputs, checked by onnx."""
    graph = helper.make_graph(g.nodes, name, inputs, outputs, g.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="kiosk-agent")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def write(path: Path, model: onnx.ModelProto) -> None:
    """Write a model and print its size and hash for manifest.toml."""
    data = model.SerializeToString(deterministic=True)
    path.write_bytes(data)
    sys.stdout.write(f"{path}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}\n")


def read_weights(path: Path) -> Weights:
    """The arrays of each layer, by the layer names of the authors of the network."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise SystemExit(f"{path}: sha256 {digest[:12]}… is not that of {PYFING} ({WEIGHTS_SHA256[:12]}…)")
    with h5py.File(path) as file:
        groups = [layer["vars"] for layer in file["layers"].values()]
        return {str(g.attrs["name"]): [np.asarray(g[key], np.float32) for key in sorted(g, key=int)] for g in groups}


def download(folder: Path) -> Path:
    """Downloads the official weights from PyPI: about 85 MB, of which 4 MB are those of LEADER."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PYFING]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(folder.glob("pyfing-*.whl"))) as wheel:
        return Path(wheel.extract(WEIGHTS_PATH, folder))


def main() -> None:
    """Build the graph and print its hash for manifest.toml."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--weights", type=Path, help=f"the file {WEIGHTS_PATH}; without it, pip downloads {PYFING}")
    arguments.add_argument("--out", type=Path, default=OUTPUT)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = read_weights(options.weights or download(Path(folder)))
    write(options.out, to_model(network(weights)))


if __name__ == "__main__":
    main()
