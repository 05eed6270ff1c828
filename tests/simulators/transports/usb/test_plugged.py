"""The devices that a factory gives to the simulated USB host."""

from simulators.transports.usb.plugged import Device, PluggedDevices
from tests.rigs import usb_machines
from tests.rigs.usb_echo import Echo


def test_a_device_is_plugged_into_the_first_port_at_full_rate_unless_stated() -> None:
    device = Device(Echo())
    assert (device.port, device.bytes_per_s) == ("1-1", None)
    assert not PluggedDevices((device,)).handlers


def test_the_orders_of_one_host_are_not_those_of_another() -> None:
    one, other = PluggedDevices(()), PluggedDevices(())
    assert one.handlers is not other.handlers


def test_two_echoes_are_plugged_into_two_ports_and_an_order_reaches_its_own() -> None:
    plugged = usb_machines.echoes()
    assert [device.port for device in plugged.devices] == ["1-1", "1-2"]
    assert [device.model.description.serial for device in plugged.devices] == list(usb_machines.SERIALS)
    assert set(plugged.handlers) == {"ring"}
