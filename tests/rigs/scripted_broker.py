"""An MQTT broker that a test writes byte by byte (MQTT 5: CONNACK 3.2, SUBACK 3.9, DISCONNECT 3.14)."""

import socket
from typing import Self

CONNACK = bytes([0x20, 3, 0, 0x00, 0])
NOT_AUTHORIZED = bytes([0x20, 3, 0, 0x87, 0])
SERVER_BUSY = bytes([0x20, 3, 0, 0x89, 0])
SESSION_TAKEN_OVER = bytes([0xE0, 2, 0x8E, 0])
CONNECT_TYPE, SUBSCRIBE_TYPE, PUBLISH_TYPE, DISCONNECT_TYPE = 1, 8, 3, 14


class ScriptedBroker:
    """Accepts one connection after another; a test reads and writes its packets."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(5)
        self.port = self.listener.getsockname()[1]
        self.connection: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()
        self.listener.close()

    def accept(self) -> None:
        self.disconnect()
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(5)

    def disconnect(self) -> None:
        if self.connection is not None:
            self.connection.close()

    def write(self, packet: bytes) -> None:
        assert self.connection is not None
        self.connection.sendall(packet)

    def read(self) -> tuple[int, bytes]:
        """Type and content of the next packet."""
        kind = self.take(1)[0] >> 4
        length, shift = 0, 0
        while (byte := self.take(1)[0]) & 0x80:
            length, shift = length | (byte & 0x7F) << shift, shift + 7
        return kind, self.take(length | byte << shift)

    def publish(self, body: bytes, topic: bytes = b"bio/v1/s1/k1/ack", qos: int = 0) -> None:
        self.write(publish(body, topic, qos))

    def take(self, count: int) -> bytes:
        assert self.connection is not None
        data = b""
        while len(data) < count:
            more = self.connection.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def accept_and_answer(self, answer: bytes) -> None:
        self.accept()
        assert self.read()[0] == CONNECT_TYPE
        self.write(answer)

    def suback(self, reason: int) -> None:
        kind, content = self.read()
        assert kind == SUBSCRIBE_TYPE
        assert b"bio/v1/s1/k1/ack" in content
        self.write(bytes([0x90, 4, *content[:2], 0, reason]))

    def connect_kiosk(self) -> bytes:
        """Accept a kiosk and answer until it is connected. Returns the content of its CONNECT."""
        self.accept()
        kind, content = self.read()
        assert kind == CONNECT_TYPE
        self.write(CONNACK)
        self.suback(1)
        return content

    def read_until(self, wanted: int) -> bytes:
        """The content of the next packet of a type; the others before it are dropped."""
        while True:
            kind, content = self.read()
            if kind == wanted:
                return content


def packet(kind: int, content: bytes) -> bytes:
    """A packet with its fixed header; `kind` is the first byte."""
    length, left = b"", len(content)
    while True:
        left, low = left >> 7, left & 0x7F
        length += bytes([low | 0x80 * (left > 0)])
        if not left:
            return bytes([kind]) + length + content


def publish(body: bytes, topic: bytes = b"bio/v1/s1/k1/ack", qos: int = 0, mid: int = 7) -> bytes:
    """A PUBLISH (MQTT 5, 3.3)."""
    number = mid.to_bytes(2, "big") if qos else b""
    return packet(0x30 | qos << 1, len(topic).to_bytes(2, "big") + topic + number + b"\0" + body)
