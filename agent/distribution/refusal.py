"""Why an update of the lists is refused, in plain English."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    SlowRetrievalError,
    UnsignedMetadataError,
)
from tuf.api.serialization import DeserializationError

from agent.errors import AgentError


class Refusal(StrEnum):
    """The kinds of reasons."""

    WRONG_KEY = "wrong-key"
    ROLLED_BACK = "rolled-back"
    EXPIRED = "expired"
    MIXED = "mixed"
    TRUNCATED = "truncated"
    CHANGED = "changed"
    TOO_LONG = "too-long"
    SLOW = "slow"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    NOT_ALLOWED = "not-allowed"
    CERTIFICATE = "certificate"
    DISK = "disk"
    UNREACHABLE = "unreachable"


class UpdateRefused(AgentError):
    """An update is not used; the list that the kiosk has goes on serving. The message says why."""

    def __init__(self, reason: Refusal, *lines: object) -> None:
        super().__init__(*lines)
        self.reason = reason


class UpdateUnreachable(UpdateRefused):
    """The source cannot be reached at all, or no longer. Nothing is lost: the kiosk tries again later."""

    def __init__(self, *lines: object) -> None:
        super().__init__(Refusal.UNREACHABLE, *lines)


class SourceUnreachable(DownloadError):
    """A fetcher cannot reach its source."""


class CertificateRefused(DownloadError):
    """The certificate of a server, or ours, is not accepted."""


# The first row whose class and text fit. The texts are those of python-tuf where one class has several causes.
_RULES: tuple[tuple[type[Exception], str, Refusal, str], ...] = (
    (UnsignedMetadataError, "", Refusal.WRONG_KEY,
     "a signature is missing, or is made with a key that is not allowed for it"),
    (ExpiredMetadataError, "", Refusal.EXPIRED,
     "what the operator of the lists has signed has expired: there is nothing newer, or somebody withholds it"),
    (BadVersionNumberError, r"must\s+be >=|\.json version", Refusal.ROLLED_BACK,
     "it is older than what this kiosk has already seen"),
    (BadVersionNumberError, "", Refusal.MIXED, "its files belong to different revisions"),
    (RepositoryError, "New snapshot is missing info", Refusal.ROLLED_BACK,
     "a list that this kiosk has already seen is missing without having been withdrawn"),
    (RepositoryError, "not part of snapshot|does not contain information", Refusal.MIXED,
     "its files belong to different revisions: the snapshot does not have all lists"),
    (LengthOrHashMismatchError, "length", Refusal.TRUNCATED, "a file does not have the length that was signed"),
    (LengthOrHashMismatchError, "", Refusal.CHANGED, "a file is not the one that is signed"),
    (DownloadLengthMismatchError, "", Refusal.TOO_LONG, "a file is longer than it may be"),
    (SlowRetrievalError, "", Refusal.SLOW, "the source sends too slowly"),
    (DownloadHTTPError, "", Refusal.MISSING, "the source does not have a file that must be there"),
    (CertificateRefused, "", Refusal.CERTIFICATE, "the certificate is not accepted"),
    (DeserializationError, "", Refusal.UNREADABLE, "a file is not signed metadata"),
    (RepositoryError, "", Refusal.UNREADABLE, "a file is not what it must be"),
    (DownloadError, "", Refusal.UNREADABLE, "the source does not answer as it must"),
    (OSError, "", Refusal.DISK, "it cannot be stored on this kiosk"),
)  # fmt: skip


def refusal(error: Exception, what: str) -> UpdateRefused:
    """The refusal for an error of python-tuf or of a fetcher. `what` names the thing that is refused."""
    detail = str(error)
    if isinstance(error, SourceUnreachable):
        return UpdateUnreachable(f"{what}: cannot be reached: {detail}")
    for kind, pattern, reason, sentence in _RULES:
        if isinstance(error, kind) and re.search(pattern, detail):
            return UpdateRefused(reason, f"{what}: refused: {sentence} ({detail})")
    raise error  # a fault of this program


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn errors of python-tuf and of the fetchers into UpdateRefused or UpdateUnreachable."""
    try:
        yield
    except (RepositoryError, DownloadError, OSError) as error:
        raise refusal(error, what) from error
