"""TCP and TLS connections to a real listener: opened, refused, aborted, and what a TLS peer says at the end."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.config import TlsConfig
from agent.hub.connection import TcpConnection, is_certificate_error
from agent.keys import tls_context
from simulators.hub.broker import free_port
from tests.rigs.certificates import Authority

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
