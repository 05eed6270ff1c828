"""Reads the interfaces and endpoints of a raw configuration descriptor (USB 2.0, chapter 9.6).

A damaged descriptor is read up to the damage, because the rest may not be needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

INTERFACE, ENDPOINT = 4, 5  # descriptor types
INTERFACE_BYTES, ENDPOINT_BYTES = 9, 7
TRANSFER_TYPE = 3  # mask in an endpoint's attributes

InterfaceClass = tuple[int, int, int]
"""Class, subclass and protocol."""

WantedInterface = int | InterfaceClass
"""An interface by its number or by its class."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface, or one alternate setting of it."""

    number: int
    kind: InterfaceClass


def interfaces(configuration: bytes) -> Iterator[Interface]:
    """Yields the interfaces in the order of the descriptor, once for each alternate setting."""
    for descriptor in _descriptors(configuration):
        if descriptor[1] == INTERFACE and len(descriptor) >= INTERFACE_BYTES:
            yield Interface(descriptor[2], (descriptor[5], descriptor[6], descriptor[7]))


def interface_number(configuration: bytes, wanted: WantedInterface) -> int | None:
    """The number of the first interface that is `wanted`; None if there is none; 0 if no interface is described."""
    if isinstance(wanted, int):
        return wanted
    found = list(interfaces(configuration))
    if not found:
        return 0
    return next((interface.number for interface in found if interface.kind == wanted), None)


def endpoint_types(configuration: bytes) -> dict[int, int]:
    """The transfer type of each endpoint, by its address."""
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
