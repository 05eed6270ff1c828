import http.client
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from simulators.provider.check import check
from simulators.provider.errors import ProviderError
from simulators.provider.provider import ListProvider
from simulators.provider.serve import CHUNK, ListServer, make_certificate
from tests.rigs.lists import LISTED, agreement_terms, list_entry

DATA = bytes(range(256)) * (CHUNK // 128)


class Served:
    """A server of a folder, in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.public = folder / "public"
        for name in ("metadata", "targets/police/parts"):
            (self.public / name).mkdir(parents=True)
        (self.public / "targets" / "police" / "parts" / "a.part").write_bytes(DATA)
        (self.public / "metadata" / "timestamp.json").write_bytes(b"{}")
        self.certificate, key = make_certificate(folder / "tls", ["localhost", "127.0.0.1"])
        self.server = ListServer(self.public, ("127.0.0.1", 0), self.certificate, key)
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = http.client.HTTPSConnection("localhost", self.server.port, context=self.tls, timeout=20)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.msg
        finally:
            connection.close()

    @property
    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.certificate)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.close()


PART = "/targets/police/parts/a.part"


def test_a_file_is_served_whole(served: Served) -> None:
    status, body, headers = served.ask(PART)
    assert (status, body) == (200, DATA)
    assert headers["Content-Length"] == str(len(DATA))
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Server"].strip() == "kiosk-list"


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [("bytes=100-", 100, len(DATA)), ("bytes=5-9", 5, 10), (f"bytes=7-{10**9}", 7, len(DATA))],
)
def test_a_file_is_served_from_a_byte_on(served: Served, asked: str, first: int, end: int) -> None:
    status, body, headers = served.ask(PART, Range=asked)
    assert (status, body) == (206, DATA[first:end])
    assert headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(DATA)}"


def test_a_range_that_is_not_there_is_refused_and_one_that_is_not_understood_is_ignored(served: Served) -> None:
    status, body, headers = served.ask(PART, Range=f"bytes={len(DATA)}-")
    assert (status, body, headers["Content-Range"]) == (416, b"", f"bytes */{len(DATA)}")
    assert served.ask(PART, Range="bytes=-5,7-9")[0] == 200


def test_the_head_of_a_file_has_its_length(served: Served) -> None:
    status, body, headers = served.ask(PART, "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", str(len(DATA)))


@pytest.mark.parametrize(
    "path",
    [
        "/", "/metadata", "/metadata/", "/metadata/none.json", "/targets/police", "/targets/police/parts/",
        "/../lists.db", "/metadata/../../lists.db", "/metadata/%2e%2e/lists.db",
        "/metadata/.timestamp.json.new", "/metadata/timestamp.json?x", "/tls/key.pem", "/metadata/link.json",
        "/targets/linked/a.part", "/metadata/pipe",
    ],
)  # fmt: skip
def test_nothing_else_is_served(served: Served, tmp_path: Path, path: str) -> None:
    (tmp_path / "lists.db").write_bytes(b"secret")
    (served.public / "metadata" / "link.json").symlink_to(tmp_path / "lists.db")
    (served.public / "targets" / "linked").symlink_to(served.public / "targets" / "police" / "parts")
    (served.public / "metadata" / ".timestamp.json.new").write_bytes(b"half")
    os.mkfifo(served.public / "metadata" / "pipe")
    assert served.ask(path)[:2] == (404, b"")


def test_what_is_no_plain_file_is_not_served(served: Served) -> None:
    (served.public / "metadata" / "folder.json").mkdir()
    assert served.ask("/metadata/folder.json")[:2] == (404, b"")


def test_only_reading_is_answered(served: Served) -> None:
    assert served.ask(PART, "PUT")[0] == 501


def test_a_client_that_is_silent_or_speaks_no_tls_stops_nobody_else(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.server.port)) as silent:
        with socket.create_connection(("127.0.0.1", served.server.port)) as other:
            other.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert served.ask("/metadata/timestamp.json")[:2] == (200, b"{}")
        silent.sendall(b"\x16")


def test_a_kiosk_fetches_a_list_from_it(tmp_path: Path) -> None:
    with ListProvider.init(tmp_path, ["police"], now=LISTED) as lists:
        lists.agree(agreement_terms())
        lists.put([list_entry("a")])
        lists.publish(now=LISTED)
        certificate, key = make_certificate(tmp_path / "tls", ["localhost"])
        server = ListServer(lists.public, ("127.0.0.1", 0), certificate, key)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            tls = ssl.create_default_context(cafile=certificate)
            report = check(f"https://localhost:{server.port}/", lists.root_bytes(), LISTED, tls=tls)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
    assert report.good
    assert report.lists[0].entries == 1


def test_a_certificate_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    first = make_certificate(tmp_path, ["post-7.example", "::1"], LISTED - timedelta(days=1))
    content = first[0].read_bytes()
    assert make_certificate(tmp_path, ["other"]) == first
    assert first[0].read_bytes() == content
    assert first[1].stat().st_mode & 0o777 == 0o600


def test_an_address_that_is_taken_is_named(served: Served, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path / "tls", [])
    with pytest.raises(ProviderError, match="cannot listen: Address already in use"):
        ListServer(served.public, ("127.0.0.1", served.server.port), certificate, key)


def test_a_certificate_without_its_key_is_named(served: Served, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="no certificate with its key"):
        ListServer(served.public, ("127.0.0.1", 0), served.certificate, served.certificate)


def test_an_address_of_ipv6_is_served(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, ["::1"])
    try:
        server = ListServer(tmp_path, ("::1", 0), certificate, key)
    except ProviderError:
        pytest.skip("this computer has no IPv6")
    assert server.port > 0
    server.server_close()
