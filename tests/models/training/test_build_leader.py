"""The graph of leader.onnx as models/training/build_leader.py builds it."""

import numpy as np
import onnx
from scipy import ndimage

from models.manifest import ModelCard
from models.training.build_leader import phases


def test_the_graph_is_built_of_single_nodes(card: ModelCard) -> None:
    nodes = onnx.load_from_string(card.read()).graph.node
    kinds = {node.op_type for node in nodes}
    dilated = [a for n in nodes if n.op_type == "Conv" for a in n.attribute if a.name == "dilations" and a.ints[0] > 1]
    assert {"LayerNormalization", "Gelu"} <= kinds
    assert not {"SpaceToDepth", "ReduceMean", "Tanh", "Erf", "Loop"} & kinds
    assert len(dilated) == 4  # two of the stems, two of the attention
    assert len(card.read()) < 3_000_000


def test_convolving_the_small_image_equals_convolving_the_upsampled_one() -> None:
    rng = np.random.default_rng(3)
    kernel, image = rng.normal(size=(5, 5, 1, 1)).astype(np.float32), rng.normal(size=(6, 7))
    large = ndimage.correlate(image.repeat(2, 0).repeat(2, 1), kernel[..., 0, 0], mode="constant")
    small = phases(kernel)  # [3, 3, 1, 4]
    parts = [ndimage.correlate(image, small[:, :, 0, phase], mode="constant") for phase in range(4)]
    for phase, part in enumerate(parts):
        np.testing.assert_allclose(large[phase // 2 :: 2, phase % 2 :: 2], part, atol=1e-5)
