"""Reads weights/manifest.toml: the model files and their hashes. A file with another hash is refused."""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = Path(__file__).parent / "weights" / "manifest.toml"


class ModelError(Exception):
    """A model cannot be used: its file is missing or changed, or the manifest does not describe it. Do not start."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A `[models.NAME]` table of the manifest."""

    name: str
    path: Path
    sha256: str
    modality: str
    licence: str
    source: str
    input: str
    output: str
    template_format: str
    limits: tuple[str, ...]

    def read(self) -> bytes:
        """The bytes of the model file, after their hash was checked. ModelError if it differs."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise ModelError(f"{self.path}: cannot be read: {error.strerror}; install the package again") from error
        actual = hashlib.sha256(data).hexdigest()
        if actual != self.sha256:
            raise ModelError(
                f"{self.path}: sha256 is {actual[:12]}…, manifest.toml says {self.sha256[:12]}…; "
                "the file was changed or damaged: restore it, or put the new hash into manifest.toml if you rebuilt it"
            )
        return data


def load_card(name: str, manifest: Path = MANIFEST) -> ModelCard:
    """The card of a model. ModelError if the manifest lacks it or one of its keys."""
    table = _tables(manifest).get("models", {}).get(name)
    if table is None:
        raise ModelError(f"{manifest}: has no [models.{name}]")
    try:
        return _card(name, table, manifest.parent)
    except KeyError as error:
        raise ModelError(f"{manifest}: [models.{name}] lacks {error.args[0]}") from error


def encoder_card(name: str, modality: str, manifest: Path = MANIFEST) -> ModelCard:
    """The card of a model that makes templates of this modality. ModelError for another one; it lists those that do."""
    tables = _tables(manifest).get("models", {})
    encoders = [each for each, t in tables.items() if t.get("template_format") and t.get("modality") == modality]
    if name not in encoders:
        raise ModelError(f"{name!r} is not an encoder of modality {modality}; there are: {', '.join(encoders)}")
    return load_card(name, manifest)


def calibration_table(template_format: str, manifest: Path = MANIFEST) -> dict[str, Any]:
    """The `[calibration."FORMAT"]` table, for models.calibration. ModelError if there is none."""
    table = _tables(manifest).get("calibration", {}).get(template_format)
    if table is None:
        raise ModelError(f'{manifest}: has no [calibration."{template_format}"]')
    return dict(table)


def _card(name: str, table: dict[str, Any], folder: Path) -> ModelCard:
    keys = ("sha256", "modality", "licence", "source", "input", "output", "template_format")
    values = {key: table[key] for key in keys}
    return ModelCard(name=name, path=folder / table["file"], limits=tuple(table["limits"]), **values)


def _tables(manifest: Path) -> dict[str, dict[str, dict[str, Any]]]:
    try:
        return tomllib.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{manifest}: cannot be read as TOML: {error}") from error
