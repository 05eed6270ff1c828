"""The kinds of errors and notes."""

from simulators.pictures.errors import Fault, ImageFileError, Note, Subject


def test_an_error_has_a_kind_and_is_a_value_error() -> None:
    error = ImageFileError("x.png is an empty file", Fault.EMPTY_FILE)
    assert isinstance(error, ValueError)
    assert (str(error), error.fault) == ("x.png is an empty file", Fault.EMPTY_FILE)


def test_a_note_says_what_it_is_about() -> None:
    assert Note(Subject.PAGES, "text").subject is Subject.PAGES


def test_no_fault_has_the_name_of_a_subject() -> None:
    assert not {str(fault) for fault in Fault} & {str(subject) for subject in Subject}
