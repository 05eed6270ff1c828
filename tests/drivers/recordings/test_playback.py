"""A recording, played back to its driver."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.ef01.driver import Ef01
from drivers.errors import LinkLost, ProtocolError, Stalled, TransferTimeout
from drivers.nb1010.driver import Nb1010
from drivers.recordings.playback import PlayedLink, PlayedTransport, Player
from drivers.recordings.recording import TITLE, Line
from drivers.sensor import MountedSensor

LINK = [
    TITLE,
    "driver nb1010",
    "url usb:298d:1010",
    "option ppi=385",
    "0.0 open =",
    "0.1 identity vendor=1 product=2 serial=A%20B port=1-1 bcd_device=3 speed=full =",
    "0.1 configuration = 0902",
]
SERIAL = [TITLE, "driver ef01", "url serial:/dev/ttyFP0?baud=57600", "0.0 open ="]


def link_of(*lines: str) -> tuple[Player, PlayedLink]:
    """The USB link of a recording that goes on with these lines."""
    player = Player([*LINK, *lines])
    link = player.connect()
    assert isinstance(link, PlayedLink)
    return player, link


def transport_of(*lines: str) -> tuple[Player, PlayedTransport]:
    """The transport of a recording that goes on with these lines."""
    player = Player([*SERIAL, *lines])
    transport = player.connect()
    assert isinstance(transport, PlayedTransport)
    return player, transport


def test_the_recorded_driver_is_created_with_its_url_and_options() -> None:
    player = Player(LINK)
    assert isinstance(player.sensor(), Nb1010)
    assert (player.driver, player.url, player.options) == ("nb1010", "usb:298d:1010", {"ppi": "385"})
    assert isinstance(Player(SERIAL).sensor(), Ef01)


def test_every_call_of_a_link_returns_the_recorded_answer() -> None:
    player, link = link_of(
        "1.0 control_in c0 04 0007 0000 2 = aabb",
        "1.1 control_out 40 04 004e 0000 70 =",
        "1.2 claim 1 =",
        "1.3 clear_halt 81 =",
        "1.4 write 02 0102 =",
        "1.5 read 83 64 = cc",
        "1.6 begin_read 83 64 =",
        "1.7 result 83 = dd",
        "1.8 listen 81 64 =",
        "1.9 next 81 = ee",
    )
    assert link.control_in(0xC0, 4, 7, 0, 2) == b"\xaa\xbb"
    link.control_out(0x40, 4, 0x4E, 0, b"\x70")
    link.claim(1)
    link.clear_halt(0x81)
    link.write(2, b"\x01\x02", 1.0)
    assert link.read(0x83, 64, 1.0) == b"\xcc"
    pending = link.begin_read(0x83, 64, 1.0)
    assert pending.result(1.0) == b"\xdd"
    pending.abandon()
    inbox = link.listen(0x81, 64)
    assert inbox.next(1.0) == b"\xee"
    inbox.close()
    link.cancel()
    link.close()
    assert (player.remaining, link.now()) == (0, 1.9)


def test_one_poll_more_than_recorded_takes_its_time_and_brings_nothing() -> None:
    _, link = link_of("1.0 listen 81 64 =", "2.0 write 02 01 =")
    inbox = link.listen(0x81, 64)
    assert inbox.next(0.25) is None
    with pytest.raises(TransferTimeout, match="nothing came"):
        link.read(0x83, 64, 0.5)
    link.pause(0.25)
    assert link.now() == 2.0


def test_a_poll_without_result_that_the_driver_does_not_make_is_skipped() -> None:
    _, link = link_of("1.0 read 83 64 ! TransferTimeout", "2.0 write 02 01 =")
    link.write(2, b"\x01", 1.0)
    assert link.now() == 2.0


def test_another_call_than_the_recorded_one_is_an_error_that_names_both() -> None:
    _, link = link_of("1.0 write 02 01 =")
    with pytest.raises(ProtocolError, match="the driver calls 'write 02 02', the recording has 'write 02 01'"):
        link.write(2, b"\x02", 1.0)


def test_a_call_after_the_end_of_the_recording_is_an_error() -> None:
    _, link = link_of()
    with pytest.raises(ProtocolError, match="the recording has 'the end'"):
        link.claim(1)


def test_a_transport_reads_and_writes_what_was_recorded() -> None:
    player, transport = transport_of("1.0 write ef01 =", "1.5 read = 0102")
    transport.write(b"\xef\x01")
    assert transport.read(1.0) == b"\x01\x02"
    assert transport.read(0.5) == b""
    assert player.now() == 2.0
    transport.cancel()
    transport.close()


def test_a_file_that_is_no_recording_is_refused() -> None:
    with pytest.raises(ValueError, match="not a recording of this version"):
        Player(["some text"])


def test_a_recording_without_its_header_is_refused() -> None:
    with pytest.raises(ValueError, match="the line `driver` or `url` is missing"):
        Player([TITLE, "driver ef01"])


def test_a_device_that_could_not_be_opened_cannot_be_opened_in_the_recording() -> None:
    player = Player([TITLE, "driver nb1010", "url usb:298d:1010", "0.1 open ! LinkLost"])
    with pytest.raises(LinkLost):
        player.sensor().open()


def test_a_damaged_line_is_refused_and_shown() -> None:
    with pytest.raises(ValueError, match=r"not a line of a recording: '0\.1 nonsense'"):
        Player([TITLE, "driver ef01", "url socket://127.0.0.1:1", "0.1 nonsense"])


@pytest.mark.parametrize("error", [TransferTimeout, Stalled])
def test_a_recorded_error_comes_again(error: type[ProtocolError]) -> None:
    identity = "0.0 identity vendor=1 product=2 serial=A%20B bcd_device=3 ="
    lines = [TITLE, "driver x", "url y", "0.0 open =", identity, "0.0 configuration = 0902"]
    link = Player([*lines, f"0.5 read 82 64 ! {error.__name__}"]).connect()
    assert isinstance(link, PlayedLink)
    assert (link.identity.serial, link.identity.bcd_device, link.configuration) == ("A B", 3, b"\x09\x02")
    with pytest.raises(error):
        link.read(0x82, 64, 1.0)
    assert link.now() == 0.5


@given(st.text(max_size=60))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with suppress(ValueError):
        Line.parse(text)


def test_the_mounting_of_a_recorded_sensor_is_that_of_the_recording() -> None:
    lines = [TITLE, "driver nb1010", "url usb:298d:1010", "option rotation=90", "option contact=40"]
    sensor = Player(lines).sensor()
    assert isinstance(sensor, MountedSensor)
    with pytest.raises(ValueError, match="option 'rotation'"):
        Player([*lines[:3], "option rotation=1"]).sensor()
