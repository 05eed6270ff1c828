"""What the command line prints. No colours in a pipe; never a template, an image or a score."""

import json as jsonlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

from agent.cli.terminal import BOLD_RED, BOLD_YELLOW, DIM, END, ITALIC, YELLOW, Terminal, begin
from agent.config import Config
from agent.control.protocol import understood
from agent.encounter.announcements import Announcement
from drivers.sample import size_text

if TYPE_CHECKING:
    from agent.cli.record import RecordingRequest, RecordingResult
    from agent.cli.sensor_check import CaptureResult
    from drivers.inventory import AttachedDevice

Json = Mapping[str, Any]

out = Terminal()

COLOURS = {
    "clear": "green",
    "lead": "yellow",
    "refer": "cyan",
    "ready": "green",
    "free": "green",
    "in use": "yellow",
    "no permission": "red",
    "no port": "red",
    "faulty": "red",
    "fault": "red",
    "always_present": "yellow",
    "never_present": "yellow",
    "online": "green",
    "degraded": "yellow",
}


P = ParamSpec("P")


def _of_an_answer(show: Callable[P, None]) -> Callable[P, None]:
    """For a function that shows what a daemon has sent. ControlError if a daemon of this version would not send it."""

    @wraps(show)
    def checked(*arguments: P.args, **options: P.kwargs) -> None:
        with understood():
            show(*arguments, **options)

    return checked


STUCK_S = 60.0  # the connection to the hub makes progress every second


def _coloured(word: str) -> str:
    colour = COLOURS.get(word, "default")
    return f"{begin(f'bold {colour}')}{word}{END}"


def show_checked_config(path: Path, config: Config) -> None:
    """Show a short summary of a valid configuration, and warnings about it."""
    steps = ", ".join(f"{s.position} on {s.sensor}" for s in config.plan.steps)
    out.print(f"{path}: good. Kiosk {config.kiosk.site}/{config.kiosk.name}; {config.plan.direction}: {steps}")
    if config.local_list.enabled:
        out.print(f"{YELLOW}local_list.enabled is on: references made here are searched. For tests only.{END}")
    if config.hub.clear_text_on_the_network:
        out.print(f"{BOLD_RED}hub.insecure is on: events cross the network in clear text. For tests only.{END}")
    elif config.hub.tls is None:
        out.print(f"{YELLOW}hub.tls is not set: events are sent in clear text. For a local broker only.{END}")
    if config.hub.encryption_key is None:
        out.print(f"{YELLOW}hub.encryption_key is not set: enrolments for the hub are refused.{END}")


def show_attached(found: "Sequence[AttachedDevice]") -> None:
    """Show the devices that are plugged in, one row each, and below them how to repair those that cannot be used."""
    if not found:
        out.print("plugged in: no sensor, camera or serial adapter that a driver knows")
        return
    rows = [("plugged in", "driver", "url", "state", "detail")]
    for device in found:
        drivers = " or ".join(device.drivers)
        rows.append((device.name, drivers, device.url, _coloured(device.availability), device.detail))
    out.print_table(*rows)
    for device in found:
        if device.remedy:
            out.print(f"{device.url}: {device.remedy}")


@_of_an_answer
def show_sensors(config: Config, states: Mapping[str, Json]) -> None:
    """Show the configured sensors, one row each."""
    rows = [("sensor", "driver", "where", "state", "detail")]
    for name, sensor in config.sensors.items():
        state = states.get(name, {"state": "closed", "detail": ""})
        rows.append((name, sensor.driver, sensor.url, _coloured(state["state"]), state["detail"]))
    out.print_table(*rows)


def show_capture(capture: "CaptureResult", path: Path | None) -> None:
    """Show size, quality and timing of a sample."""
    sample, quality = capture.sample, capture.quality
    height, width = sample.image.shape
    flaw = f", {quality.flaw}" if quality.flaw else ""
    info = capture.info
    size = size_text(width, height, sample.pixels_per_inch)
    out.print(f"{info.model or info.driver}: {size}, {sample.depth_bits} bit")
    out.print(f"quality {quality.score} of 100{flaw}")
    out.print(f"{capture.waited_s:.2f} s until the sample was taken, {capture.assess_s * 1000:.0f} ms to assess it")
    if path is not None:
        out.print(f"{YELLOW}written to {path}: it contains a real finger or eye; delete it after use{END}")


