"""Text from outside, at every edge where it comes in: a terminal and the journal get it as one printable line."""

import logging
import queue
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import __main__ as command_line
from agent.cli import console
from agent.config import HubConfig, load, parse
from agent.control.cancellation import CancellationToken
from agent.control.protocol import ControlClient
from agent.errors import AgentError, ConfigError, ControlError
from agent.hub.link import HubLink, _Failure
from agent.sd_notify import Notifier
from agent.storage.database import open_store
from drivers import open_sensor
from drivers.errors import CaptureRetry, LinkLost, Retry, SensorError
from drivers.inventory import AttachedDevice, Availability
from drivers.printable import printable
from drivers.sensor import DeviceInfo
from drivers.usb.link import UsbIdentity
from drivers.usb.sysfs import plugged_in
from drivers.v4l2.abi import _text
from tests.rigs.control_server import running_server
from tests.rigs.store_key import TEST_KEY
from tests.rigs.sysfs import plug

HOSTILE = (
    "\x1b[2J\x1b]52;c;Zm9v\x07",  # clears the screen and writes the clipboard
    "a\n<3>forged line\r",
    "\x9b31m",
    "\u202etxt.\u2066",
    "a\u200b\ufeffb",
    "[bold red]x[/]:1234:",
)


def refusal(work: Callable[[], object]) -> str:
    with pytest.raises((AgentError, SensorError, CaptureRetry, ValueError)) as refused:
        work()
    return str(refused.value)


def of_sysfs(text: str, folder: Path) -> str:
    plug(folder, "1-1", 3, f"x{text}x")
    (device,) = plugged_in(folder)
    return device.identity.serial


def of_control_socket(text: str, folder: Path) -> str:
    def serve(_: str, __: dict[str, Any], ___: CancellationToken) -> dict[str, Any]:
        return {text: [text, {"detail": text}]}

    with running_server(folder / "c.sock", serve):
        return str(ControlClient(folder / "c.sock").ask("status"))


def of_refused_request(text: str, folder: Path) -> str:
    def serve(_: str, __: dict[str, Any], ___: CancellationToken) -> dict[str, Any]:
        raise ControlError(text)

    with running_server(folder / "c.sock", serve):
        return refusal(lambda: ControlClient(folder / "c.sock").ask("status"))


def of_broker(text: str, _: Path) -> str:
    link = HubLink(HubConfig(), "s1", "k1", queue.Queue(), lambda *_: None)
    link._report(_Failure(text))
    return link.reason


def of_device(text: str, _: Path) -> str:
    info = DeviceInfo("ef01", text, text, text, 1, 1, 500.0, 8)
    return f"{info.model}{info.serial}{info.firmware}"


def of_inventory(text: str, _: Path) -> str:
    found = AttachedDevice("camera", f"v4l2:/dev/{text}", ("v4l2",), Availability.FREE, text, text)
    return f"{found.url}{found.detail}{found.remedy}"


def of_configuration(text: str, _: Path) -> str:
    quoted = "".join(f"\\u{ord(c):04x}" for c in text)
    return refusal(lambda: parse(f'[sensors."{quoted}"]\n"{quoted}" = 1', "test")).replace("\n", "")


EDGES: dict[str, Callable[[str, Path], str]] = {
    "sysfs": of_sysfs,
    "a USB identity": lambda text, _: UsbIdentity(1, 2, text, text).serial,
    "what a device reports": of_device,
    "the name of a camera": lambda text, _: _text(text.encode()),
    "an error of a device": lambda text, _: str(LinkLost(text)),
    "a presentation": lambda text, _: str(CaptureRetry(Retry.MOVED, text)),
    "the list of devices": of_inventory,
    "the name of a configuration": lambda text, folder: refusal(lambda: load(folder / text)),
    "a configuration": of_configuration,
    "the name of a store": lambda text, folder: refusal(
        lambda: open_store(folder / text, "x", (), key=TEST_KEY, create=False)
    ),
    "the control socket": of_control_socket,
    "a refused request": of_refused_request,
    "the broker": of_broker,
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_at_every_edge_it_becomes_one_printable_line(edge: str, text: str, tmp_path: Path) -> None:
    shown = EDGES[edge](text, tmp_path)
    assert shown.isprintable(), ascii(shown)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("journal", [True, False])
def test_a_log_record_is_one_line_with_one_priority(
    text: str, journal: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    formatter = command_line._JournalFormatter() if journal else command_line._TERMINAL
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "sensor %s", (text,), None)
    line = formatter.format(record)
    assert line.endswith(f"sensor {printable(text)}")
    assert line.isprintable()


def test_a_traceback_has_lines_but_nothing_else() -> None:
    try:
        raise ValueError("a\x1b[2J")  # noqa: TRY301 - formatted below
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "crashed", (), sys.exc_info())
    lines = command_line._JournalFormatter().format(record).split("\n")
    assert len(lines) > 2
    assert all(line.startswith("<3>") and line.isprintable() for line in lines)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_status_line_is_no_second_message_to_systemd(text: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).status(text)
        assert manager.recv(1000).decode() == f"STATUS={printable(text)}"


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_the_console_shows_it_and_interprets_nothing(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.show_line(f"usb:1234:5678 {text}")
    assert capsys.readouterr().out == f"usb:1234:5678 {printable(text)}\n"


def test_an_error_of_several_lines_keeps_them() -> None:
    assert str(ConfigError("one\n", "two")) == "one\\x0a\ntwo"


def test_an_unknown_driver_is_named_printably() -> None:
    assert refusal(lambda: open_sensor("\x1b[2J", "x")).isprintable()


def test_no_other_module_makes_a_console_of_the_commands() -> None:
    root = Path(command_line.__file__).parent
    makers = [path.name for path in root.rglob("*.py") if "rich" in path.read_text() and "Console(" in path.read_text()]
    assert makers == ["terminal.py"]
