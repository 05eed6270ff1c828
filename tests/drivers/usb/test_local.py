"""USB devices of this machine: which one a URL names, and the real libusb under umockdev."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.errors import DeviceBusy, LinkLost, PermissionDenied, ProtocolError, TransferTimeout, UsbMemoryFull
from drivers.transport import parse_usb_url
from drivers.usb.local import _backend, _choose, find_usb, lasting_url, open_usb
from drivers.usb.sysfs import plugged_in, raw_configuration
from drivers.usb.url import UsbUrl
from tests.rigs.fake_libusb import COMPLETED, FakeLibusb
from tests.rigs.sysfs import plug, plug_behind
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
    advised = parse_usb_url(str(caught.value).rpartition(" ")[2])
    assert isinstance(advised, UsbUrl)
    assert _choose(advised, devices) in devices


def test_after_a_restart_that_renumbers_the_buses_a_path_names_the_same_socket(tmp_path: Path) -> None:
    """Two equal readers; the kernel finds the two controllers in another order."""
    left, right = "pci0000:00/0000:00:14.0", "pci0000:00/0000:03:00.0"
    before, after = tmp_path / "before", tmp_path / "after"
    for root, buses in ((before, (1, 3)), (after, (3, 1))):
        plug_behind(root, left, buses[0], "2", 5)
        plug_behind(root, right, buses[1], "2", 5)
    devices = [list(plugged_in(root / "bus" / "usb" / "devices")) for root in (before, after)]
    for url in map(lasting_url, devices[0]):
        first, second = (_choose(url, found) for found in devices)
        assert str(url) == str(lasting_url(second))
        assert (first.path, first.bus) == (second.path, 4 - second.bus)


def test_a_port_by_its_bus_number_goes_on_working_and_names_the_lasting_url(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = list(plugged_in(plug_behind(tmp_path, "pci0000:00/0000:00:14.0", 1, "4.2", 5)))
    for _ in range(2):
        assert _choose(UsbUrl(0x05BA, 0x000A, port="1-4.2"), found) == found[0]
    (warning,) = caplog.messages
    assert warning.startswith("usb:05ba:000a?port=1-4.2: the number of the bus can change")
    assert warning.endswith("write usb:05ba:000a?path=pci-0000:00:14.0-usb-0:4.2")


# In this process, with a fake libusb


class NoEvents:
    """The event thread: the fake libusb completes its transfers without one."""

    def acquire(self) -> None:
        """Nothing to start."""

    def release(self) -> None:
        """Nothing to stop."""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The device file of the one reader, plugged into 1-1 at address 5."""
    plug(tmp_path / "sys", "1-1", 5)
    monkeypatch.setattr("drivers.usb.sysfs.NODES", tmp_path / "dev")
    monkeypatch.setattr("drivers.usb.local.plugged_in", lambda: plugged_in(tmp_path / "sys"))
    configuration = raw_configuration("1-1", 1, tmp_path / "sys")
    monkeypatch.setattr("drivers.usb.local.raw_configuration", lambda *_: configuration)
    node = tmp_path / "dev" / "001" / "005"
    node.parent.mkdir(parents=True)
    node.touch()
    return node


