"""A missing library of the extra is one line that says what to install; other errors stay what they are."""

import pytest

from simulators.extras import LIBRARIES, explain_missing_library


@pytest.mark.parametrize("library", [*LIBRARIES, "iotcore._iotcore"])
def test_a_library_of_the_extra_is_named_with_what_to_install(library: str) -> None:
    with pytest.raises(SystemExit, match=r"is not installed: pip install 'kiosk-agent\[simulators\]'"):
        _import(library)


def _import(name: str) -> None:
    with explain_missing_library():
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize("name", ["numpy", None])
def test_another_missing_library_is_a_bug(name: str | None) -> None:
    with pytest.raises(ModuleNotFoundError), explain_missing_library():
        raise ModuleNotFoundError("No module named ...", name=name)


def test_an_import_that_works_says_nothing() -> None:
    with explain_missing_library():
        import json  # noqa: PLC0415 - an import in the block
    assert json.loads("1") == 1
