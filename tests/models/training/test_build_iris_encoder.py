"""The graph of the iris encoder: its filters, and that it is built with the same bytes."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("h5py")

from models.training import build_iris_encoder
from models.training.build_iris_encoder import SCALES, gabor

MODEL = Path(__file__).parents[3] / "models" / "weights" / "iris_encoder.onnx"


@pytest.mark.parametrize("wavelength", [wavelength for wavelength, _ in SCALES])
def test_a_filter_answers_to_its_wavelength_and_not_to_a_constant(wavelength: float) -> None:
    real, imaginary = gabor(wavelength)[:, 0]
    assert abs(real.sum()) < 1e-6
    assert abs(imaginary.sum()) < 1e-6
    x = np.arange(real.shape[1]) - real.shape[1] // 2
    answers = [
        abs((real * np.cos(2 * np.pi * x / other)).sum()) for other in (wavelength / 2, wavelength, wavelength * 2)
    ]
    assert answers.index(max(answers)) == 1


def test_the_graph_is_rebuilt_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "again.onnx"
    monkeypatch.setattr(sys, "argv", ["build_iris_encoder", "--out", str(path)])
    build_iris_encoder.main()
    assert path.read_bytes() == MODEL.read_bytes()
    assert capsys.readouterr().out.startswith(f"{path}: {MODEL.stat().st_size} bytes, sha256 ")
