"""Makes templates of samples, and compares and searches templates."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from drivers.sample import Modality
from models.manifest import ModelError, encoder_card

if TYPE_CHECKING:
    from models.encoder import Encoder, Gallery
    from models.template import Template

# The encoder of each modality. Imported when it is first needed, because onnxruntime loads slowly.
ENCODERS = {
    Modality.FINGER: "models.finger.encoder:FingerEncoder",
    Modality.IRIS: "models.iris.encoder:IrisEncoder",
}

# The gallery of each template format.
GALLERIES = {
    "finger-minutiae/2": "models.finger.search.gallery:FingerGallery",
    "iris-code/1": "models.iris.gallery:IrisGallery",
}

# About how many bytes an entry takes in its gallery, with its key: a fingerprint of 64 minutiae, and an iris.
ENTRY_BYTES = {"finger-minutiae/2": 2200, "iris-code/1": 1150}

# The function that makes the current version of a template from elsewhere, also of versions that are no longer written.
# Everything in a template that can be computed from the rest of it is computed again.
IMPORTS = {
    "finger-minutiae/1": "models.finger.template:to_current_version",
    "finger-minutiae/2": "models.finger.template:to_current_version",
}


# The function that makes the version of a template that is sent to others, if it is another one: without the parts that
# can be computed from the rest.
EXPORTS = {"finger-minutiae/2": "models.finger.template:to_exchange_version"}


def imported(template: "Template") -> "Template":
    """The current version of a template from elsewhere, for its gallery. TemplateError when it cannot be read."""
    return _made_by(IMPORTS, template)


def exported(template: "Template") -> "Template":
    """The version of one of our templates that is sent to others. TemplateError when it cannot be read."""
    return _made_by(EXPORTS, template)


def _made_by(makers: Mapping[str, str], template: "Template") -> "Template":
    target = makers.get(template.format)
    return template if target is None else _resolve(target)(template)  # type: ignore[operator]


def load_encoder(modality: Modality, threads: int = 1, model: str | None = None) -> "Encoder":
    """The encoder of a modality; the search of its templates is warmed up too. `model` names another model card.

    ModelError if there is no encoder, or if its model file is not that of the manifest.
    """
    if modality not in ENCODERS:
        raise ModelError(f"no encoder for {modality}; there are: {', '.join(ENCODERS)}")
    card = encoder_card(model, modality) if model is not None else None
    encoder: Encoder = _resolve(ENCODERS[modality])(threads, card)  # type: ignore[operator]
    gallery_class(encoder.template_format).build(())  # compiles the search now, so that no traveller waits for it
    return encoder


def gallery_class(template_format: str) -> "type[Gallery]":
    """The gallery for templates of this format. ModelError if there is none."""
    if template_format not in GALLERIES:
        raise ModelError(f"no gallery for {template_format}; there are: {', '.join(GALLERIES)}")
    found: type[Gallery] = _resolve(GALLERIES[template_format])  # type: ignore[assignment]
    return found


def packed_size(template_format: str, entries: int) -> int:
    """About how many bytes so many templates take in their gallery. ModelError if there is none for the format."""
    gallery_class(template_format)
    return ENTRY_BYTES[template_format] * entries


def _resolve(target: str) -> object:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
