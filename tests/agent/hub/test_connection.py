"""TCP and TLS connections to a real listener: opened, refused, aborted, and what a TLS peer says at the end."""

import contextlib
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.config import TlsConfig
from agent.hub import connection as connection_module
from agent.hub.connection import MAX_ADDRESSES, TcpConnection, in_turn, is_certificate_error
from agent.hub.lookup import Address, NameLookup
from agent.keys import tls_context
from simulators.hub.broker import free_port
from tests.rigs.certificates import Authority
from tests.rigs.networks import Resolver, silent_addresses

TIMEOUT_S = 5.0


@pytest.fixture(name="listener")
def _listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_S)
        yield listener


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def test_a_name_is_tried_at_each_of_its_addresses_and_small_packets_are_sent_immediately(
    listener: socket.socket,
) -> None:
    connection = TcpConnection("localhost", port_of(listener), None)
    opened = connection.open()
    accepted, _ = listener.accept()
    with accepted:
        opened.sendall(b"x")
        assert accepted.recv(1) == b"x"
    assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert connection.alert is None
    connection.close()
    assert opened.fileno() == -1


def test_a_port_where_nobody_listens_is_an_error() -> None:
    with pytest.raises(ConnectionRefusedError):
        TcpConnection("127.0.0.1", free_port(), None).open()


def test_a_host_name_that_cannot_be_one_is_only_a_failure_to_connect() -> None:
    for name in ("a..b", "x" * 64, ".a"):
        with pytest.raises(OSError, match="is not a host name"):
            TcpConnection(name, 1883, None).open()


# -- a network that does not work


@pytest.fixture(name="brief")
def _brief(monkeypatch: pytest.MonkeyPatch) -> float:
    """A short deadline, so that a test does not wait for ten seconds."""
    monkeypatch.setattr(connection_module, "OPEN_S", 1.0)
    return 1.0


def seconds_of_a_failure(connection: TcpConnection, match: str) -> float:
    began = time.monotonic()
    with pytest.raises(OSError, match=match):
        connection.open()
    return time.monotonic() - began


def test_sixteen_addresses_that_do_not_answer_have_one_deadline_together(
    monkeypatch: pytest.MonkeyPatch, brief: float
) -> None:
    waits: list[float] = []
    with silent_addresses(16) as places:
        Resolver(monkeypatch, places)
        connection = TcpConnection("hub", places[0][1], None, on_wait=lambda: waits.append(time.monotonic()))
        assert seconds_of_a_failure(connection, "no address answers within 1 s") < brief + 0.5
    assert max(after - before for before, after in itertools.pairwise(waits)) < 0.5


def test_an_address_that_answers_is_found_behind_fifteen_that_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        silent_addresses(15, port := port_of(listener)) as places,
    ):
        Resolver(monkeypatch, [*places, ("127.0.0.1", port)])
        opened = TcpConnection("hub", port, None).open()
        assert opened.getpeername() == ("127.0.0.1", port)
        opened.close()


def test_silent_name_servers_end_the_attempt_at_its_deadline(monkeypatch: pytest.MonkeyPatch, brief: float) -> None:
    resolver = Resolver(monkeypatch)
    waits: list[float] = []
    connection = TcpConnection("hub.example.org", 1883, None, on_wait=lambda: waits.append(time.monotonic()))
    assert seconds_of_a_failure(connection, "the name servers do not answer for hub.example.org within 1 s") < brief + 1
    assert len(waits) >= 5
    resolver.release.set()


def test_abort_ends_a_look_up_and_a_connecting_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch)
    with silent_addresses(1) as places:
        for host in ("hub.example.org", places[0][0]):
            waited = threading.Event()
            connection = TcpConnection(host, places[0][1], None, on_wait=waited.set)
            aborting = threading.Thread(target=lambda c=connection, w=waited: (w.wait(5), c.abort()))
            aborting.start()
            assert seconds_of_a_failure(connection, "aborted") < 2
            aborting.join()
    resolver.release.set()


