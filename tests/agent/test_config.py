"""The configuration: every key documented, unknown keys refused by name, errors that say what to do."""

import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from agent.config import YEAR_S, Config, Section, load, parse
from agent.errors import ConfigError
from agent.events.event import Payload

EXAMPLE = Path(__file__).parents[2] / "systemd" / "kiosk-agent.toml"

SMALL = """
[kiosk]
site = "s"
name = "k"
[sensors.finger]
driver = "ef01"
url = "serial:/dev/ttyUSB0"
[plan]
steps = [{ sensor = "finger", position = "right_index" }]
"""


def example_with_everything() -> str:
    """The example with its commented keys and tables switched on."""
    return re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", EXAMPLE.read_text(encoding="utf-8"))


def keys_of(model: type[BaseModel], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, field in model.model_fields.items():
        inner = [t for t in _types_in(field.annotation) if isinstance(t, type) and issubclass(t, BaseModel)]
        if not inner:
            found.add(prefix + name)
        for part in inner:
            found |= keys_of(part, f"{prefix}{name}.")
    return found


def _types_in(annotation: object) -> list[object]:
    arguments = getattr(annotation, "__args__", ())
    return [annotation, *(t for a in arguments for t in _types_in(a))]


def keys_in(table: dict[str, Any], model: type[BaseModel], prefix: str = "") -> set[str]:
    """Keys of a TOML table in the form of keys_of: names that a user chooses are left out."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        if name not in table:
            continue
        inner = [t for t in _types_in(field.annotation) if isinstance(t, type) and issubclass(t, BaseModel)]
        if not inner:
            found.add(prefix + name)
            continue
        value = table[name]
        named = "dict" in str(field.annotation)
        children = value.values() if named else value if isinstance(value, list) else [value]
        for child in children:
            found |= keys_in(child, inner[0], f"{prefix}{name}.")
    return found


def test_every_key_is_in_the_example_file() -> None:
    table = tomllib.loads(example_with_everything())
    assert keys_in(table, Config) == keys_of(Config)


def test_the_example_is_good_as_it_is_and_with_everything_switched_on(tmp_path: Path) -> None:
    assert load(EXAMPLE).kiosk.name == "kiosk-17"
    full = tmp_path / "full.toml"
    full.write_text(example_with_everything(), encoding="utf-8")
    assert load(full).agreements["returnees"].recipients == ("hub",)


def test_defaults_in_the_example_are_the_defaults() -> None:
    quiet, loud = parse(EXAMPLE.read_text(encoding="utf-8"), "quiet"), parse(example_with_everything(), "loud")
    examples = {
        "kiosk": set[str](),
        "hub": {"tls", "encryption_key"},
        "watchlist": {"source", "root", "ca", "certificate", "key"},
    }
    for section in ("plan", "policy", "outbox", "models", "local_list"):
        assert getattr(quiet, section) == getattr(loud, section)
    for section, free in examples.items():
        kept = getattr(quiet, section).model_dump(exclude=free)
        assert getattr(loud, section).model_dump(exclude=free) == kept


MISTAKES = {
    "a list from a place without a path": ("[watchlist]\nsource = 'lists'\nroot = '/r'\n", "watchlist: source"),
    "a list in clear text": ("[watchlist]\nsource = 'http://lists.example/'\nroot = '/r'\n", "watchlist: source"),
    "a list from a port that cannot be": (
        "[watchlist]\nsource = 'https://l.example:99999/'\nroot = '/r'\n",
        "watchlist: Port",
    ),
    "a list from an address without a host": (
        "[watchlist]\nsource = 'https:///a'\nroot = '/r'\n",
        "watchlist: is not a host",
    ),
    "a list from an address with a password": (
        "[watchlist]\nsource = 'https://a:b@l.example'\nroot = '/r'\n",
        "watchlist: source: give only",
    ),
    "a certificate without its key": (
        "[watchlist]\nsource = 'https://l.example/'\nroot = '/r'\ncertificate = '/c'\n",
        "a client certificate needs all three",
    ),
    "a list without a root": ("[watchlist]\nsource = 'https://lists.example/'\n", "watchlist: root is missing"),
    "unknown key": ("[policy]\nmin_qualty = 3\n", "unknown key policy.min_qualty"),
    "unknown section": ("[hubb]\n", "unknown key hubb"),
    "a number as text": ("[hub]\nport = '1883'\n", "hub.port"),
    "a number as yes or no": ("[hub]\nkeepalive_s = true\n", "hub.keepalive_s"),
    "yes as text": ("[local_list]\nenabled = 'yes'\n", "local_list.enabled"),
    "a date for a text": ("[hub]\nhost = 2026-01-01\n", "hub.host"),
    "a whole number with a fraction": ("[outbox]\nwindow = 64.0\n", "outbox.window"),
    "a number without end": ("[outbox]\nwindow = " + "9" * 5000 + "\n", "not valid TOML"),
    "tables without end": ("[policy]\nx = " + "[" * 5000 + "]" * 5000 + "\n", "not valid TOML"),
    "wrong type": ("[hub]\nport = 'x'\n", "hub.port"),
    "out of range": ("[hub]\nport = 70000\n", "hub.port"),
    "rate of zero": ("[policy]\nmax_false_positive_identification_rate = 0\n", "max_false_positive"),
    "an endless wait": ("[hub]\nreconnect_max_s = inf\n", "hub.reconnect_max_s"),
    "a wait that is no number": ("[outbox]\nresend_after_s = nan\n", "outbox.resend_after_s"),
    "a wait of a day": ("[hub]\nreconnect_max_s = 86400\n", "hub.reconnect_max_s"),
    "no wait at all": ("[outbox]\nresend_after_s = 1e-9\n", "outbox.resend_after_s"),
    "kept for ever": ("[outbox]\ntelemetry_keep_s = inf\n", "outbox.telemetry_keep_s"),
    "kept longer than a date can say": ("[local_list]\nkeep_s = 1e12\n", "local_list.keep_s"),
    "never stale": ("[policy]\nstale_after_s = 1e300\n", "policy.stale_after_s"),
    "endless doubt": ("[policy]\nuncertain_factor = inf\n", "policy.uncertain_factor"),
    "more on the way than the link holds": ("[outbox]\nwindow = 501\n", "outbox.window"),
    "no host": ("[hub]\nhost = ''\n", "hub.host"),
    "a host with an empty label": ("[hub]\nhost = 'a..b'\n", "hub.host"),
    "a host with too long a label": (f"[hub]\nhost = '{'x' * 64}.org'\n", "hub.host"),
    "an address of the web": ("[hub]\nhost = 'mqtts://hub.example.org'\n", "without scheme and port"),
    "a host with a space": ("[hub]\nhost = 'a b'\n", "hub.host"),
    "not TOML": ("[", "not valid TOML"),
    "agreement without recipients": (
        "[agreements.a]\nprovider='p'\npurpose='x'\nlegal_basis='l'\nrecipients=[]\nkeep_s=1\n",
        "agreements.a.recipients",
    ),
    "the built-in agreement": (
        "[agreements.local-test]\nprovider='p'\npurpose='x'\nlegal_basis='l'\nrecipients=['h']\nkeep_s=1\n",
        "agreements.local-test",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_file(mistake: str) -> None:
    text, named = MISTAKES[mistake]
    with pytest.raises(ConfigError) as refused:
        parse(SMALL + text, "kiosk.toml")
    assert named in str(refused.value)
    assert "kiosk.toml" in str(refused.value)


HOSTS = ("127.0.0.1", "::1", "fe80::1%eth0", "hub", "hub.example.org.", "a_b.local", "bücher.example")


@pytest.mark.parametrize("host", HOSTS)
def test_names_and_addresses_of_hosts_stay_as_they_are(host: str) -> None:
    assert parse(f"{SMALL}[hub]\ninsecure = true\nhost = '{host}'\n", "kiosk.toml").hub.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost.", "broker.localhost"])
def test_a_broker_on_this_computer_needs_no_tls(host: str) -> None:
    assert not parse(f"{SMALL}[hub]\nhost = '{host}'\n", "kiosk.toml").hub.clear_text_on_the_network


@pytest.mark.parametrize("host", ["192.0.2.1", "hub.example.org", "127.1", "localhost.example.org", "fe80::1", "::"])
def test_clear_text_over_the_network_is_refused_unless_the_configuration_says_so(host: str) -> None:
    with pytest.raises(
        ConfigError, match=r"in clear text: add the table \[hub\.tls\], or for a test set insecure = true"
    ):
        parse(f"{SMALL}[hub]\nhost = '{host}'\n", "kiosk.toml")
    assert parse(f"{SMALL}[hub]\nhost = '{host}'\ninsecure = true\n", "kiosk.toml").hub.clear_text_on_the_network
    tls = "[hub.tls]\nca = 'a'\ncertificate = 'b'\nkey = 'c'\n"
    assert not parse(f"{SMALL}[hub]\nhost = '{host}'\n{tls}", "kiosk.toml").hub.clear_text_on_the_network


def test_the_longest_times_are_times_that_can_be_reckoned_with() -> None:
    longest = 100 * YEAR_S
    config = parse(f"{SMALL}[outbox]\ntelemetry_keep_s = {longest}\n[local_list]\nkeep_s = {longest}\n", "kiosk.toml")
    now = datetime.now(UTC)
    assert now - timedelta(seconds=config.outbox.telemetry_keep_s) < now
    assert now + timedelta(seconds=config.local_list.keep_s) > now


@pytest.mark.parametrize("model", [*Section.__subclasses__(), *Payload.__subclasses__()])
def test_no_error_of_a_section_or_a_payload_quotes_what_was_given(model: type[BaseModel]) -> None:
    given = {"surname": "Doe-Sesame", **dict.fromkeys(model.model_fields, "Doe-Sesame")}
    with pytest.raises(ValidationError) as refused:
        model.model_validate(given)
    assert "Doe-Sesame" not in str(refused.value)


PLANS = {
    "no step": ("[]", "plan.steps"),
    "a sensor that is not there": ('[{ sensor = "iris", position = "right_eye" }]', "there are: finger"),
    "an unknown position": ('[{ sensor = "finger", position = "unknown" }]', "which finger or eye"),
    "a finger twice": (
        '[{ sensor = "finger", position = "right_index" }, { sensor = "finger", position = "right_index" }]',
        "repeats right_index",
    ),
}


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_that_cannot_work_is_refused(plan: str) -> None:
    steps, named = PLANS[plan]
    with pytest.raises(ConfigError, match=re.escape(named)):
        parse(re.sub(r"steps = .*", f"steps = {steps}", SMALL), "kiosk.toml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: .*; name another with --config"):
        load(tmp_path / "nowhere.toml")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(path)


@given(st.text())
def test_any_text_is_a_configuration_or_a_clear_error(text: str) -> None:
    try:
        parse(text, "x.toml")
    except ConfigError as error:
        assert "x.toml" in str(error)  # noqa: PT017 - any other exception fails the test


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


@given(site=names, name=names)
def test_names_become_topic_levels_as_they_are(site: str, name: str) -> None:
    text = SMALL.replace('name = "k"', f'name = "{name}"').replace('site = "s"', f'site = "{site}"')
    config = parse(text, "x.toml")
    assert (config.kiosk.site, config.kiosk.name) == (site, name)


@given(st.sampled_from(["a/b", "+", "#", "", "a b", "a\tb", "é", "-a", "x" * 65]))
def test_names_that_would_break_a_topic_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"kiosk\.site"):
        parse(SMALL.replace('"s"', f'"{name}"' if "\t" not in name else '"a\\tb"'), "x.toml")


def test_the_mounting_of_a_sensor_is_an_option_of_its_driver() -> None:
    config = parse(MINIMAL_MOUNTED.format(mounting="rotation = 90\nmirrored = true"), "test")
    assert config.sensors["finger"].all_options == {"rotation": 90, "mirrored": True, "model": "R307"}
    assert parse(MINIMAL_MOUNTED.format(mounting=""), "test").sensors["finger"].all_options == {"model": "R307"}


@pytest.mark.parametrize(
    ("mounting", "complaint"),
    [
        ("rotation = 45", "sensors.finger.rotation"),
        ('rotation = "left"', "sensors.finger.rotation"),
        ("mirrored = 3", "sensors.finger.mirrored"),
        ("rotation = 90\noptions.rotation = 180", "rotation is given twice"),
    ],
)
def test_a_wrong_mounting_is_named(mounting: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse(MINIMAL_MOUNTED.format(mounting=mounting), "test")


MINIMAL_MOUNTED = """
[kiosk]
site = "s"
name = "k"
[sensors.finger]
driver = "ef01"
url = "serial:/dev/null"
options.model = "R307"
{mounting}
[plan]
steps = [{{ sensor = "finger", position = "right_index" }}]
"""
