"""Reports a missing library of the extra `simulators`: broker and hub need libraries that the agent does not."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = ("iotcore", "jsonschema")


@contextmanager
def explain_missing_library() -> Iterator[None]:
    """For imports that may need the extra: without it, exit with status 1 and a line that says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in LIBRARIES:
            raise
        sys.exit(f"{error.name} is not installed: pip install 'kiosk-agent[simulators]'")
