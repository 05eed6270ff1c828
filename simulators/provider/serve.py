"""Serves a published folder over HTTPS: files below metadata/ and targets/, whole or from a byte on, and nothing else.

Everything served is public and signed; the certificate keeps others from seeing which lists a kiosk fetches. A
self-signed certificate is made in FOLDER/tls: a kiosk trusts it with `watchlist.ca`. For tests and first trials.
"""

import datetime as dt
import os
import re
import socket
import ssl
import stat
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from drivers.printable import printable
from simulators.provider.errors import ProviderError, write_file

IDLE_S = 30.0  # a client that sends or takes nothing for so long is disconnected
CHUNK = 1 << 16
CERTIFICATE_DAYS = 825
_PATH = re.compile(r"/((?:metadata|targets)(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,200}){1,4})")
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


def make_certificate(folder: Path, names: Sequence[str], now: dt.datetime | None = None) -> tuple[Path, Path]:
    """The files of a self-signed certificate for these host names and addresses, and of its key; made if missing."""
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    if certificate_path.exists() and key_path.exists():
        return certificate_path, key_path
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kiosk-list serve")])
    start = (now or dt.datetime.now(dt.UTC)) - dt.timedelta(hours=1)
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    end = start + dt.timedelta(days=CERTIFICATE_DAYS)
    number = x509.random_serial_number()
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), number, start, end)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName([_general_name(name) for name in names]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False),
    ]
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    made = builder.sign(key, hashes.SHA256())
    write_file(key_path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    write_file(certificate_path, made.public_bytes(Encoding.PEM))
    return certificate_path, key_path


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class ListServer(ThreadingHTTPServer):
    """Serves the folder `public`. serve_forever() in a thread of its own, or until Ctrl-C; then server_close()."""

    daemon_threads = True

    def __init__(self, public: Path, address: tuple[str, int], certificate: Path, key: Path) -> None:
        self.public = public
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            self._tls.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise ProviderError(
                f"{certificate}, {key}: no certificate with its key: {error}", "name both, as PEM files"
            ) from error
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            raise ProviderError(
                f"{address[0]}, port {address[1]}: cannot listen: {error.strerror}", "choose another with --port"
            ) from error

    @property
    def port(self) -> int:
        """The port, also if port 0 was asked for."""
        return int(self.server_address[1])

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        """A new connection. Its TLS begins in its own thread, so that a silent client stops nobody else."""
        connection, address = super().get_request()
        connection.settimeout(IDLE_S)
        return self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that breaks off, or speaks no TLS, is no event."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "kiosk-list", ""
    timeout = IDLE_S
    server: ListServer

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        print(printable(f"{self.address_string()} {format % args}"))

    def _answer(self, *, body: bool) -> None:
        descriptor = self._opened()
        if descriptor is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        with os.fdopen(descriptor, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
            first, last = (int(wanted[1]), int(wanted[2] or size)) if wanted else (0, size)
            last = min(last, size - 1)
            if wanted and first > last:
                self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bytes */{size}")
                return
            self.send_response(HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(last - first + 1))
            self.send_header("Accept-Ranges", "bytes")
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            self.end_headers()
            file.seek(first)
            left = last - first + 1 if body else 0
            while left and (chunk := file.read(min(CHUNK, left))):
                self.wfile.write(chunk)
                left -= len(chunk)

    def _opened(self) -> int | None:
        """The file that is asked for; None if there is none. No symbolic link is followed."""
        match = _PATH.fullmatch(self.path)
        if match is None:
            return None
        *folders, name = match[1].split("/")
        at = os.open(self.server.public, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for folder in folders:
                inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = inner
            found = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
        except OSError:
            return None
        finally:
            os.close(at)
        if not stat.S_ISREG(os.fstat(found).st_mode):
            os.close(found)
            return None
        return found

    def _refuse(self, status: HTTPStatus, content_range: str = "") -> None:
        self.send_response(status)
        if content_range:
            self.send_header("Content-Range", content_range)
        self.send_header("Content-Length", "0")
        self.end_headers()
