"""The manifest and the model files: a file that differs or is not described is refused."""

import hashlib
from pathlib import Path

import pytest

from models.manifest import MANIFEST, ModelCard, ModelError, calibration_table, encoder_card, load_card
from models.onnx_session import Session


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


def test_only_models_that_make_templates_of_a_modality_are_encoders() -> None:
    assert encoder_card("iris-encoder", "iris").template_format == "iris-code/1"
    with pytest.raises(ModelError, match=r"'iris-segmenter' is not an encoder of modality iris; .* iris-encoder$"):
        encoder_card("iris-segmenter", "iris")


def test_a_format_without_a_calibration_is_named() -> None:
    assert calibration_table("iris-code/1")["comparisons"] > 1_000_000
    with pytest.raises(ModelError, match=r'has no \[calibration\."iris-code/0"\]'):
        calibration_table("iris-code/0")