def show_line(line: str) -> None:
    """Show one line while a command runs."""
    out.print(line)


def show_recording(recording: "RecordingResult", request: "RecordingRequest", path: Path) -> None:
    """Show what is in the file, why it ended early if it did, and what to do with it."""
    name = str(path)
    if recording.ended_by:
        out.print(f"{BOLD_RED}ended early{END}: {recording.ended_by}")
    size = path.stat().st_size / 1024
    out.print(f"{name}: {recording.samples} of {request.samples} samples in {recording.lines} lines, {size:.0f} KiB")
    out.print("play it back in a test:  Player(PATH.read_text().splitlines()).sensor()   (drivers/recordings)")
    contains = "contains" if recording.samples else "may contain part of"
    out.print(
        f"{YELLOW}it {contains} a real finger or eye, not encrypted; only your account can read the file. "
        f"Do not send it, do not commit it, and delete it after use:  rm {shlex.quote(str(path))}{END}"
    )


@_of_an_answer
def show_announcement(announcement: Json, *, as_json: bool = False) -> None:
    """Show one announcement of the daemon in one line."""
    if as_json:
        print(jsonlib.dumps(announcement), flush=True)  # noqa: T201 - the machine-readable form of this command
        return
    line = _FORMATS[announcement["kind"]](announcement)
    if line:
        out.print(line)


def on_announcement(announcement: Announcement) -> None:
    """Show one announcement of a kiosk in this process."""
    show_announcement(announcement.model_dump(mode="json"))


def _traveller_told(a: Json) -> str:
    return f"  to the traveller  {ITALIC}{a['text']}{END}"


def _started(a: Json) -> str:
    return f"encounter {a['encounter_id'][:8]} ({a['direction']})"


def _step(a: Json) -> str:
    quality = "" if a["quality"] is None else f", quality {a['quality']}"
    result = "good" if a["usable"] else "not usable"
    reason = f" ({a['reason']})" if a["reason"] else ""
    times = format_timings(a["timings_ms"])
    return f"  {a['position']}  attempt {a['attempt']}: {result}{quality}{reason}  {DIM}{times}{END}"


def _decided(a: Json) -> str:
    totals = {name: value for name, value in a["timings_ms"].items() if "." not in name}  # steps were shown already
    return f"  decision {_coloured(a['outcome'])}: {format_reason(a['reason'])}  {DIM}{format_timings(totals)}{END}"


_FORMATS = {"told": _traveller_told, "started": _started, "step": _step, "decided": _decided}


def format_timings(milliseconds: Mapping[str, float]) -> str:
    """Name and milliseconds of each step, in the order given."""
    return "  ".join(f"{name} {value:.0f} ms" for name, value in milliseconds.items())


def format_time(text: str, precision: Literal["minutes", "seconds"] = "seconds") -> str:
    """A time of an answer, always in UTC and saying so. What is no time is shown as it is."""
    try:
        time = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return text
    return f"{time.replace(tzinfo=None).isoformat(timespec=precision)} UTC"


def format_reason(reason: Json) -> str:
    """The reason of a decision as text."""
    text = str(reason["code"]).replace("_", " ")
    parts = [f"{reason['references']} references searched"]
    if reason["quality"] is not None:
        parts.append(f"quality {reason['quality']}")
    if reason["missing"]:
        parts.append(f"without {', '.join(reason['missing'])}")
    if reason["list_is_stale"]:
        parts.append("the list is old" if reason["references"] else "there is no list")
    if reason.get("list_expired"):
        parts.append("the signatures of the list have expired")
    if reason.get("clock_in_doubt"):
        parts.append("clock in doubt")
    return f"{text} ({'; '.join(parts)})"


@_of_an_answer
def show_identification(result: Json) -> None:
    """Show a decision and, for a lead, its candidates."""
    out.print(f"{_coloured(result['outcome'])}: {format_reason(result['reason'])}")
    for c in result["candidates"]:
        rate = f"{c['false_match_rate']:.1e}"
        out.print(
            f"  {c['rank']}. reference {c['reference_id']}  {c['category']}, for {c['handling']}  "
            f"false match rate {rate}  agreement {c['agreement']}"
        )
        said = [f"instruction {c['instruction']}"] if c.get("instruction") else []
        said += ["positions swapped: similar with left and right exchanged"] if c.get("positions_swapped") else []
        if said:
            out.print(f"     {'; '.join(said)}")
    if result["candidates"]:
        out.print("A lead is for people to examine, never a verdict.")


