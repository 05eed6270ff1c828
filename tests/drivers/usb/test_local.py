"""USB devices of this machine: which one a URL names, and the real libusb under umockdev."""

import subprocess
import sys
from pathlib import Path

import pytest

from drivers.errors import LinkLost
from drivers.transport import parse_usb_url
from drivers.usb.local import _choose
from drivers.usb.sysfs import plugged_in
from drivers.usb.url import UsbUrl
from tests.rigs.sysfs import plug
from tests.rigs.umockdev import ROOT, command, missing, needs_umockdev

# Which device a URL names


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
