"""The device and the cable of a simulated USB host, controlled from this process."""

from collections.abc import Iterator

import pytest

from simulators.sensors.common.usb_host import RemoteConnection, RemoteModel
from simulators.transports.remote import RemoteError
from simulators.transports.usb.machine import SimulatedUsbHost
from tests.rigs.umockdev import needs_umockdev

pytestmark = needs_umockdev


@pytest.fixture(name="usb_host")
def _usb_host() -> SimulatedUsbHost:
    return SimulatedUsbHost("simulators.sensors.touch_plugged:nb1010", ["sleep", "60"], lambda _folder: {})


@pytest.fixture(name="connection")
def _connection(usb_host: SimulatedUsbHost) -> Iterator[RemoteConnection]:
    with (connection := RemoteConnection(usb_host)):
        yield connection


@pytest.mark.usefixtures("connection")
def test_a_fault_is_injected_in_the_device_and_cleared(usb_host: SimulatedUsbHost) -> None:
    model = RemoteModel(usb_host)
    assert "stuck" in model.faults.has
    model.inject("silent", times=2)
    assert model.faults.pending() == {"silent": 2}
    model.clear_faults()
    assert model.faults.pending() == {}
    with pytest.raises(RemoteError, match="no fault 'thirst'"):
        model.inject("thirst")


def test_the_cable_is_unplugged_and_plugged_in_again(connection: RemoteConnection) -> None:
    assert not connection.unplugged.is_set()
    connection.unplug_after(0)
    assert connection.unplugged.is_set()
    connection.replug()
    assert not connection.unplugged.is_set()


def test_the_program_ends_with_the_context(usb_host: SimulatedUsbHost) -> None:
    with RemoteConnection(usb_host):
        assert usb_host.running
    assert not usb_host.running
