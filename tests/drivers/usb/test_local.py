"""USB devices of this machine: their URLs, what sysfs says of them, and the real libusb under umockdev."""

import subprocess
import sys
from pathlib import Path

import pytest

from drivers.errors import LinkLost
from drivers.transport import parse_usb_url
from drivers.usb.link import UsbIdentity
from drivers.usb.local import _choose
from drivers.usb.sysfs import plugged_in, raw_configuration
from drivers.usb.url import AnyUsbUrl, UsbIpUrl, UsbUrl
from tests.rigs.umockdev import ROOT, command, missing, needs_umockdev

# URLs


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("usb:05ba:000a", UsbUrl(0x05BA, 0x000A)),
        ("usb:05ba:000a?port=1-4.2", UsbUrl(0x05BA, 0x000A, port="1-4.2")),
        ("usb:05ba:000a?serial=A%20B", UsbUrl(0x05BA, 0x000A, serial="A B")),
        ("usbip://192.0.2.7:3241/1-1", UsbIpUrl("192.0.2.7", 3241, "1-1")),
        ("usbip://192.0.2.7/1-4.2", UsbIpUrl("192.0.2.7", 3240, "1-4.2")),
        ("usbip://[2001:db8::7]:3240/1-1", UsbIpUrl("2001:db8::7", 3240, "1-1")),
    ],
)
def test_a_url_names_a_device(text: str, url: AnyUsbUrl) -> None:
    assert parse_usb_url(text) == url
    assert parse_usb_url(str(url)) == url


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("serial:/dev/ttyUSB0", "cannot be at 'serial', only at: usb, usbip"),
        ("pigeon:1", "there is no transport 'pigeon'; there are: usb, usbip"),
        ("usb:05ba", "four hexadecimal digits each"),
        ("usb:05ba:000a?colour=red", "followed by either"),
        ("usb:05ba:000a?port=1-1&serial=A", "followed by either"),
        ("usb:05ba:000a?port=4", "a port is written as bus-port.port"),
        ("usb:05ba:000a?serial=" + "A" * 127, "at most 126"),
        ("usbip://example.org:3240/1-1", "usbip://ADDRESS:PORT/BUSID"),
        ("usbip://192.0.2.7:3240", "usbip://ADDRESS:PORT/BUSID"),
        ("usbip://192.0.2.7:99999/1-1", "usbip://ADDRESS:PORT/BUSID"),
        ("usbip://192.0.2.7:0/1-1", "usbip://ADDRESS:PORT/BUSID"),
    ],
)
def test_a_bad_url_is_refused_with_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        parse_usb_url(text)
    assert complaint in str(caught.value)


# What the kernel says

CONFIGURATIONS = bytes([9, 2, 9, 0, 0, 1, 0, 0, 0]), bytes([9, 2, 12, 0, 0, 2, 0, 0, 0, 3, 0x24, 1])


def plug(devices: Path, port: str, address: int, serial: str = "") -> None:
    folder = devices / port
    folder.mkdir(parents=True)
    told = {
        "idVendor": "05ba", "idProduct": "000a", "bcdDevice": "0102", "busnum": "1", "devnum": str(address),
        "speed": "12",
    }  # fmt: skip
    for name, text in (told | ({"serial": serial} if serial else {})).items():
        (folder / name).write_text(f"{text}\n")
    (folder / "descriptors").write_bytes(bytes(18) + b"".join(CONFIGURATIONS))


def test_devices_are_read_from_sysfs_without_hubs_and_interfaces(tmp_path: Path) -> None:
    plug(tmp_path, "1-4.2", 7, "A1")
    plug(tmp_path, "1-1", 9)
    (tmp_path / "usb1").mkdir()
    (tmp_path / "1-1:1.0").mkdir()
    (tmp_path / "1-9").mkdir()  # on its way out: its files are gone
    first, second = plugged_in(tmp_path)
    assert first.identity == UsbIdentity(0x05BA, 0x000A, "", "1-1", 0x0102, "full")
    assert second.identity == UsbIdentity(0x05BA, 0x000A, "A1", "1-4.2", 0x0102, "full")
    assert str(second.node) == "/dev/bus/usb/001/007"


def test_a_machine_without_usb_has_no_devices(tmp_path: Path) -> None:
    assert not list(plugged_in(tmp_path / "none"))


