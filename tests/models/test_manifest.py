"""The model files: refused when they differ, run as their card says, and the graph equal to the official network."""

import hashlib
import threading
from pathlib import Path
from random import Random

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from scipy import ndimage, stats

from drivers.sample import Modality
from models import ENCODERS, GALLERIES, gallery_class, load_encoder
from models.calibration import Calibration, fuse, load_calibration
from models.finger.template import FORMAT
from models.manifest import MANIFEST, ModelCard, ModelError, calibration_table, load_card
from models.session import Session
from models.training.build_leader import phases

# Four synthetic impressions and what the official network (PyPI pyfing 0.7.3, run by Keras 3 on JAX) finds in them at
# quality 0.3: rows of image, y, x, position, direction, type, quality.
# The impressions, by simulators.people.person of November 2026: right_index of person 11 (impression 1, normal), 12 (0,
# dry), 13 (0, wet) and 14 (0, partial), at 16 grey levels, image[32:256, 32:224].
OFFICIAL = Path(__file__).with_name("leader_official.npz")

Planes = NDArray[np.float32]


@pytest.fixture(name="card", scope="module")
def _card() -> ModelCard:
    return load_card("leader")


@pytest.fixture(name="session", scope="module")
def _session(card: ModelCard) -> Session:
    return Session(card, threads=1)


def _image(height: int = 64, width: int = 96) -> Planes:
    grey: Planes = np.random.default_rng(5).uniform(0, 255, (1, height, width, 1)).astype(np.float32)
    rippled: Planes = ndimage.gaussian_filter(grey, (0, 2, 2, 0)) * 3 % 255
    return rippled


def _copied(tmp_path: Path, card: ModelCard, change: bytes = b"") -> Path:
    """The manifest and a copy of the model file, with something appended."""
    (tmp_path / card.path.name).write_bytes(card.path.read_bytes() + change)
    copy = tmp_path / "manifest.toml"
    copy.write_text(MANIFEST.read_text(encoding="utf-8"), encoding="utf-8")
    return copy


def test_a_model_file_that_differs_is_refused_with_both_hashes(tmp_path: Path, card: ModelCard) -> None:
    manifest = _copied(tmp_path, card, change=b"\0")
    changed = hashlib.sha256(card.path.read_bytes() + b"\0").hexdigest()
    with pytest.raises(ModelError) as refusal:
        Session(load_card("leader", manifest), threads=1)
    for part in ("leader.onnx", changed[:12], card.sha256[:12], "restore it"):
        assert part in str(refusal.value)


def test_an_unchanged_copy_is_accepted(tmp_path: Path, card: ModelCard) -> None:
    assert load_card("leader", _copied(tmp_path, card)).read() == card.path.read_bytes()


def test_a_missing_model_file_is_named(tmp_path: Path, card: ModelCard) -> None:
    manifest = _copied(tmp_path, card)
    (tmp_path / card.path.name).unlink()
    with pytest.raises(ModelError, match=r"leader\.onnx: cannot be read"):
        load_card("leader", manifest).read()


def test_a_file_with_the_right_hash_that_is_no_graph_is_refused(tmp_path: Path, card: ModelCard) -> None:
    (tmp_path / "leader.onnx").write_bytes(b"not a graph")
    right = hashlib.sha256(b"not a graph").hexdigest()
    manifest = tmp_path / "manifest.toml"
    manifest.write_text(MANIFEST.read_text(encoding="utf-8").replace(card.sha256, right), encoding="utf-8")
    with pytest.raises(ModelError, match="cannot load it"):
        Session(load_card("leader", manifest), threads=1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[models.other]\n", r"has no \[models\.leader\]"),
        ('[models.leader]\nfile = "x"\n', "lacks sha256"),
        ("[models.leader\n", "cannot be read as TOML"),
    ],
)
def test_a_manifest_that_does_not_describe_the_model_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    manifest = tmp_path / "manifest.toml"
    manifest.write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=complaint):
        load_card("leader", manifest)