@pytest.fixture
def library(node: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLibusb:
    del node
    library = FakeLibusb()
    monkeypatch.setattr("drivers.usb.local._backend", lambda: library)
    monkeypatch.setattr("drivers.usb.local._functions", lambda: library)
    monkeypatch.setattr("drivers.usb.local._events", NoEvents)
    return library


READER = UsbUrl(0x05BA, 0x000A)


def later(action: Callable[[], object]) -> threading.Timer:
    """Do it in another thread, as soon as a wait has begun."""
    timer = threading.Timer(0.02, action)
    timer.start()
    return timer


def test_a_read_brings_the_data_and_close_releases_the_device(library: FakeLibusb) -> None:
    link = open_usb(READER)
    timer = later(lambda: library.complete(library.only, COMPLETED, b"ridges"))
    assert link.read(0x81, 64, 5.0) == b"ridges"
    timer.join()
    link.close()
    assert library.done == ["open", "claim 0", "release 0", "close"]


def test_a_kernel_driver_is_detached_and_attached_again_after_all_releases(library: FakeLibusb) -> None:
    library.kernel_drivers = {0, 1}
    link = open_usb(READER)
    link.claim(1)
    link.claim(1)
    link.close()
    claimed = ["detach 0", "claim 0", "detach 1", "claim 1"]
    assert library.done == ["open", *claimed, "release 1", "release 0", "attach 1", "attach 0", "close"]


def test_a_device_without_a_configuration_gets_its_first_one(library: FakeLibusb) -> None:
    library.active_configuration = 0
    open_usb(READER).close()
    assert library.done[:2] == ["open", "configure 1"]


@pytest.mark.parametrize(("code", "error"), [(-6, DeviceBusy), (-3, PermissionDenied), (-1, LinkLost)])
@pytest.mark.parametrize("call", ["open", "claim"])
def test_a_refusal_of_libusb_says_why(library: FakeLibusb, call: str, code: int, error: type[LinkLost]) -> None:
    library.fail[call] = code
    with pytest.raises(LinkLost) as caught:
        open_usb(READER)
    assert type(caught.value) is error
    assert library.done == ([] if call == "open" else ["open", "close"])


def test_a_second_interface_that_is_refused_says_why(library: FakeLibusb) -> None:
    link = open_usb(READER)
    library.fail["claim"] = -6
    with pytest.raises(DeviceBusy, match="another program"):
        link.claim(1)
    link.close()


def test_an_interface_that_the_device_does_not_have_is_a_protocol_error(
    library: FakeLibusb, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyboard = bytes([9, 2, 18, 0, 1, 1, 0, 0, 0, 9, 4, 0, 0, 1, 3, 1, 1, 0])
    monkeypatch.setattr("drivers.usb.local.raw_configuration", lambda *_: keyboard)
    with pytest.raises(ProtocolError, match="has no interface of class"):
        open_usb(READER, (0xFF, 0xFF, 0xFF))
    assert library.done == ["open", "close"]


def test_a_device_that_libusb_no_longer_lists_was_just_unplugged(library: FakeLibusb) -> None:
    library.address = 6
    with pytest.raises(LinkLost, match="just unplugged"):
        open_usb(READER)


@pytest.mark.parametrize(
    ("code", "there", "error"),
    [(-4, True, LinkLost), (-1, False, LinkLost), (-1, True, ProtocolError), (-11, True, UsbMemoryFull)],
)
def test_a_transfer_that_libusb_refuses_says_why(
    library: FakeLibusb,
    node: Path,
    code: int,
    there: bool,  # noqa: FBT001 - a case
    error: type[Exception],
) -> None:
    link = open_usb(READER)
    library.submit_code = code
    if not there:
        node.unlink()
    with pytest.raises(error):
        link.write(0x02, b"x", 1.0)
    link.close()


def test_a_timeout_and_a_close_cancel_what_is_in_flight(library: FakeLibusb) -> None:
    link = open_usb(READER)
    with pytest.raises(TransferTimeout):
        link.read(0x81, 64, 0.0)
    link.begin_read(0x81, 64, 1.0)
    link.close()
    assert library.done.count("cancel") == 2
    assert not library.transfers


def test_a_halt_is_cleared_and_a_failure_of_it_is_only_reported_if_the_device_is_gone(
    library: FakeLibusb, node: Path
) -> None:
    link = open_usb(READER)
    link.clear_halt(0x81)
    assert library.done[-1] == "clear_halt 129"
    library.fail["clear_halt"] = -1
    link.clear_halt(0x81)
    node.unlink()
    library.fail["clear_halt"] = -1
    with pytest.raises(LinkLost, match="unplugged"):
        link.clear_halt(0x81)
    link.close()


def test_every_attached_device_is_listed(node: Path) -> None:
    del node
    assert [(found.vendor, found.port) for found in find_usb()] == [(0x05BA, "1-1")]


def test_without_libusb_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usb.backend.libusb1.get_backend", lambda: None)
    with pytest.raises(LinkLost, match=r"apt install libusb-1\.0-0"):
        _backend.__wrapped__()


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
        "a_claimed_device_is_in_use",
        "messages_in_quick_succession_all_arrive_in_order",
        "unplugging_is_a_lost_link_and_the_device_is_found_again_at_another_address",
        "unplugging_amid_a_transfer_is_a_lost_link",
        "close_ends_every_thread_at_once",
        "plugging_and_unplugging_are_noticed",
    ],
)
def test_behind_the_real_libusb(verdicts: dict[str, str], name: str) -> None:
    assert verdicts.get(name) == "ok", verdicts["stderr"]


LEFT_OPEN = """\
import sys
from drivers.transport import parse_usb_url
from drivers.usb.connect import open_link
link = open_link(parse_usb_url("usb:1209:0001?port=1-1"))
inbox = link.listen(0x81, 64)
sys.exit(7)
"""


@needs_umockdev
def test_a_program_that_ends_while_a_link_is_open_ends_with_its_own_status(tmp_path: Path) -> None:
    child = command("tests.rigs.usb_machines:echoes", tmp_path / "control", sys.executable, "-c", LEFT_OPEN)
    done = subprocess.run(child, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (7, "")