def test_a_server_that_accepts_and_is_silent_leaves_time_for_the_next_address(
    monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    monkeypatch.setattr(connection_module, "OPEN_S", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as good, socket.create_server(("127.0.0.2", port_of(good))):
        good.settimeout(TIMEOUT_S)
        Resolver(monkeypatch, [("127.0.0.2", port_of(good)), ("127.0.0.1", port_of(good))])
        server = serve_tls(good, authority, lambda connection: connection.sendall(b"x"))
        connection = TcpConnection("localhost", port_of(good), client_context(authority, authority))
        assert connection.open().recv(1) == b"x"
        connection.close()
        server.join(TIMEOUT_S)


def test_a_handshake_that_trickles_ends_at_the_deadline(
    listener: socket.socket, authority: Authority, brief: float
) -> None:
    done = threading.Event()

    def trickle() -> None:
        accepted, _ = listener.accept()
        with accepted, contextlib.suppress(OSError):
            accepted.sendall(b"\x16\x03\x03\x40\x00")  # the header of a handshake record of 16 KiB
            while not done.wait(0.05):
                accepted.sendall(b"\x02")

    server = threading.Thread(target=trickle)
    server.start()
    connection = TcpConnection("localhost", port_of(listener), client_context(authority, authority))
    assert seconds_of_a_failure(connection, "does not finish the TLS handshake within 1 s") < brief + 1
    connection.close()
    done.set()
    server.join(TIMEOUT_S)


def test_what_an_address_said_is_told_rather_than_that_another_was_silent(
    monkeypatch: pytest.MonkeyPatch, brief: float, authority: Authority, tmp_path: Path, listener: socket.socket
) -> None:
    server = serve_tls(listener, authority, lambda _: None)
    with silent_addresses(1, port_of(listener)) as places:
        Resolver(monkeypatch, [("127.0.0.1", port_of(listener)), *places])
        ours = client_context(authority, Authority(tmp_path, "stranger"))
        with pytest.raises(ssl.SSLCertVerificationError):
            TcpConnection("localhost", port_of(listener), ours).open()
    server.join(TIMEOUT_S)


UNUSABLE = {
    "a family that this kiosk does not have": Address(9999, socket.SOCK_STREAM, 6, ("127.0.0.1", 1)),
    "an address that the kernel refuses": Address(socket.AF_INET, socket.SOCK_STREAM, 6, ("255.255.255.255", 1)),
}


@pytest.mark.parametrize("unusable", UNUSABLE.values(), ids=UNUSABLE)
def test_after_an_address_that_cannot_be_used_the_next_one_is_tried(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket, unusable: Address
) -> None:
    good = Address(socket.AF_INET, socket.SOCK_STREAM, 6, ("127.0.0.1", port_of(listener)))
    lookup = NameLookup("hub", port_of(listener))
    monkeypatch.setattr(lookup, "addresses", lambda _: [unusable, good])
    connection = TcpConnection("hub", port_of(listener), None, lookup=lookup)
    connection.open()
    connection.close()


@pytest.mark.parametrize("place", [("127.0.0.1", 1), ("192.0.2.1", 1)])
def test_in_clear_text_a_name_may_only_be_this_computer(
    monkeypatch: pytest.MonkeyPatch, place: tuple[str, int]
) -> None:
    Resolver(monkeypatch, [place])
    says = "refused" if place[0] == "127.0.0.1" else "hub is not this computer, and clear text must not leave it"
    with pytest.raises(OSError, match=says):
        TcpConnection("hub", 1, None, only_here=True).open()


def test_a_name_without_addresses_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch, [])
    with pytest.raises(OSError, match=r"hub\.example\.org has no address"):
        TcpConnection("hub.example.org", 1883, None).open()


def test_the_families_alternate_and_each_turn_begins_with_the_next_address() -> None:
    four, six = ([Address(family, 1, 6, number) for number in range(3)] for family in (4, 6))
    mixed = in_turn([*six, *four], 0)
    assert [(a.family, a.place) for a in mixed] == [(6, 0), (4, 0), (6, 1), (4, 1), (6, 2), (4, 2)]
    assert in_turn(mixed, 1)[0] == in_turn(mixed, 7)[0] == four[0]
    assert in_turn([], 3) == []
    assert len(in_turn(four * 1000, 5)) == MAX_ADDRESSES


def test_abort_ends_a_connection_that_another_thread_reads(listener: socket.socket) -> None:
    connection = TcpConnection("127.0.0.1", port_of(listener), None)
    opened = connection.open()
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(opened.recv(1)))
    reader.start()
    connection.abort()
    reader.join(TIMEOUT_S)
    assert received == [b""]
    connection.close()


