"""paho's client with limits: what it announces, and that any bytes of a broker give a refusal and nothing else."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import MQTTErrorCode

from agent.hub.mqtt_client import MAX_PACKET, MAX_UNSENT, RECEIVE_MAXIMUM, TOO_LARGE, MqttClient, PacketRefused
from tests.rigs.scripted_broker import CONNACK, NOT_AUTHORIZED, packet, publish


class Rig:
    """A client whose other end is in the hands of the test."""

    def __init__(self) -> None:
        ours, self.broker = socket.socketpair()
        self.client = MqttClient("kiosk:s1:k1", lambda: ours)
        self.client.open("hub", 1883, 30)
        self.client.step(0.0)

    def close(self) -> None:
        self.broker.close()
        self.client._sock_close()

    def take(self, data: bytes, steps: int = 10) -> bool:
        """Send bytes to the client and let it read them. Whether the connection is still there."""
        self.broker.sendall(data)
        return all(self.client.step(0.0) for _ in range(steps))


@pytest.fixture(name="rig")
def _rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


def test_connect_announces_the_limits(rig: Rig) -> None:
    sent = rig.broker.recv(1000)
    assert bytes([0x27, *MAX_PACKET.to_bytes(4, "big")]) in sent  # MQTT 5, 3.1.2.11.4
    assert bytes([0x21, *RECEIVE_MAXIMUM.to_bytes(2, "big")]) in sent  # 3.1.2.11.3


def test_a_message_arrives_and_the_connection_lasts(rig: Rig) -> None:
    arrived: list[bytes] = []
    rig.client.on_message = lambda _, __, message: arrived.append(bytes(message.payload))
    assert rig.take(CONNACK + publish(bytes(MAX_PACKET - 100), qos=1))
    assert [len(body) for body in arrived] == [MAX_PACKET - 100]


def test_a_packet_that_is_too_long_is_refused_from_its_header(rig: Rig) -> None:
    with pytest.raises(PacketRefused, match="a packet of 268435455 bytes") as refused:
        rig.take(b"\x30\xff\xff\xff\x7f")
    assert refused.value.reason == TOO_LARGE
    rig.broker.recv(1000)
    rig.client.refuse(refused.value.reason)
    assert rig.broker.recv(1000)[:3] == bytes([0xE0, 1, 0x95])


@pytest.mark.parametrize("qos", [2, 3])
def test_a_message_of_qos_2_is_refused(rig: Rig, qos: int) -> None:
    with pytest.raises(PacketRefused, match="QoS 2"):
        rig.take(publish(b"{}", qos=qos))


def test_more_answers_than_the_broker_reads_are_refused(rig: Rig) -> None:
    rig.client._out_packet.extend([{}] * (MAX_UNSENT + 1))  # type: ignore[typeddict-item]
    with pytest.raises(PacketRefused, match="does not read"):
        rig.client._packet_handle()
    rig.client._out_packet.clear()


def test_a_refusal_of_the_broker_is_left_to_the_link(rig: Rig) -> None:
    assert not rig.take(NOT_AUTHORIZED)


def test_an_error_of_the_socket_stays_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def reset() -> MQTTErrorCode:
        raise ConnectionResetError

    monkeypatch.setattr(rig.client, "_handle_pingresp", reset)
    with pytest.raises(ConnectionResetError):
        rig.take(packet(0xD0, b""))


@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=200) | st.builds(packet, st.integers(0, 255), st.binary(max_size=60)))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    rig = Rig()
    try:
        rig.take(CONNACK + data)
    except PacketRefused:
        pass
    finally:
        rig.close()
