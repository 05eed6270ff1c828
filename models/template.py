"""A template: features in a form that can be compared, and only within one format."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Template:
    """`format` names the layout and its version (say "finger-minutiae/2"); `data` is opaque outside its encoder."""

    format: str
    data: bytes

    def __repr__(self) -> str:
        """Format and size, never bytes."""
        return f"<Template {self.format} {len(self.data)} bytes>"


class TemplateError(ValueError):
    """A template that cannot be read: another format or version, cut short, or inconsistent. Says which and where."""
