"""Which fetcher a source gets."""

from agent.distribution.directory import DirectoryFetcher
from agent.distribution.https import HttpsFetcher
from agent.distribution.source import open_source


def test_an_address_is_read_over_https() -> None:
    fetcher = open_source("https://lists.example.org:8443/public/")
    assert isinstance(fetcher, HttpsFetcher)
    assert fetcher.metadata_url == "https://lists.example.org:8443/public/metadata/"


def test_a_folder_is_read_from_the_disk() -> None:
    fetcher = open_source("/media/lists")
    assert isinstance(fetcher, DirectoryFetcher)
    assert fetcher.address == "/media/lists"