@_of_an_answer
def show_enrolment(result: Json) -> None:
    """Show the reference that was made."""
    where = "searchable on this kiosk" if result["searchable_here"] else "not searchable on this kiosk"
    quality = ", ".join(f"{position} {score}" for position, score in result["quality"].items())
    out.print(f"reference {result['reference_id']}: {where}, agreement {result['agreement']}")
    out.print(f"quality {quality}; expires {format_time(result['expires_at'], 'minutes')}")
    if not result["sealed"]:
        out.print(f"{YELLOW}The hub gets no templates: hub.encryption_key is not configured.{END}")


@_of_an_answer
def show_outbox(result: Json) -> None:
    """Show the headers of the events that wait."""
    waiting = {c: n for c, n in result["waiting"].items() if n}
    total = sum(waiting.values())
    out.print(f"{total} events wait for the hub" + "".join(f"; {n} {c}" for c, n in waiting.items()))
    _show_held(result)
    for event in result["events"]:
        tombstone = f" ({event['tombstone']})" if event["tombstone"] else ""
        out.print(f"  {event['key']}  {event['time']}  {event['bytes']} bytes{tombstone}")


def _show_held(result: Json) -> None:
    for held in result.get("held", []):
        out.print(
            f"{YELLOW}{held['class']} {held['sequence']} waits because the hub cannot verify it: {held['reason']}{END}"
        )


@_of_an_answer
def show_keys(result: Json, *, as_json: bool) -> None:
    """Show the public key of the kiosk: as JSON the JWK alone, for a file."""
    jwk = jsonlib.dumps(dict(result["jwk"]))
    if as_json:
        print(jwk)  # noqa: T201 - the machine-readable form of this command
        return
    out.print(f"key id  {result['kid']}")
    out.print(jwk)
    for line in result["pem"].replace("\\x0a", "\n").strip().split("\n"):  # its lines were made printable as one text
        out.print(line)


@_of_an_answer
def show_status(result: Json, *, as_json: bool) -> None:
    """Show the state of the daemon."""
    if as_json:
        print(jsonlib.dumps(result))  # noqa: T201 - the machine-readable form of this command
        return
    hub = result["hub"]
    out.print(f"kiosk {result['site']}/{result['kiosk']} {_coloured(result['status'])}, version {result['version']}")
    out.print(f"up {timedelta(seconds=int(result['uptime_s']))}, {result['encounters']} encounters")
    out.print(f"models: {', '.join(result['models'])}")
    for name, sensor in result["sensors"].items():
        out.print(
            f"sensor {name}: {_coloured(sensor['state'])} {sensor['detail']}, since {format_time(sensor['since'])}"
        )
    why = f" ({hub['reason']})" if hub.get("reason") else ""
    away = f"not connected{why}; events wait in the outbox"
    out.print(f"hub {hub['address']}: {'connected' if hub['connected'] else away}")
    for problem in result.get("problems", []):
        out.print(f"{BOLD_RED}{problem}{END}")
    if hub.get("clear_text"):
        out.print(f"{BOLD_RED}CLEAR TEXT: events cross the network without TLS (hub.insecure). For tests only.{END}")
    if hub.get("silent_s", 0.0) > STUCK_S:
        out.print(f"{BOLD_RED}hub: the connection has made no progress for {hub['silent_s']:.0f} s: see the log{END}")
    for kind, count in hub.get("refused", {}).items():
        out.print(f"{YELLOW}hub: refused {count} {kind}{END}")
    out.print(f"outbox: {sum(result['outbox_pending'].values())} events wait")
    _show_held(result)
    listed = result["watchlist"]
    if listed:
        age = f"confirmed {format_time(listed['confirmed_at'])}" if listed["confirmed_at"] else "never confirmed"
        out.print(f"watchlist: {result['references']} references, revision {listed['revision']}, {age}")
    if result.get("clock_doubt"):
        out.print(f"{YELLOW}clock in doubt: {result['clock_doubt']}{END}")
    if result["local_list"]:
        out.print(f"{BOLD_YELLOW}LOCAL LIST ON: references made on this kiosk are searched. For tests only.{END}")
