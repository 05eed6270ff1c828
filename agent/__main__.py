"""kiosk-agent: the daemon and its command line. Each command reads its arguments and the configuration, then runs."""

import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli import console, watchlist_report
from agent.cli.account import acting_as, become_owner, owner_of
from agent.config import Config, load
from agent.control.protocol import ControlClient, NoDaemon
from agent.errors import AgentError, ConfigError
from agent.events.event import Category
from drivers.errors import Cancelled
from drivers.printable import printable, printable_values
from drivers.sample import Position

# onnxruntime and paho are imported only by the commands that need them, so that `status` answers immediately.
# ruff: noqa: PLC0415 - see above

DEFAULT_CONFIG = Path("/etc/kiosk-agent/kiosk-agent.toml")

# Exit statuses. 78 is EX_CONFIG of sysexits(3): systemd and scripts use it to recognise a wrong configuration.
EXIT_FAILED = 1
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130  # after Ctrl-C, as in a shell, or after another signal; the device was closed properly

app = typer.Typer(
    name="kiosk-agent",
    help="Biometric kiosk agent: captures, searches on this kiosk, and delivers leads to the hub. A hit is a lead.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
watchlist_app = typer.Typer(help="The watchlist of this kiosk.", no_args_is_help=True)
app.add_typer(watchlist_app, name="watchlist")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="KIOSK_AGENT_CONFIG", help="Configuration file (TOML).")
]


@app.command()
def run(config: ConfigOption = DEFAULT_CONFIG, *, verbose: bool = False) -> None:
    """Run the daemon: serve travellers until SIGTERM."""
    from agent.daemon import Daemon
    from agent.storage.process_memory import protect_memory

    _log_to_stderr(verbose=verbose)
    loaded = load(config)
    become_owner(loaded.kiosk.state_dir)
    protect_memory()  # now, as a change of the account takes it back
    status = Daemon(loaded).run()
    logging.shutdown()
    # Everything is closed by now; a worker that did not end is in the log. A normal exit of the interpreter with its
    # native libraries would take another second on a busy kiosk.
    os._exit(status)


