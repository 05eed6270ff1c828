"""Probe and commit: the block of the specification, and answers of a camera that are refused."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import ProtocolError, Stalled
from drivers.uvc.probe_commit import COMMIT, StreamSettings, block_lengths, negotiate
from tests.rigs.uvc_stream import HEIGHT, WIDTH, StreamRig


def answering(block: bytes) -> Callable[[bytes], bytes]:
    """A camera that answers every wish with one block."""

    def answer(wish: bytes) -> bytes:
        assert wish
        return block

    return answer


def test_a_camera_that_wants_endless_payloads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = StreamRig()
    greedy = StreamSettings(1, 1, 333_333, WIDTH * HEIGHT, 0xFFFFFFFF).to_bytes(34)
    monkeypatch.setattr(rig.camera, "_answer", answering(greedy))
    with pytest.raises(ProtocolError, match="wants payloads of 4294967295 bytes"):
        rig.stream.start()


def test_a_camera_that_answers_with_another_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = StreamRig()
    other = StreamSettings(1, 2, 333_333, WIDTH * HEIGHT, 1024).to_bytes(34)
    monkeypatch.setattr(rig.camera, "_answer", answering(other))
    with pytest.raises(ProtocolError, match="offers format 1, frame 2 in place of 1, 1"):
        rig.stream.start()


def test_the_block_of_a_request_is_that_of_the_specification() -> None:
    block = StreamSettings(1, 2, 333_333, 307_200, 16_384).to_bytes(34)
    assert block.hex() == "01000102" + "15160500" + "00" * 10 + "00b00400" + "00400000" + "00" * 8


@given(st.integers(0, 255), st.integers(0, 255), *[st.integers(0, 0xFFFFFFFF)] * 3, st.sampled_from([26, 34, 48]))
def test_what_is_written_is_read(kind: int, frame: int, interval: int, most: int, payload: int, length: int) -> None:
    settings = StreamSettings(kind, frame, interval, most, payload)
    block = settings.to_bytes(length)
    assert len(block) == length
    assert StreamSettings.from_bytes(block) == settings


def test_a_block_that_is_cut_short_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="25 bytes in place of 26"):
        StreamSettings.from_bytes(bytes(25))


def test_the_length_of_a_block_follows_the_version() -> None:
    assert [block_lengths(version) for version in (0x0100, 0x010A, 0x0110, 0x0150)] == [
        (26,), (26,), (34, 26), (48, 34, 26)
    ]  # fmt: skip


class RefusingCamera:
    """A link to a camera that accepts probe blocks of some lengths only, and notes the requests."""

    def __init__(self, *accepted: int) -> None:
        self.accepted = accepted
        self.probed = list[int]()
        self.committed = b""

    def control_out(self, _kind: int, _request: int, value: int, _index: int, data: bytes, _timeout: float) -> None:
        if value == COMMIT:
            self.committed = data
            return
        self.probed.append(len(data))
        if len(data) not in self.accepted:
            raise Stalled("probe")

    def control_in(self, _kind: int, _request: int, _value: int, _index: int, size: int, _timeout: float) -> bytes:
        return StreamSettings(1, 1, 333_333, 307_200, 16_384).to_bytes(size)


def test_a_shorter_block_is_tried_where_the_camera_refuses_that_of_its_version() -> None:
    camera = RefusingCamera(26)
    agreed = negotiate(camera, 1, 0x0150, StreamSettings(1, 1, 333_333))  # type: ignore[arg-type]
    assert camera.probed == [48, 34, 26]
    assert camera.committed == agreed.to_bytes(26)


def test_a_camera_that_refuses_every_block_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match=r"the camera refuses the stream settings of UVC 1\.1"):
        negotiate(RefusingCamera(), 1, 0x0110, StreamSettings(1, 1, 333_333))  # type: ignore[arg-type]


def test_a_camera_of_unknown_version_is_asked_with_every_block() -> None:
    assert block_lengths(0) == (34, 26, 48)
