"""Templates: compared by value, and shown without a byte of them."""

from models.template import Template, TemplateError


def test_a_template_is_shown_by_format_and_size_only() -> None:
    template = Template("finger-minutiae/2", b"secret")
    assert repr(template) == "<Template finger-minutiae/2 6 bytes>"
    assert template == Template("finger-minutiae/2", b"secret")
    assert template != Template("finger-minutiae/1", b"secret")


def test_an_unreadable_template_is_a_value_error() -> None:
    assert issubclass(TemplateError, ValueError)
