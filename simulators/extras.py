"""The simulators of broker and hub need libraries that the agent does not: the extra `simulators` of the package."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = ("iotcore", "jsonschema")


@contextmanager
def needed() -> Iterator[None]:
    """Imports in the block may need the extra: without it, one line that says so and exit status 1."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in LIBRARIES:
            raise
        sys.exit(f"{error.name} is not installed: pip install 'kiosk-agent[simulators]'")
