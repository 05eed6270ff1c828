"""paho's client on a socket that we open, with limits on what a broker may send.

paho reads packets of 256 MiB, keeps messages of QoS 2 in RAM without a limit, and raises its parser's own exceptions.
A broker is a stranger: a packet that is too long, of QoS 2 or unreadable ends the connection.
"""

from collections.abc import Callable
from socket import socket

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.errors import HubError

MAX_PACKET = 64 * 1024  # bytes; an acknowledgement has about 100
RECEIVE_MAXIMUM = 20  # QoS 1 messages that the broker may send without our PUBACK
MAX_UNSENT = 1000  # packets that wait because the broker does not read: more are never needed
QOS_2, QOS_MASK = 0x34, 0xF4  # a PUBLISH of QoS 2, or 3, which is malformed (MQTT 5, 3.3.1)
CONNACK_TYPE = 2
TOO_LARGE, PROTOCOL_ERROR = "Packet too large", "Protocol error"  # reasons of DISCONNECT


class PacketRefused(HubError):
    """The broker sent what it must not send. `reason` is the reason of our DISCONNECT."""

    def __init__(self, text: str, reason: str = PROTOCOL_ERROR) -> None:
        super().__init__(text)
        self.reason = reason


class MqttClient(mqtt.Client):
    """A client for one connection. Its thread calls `step` until that returns False."""

    def __init__(self, name: str, open_socket: Callable[[], socket]) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
        self._open_socket = open_socket
        # With this callback paho writes only in loop(); otherwise publish() would also write, in its caller's thread.
        self.on_socket_register_write = lambda *_: None

    def open(self, host: str, port: int, keepalive_s: int) -> None:
        """Open the socket and send CONNECT with our limits. OSError if that fails."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = MAX_PACKET
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        self.connect(host, port, keepalive_s, clean_start=True, properties=properties)

    def step(self, wait: float) -> bool:
        """Wait up to `wait` seconds, then read, write and call back. False if the connection has ended.

        PacketRefused if the broker sent what it must not send.
        """
        return self.loop(wait) == MQTTErrorCode.MQTT_ERR_SUCCESS

    def refuse(self, reason: str) -> None:
        """Send DISCONNECT with the reason, if the broker reads at once."""
        self.disconnect(ReasonCode(PacketTypes.DISCONNECT, reason))
        self.loop_write()

    def _create_socket(self) -> socket:
        return self._open_socket()

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > MAX_PACKET:  # paho asks for all that is left of the packet
            raise PacketRefused(f"the broker sent a packet of {bufsize} bytes; at most {MAX_PACKET}", TOO_LARGE)
        return super()._sock_recv(bufsize)

    def _packet_handle(self) -> MQTTErrorCode:
        command = self._in_packet["command"]
        if command & QOS_MASK == QOS_2:
            raise PacketRefused("the broker sent a message of QoS 2; we subscribe with QoS 1")
        if len(self._out_packet) > MAX_UNSENT:
            raise PacketRefused("the broker sends but does not read")
        try:
            result = super()._packet_handle()
        except (OSError, HubError):
            raise
        except Exception as error:
            # paho's parser has no error of its own: IndexError, struct.error, UnicodeDecodeError, KeyError and others.
            raise PacketRefused(f"the broker sent an unreadable packet ({type(error).__name__})") from error
        # paho also returns this for a CONNACK that refuses us, which the link reports itself.
        if result == MQTTErrorCode.MQTT_ERR_PROTOCOL and command >> 4 != CONNACK_TYPE:
            raise PacketRefused("the broker sent a packet that has no meaning here")
        return result
