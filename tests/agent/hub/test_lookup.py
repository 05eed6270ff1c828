"""Looking up a name never keeps the one who asks, and leaves at most one thread behind."""

import socket
import threading

import pytest

from agent.hub import lookup as lookup_module
from agent.hub.lookup import NameLookup
from simulators.polling import wait_until
from tests.rigs.networks import Resolver


def looking_up() -> int:
    return sum(thread.name == "hub name look-up" for thread in threading.enumerate())


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_an_address_needs_no_name_server(monkeypatch: pytest.MonkeyPatch, host: str, family: int) -> None:
    resolver = Resolver(monkeypatch)
    (found,) = NameLookup(host, 1883).addresses(0.0) or []
    assert (found.family, found.place[:2]) == (family, (host, 1883))
    assert resolver.calls == 0


def test_a_name_has_all_its_addresses_in_the_order_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch, [("127.0.0.3", 1883), ("127.0.0.2", 1883)])
    found = NameLookup("hub.example.org", 1883).addresses(5) or []
    assert [address.place for address in found] == [("127.0.0.3", 1883), ("127.0.0.2", 1883)]


def test_silent_name_servers_keep_nobody_and_one_thread_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch)
    lookup = NameLookup("hub.example.org", 1883)
    assert [lookup.addresses(0.01) for _ in range(20)] == [None] * 20
    assert (resolver.calls, looking_up()) == (1, 1)
    resolver.release.set()
    with pytest.raises(socket.gaierror):
        lookup.addresses(5)
    assert wait_until(lambda: looking_up() == 0, 5)


def test_a_late_result_answers_the_next_question(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch)
    lookup = NameLookup("hub.example.org", 1883)
    assert lookup.addresses(0.01) is None
    resolver.release.set()
    assert wait_until(lambda: looking_up() == 0, 5)
    with pytest.raises(socket.gaierror):
        lookup.addresses(0.0)
    assert resolver.calls == 1


def test_a_result_that_is_too_old_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch, [("127.0.0.2", 1883)])
    lookup = NameLookup("hub.example.org", 1883)
    monkeypatch.setattr(lookup_module, "FRESH_S", -1.0)
    assert lookup.addresses(5) is None
    monkeypatch.undo()
    resolver = Resolver(monkeypatch, [("127.0.0.9", 1883)])
    (found,) = lookup.addresses(5) or []
    assert (found.place, resolver.calls) == (("127.0.0.9", 1883), 1)


@pytest.mark.parametrize("name", ["a..b", "x" * 64, ".a"])
def test_what_cannot_be_a_name_is_an_error(name: str) -> None:
    with pytest.raises(OSError, match="is not a host name"):
        NameLookup(name, 1883).addresses(5)
