"""Networks run as their model card describes: leader gives what the official network gives."""

import hashlib
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from scipy import ndimage

from models.manifest import MANIFEST, ModelCard, ModelError, load_card
from models.onnx_session import Session

# Four synthetic impressions and what the official network (PyPI pyfing 0.7.3, run by Keras 3 on JAX) finds in them at
# quality 0.3: rows of image, y, x, position, direction, type, quality.
# The impressions, by simulators.people.person of November 2026: right_index of person 11 (impression 1, normal), 12 (0,
# dry), 13 (0, wet) and 14 (0, partial), at 16 grey levels, image[32:256, 32:224].
OFFICIAL = Path(__file__).with_name("leader_official.npz")


Planes = NDArray[np.float32]


@pytest.fixture(name="session", scope="module")
def _session(card: ModelCard) -> Session:
    return Session(card, threads=1)


def _image(height: int = 64, width: int = 96) -> Planes:
    grey: Planes = np.random.default_rng(5).uniform(0, 255, (1, height, width, 1)).astype(np.float32)
    rippled: Planes = ndimage.gaussian_filter(grey, (0, 2, 2, 0)) * 3 % 255
    return rippled


def test_a_file_with_the_right_hash_that_is_no_graph_is_refused(tmp_path: Path, card: ModelCard) -> None:
    (tmp_path / "leader.onnx").write_bytes(b"not a graph")
    right = hashlib.sha256(b"not a graph").hexdigest()
    manifest = tmp_path / "manifest.toml"
    manifest.write_text(MANIFEST.read_text(encoding="utf-8").replace(card.sha256, right), encoding="utf-8")
    with pytest.raises(ModelError, match="cannot load it"):
        Session(load_card("leader", manifest), threads=1)


def test_the_graph_finds_what_the_official_network_finds(session: Session) -> None:
    with np.load(OFFICIAL) as stored:
        images, official = stored["images"], stored["detections"]
    for number, image in enumerate(images):
        expected = official[official[:, 0] == number][:, 1:]
        planes = session.run(image[np.newaxis, :, :, np.newaxis].astype(np.float32))[0]
        y, x = np.nonzero(planes[..., 3] >= 0.3)
        assert np.stack([y, x], 1).tolist() == expected[:, :2].tolist()
        np.testing.assert_allclose(planes[y, x], expected[:, 2:], atol=1e-3)


def test_the_graph_computes_the_same_in_another_implementation_of_onnx(card: ModelCard, session: Session) -> None:
    image = _image(32, 64)
    reference = ReferenceEvaluator(onnx.load_from_string(card.read())).run(None, {"input": image})
    assert isinstance(reference, list)
    np.testing.assert_allclose(session.run(image), reference[0], atol=2e-3)


def test_any_size_that_is_a_multiple_of_32_is_answered_pixel_for_pixel(session: Session) -> None:
    for height, width in ((32, 32), (64, 160), (288, 256)):
        assert session.run(np.zeros((1, height, width, 1), np.float32)).shape == (1, height, width, 4)


def test_an_image_that_the_graph_cannot_take_is_a_model_error(session: Session) -> None:
    with pytest.raises(ModelError, match=r"leader\.onnx: cannot be run on an image \[1, 32, 32, 2\]"):
        session.run(np.zeros((1, 32, 32, 2), np.float32))


def test_a_uniform_image_has_no_minutiae_and_no_nan(session: Session) -> None:
    for grey in (0, 128, 255):
        planes = session.run(np.full((1, 64, 64, 1), grey, np.float32))
        assert np.isfinite(planes).all()
        assert planes[..., 3].max() < 0.3


def test_threads_and_concurrent_calls_do_not_change_the_result(card: ModelCard, session: Session) -> None:
    image = _image()
    expected, results = session.run(image), list[Planes]()
    shared = Session(card, threads=2)
    callers = [threading.Thread(target=lambda: results.append(shared.run(image))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_allclose(result, expected, atol=1e-5)


def test_the_graph_is_built_of_single_nodes(card: ModelCard) -> None:
    nodes = onnx.load_from_string(card.read()).graph.node
    kinds = {node.op_type for node in nodes}
    dilated = [a for n in nodes if n.op_type == "Conv" for a in n.attribute if a.name == "dilations" and a.ints[0] > 1]
    assert {"LayerNormalization", "Gelu"} <= kinds
    assert not {"SpaceToDepth", "ReduceMean", "Tanh", "Erf", "Loop"} & kinds
    assert len(dilated) == 4  # two of the stems, two of the attention
    assert len(card.read()) < 3_000_000
