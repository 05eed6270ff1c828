"""A list server that is slow, endless, broken, or somebody else."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    SlowRetrievalError,
)

from agent.distribution import https
from agent.distribution.https import HttpsFetcher
from agent.distribution.refusal import CertificateRefused, SourceUnreachable
from tests.rigs.certificates import Authority
from tests.rigs.list_server import HEAD, ListServer, repeats, sends, silent_after, status

DATA = bytes(range(256)) * 1000
FILES = {"targets/a": DATA}


def fetch(server: ListServer, most: int = len(DATA), **options: Callable[[], float]) -> bytes:
    """Read the file."""
    fetcher = HttpsFetcher(server.address, **options)  # type: ignore[arg-type]  # of one kind in these tests
    return fetcher.read(f"{fetcher.targets_url}a", most)


def clock(step: float) -> Callable[[], float]:
    """A clock that goes on by so many seconds each time that somebody looks."""
    now = [0.0]

    def tick() -> float:
        now[0] += step
        return now[0]

    return tick


def test_a_file_is_read() -> None:
    with ListServer(FILES) as server:
        assert fetch(server) == DATA
    (request,) = server.requests
    assert request.startswith("GET /targets/a HTTP/1.1\r\nHost: 127.0.0.1:")
    assert "User-Agent: kiosk-agent\r\n" in request  # and no versions of libraries


def test_odd_characters_of_a_name_stay_one_request() -> None:
    with ListServer() as server:
        fetcher = HttpsFetcher(server.address)
        with pytest.raises(DownloadHTTPError) as caught:
            fetcher.read(f"{fetcher.metadata_url}1.%3F a\r\nx.json", 1000)
    assert caught.value.status_code == 404
    assert server.requests[0].startswith("GET /metadata/1.%3F%20a") or "%" in server.requests[0]
    assert len(server.requests[0].splitlines()[0].split()) == 3


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://lists.example.org", "lists.example.org"),
        ("https://user:secret@lists.example.org:8443/a", "lists.example.org:8443"),
        ("https://[2001:db8::1]:8443", "[2001:db8::1]:8443"),
        ("https://listas-españa.example", "xn--listas-espaa-khb.example"),
    ],
)
def test_the_server_is_named_without_anything_else(address: str, host: str) -> None:
    _, name, port = https._server(f"{address}/metadata/timestamp.json")
    request = https._request(name, port, "/metadata/timestamp.json", https._Body("a", 1, bytearray()))
    assert f"\r\nHost: {host}\r\n".encode() in request


@pytest.mark.parametrize("address", ["https://a:99999", "https://[::1", f"https://{'a' * 70}.example", "https://a..b"])
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(DownloadError, match="the source is not an address"):
        HttpsFetcher(address).read(f"{address}/metadata/timestamp.json", 10)


# A server with TLS.


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority of the operator of the lists."""
    return Authority(tmp_path, "operator")


