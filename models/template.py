"""A template: the features of a sample, to be compared with templates of the same format."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Template:
    """`format` is the layout and its version, as "finger-minutiae/2". Only the modules of that format read `data`."""

    format: str
    data: bytes

    def __repr__(self) -> str:
        """The format and the size, never the bytes."""
        return f"<Template {self.format} {len(self.data)} bytes>"


class TemplateError(ValueError):
    """A template cannot be read: another format or version, cut short, or inconsistent. The message names the cause."""
