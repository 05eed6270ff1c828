"""Minutiae as arrays."""

from models.finger.template import FORMAT, pack, unpack
from tests.conftest import template_of


def test_no_repr_shows_a_minutia() -> None:
    minutiae = unpack(template_of(1, 1))
    assert repr(minutiae) == f"<Minutiae {len(minutiae)} in 256x288>"
    assert repr(pack(minutiae)) == f"<Template {FORMAT} {1578 + 8 * len(minutiae)} bytes>"
