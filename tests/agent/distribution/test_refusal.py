"""The reasons of a refusal."""

import pytest
from tuf.api import exceptions
from tuf.api.serialization import DeserializationError

from agent.distribution.refusal import (
    CertificateRefused,
    Refusal,
    SourceUnreachable,
    UpdateRefused,
    UpdateUnreachable,
    refusal,
    refusing,
)
from agent.errors import AgentError

ERRORS: list[tuple[Exception, Refusal]] = [
    (exceptions.UnsignedMetadataError("timestamp was signed by 0/1 keys"), Refusal.WRONG_KEY),
    (exceptions.ExpiredMetadataError("timestamp.json is expired"), Refusal.EXPIRED),
    (exceptions.BadVersionNumberError("New timestamp version 1 must be >= 2"), Refusal.ROLLED_BACK),
    (exceptions.BadVersionNumberError("Expected north.json version 1, got 2."), Refusal.ROLLED_BACK),
    (exceptions.BadVersionNumberError("Expected snapshot version 2, got 1"), Refusal.MIXED),
    (exceptions.LengthOrHashMismatchError("Observed length 1 does not match expected length 2"), Refusal.TRUNCATED),
    (exceptions.LengthOrHashMismatchError("Observed hash a does not match expected hash b"), Refusal.CHANGED),
    (exceptions.DownloadLengthMismatchError("more than 5 bytes"), Refusal.TOO_LONG),
    (exceptions.SlowRetrievalError("nothing for 20 seconds"), Refusal.SLOW),
    (exceptions.DownloadHTTPError("status 404", 404), Refusal.MISSING),
    (exceptions.DownloadError("a redirect"), Refusal.UNREADABLE),
    (exceptions.RepositoryError("New snapshot is missing info for 'a.json'"), Refusal.ROLLED_BACK),
    (exceptions.RepositoryError("Snapshot does not contain information for 'a'"), Refusal.MIXED),
    (exceptions.RepositoryError("Expected 'root', got 'snapshot'"), Refusal.UNREADABLE),
    (DeserializationError("Failed to deserialize JSON"), Refusal.UNREADABLE),
    (CertificateRefused("unable to get local issuer certificate"), Refusal.CERTIFICATE),
    (SourceUnreachable("Connection refused"), Refusal.UNREACHABLE),
    (OSError(28, "No space left on device"), Refusal.DISK),
]


@pytest.mark.parametrize(("error", "reason"), ERRORS, ids=lambda value: str(value)[:40])
def test_each_error_has_a_reason_and_a_sentence(error: Exception, reason: Refusal) -> None:
    found = refusal(error, "the list of north")
    assert found.reason is reason
    assert str(found).startswith("the list of north: ")
    assert str(error) in str(found)
    assert isinstance(found, AgentError)
    assert isinstance(found, UpdateUnreachable) == (reason is Refusal.UNREACHABLE)


def test_a_refusal_keeps_its_cause() -> None:
    with pytest.raises(UpdateRefused) as caught, refusing("the list of north"):
        raise exceptions.ExpiredMetadataError
    assert isinstance(caught.value.__cause__, exceptions.ExpiredMetadataError)


def test_text_of_a_server_is_made_printable() -> None:
    assert "\x1b" not in str(refusal(exceptions.DownloadError("\x1b[2J"), "the lists"))


def test_a_fault_of_the_program_is_no_refusal() -> None:
    with pytest.raises(KeyError), refusing("the lists"):
        raise KeyError
    with pytest.raises(KeyError):
        refusal(KeyError("a"), "the lists")