def server_context(authority: Authority, *, asks: bool = False) -> ssl.SSLContext:
    """The side of the server; `asks`: it wants a certificate of the kiosk."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.path)
    context.load_cert_chain(*authority.issue("server"))
    context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
    return context


def test_a_server_with_a_certificate_of_the_authority_is_read(authority: Authority) -> None:
    with ListServer(FILES, tls=server_context(authority)) as server:
        fetcher = HttpsFetcher(server.address, ssl.create_default_context(cafile=authority.path))
        assert fetcher.read(f"{fetcher.targets_url}a", len(DATA)) == DATA


def test_a_server_with_another_certificate_is_refused(authority: Authority, tmp_path: Path) -> None:
    with ListServer(FILES, tls=server_context(Authority(tmp_path, "somebody"))) as server:
        fetcher = HttpsFetcher(server.address, ssl.create_default_context(cafile=authority.path))
        with pytest.raises(CertificateRefused):
            fetcher.read(f"{fetcher.targets_url}a", len(DATA))


def test_a_server_that_asks_for_a_certificate_gets_ours(authority: Authority) -> None:
    ours = ssl.create_default_context(cafile=authority.path)
    ours.load_cert_chain(*authority.issue("kiosk"))
    with ListServer(FILES, tls=server_context(authority, asks=True)) as server:
        fetcher = HttpsFetcher(server.address, ours)
        assert fetcher.read(f"{fetcher.targets_url}a", len(DATA)) == DATA


def test_a_server_that_refuses_our_certificate_is_a_matter_of_certificates(authority: Authority) -> None:
    with ListServer(FILES, tls=server_context(authority, asks=True)) as server:
        fetcher = HttpsFetcher(server.address, ssl.create_default_context(cafile=authority.path))
        with pytest.raises(CertificateRefused):
            fetcher.read(f"{fetcher.targets_url}a", len(DATA))


def test_clear_text_goes_to_this_computer_only() -> None:
    fetcher = HttpsFetcher("http://192.0.2.1")
    with pytest.raises(SourceUnreachable, match="not this computer"):
        fetcher.read("http://192.0.2.1/metadata/timestamp.json", 10)


def test_a_port_that_nobody_listens_on_is_unreachable() -> None:
    with ListServer() as server:
        pass
    with pytest.raises(SourceUnreachable, match="refused"):
        fetch(server)


# Too much, too slow.


@pytest.mark.parametrize(
    "answer",
    [
        repeats(HEAD + b"\r\n", b"x" * 8192),
        repeats(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"),
        repeats(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"y" * 60_000 + b"\r\nx\r\n"),
        repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        sends(HEAD + b"Content-Length: 999999999999\r\n\r\n"),
    ],
    ids=["no end", "chunks", "long chunk lines", "continue", "announced"],
)
def test_an_endless_answer_is_cut_off(answer: Callable[..., None]) -> None:
    with ListServer(answers=[answer]) as server, pytest.raises(DownloadLengthMismatchError):
        fetch(server, 100_000)


def test_an_endless_header_is_no_http() -> None:
    with ListServer(answers=[repeats(HEAD, b"X: y\r\n")]) as server, pytest.raises(DownloadError, match="not HTTP"):
        fetch(server)


@pytest.mark.parametrize("begin", [b"", HEAD, HEAD + b"Content-Length: 10\r\n\r\n12345"], ids=["", "head", "body"])
def test_a_silent_server_is_too_slow(begin: bytes) -> None:
    with ListServer(answers=[silent_after(begin)]) as server:
        with pytest.raises(SlowRetrievalError, match="nothing for 20 seconds"):
            fetch(server, monotonic=clock(11.0))
        assert len(server.requests) == 1


@pytest.mark.parametrize("begin", [b"", HEAD + b"X: ", HEAD + b"\r\n"], ids=["status", "header", "body"])
def test_a_server_that_sends_a_byte_now_and_then_is_too_slow(begin: bytes) -> None:
    with (
        ListServer(answers=[repeats(begin, b"x")]) as server,
        pytest.raises((SlowRetrievalError, DownloadError)) as caught,
    ):
        fetch(server, monotonic=clock(19.0))
    assert "seconds" in str(caught.value)


def test_a_fetch_ends_when_the_agent_stops() -> None:
    asked = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) > 5

    with ListServer(answers=[silent_after(HEAD)]) as server:
        fetcher = HttpsFetcher(server.address, None, stopped)
        with pytest.raises(SourceUnreachable, match="the agent stops"):
            fetcher.read(f"{fetcher.targets_url}a", 10)


# Interruptions.


def test_the_rest_of_a_file_is_asked_for_after_an_interruption() -> None:
    with ListServer(FILES) as server:
        server.answers = [server.cut_after(100_000), server.cut_after(50_000)]
        assert fetch(server) == DATA
    assert "Range" not in server.requests[0]
    assert 'Range: bytes=100000-\r\nIf-Range: "one"\r\n' in server.requests[1]
    assert "Range: bytes=150000-" in server.requests[2]


def test_a_file_is_read_anew_from_a_server_that_sends_no_pieces() -> None:
    whole = HEAD + b"Content-Length: 10\r\nLast-Modified: Sun, 01 Mar 2026 12:00:00 GMT\r\n\r\n"
    with ListServer(answers=[sends(whole + b"01234"), sends(whole + b"0123456789")]) as server:
        assert fetch(server) == b"0123456789"
    assert "If-Range: Sun, 01 Mar 2026 12:00:00 GMT" in server.requests[1]


@pytest.mark.parametrize("header", [b"", b'ETag: W/"1"\r\n', b"ETag: \xff\r\n"])
def test_a_file_without_a_firm_mark_is_read_anew(header: bytes) -> None:
    whole = HEAD + header + b"Content-Length: 10\r\n\r\n"
    with ListServer(answers=[sends(whole + b"01234"), sends(whole + b"0123456789")]) as server:
        assert fetch(server) == b"0123456789"
    assert "Range" not in server.requests[1]


@pytest.mark.parametrize("span", ["bytes 0-9/10", "bytes 7-9/10", "nothing", ""])
def test_another_piece_than_asked_for_is_refused(span: str) -> None:
    first = sends(HEAD + b'ETag: "1"\r\nContent-Length: 10\r\n\r\n01234')
    second = sends(f"HTTP/1.1 206 P\r\nContent-Range: {span}\r\nContent-Length: 5\r\n\r\n56789".encode())
    with ListServer(answers=[first, second]) as server, pytest.raises(DownloadError, match="another piece"):
        fetch(server)


@pytest.mark.parametrize(
    "answer",
    [
        sends(b""),
        sends(HEAD + b"Content-Length: 10\r\n\r\n123"),
        sends(HEAD + b"Transfer-Encoding: chunked\r\n\r\na\r\n123"),
    ],
    ids=["nothing", "length", "chunks"],
)
def test_a_connection_that_always_breaks_off_is_unreachable(answer: Callable[..., None]) -> None:
    with ListServer(answers=[answer] * 9) as server, pytest.raises(SourceUnreachable, match="again and again"):
        fetch(server)
    assert len(server.requests) == https.TRIES


def test_a_connection_that_is_reset_is_tried_again() -> None:
    def reset(connected: ssl.SSLSocket, _: str) -> None:
        connected.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER with no time: the close is a reset

    with ListServer(FILES, answers=[reset]) as server:  # type: ignore[list-item]  # any socket
        assert fetch(server) == DATA


# Other answers.


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (status(404), DownloadHTTPError, "status 404"),
        (status(403), DownloadHTTPError, "status 403"),
        (status(503), SourceUnreachable, "status 503"),
        (status(429), SourceUnreachable, "status 429"),
        (status(302, "Location: https://elsewhere.example/"), DownloadError, "another address"),
        (status(200, "Content-Encoding: gzip"), DownloadError, "compresses"),
        (sends(b"SSH-2.0-OpenSSH\r\n"), DownloadError, "not HTTP"),
        (sends(b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000), DownloadError, "not HTTP"),
    ],
)
def test_other_answers_are_errors(answer: Callable[..., None], error: type[Exception], words: str) -> None:
    with ListServer(answers=[answer]) as server, pytest.raises(error, match=words):
        fetch(server)
    assert len(server.requests) == 1


@settings(max_examples=50, deadline=None)
@given(answer=st.binary(max_size=300), head=st.sampled_from([b"", HEAD, HEAD + b"Transfer-Encoding: chunked\r\n\r\n"]))
def test_whatever_a_server_sends_the_only_errors_are_those_of_a_download(answer: bytes, head: bytes) -> None:
    with ListServer(answers=[sends(head + answer)] * https.TRIES) as server:
        try:
            got = fetch(server)
        except DownloadError:
            return
    assert len(got) <= len(answer)
