"""Sample to template, template to score."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from drivers.sample import Modality
from models.manifest import ModelError, encoder_card

if TYPE_CHECKING:
    from models.encoder import Encoder, Gallery
    from models.template import Template

# Where the encoder of a modality is; imported when first asked for, because onnxruntime takes its time.
ENCODERS = {
    Modality.FINGER: "models.finger.encoder:FingerEncoder",
    Modality.IRIS: "models.iris.encoder:IrisEncoder",
}

# Where the gallery of a template format is.
GALLERIES = {
    "finger-minutiae/2": "models.finger.search.gallery:FingerGallery",
    "iris-code/1": "models.iris.gallery:IrisGallery",
}

# What makes the current version of a template from elsewhere, where there is one: also of versions that are not written
# any more. Everything that follows from something else in it is made anew.
IMPORTS = {
    "finger-minutiae/1": "models.finger.template:current",
    "finger-minutiae/2": "models.finger.template:current",
}


# What makes of a template what is sent to others, where that is not the same: without what follows from the rest.
EXPORTS = {"finger-minutiae/2": "models.finger.template:bare"}


def imported(template: "Template") -> "Template":
    """What is kept of a template from elsewhere, for its gallery. TemplateError when it cannot be read."""
    return _made_by(IMPORTS, template)


def exported(template: "Template") -> "Template":
    """What is sent to others of a template of ours. TemplateError when it cannot be read."""
    return _made_by(EXPORTS, template)


def _made_by(makers: Mapping[str, str], template: "Template") -> "Template":
    target = makers.get(template.format)
    return template if target is None else _resolve(target)(template)  # type: ignore[operator]


def load_encoder(modality: Modality, threads: int = 1, model: str | None = None) -> "Encoder":
    """The encoder of a modality, warmed up, and the search of its templates with it; `model` names another card.

    ModelError when there is none or its model file is not the one we mean.
    """
    if modality not in ENCODERS:
        raise ModelError(f"no encoder for {modality}; there are: {', '.join(ENCODERS)}")
    card = encoder_card(model, modality) if model is not None else None
    encoder: Encoder = _resolve(ENCODERS[modality])(threads, card)  # type: ignore[operator]
    gallery_class(encoder.template_format).build(())  # compiles the search now: no traveller waits for that
    return encoder


def gallery_class(template_format: str) -> "type[Gallery]":
    """The gallery that compares templates of this format. ModelError when there is none."""
    if template_format not in GALLERIES:
        raise ModelError(f"no gallery for {template_format}; there are: {', '.join(GALLERIES)}")
    found: type[Gallery] = _resolve(GALLERIES[template_format])  # type: ignore[assignment]
    return found


def _resolve(target: str) -> object:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