def test_what_is_not_there_is_refused_and_what_is_there_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ENCODERS, Modality.IRIS)
    with pytest.raises(ModelError, match="there are: finger"):
        load_encoder(Modality.IRIS)
    with pytest.raises(ModelError, match=FORMAT):
        gallery_class("finger-minutiae/0")
    with pytest.raises(ModelError, match="finger-minutiae/0"):
        load_calibration("finger-minutiae/0")


def test_every_gallery_of_the_table_is_of_the_format_that_it_stands_for() -> None:
    for template_format in GALLERIES:
        assert gallery_class(template_format).template_format == template_format


def test_the_encoder_names_its_model_and_format(card: ModelCard) -> None:
    encoder = load_encoder(Modality.FINGER)
    assert (encoder.modality, encoder.model_name, encoder.model_sha256) == (Modality.FINGER, card.name, card.sha256)
    assert encoder.template_format == card.template_format == FORMAT


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


@pytest.fixture(name="calibration", scope="module")
def _calibration() -> Calibration:
    return load_calibration(FORMAT)


def test_the_false_match_rate_falls_from_one_to_the_floor(calibration: Calibration) -> None:
    scores = np.linspace(0, 1, 2001)
    rates = np.array([calibration.false_match_rate(float(score)) for score in scores])
    assert rates[0] == 1
    assert np.all(np.diff(rates) <= 0)
    assert rates[-1] == calibration.floor


def test_no_rate_is_claimed_far_below_what_was_counted(calibration: Calibration) -> None:
    comparisons = int(calibration_table(FORMAT)["comparisons"])
    assert calibration.floor >= 1 / (100 * comparisons) * 0.95  # rounded in the manifest


def test_the_tail_continues_where_the_counts_end(calibration: Calibration) -> None:
    end = calibration.scores[-1]
    assert calibration.false_match_rate(end + 1e-9) == pytest.approx(calibration.rates[-1], rel=1e-4)
    assert calibration.false_match_rate(end + calibration.tail_scale) == pytest.approx(calibration.rates[-1] / np.e)


def test_a_score_that_is_no_number_is_refused(calibration: Calibration) -> None:
    with pytest.raises(ValueError, match="is a number"):
        calibration.false_match_rate(float("nan"))


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("tail_scale = ", "tail_scale = -"),
        ("floor = ", "flaw = "),
        ("rates = [1.0", "rates = [1.5"),
        ("scores = [", "scores = [9.0, "),
    ],
)
def test_a_calibration_that_cannot_be_right_is_refused(tmp_path: Path, was: str, becomes: str) -> None:
    manifest = tmp_path / "manifest.toml"
    text = MANIFEST.read_text(encoding="utf-8")
    assert was in text
    manifest.write_text(text.replace(was, becomes), encoding="utf-8")
    with pytest.raises(ModelError, match="calibration of"):
        load_calibration(FORMAT, manifest)


rates = st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=10)


@given(rates)
def test_fusing_is_fishers_method(several: list[float]) -> None:
    assert fuse(several) == pytest.approx(stats.combine_pvalues(several, method="fisher").pvalue, rel=1e-6, abs=1e-300)


@given(rates, st.randoms())
def test_fusing_does_not_depend_on_the_order(several: list[float], random: Random) -> None:
    shuffled = several.copy()
    random.shuffle(shuffled)
    assert fuse(shuffled) == pytest.approx(fuse(several))


def test_one_rate_is_itself_and_none_is_one() -> None:
    assert fuse([0.01]) == pytest.approx(0.01)
    assert fuse([]) == 1
    assert fuse([1.0, 1.0, 1.0]) == 1


def test_two_fingers_that_agree_say_more_and_a_second_that_does_not_says_less() -> None:
    assert fuse([1e-4, 1e-4]) < 1e-6
    assert fuse([1e-4, 1.0]) > 1e-4
