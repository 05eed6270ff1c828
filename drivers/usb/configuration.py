"""What a raw configuration descriptor says of a device's interfaces and endpoints (USB 2.0, chapter 9.6).

A damaged descriptor is read as far as it goes: a device is not refused for what nobody needs of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

INTERFACE, ENDPOINT = 4, 5  # descriptor types
INTERFACE_BYTES, ENDPOINT_BYTES = 9, 7
TRANSFER_TYPE = 3  # of an endpoint's attributes

InterfaceClass = tuple[int, int, int]
"""Class, subclass and protocol."""

WantedInterface = int | InterfaceClass
"""An interface by its number, or by what it is."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface, its alternate settings apart."""

    number: int
    kind: InterfaceClass


def interfaces(configuration: bytes) -> Iterator[Interface]:
    """In the order of the descriptor; an interface with alternate settings comes as often as it has them."""
    for descriptor in _descriptors(configuration):
        if descriptor[1] == INTERFACE and len(descriptor) >= INTERFACE_BYTES:
            yield Interface(descriptor[2], (descriptor[5], descriptor[6], descriptor[7]))


def interface_number(configuration: bytes, wanted: WantedInterface) -> int | None:
    """The number of the first interface that is `wanted`; None: there is none. What tells nothing has number 0."""
    if isinstance(wanted, int):
        return wanted
    found = list(interfaces(configuration))
    if not found:
        return 0
    return next((interface.number for interface in found if interface.kind == wanted), None)


def endpoint_types(configuration: bytes) -> dict[int, int]:
    """Address -> type of transfer of each endpoint."""
    return {
        descriptor[2]: descriptor[3] & TRANSFER_TYPE
        for descriptor in _descriptors(configuration)
        if descriptor[1] == ENDPOINT and len(descriptor) >= ENDPOINT_BYTES
    }


def _descriptors(configuration: bytes) -> Iterator[bytes]:
    place = 0
    while place + 2 <= len(configuration) and configuration[place] >= 2:
        yield configuration[place : place + configuration[place]]
        place += configuration[place]
