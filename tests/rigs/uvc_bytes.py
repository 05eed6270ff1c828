"""Descriptors and files of a UVC camera for tests. The first descriptors are written by hand after the UVC standard."""

import io

import numpy as np
from PIL import Image

from drivers.uvc.descriptors import StreamingInterface, streaming_interfaces
from simulators.sensors.uvc.descriptors import UvcSettings, configuration

TAIL = "00001000800000aa00389b71"


def d(text: str) -> bytes:
    """One descriptor: its length, and what is written."""
    body = bytes.fromhex(text)
    return bytes([len(body) + 1]) + body


CLASS_DESCRIPTORS = [
    d("24 01 01 5500 81 00 02 00 00 00 01 00"),  # input header: one format, from endpoint 81
    d("24 06 01 02 01 01 00 00 00 00"),  # format 1: MJPEG, two sizes
    d("24 07 01 00 8002 e001 0000ca08 0000ca08 00100e00 15160500 01 15160500"),  # 640x480, 30 a second
    d("24 07 02 00 e001 4001 0000ca08 0000ca08 00b80400 15160500 01 15160500"),  # 480x320
]


ENDPOINT = d("05 81 02 4000 00")  # 81, bulk, packets of 64 bytes


BEFORE_STREAMS = [
    d("02 0000 02 01 00 80 fa"),
    d("0b 00 02 0e 03 00 00"),  # association: video
    d("04 00 00 00 0e 01 00 00"),  # interface 0: video control
    d("24 01 0001 3300 005a6202 01 01"),  # UVC 1.0
    d("24 02 01 0102 00 00 0000 0000 0000 03 000000"),  # camera
    d("24 03 02 0101 00 01 00"),  # to the host
    d("04 01 00 01 0e 02 00 00"),  # interface 1: video streaming
]


BEHIND_ENDPOINT = b"".join([*BEFORE_STREAMS, ENDPOINT, *CLASS_DESCRIPTORS])


BEFORE_ENDPOINT = b"".join([*BEFORE_STREAMS, *CLASS_DESCRIPTORS, ENDPOINT])


def stream_of(**settings: object) -> tuple[StreamingInterface, ...]:
    return streaming_interfaces(configuration(UvcSettings(**settings)))  # type: ignore[arg-type]


def jpeg(width: int = 64, height: int = 48, mode: str = "L") -> bytes:
    ramp = np.add.outer(np.arange(height), np.arange(width)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(ramp).convert(mode).save(stream, "JPEG", quality=95)
    return stream.getvalue()