@app.command("check-config")
def check_config(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Check the configuration without starting anything."""
    from agent.kiosk import check_files, check_parts

    _log_to_stderr(verbose=False)  # the first check after an installation compiles, and takes half a minute
    loaded = load(config)
    with acting_as(owner_of(loaded.kiosk.state_dir)):  # what root may read, the daemon may not be able to
        load(config)
        check_files(loaded)
    check_parts(loaded)  # as root again, who can keep the compiled code with the program
    console.show_checked_config(config, loaded)


@app.command()
def sensors(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show the plugged-in devices and the state of the configured sensors. Exit status 1 if a sensor is not ready."""
    from agent.cli.sensor_check import check_all
    from drivers.inventory import attached_devices

    console.show_attached(attached_devices())
    if not config.exists() and config == DEFAULT_CONFIG:
        return
    loaded = load(config)
    try:
        states = ControlClient(loaded.kiosk.control_socket).ask("status").get("sensors", {})
    except NoDaemon:
        states = check_all(loaded)
    console.show_sensors(loaded, states)
    if any(states.get(name, {}).get("state") != "ready" for name in loaded.sensors):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def capture(
    driver: Annotated[str, typer.Argument(help="The name of a driver, for example ef01.")],
    url: Annotated[str, typer.Argument(help="URL of the device, for example serial:/dev/ttyUSB0?baud=57600.")],
    option: Annotated[list[str] | None, typer.Option(help="key=value for the driver; may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the sample here (PNG); delete it after use.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the person.")] = 20.0,
    *,
    any_frame: Annotated[
        bool, typer.Option("--any-frame", help="Take the next frame of a camera, whether it shows an eye or not.")
    ] = False,
) -> None:
    """Take one sample and show its quality and timing. Opens the device itself: stop the daemon if it uses it."""
    from agent.cli.sensor_check import CaptureRequest, capture_one

    request = CaptureRequest(driver, url, _options(option or []), timeout, out, any_frame)
    try:
        taken = capture_one(request, console.show_line)
    except Cancelled:  # after Ctrl-C, SIGTERM or SIGHUP
        raise typer.Exit(EXIT_INTERRUPTED) from None
    console.show_capture(taken, out)


@app.command("record")
def record_traffic(
    driver: Annotated[str, typer.Argument(help="The name of a driver, for example uru4000.")],
    url: Annotated[str, typer.Argument(help="URL of the device, for example usb:05ba:000a.")],
    out: Annotated[Path, typer.Option(help="Write the recording here (text); delete it after use.")],
    option: Annotated[list[str] | None, typer.Option(help="key=value for the driver; may be repeated.")] = None,
    samples: Annotated[int, typer.Option(min=1, max=100, help="Presentations to record.")] = 1,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for each.")] = 20.0,
) -> None:
    """Record the traffic between a driver and its device, for a test to play back. Opens the device itself."""
    from agent.cli.record import RecordingRequest, record

    request = RecordingRequest(driver, url, _options(option or []), samples, timeout)
    recorded = record(request, out, console.show_line)
    console.show_recording(recorded, request, out)
    if recorded.ended_by:
        raise typer.Exit(EXIT_INTERRUPTED if recorded.interrupted else EXIT_FAILED)


@app.command()
def identify(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Run one encounter now and show the decision. A hit is a lead for people to examine."""
    console.show_identification(_ask(load(config), "identify"))


@app.command()
def enrol(
    config: ConfigOption = DEFAULT_CONFIG,
    samples: Annotated[int, typer.Option(min=1, max=10, help="Good samples to take of each finger or eye.")] = 3,
    position: Annotated[
        list[Position] | None,
        typer.Option(help="Which finger or eye; may be repeated. Default: the first position of the plan."),
    ] = None,
    agreement: Annotated[str, typer.Option(help="The agreement under which the reference is made.")] = "",
    category: Annotated[Category, typer.Option(help="Why the person is listed.")] = Category.LOCAL_TEST,
    reference_id: Annotated[str, typer.Option(help="An id of your own; never a name or a document number.")] = "",
    *,
    into_local_list: Annotated[
        bool, typer.Option("--into-local-list", help="Make it searchable on this kiosk (agreement local-test).")
    ] = False,
) -> None:
    """Make a reference from several good samples and send it to the hub."""
    arguments = {
        "samples": samples,
        "positions": position or [],
        "agreement": agreement,
        "category": category,
        "reference_id": reference_id,
        "into_local_list": into_local_list,
    }
    console.show_enrolment(_ask(load(config), "enrol", arguments))


@watchlist_app.command("status")
def watchlist_status(config: ConfigOption = DEFAULT_CONFIG, *, json: bool = False) -> None:
    """Show each list: revision, age, references, reviews that are overdue, signatures, room on disk and in memory."""
    watchlist_report.show_state(_ask(load(config), "watchlist-status"), as_json=json)


@watchlist_app.command("update")
def watchlist_update(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Fetch what is new in the lists of the providers now. Exit status 1 if a list was refused."""
    if watchlist_report.show_update(_ask(load(config), "watchlist-update")):
        raise typer.Exit(EXIT_FAILED)


@watchlist_app.command("verify")
def watchlist_verify(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Read every list from the disk again. What is damaged there is written again."""
    watchlist_report.show_verification(_ask(load(config), "watchlist-verify"))


@watchlist_app.command("list")
def watchlist_list(
    config: ConfigOption = DEFAULT_CONFIG,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many references to show.")] = 100,
) -> None:
    """Show the references on this kiosk, without templates."""
    watchlist_report.show_references(_ask(load(config), "watchlist", {"limit": limit}))


@watchlist_app.command("explain")
def watchlist_explain(reference_id: str, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show why a reference is on a list, under which agreement, until when, and whether it is searched."""
    watchlist_report.show_explanation(_ask(load(config), "watchlist-explain", {"reference_id": reference_id}))


@watchlist_app.command("remove")
def watchlist_remove(reference_id: str, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Remove a reference of the local list from disk and memory."""
    _ask(load(config), "watchlist-remove", {"reference_id": reference_id})
    console.out.print(f"reference {reference_id} was removed from disk and memory")


@app.command()
def outbox(
    config: ConfigOption = DEFAULT_CONFIG,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many headers to show.")] = 20,
) -> None:
    """Show the events that wait for the hub: headers only."""
    console.show_outbox(_ask(load(config), "outbox", {"limit": limit}))


@app.command()
def status(config: ConfigOption = DEFAULT_CONFIG, *, json: bool = False) -> None:
    """Show the state of the daemon. Exit status 1 if none runs."""
    loaded = load(config)
    console.show_status(ControlClient(loaded.kiosk.control_socket).ask("status"), as_json=json)


@app.command()
def keys(
    config: ConfigOption = DEFAULT_CONFIG,
    file: Annotated[
        Path | None, typer.Option(help="A private key (PEM) that the daemon does not have yet, instead of its own.")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Only the JWK.")] = False,
    for_lists: Annotated[
        bool, typer.Option("--list", help="The key for lists instead, as a JWK: for the providers of encrypted lists.")
    ] = False,
) -> None:
    """Show the public key of this kiosk, for the hub's list of kiosks. Makes no key."""
    from agent.keys import load_kiosk_key, load_kiosk_key_file, load_list_key_file, published_list_key

    if file is not None:
        result = load_list_key_file(file).published() if for_lists else load_kiosk_key_file(file).published()
    else:
        loaded = load(config)
        kiosk = loaded.kiosk
        try:
            result = ControlClient(kiosk.control_socket).ask("keys", {"for_lists": for_lists})
        except NoDaemon:
            with acting_as(owner_of(kiosk.state_dir)):
                if for_lists:
                    result = published_list_key(loaded)
                else:
                    key = load_kiosk_key(kiosk.state_dir, development=kiosk.development_key, create=False)
                    result = key.published()
    console.show_keys(result, as_json=json or for_lists)


@app.command()
def encounter(config: ConfigOption = DEFAULT_CONFIG, *, json: bool = False) -> None:
    """Show the encounters of this kiosk as they happen, until Ctrl-C."""
    with ControlClient(load(config).kiosk.control_socket).watch() as announcements:
        for announcement in announcements:
            console.show_announcement(announcement, as_json=json)


def _ask(config: Config, name: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    """Send a request to the daemon. If none runs, serve it in this process, on the kiosk's stores and sensors."""
    try:
        return ControlClient(config.kiosk.control_socket).ask(name, arguments, console.show_announcement)
    except NoDaemon:
        from agent.standalone import StandaloneKiosk

        become_owner(config.kiosk.state_dir)
        with StandaloneKiosk(config, console.on_announcement) as kiosk:
            return dict(printable_values(kiosk.ask(name, arguments or {})))


def _options(pairs: list[str]) -> dict[str, str]:
    """Parse the key=value pairs of the command line. ConfigError if one is not such a pair."""
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"--option {pair}: write it as key=value")
        options[key] = value
    return options


def _log_to_stderr(*, verbose: bool) -> None:
    """Log lines with a time for a terminal; for the journal with its priorities instead, as it adds the time."""
    level = logging.DEBUG if verbose else logging.INFO
    handler = logging.StreamHandler()
    handler.setFormatter(_JournalFormatter() if "JOURNAL_STREAM" in os.environ else _TERMINAL)
    logging.basicConfig(level=level, handlers=[handler])


class _PrintableFormatter(logging.Formatter):
    """A record has the lines of its format; what it quotes adds none. A traceback has more. All are printable."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.args, tuple):
            shown = [one if isinstance(one, int | float | None) else printable(str(one)) for one in record.args]
            record = logging.makeLogRecord(record.__dict__ | {"args": tuple(shown)})
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name in logging
        record.message = "\n".join(map(printable, record.message.split("\n")))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802 - as in logging
        lines: list[str] = []
        for part in traceback.TracebackException(*ei).format():
            # A frame, which is indented, has several lines. The text of an exception may quote anything: it is one.
            lines += part.rstrip("\n").split("\n") if part.startswith(" ") else [part.strip("\n")]
        return "\n".join(map(printable, lines))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - as in logging
        return "\n".join(map(printable, stack_info.split("\n")))


_TERMINAL = _PrintableFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")


class _JournalFormatter(_PrintableFormatter):
    """`<3>message`: the priority prefix of sd-daemon(3), on every line of a message."""

    PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))

    def format(self, record: logging.LogRecord) -> str:
        priority = next((p for level, p in self.PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).split("\n"))


def main() -> None:
    """Entry point. An error that the user can correct is printed as one message, without a traceback."""
    try:
        app()
    except ConfigError as error:
        print(f"kiosk-agent: {error}", file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    except AgentError as error:
        print(f"kiosk-agent: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
