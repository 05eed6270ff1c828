"""Opens the source of lists that the configuration names: a folder or an address."""

import ssl
from collections.abc import Callable
from pathlib import Path

from agent.distribution.directory import DirectoryFetcher
from agent.distribution.fetcher import Fetcher, never
from agent.distribution.https import HttpsFetcher


def open_source(source: str, *, tls: ssl.SSLContext | None = None, stopped: Callable[[], bool] = never) -> Fetcher:
    """The fetcher for `watchlist.source`: https://host:port/path, http:// of this computer only, or a folder.

    `tls` is a client context with the authorities that are trusted, and our certificate where the server asks for one;
    None: the authorities of the operating system. Nothing is opened yet.
    """
    if "://" in source:
        return HttpsFetcher(source, tls, stopped)
    return DirectoryFetcher(Path(source), stopped)