def test_a_connection_that_was_aborted_before_it_was_opened_is_not_opened(listener: socket.socket) -> None:
    connection = TcpConnection("127.0.0.1", port_of(listener), None)
    connection.abort()
    with pytest.raises(OSError, match="aborted"):
        connection.open()


@pytest.fixture(name="authority")
def _authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


def client_context(member: Authority, trusted: Authority) -> ssl.SSLContext:
    certificate, key = member.issue("kiosk")
    return tls_context(TlsConfig(ca=trusted.path, certificate=certificate, key=key))


def serve_tls(
    listener: socket.socket, authority: Authority, serve: Callable[[ssl.SSLSocket], None]
) -> threading.Thread:
    """Accept one TLS client that must show a certificate of the authority. Errors of its handshake are the client's."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*authority.issue("broker"))

    def run() -> None:
        accepted, _ = listener.accept()
        try:
            with context.wrap_socket(accepted, server_side=True) as connection:
                serve(connection)
        except OSError:
            accepted.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_mutual_tls_carries_bytes_and_waiting_for_more_is_no_alert(
    listener: socket.socket, authority: Authority
) -> None:
    answered = threading.Event()

    def echo(connection: ssl.SSLSocket) -> None:
        connection.sendall(connection.recv(4))
        answered.wait(TIMEOUT_S)

    server = serve_tls(listener, authority, echo)
    connection = TcpConnection("localhost", port_of(listener), client_context(authority, authority))
    opened = connection.open()
    opened.sendall(b"ping")
    assert opened.recv(4) == b"ping"
    opened.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        opened.recv(1)
    assert connection.alert is None
    answered.set()
    connection.close()
    server.join(TIMEOUT_S)


def test_the_alert_of_a_server_that_refuses_our_certificate_is_kept(
    listener: socket.socket, authority: Authority, tmp_path: Path
) -> None:
    server = serve_tls(listener, authority, lambda _: None)
    ours = client_context(Authority(tmp_path, "stranger"), authority)
    connection = TcpConnection("localhost", port_of(listener), ours)
    opened = connection.open()  # with TLS 1.3 the client's side of the handshake is done before the server refuses
    with pytest.raises(ssl.SSLError):
        opened.recv(1)
    assert is_certificate_error(connection.alert)
    connection.close()
    server.join(TIMEOUT_S)


def test_a_server_that_we_do_not_trust_is_a_certificate_error(
    listener: socket.socket, authority: Authority, tmp_path: Path
) -> None:
    server = serve_tls(listener, authority, lambda _: None)
    ours = client_context(authority, Authority(tmp_path, "stranger"))
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        TcpConnection("localhost", port_of(listener), ours).open()
    assert is_certificate_error(refused.value)
    server.join(TIMEOUT_S)


def test_other_errors_are_no_certificate_errors(listener: socket.socket, authority: Authority) -> None:
    assert not is_certificate_error(None)
    assert not is_certificate_error(OSError("refused"))

    def answer_in_plain_text() -> None:
        accepted, _ = listener.accept()
        with accepted:
            accepted.recv(1)
            accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = threading.Thread(target=answer_in_plain_text)
    server.start()
    with pytest.raises(ssl.SSLError) as refused:
        TcpConnection("localhost", port_of(listener), client_context(authority, authority)).open()
    assert not is_certificate_error(refused.value)
    server.join(TIMEOUT_S)
