"""The builder of the LEADER graph: its rearranged parts compute the same as the plain ones."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

pytest.importorskip("onnx")
pytest.importorskip("h5py")

import onnx
import onnx.reference

from models.training import build_leader
from models.training.build_leader import Graph, angle, bottleneck, checked, downsample, peaks, phases, read_weights

Array = NDArray[np.float32]


def _run(g: Graph, output: str, x: Array, channels: int) -> Array:
    """The output of a graph of the input "x", by the reference implementation of onnx."""
    info = onnx.helper.make_tensor_value_info
    inputs = [info("x", onnx.TensorProto.FLOAT, list(x.shape))]
    outputs = [info(output, onnx.TensorProto.FLOAT, ["n", "a", "b", channels])]
    model = checked(g, "test", inputs, outputs)
    (found,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x})
    return np.asarray(found, np.float32)


def _random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def test_the_phases_of_a_kernel_equal_the_kernel_on_the_upsampled_image() -> None:
    kernel, image = _random(5, 5, 1, 1), _random(6, 7)
    large = ndimage.correlate(image.repeat(2, 0).repeat(2, 1), kernel[:, :, 0, 0], mode="constant")
    small = phases(kernel)
    for row in (0, 1):
        for column in (0, 1):
            part = ndimage.correlate(image, small[:, :, 0, row * 2 + column], mode="constant")
            assert part[1:-1, 1:-1] == pytest.approx(large[row::2, column::2][1:-1, 1:-1], abs=1e-4)


@pytest.mark.parametrize("channels", [4, 40])
def test_a_bottleneck_whose_matrices_are_merged_gives_the_same(channels: int) -> None:
    inner, wide = 8, 32
    weights = {
        "b_depthwise_conv": [_random(7, 7, inner, 1)],
        "b_ln": [_random(inner), _random(inner)],
        "b_conv_exp": [_random(1, 1, inner, wide), _random(wide)],
        "b_conv_red": [_random(1, 1, wide, inner), _random(inner)],
        "b_conv_adj": [_random(1, 1, inner, channels), _random(channels)],
    }
    x = _random(1, inner, 32, 32)
    g = Graph()
    found = _run(g, bottleneck(g, weights, "b", "x", 3), x, channels)
    plain = Graph()
    normal = plain.normalise(plain.to_nhwc(plain.depthwise("x", weights["b_depthwise_conv"][0])), weights["b_ln"])
    matrix, bias = weights["b_conv_exp"]
    reduced = plain.dense(plain.gelu(plain.dense(normal, matrix[0, 0], bias)), *_matrix(weights["b_conv_red"]))
    summed = plain.add("Add", plain.to_nhwc("x"), reduced)
    expected = _run(plain, plain.dense(summed, *_matrix(weights["b_conv_adj"])), x, channels)
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-2)


def _matrix(layer: list[Array]) -> tuple[Array, Array]:
    return layer[0][0, 0], layer[1]


def test_an_angle_is_that_of_atan2() -> None:
    x = np.array([[1, 0], [1, 1], [0, 1], [-1, 1], [-1, -1], [0, -1], [1, -1]], np.float32).T.reshape(1, 2, 1, 7)
    g = Graph()
    found = _run(g, angle(g, "x"), x, 7)
    assert found[0, 0, 0] == pytest.approx(np.arctan2(x[0, 1, 0], x[0, 0, 0]), abs=1e-6)


def test_peaks_are_the_largest_of_their_neighbourhood() -> None:
    x = np.zeros((1, 1, 32, 32), np.float32)
    x[0, 0, 10, 12], x[0, 0, 12, 13] = 1, 0.5
    g = Graph()
    found = _run(g, peaks(g, "x"), x, 32)
    y, column = np.nonzero(found[0, 0] > 0.01)
    assert (y.tolist(), column.tolist()) == ([10], [12])


def test_half_of_the_channels_are_reduced_by_maximum_and_half_by_mean() -> None:
    x = _random(1, 4, 8, 8)
    g = Graph()
    found = _run(g, downsample(g, "x", 4), x, 4)
    blocks = x.reshape(1, 4, 4, 2, 4, 2)
    assert found[:, :2] == pytest.approx(blocks[:, :2].max(axis=(3, 5)))
    assert found[:, 2:] == pytest.approx(blocks[:, 2:].mean(axis=(3, 5)), abs=1e-6)


def test_weights_with_another_hash_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"other weights")
    with pytest.raises(SystemExit, match=f"is not that of {build_leader.PYFING}"):
        read_weights(tmp_path / "weights.h5")
