"""What the command line prints: every fact of an answer, warnings where they are due, and no markup of others."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.cli import console
from agent.cli.record import RecordingRequest, RecordingResult
from agent.cli.sensor_check import CaptureResult
from agent.encounter.announcements import TravellerMessage
from agent.errors import ControlError
from drivers.inventory import AttachedDevice, Availability
from drivers.sample import Modality, Position, Sample
from drivers.sensor import DeviceInfo
from models.encoder import Flaw, Quality
from tests.rigs.simulated_kiosk import config_of

Printed = Callable[[], str]
REASON = {"code": "no_candidate", "references": 3, "quality": 61, "missing": [], "list_is_stale": False}


@pytest.fixture(name="printed")
def _printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """What was printed since the last call."""
    return lambda: capsys.readouterr().out


def test_a_configuration_is_summed_up_with_its_warnings(tmp_path: Path, printed: Printed) -> None:
    console.show_checked_config(Path("k.toml"), config_of(tmp_path))
    text = printed()
    assert "k.toml: good. Kiosk s1/k1; entry: right_index on finger" in text
    for key in ("local_list.enabled is on", "hub.tls is not set", "hub.encryption_key is not set"):
        assert key in text


def test_devices_are_listed_with_what_makes_them_usable(printed: Printed) -> None:
    console.show_attached([])
    assert "no sensor, camera or serial adapter" in printed()
    url, reason = "serial:/dev/ttyUSB0", "held by another"
    device = AttachedDevice("CP2102 [x]", url, ("ef01", "sfm"), Availability.NO_PERMISSION, reason, "run this")
    console.show_attached([device])
    text = printed()
    assert "CP2102 [x]" in text
    assert "ef01 or sfm" in text
    assert "serial:/dev/ttyUSB0: run this" in text


def test_a_sensor_without_a_state_is_closed(tmp_path: Path, printed: Printed) -> None:
    config = config_of(tmp_path)
    console.show_sensors(config, {"finger": {"state": "fault", "detail": "unplugged [/bold]"}})
    assert "unplugged [/bold]" in printed()
    console.show_sensors(config, {})
    assert "closed" in printed()


@pytest.mark.parametrize("flaw", [None, Flaw.TOO_DRY])
def test_a_sample_is_shown_without_its_pixels(printed: Printed, flaw: Flaw | None) -> None:
    image = np.zeros((288, 256), np.uint8)
    sample = Sample(Modality.FINGER, Position.UNKNOWN, image, 4, 500.0, datetime.now(UTC), "ef01")
    info = DeviceInfo("ef01", "R307 [optical]", "", "", 256, 288, 500.0, 4)
    console.show_line("put a finger [on it]")
    console.show_capture(CaptureResult(info, sample, Quality(61, flaw), 1.25, 0.012), Path("x.png"))
    lines = printed().splitlines()
    assert lines[:4] == [
        "put a finger [on it]",
        "R307 [optical]: 256x288 at 500 ppi, 4 bit",
        f"quality 61 of 100{', too_dry' if flaw else ''}",
        "1.25 s until the sample was taken, 12 ms to assess it",
    ]
    assert lines[4].startswith("written to x.png: it contains a real finger or eye; delete it after use")


@pytest.mark.parametrize(("samples", "ended_by"), [(2, ""), (0, "nobody came")])
def test_a_recording_is_shown_with_how_to_play_and_delete_it(
    tmp_path: Path, printed: Printed, samples: int, ended_by: str
) -> None:
    path = tmp_path / "my finger"
    path.write_text("x" * 3000)
    request = RecordingRequest("nb1010", "usb:298d:1010", {}, 2, 1.0)
    console.show_recording(RecordingResult(samples, 40, ended_by), request, path)
    text = printed()
    assert ("ended early: nobody came" in text) == bool(ended_by)
    assert f"{samples} of 2 samples in 40 lines, 3 KiB" in text
    assert f"rm '{path}'" in text


ANNOUNCEMENTS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "told", "text": "Please place [it]"}, "to the traveller  Please place [it]"),
    ({"kind": "started", "encounter_id": "0123456789", "direction": "entry"}, "encounter 01234567 (entry)"),
    (
        {"kind": "step", "position": "right_index", "attempt": 2, "usable": False, "quality": 12, "reason": "too_dry",
         "timings_ms": {"capture": 812.4}},
        "right_index  attempt 2: not usable, quality 12 (too_dry)  capture 812 ms",
    ),
    (
        {"kind": "step", "position": "right_index", "attempt": 1, "usable": True, "quality": None, "reason": "",
         "timings_ms": {}},
        "right_index  attempt 1: good",
    ),
    (
        {"kind": "decided", "outcome": "clear", "reason": REASON, "timings_ms": {"search": 3.0, "capture.x": 9.0}},
        "decision clear: no candidate (3 references searched; quality 61)  search 3 ms",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("announcement", "line"), ANNOUNCEMENTS, ids=[f"{a['kind']}" for a, _ in ANNOUNCEMENTS])
def test_an_announcement_is_one_line(announcement: dict[str, Any], line: str, printed: Printed) -> None:
    console.show_announcement(announcement)
    text = printed()
    assert line in text
    assert text.count("\n") == 1
    console.show_announcement(announcement, as_json=True)
    assert json.loads(printed()) == announcement


def test_an_announcement_of_this_process_is_shown_in_the_same_way(printed: Printed) -> None:
    console.on_announcement(TravellerMessage(key="proceed", text="Thank you."))
    assert "to the traveller  Thank you." in printed()


def test_a_reason_names_what_is_missing_and_an_old_list() -> None:
    reason = REASON | {"quality": None, "missing": ["left_index"], "list_is_stale": True}
    assert console.format_reason(reason) == "no candidate (3 references searched; without left_index; the list is old)"


def test_a_lead_is_shown_with_its_candidates_and_called_no_verdict(printed: Printed) -> None:
    candidate = {
        "rank": 1, "reference_id": "r-[1]", "category": "missing", "handling": "protection", "false_match_rate": 1.2e-7,
        "agreement": "a-1",
    }  # fmt: skip
    console.show_identification({"outcome": "lead", "reason": REASON, "candidates": [candidate]})
    text = printed()
    assert "1. reference r-[1]  missing, for protection  false match rate 1.2e-07  agreement a-1" in text
    assert "never a verdict" in text
    console.show_identification({"outcome": "clear", "reason": REASON, "candidates": []})
    assert "verdict" not in printed()


@pytest.mark.parametrize("sealed", [True, False])
def test_an_enrolment_says_whether_the_hub_gets_templates(printed: Printed, sealed: object) -> None:
    made = {
        "reference_id": "r-1", "agreement": "local-test", "searchable_here": sealed, "quality": {"right_index": 70},
        "expires_at": "2026-01-02T12:00:00+00:00", "sealed": sealed,
    }  # fmt: skip
    console.show_enrolment(made)
    text = printed()
    assert ("not searchable on this kiosk" in text) == ("The hub gets no templates" in text) == (not sealed)
    assert "quality right_index 70; expires 2026-01-02T12:00" in text


def test_the_outbox_is_shown_as_headers(printed: Printed) -> None:
    event = {"key": "k1/0/health/3", "time": "2026-01-02T12:00:00+00:00", "bytes": 0, "tombstone": "expired"}
    console.show_outbox({"waiting": {"lead": 0, "health": 1}, "events": [event]})
    assert printed().splitlines() == [
        "1 events wait for the hub; 1 health",
        "  k1/0/health/3  2026-01-02T12:00:00+00:00  0 bytes (expired)",
    ]


@pytest.mark.parametrize("well", [True, False])
def test_a_status_shows_what_an_operator_must_know(printed: Printed, well: object) -> None:
    now = datetime(2026, 1, 2, 12, tzinfo=UTC).isoformat()
    status = {
        "site": "s1", "kiosk": "k1", "status": "online" if well else "degraded", "version": "1.0", "uptime_s": 61.0,
        "encounters": 7, "models": ["leader"],
        "sensors": {"finger": {"state": "ready", "detail": "R307", "since": now}},
        "hub": {"address": "hub:1883", "connected": well}, "outbox_pending": {"lead": 1, "health": 2}, "references": 5,
        "watchlist": {"revision": 3, "confirmed_at": now if well else None}, "local_list": not well,
    }  # fmt: skip
    console.show_status(status, as_json=False)
    text = printed()
    assert "up 0:01:01, 7 encounters" in text
    assert "sensor finger: ready R307, since 2026-01-02T12:00:00" in text
    assert "outbox: 3 events wait" in text
    assert ("hub hub:1883: connected" in text) == well
    assert (
        ("events wait in the outbox" in text) == ("LOCAL LIST ON" in text) == ("never confirmed" in text) == (not well)
    )
    console.show_status(status | {"watchlist": None}, as_json=True)
    assert json.loads(printed())["kiosk"] == "k1"


HELD = {"class": "enrolment", "sequence": 3, "reason": "give it [this]"}


def test_what_the_hub_refuses_and_what_is_refused_of_it_is_shown(printed: Printed) -> None:
    hub = {"address": "hub:1883", "connected": True, "clear_text": True, "refused": {"packets": 7}, "silent_s": 99.0}
    status = {
        "site": "s1", "kiosk": "k1", "status": "online", "version": "1.0", "uptime_s": 61.0, "encounters": 7,
        "models": [], "sensors": {}, "hub": hub, "outbox_pending": {}, "references": 5, "watchlist": None,
        "local_list": False, "held": [HELD],
    }  # fmt: skip
    console.show_status(status, as_json=False)
    text = printed()
    for fact in ("CLEAR TEXT", "hub: refused 7 packets", "no progress for 99 s", "enrolment 3 waits", "give it [this]"):
        assert fact in text
    console.show_outbox({"waiting": {"enrolment": 1}, "events": [], "held": [HELD]})
    assert "because the hub cannot verify it: give it [this]" in printed()


def test_the_public_key_is_shown_in_each_form(printed: Printed) -> None:
    key = {"kid": "k-1", "jwk": {"kty": "OKP", "x": "abc"}, "pem": "-----BEGIN PUBLIC KEY-----\n"}
    console.show_keys(key, as_json=False)
    assert printed().splitlines() == ["key id  k-1", '{"kty": "OKP", "x": "abc"}', "-----BEGIN PUBLIC KEY-----"]
    console.show_keys(key, as_json=True)
    assert json.loads(printed()) == key["jwk"]


ANSWERS = (
    console.show_announcement,
    console.show_identification,
    console.show_enrolment,
    console.show_outbox,
    lambda answer: console.show_status(answer, as_json=False),
)
FALSE: tuple[dict[str, Any], ...] = (
    {},
    {"kind": "x"},
    {"events": 7, "waiting": 7},
    {"references": [{}], "revision": 1, "age_s": "x"},
    {"hub": []},
)


@pytest.mark.parametrize("show", ANSWERS)
@pytest.mark.parametrize("answer", FALSE)
def test_an_answer_of_a_false_daemon_is_an_error_for_the_operator(
    show: Callable[[dict[str, Any]], None], answer: dict[str, Any]
) -> None:
    with pytest.raises(ControlError, match="an invalid answer"):
        show(answer)


def test_a_time_says_that_it_is_utc_and_what_is_no_time_is_shown_as_it_is() -> None:
    assert console.format_time("2026-01-02T12:00:00.25+02:00") == "2026-01-02T10:00:00 UTC"
    assert console.format_time("2026-01-02T12:00:59+00:00", "minutes") == "2026-01-02T12:00 UTC"
    assert console.format_time("") == ""


def test_a_list_that_never_was_is_not_called_old() -> None:
    reason = REASON | {"references": 0, "list_is_stale": True}
    assert console.format_reason(reason).endswith("there is no list)")