def test_the_configuration_is_the_active_one_with_all_its_descriptors(tmp_path: Path) -> None:
    plug(tmp_path, "1-1", 9)
    assert raw_configuration("1-1", 1, tmp_path) == CONFIGURATIONS[0]
    assert raw_configuration("1-1", 2, tmp_path) == CONFIGURATIONS[1]
    assert raw_configuration("1-1", 3, tmp_path) == b""
    assert raw_configuration("1-2", 1, tmp_path) == b""


@pytest.mark.parametrize(
    ("query", "port"), [("?port=1-1", "1-1"), ("?port=1-2", "1-2"), ("?serial=A1", "1-1"), ("?serial=B2", "1-2")]
)
def test_of_two_of_a_kind_the_named_one_is_chosen(tmp_path: Path, query: str, port: str) -> None:
    plug(tmp_path, "1-1", 9, "A1")
    plug(tmp_path, "1-2", 8, "B2")
    url = parse_usb_url("usb:05ba:000a" + query)
    assert isinstance(url, UsbUrl)
    assert _choose(url, list(plugged_in(tmp_path))).identity.port == port


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("", "2 such devices"),
        ("?port=1-3", "not plugged in; one with the same ids is at 1-1, 1-2"),
        ("?serial=C3", "not plugged"),
    ],
)
def test_where_the_name_fits_none_or_two_nothing_is_opened(tmp_path: Path, query: str, complaint: str) -> None:
    plug(tmp_path, "1-1", 9, "A1")
    plug(tmp_path, "1-2", 8, "B2")
    url = parse_usb_url("usb:05ba:000a" + query)
    assert isinstance(url, UsbUrl)
    with pytest.raises(LinkLost, match=complaint):
        _choose(url, list(plugged_in(tmp_path)))


def test_where_there_are_several_the_advice_names_one_of_their_ports(tmp_path: Path) -> None:
    for address, port in enumerate(("1-10", "1-4.2", "1-4.2.1"), 7):
        plug(tmp_path, port, address)
    url = parse_usb_url("usb:05ba:000a")
    assert isinstance(url, UsbUrl)
    devices = list(plugged_in(tmp_path))
    with pytest.raises(LinkLost) as caught:
        _choose(url, devices)
    advised = parse_usb_url(f"usb:05ba:000a{str(caught.value).rpartition(' ')[2]}")
    assert isinstance(advised, UsbUrl)
    assert _choose(advised, devices) in devices


# The real libusb: tests/rigs/libusb_child.py runs inside, a function a test


@pytest.fixture(scope="module", name="verdicts")
def _verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One child for all of them: name -> "ok" or what went wrong."""
    if missing():
        return {}
    control = tmp_path_factory.mktemp("libusb") / "control"
    child = command(
        "tests.rigs.usb_machines:echoes", control, sys.executable, "-m", "tests.rigs.libusb_child", str(control)
    )
    done = subprocess.run(child, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    lines = [line.partition("\t") for line in done.stdout.splitlines()]
    return {name: verdict for name, _, verdict in lines} | {"stderr": done.stderr}


@needs_umockdev
@pytest.mark.parametrize(
    "name",
    [
        "devices_are_found_by_port_and_serial_number",
        "every_kind_of_transfer_goes_through",
        "a_megabyte_is_one_transfer",
        "a_refusal_and_a_halt_are_stalls",
        "a_timeout_takes_its_time_and_loses_nothing",
        "cancel_ends_a_read_within_its_limit",
        "cancel_ends_a_request_that_nobody_answers",
        "a_claimed_device_is_taken",
        "messages_in_quick_succession_all_arrive_in_order",
        "unplugging_is_a_lost_link_and_the_device_is_found_again_at_another_address",
        "unplugging_amid_a_transfer_is_a_lost_link",
        "close_ends_every_thread_at_once",
        "a_device_that_comes_and_goes_is_heard_of",
    ],
)
def test_behind_the_real_libusb(verdicts: dict[str, str], name: str) -> None:
    assert verdicts.get(name) == "ok", verdicts["stderr"]


def test_a_configuration_shorter_than_its_own_head_is_none(tmp_path: Path) -> None:
    (tmp_path / "1-1").mkdir()
    (tmp_path / "1-1" / "descriptors").write_bytes(bytes(18) + bytes.fromhex("0902020001010080fa"))
    assert raw_configuration("1-1", 1, tmp_path) == b""
