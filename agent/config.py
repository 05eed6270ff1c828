"""Reads the configuration (TOML) into frozen values. All defaults are here; systemd/kiosk-agent.toml has all keys."""

import json
import os
import re
import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.errors import ConfigError
from agent.events.event import Direction
from agent.storage.owned_files import account_name
from drivers.sample import Position

Fraction = Annotated[float, Field(gt=0, lt=1)]
Percent = Annotated[int, Field(ge=0, le=100)]

YEAR_S = 31_557_600.0
# A time to wait. Less than 0.01 s would be a busy loop; more than an hour is probably a mistake.
Seconds = Annotated[float, Field(ge=0.01, le=3600, allow_inf_nan=False)]
# How long something is kept or valid. The limit keeps times within the range of datetime.
RetentionSeconds = Annotated[float, Field(gt=0, le=100 * YEAR_S, allow_inf_nan=False)]
MAX_WINDOW = 500  # events of one class in flight; the hub link's queue in RAM has room for them
# One level of an MQTT topic, a part of an event key, a file name: no slash, no wildcard, no space.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


def _host(text: str) -> str:
    """Check that a text is a host name or an address. A name is resolved only when it is used."""
    try:
        known = re.fullmatch(rb"[\w.:%-]+", text.encode("idna"))  # refuses empty labels and labels over 63
    except UnicodeError:
        known = None
    if known is None:
        raise ValueError("is not a host name or address: give one without scheme and port, such as hub.example.org")
    return text


Host = Annotated[str, AfterValidator(_host)]


def is_this_computer(host: str) -> bool:
    """Whether a host name or address is a loopback one. Without a look-up: other names may change their address."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Section(BaseModel):
    """Base of all sections: frozen, refuses unknown keys, and its errors quote no values."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class KioskConfig(Section):
    """The identity of this kiosk, and the places of its stores and its control socket."""

    site: Name
    name: Name
    state_dir: Path = Path("/var/lib/kiosk-agent")
    control_socket: Path = Path("/run/kiosk-agent/control.sock")
    control_group: str = ""  # empty: none
    development_key: bool = False

    @property
    def identity(self) -> str:
        """What tells this kiosk from all others: its stores are bound to it."""
        return f"{self.site}/{self.name}"


class SensorConfig(Section):
    """One sensor: a row of drivers.SENSORS, the URL of the device, and options for this unit."""

    driver: str
    url: str
    options: dict[str, str | int | float | bool] = {}
    rotation: Literal[0, 90, 180, 270] = 0
    mirrored: bool = False

    @property
    def all_options(self) -> dict[str, str | int | float | bool]:
        """The options of the driver, and those of the mounting, which every driver has."""
        mounting = {"rotation": self.rotation, "mirrored": self.mirrored}
        return {name: value for name, value in mounting.items() if value} | self.options

    @model_validator(mode="after")
    def _check_mounting(self) -> Self:
        for name in ("rotation", "mirrored"):
            if name in self.options and name in self.model_fields_set:
                raise ValueError(f"{name} is given twice: remove it from options")
        return self


class Step(Section):
    """One sample of the plan."""

    sensor: str
    position: Position


class PlanConfig(Section):
    """What an encounter captures, in order. Steps on different sensors run at the same time."""

    direction: Direction = Direction.ENTRY
    steps: tuple[Step, ...] = Field(min_length=1)
    attempts: int = Field(default=3, ge=1, le=10)
    step_timeout_s: Seconds = 20.0


class PolicyConfig(Section):
    """When the kiosk reports a lead, asks for another sample, or refers. Error rates, never raw scores."""

    max_false_positive_identification_rate: Fraction = 0.001
    uncertain_factor: float = Field(default=10.0, ge=1, le=1e6, allow_inf_nan=False)
    min_quality: Percent = 20
    good_quality: Percent = 50
    candidates: int = Field(default=5, ge=1, le=100)
    stale_after_s: RetentionSeconds = 86_400.0
    when_stale: Literal["continue", "refer"] = "continue"
    expired_list_hours: float = Field(default=72.0, ge=0, le=24 * 366, allow_inf_nan=False)
    swapped_positions: bool = False
    min_enrolment_quality: Percent = 40


class TlsConfig(Section):
    """Mutual TLS to the broker. Private keys come from files that only the agent's account can read."""

    ca: Path
    certificate: Path
    key: Path


class HubConfig(Section):
    """The broker and the hub that receive the events."""

    host: Host = "127.0.0.1"
    port: int = Field(default=1883, ge=1, le=65_535)
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    reconnect_max_s: Seconds = 60.0
    recipient: Name = "hub"
    tls: TlsConfig | None = None
    insecure: bool = False
    encryption_key: Path | None = None

    @property
    def clear_text_on_the_network(self) -> bool:
        """Whether events leave this computer without TLS. The configuration must say so."""
        return self.tls is None and not is_this_computer(self.host)

    @model_validator(mode="after")
    def _check_clear_text(self) -> Self:
        if self.clear_text_on_the_network and not self.insecure:
            raise ValueError(
                f"events would go to {self.host} over the network in clear text: add the table [hub.tls], "
                "or for a test set insecure = true"
            )
        return self


class OutboxConfig(Section):
    """How events are kept on disk until the hub has acknowledged them."""

    window: int = Field(default=64, ge=1, le=MAX_WINDOW)
    resend_after_s: Seconds = 10.0
    telemetry_keep_s: RetentionSeconds = 7 * 86_400.0
    max_bytes: int = Field(default=512 * 1024 * 1024, ge=64 * 1024, le=1 << 44)


class PresenceConfig(Section):
    """When a sensor is reported that always or never sees a finger or an eye. `unused_after_s` = 0: not for that."""

    always_after_s: Seconds = 60.0
    never_after_s: RetentionSeconds = 4 * 3600.0
    unused_after_s: float = Field(default=86_400.0, ge=0, le=100 * YEAR_S, allow_inf_nan=False)


class ModelsConfig(Section):
    """The networks that make templates, and their threads."""

    threads: int = Field(default=2, ge=1, le=64)
    finger: Literal["leader", "leader-student"] = "leader"


class LocalListConfig(Section):
    """Whether `enrol --into-local-list` may make a reference searchable on this kiosk (agreement local-test)."""

    enabled: bool = False
    keep_s: RetentionSeconds = 86_400.0


class WatchlistConfig(Section):
    """Where the signed lists of the providers come from. Without a source the kiosk searches only the local list."""

    source: str = Field(default="", max_length=1024)
    root: Path | None = None
    name: Name = "main"
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    require_sealed: bool = False
    check_every_s: RetentionSeconds = 60.0
    delete_after_s: RetentionSeconds = 86_400.0

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if not self.source:
            return self
        url = urlsplit(self.source)
        if "://" in self.source:
            _host(url.hostname or "")
            if "@" in url.netloc or url.query or url.fragment or url.port == 0:
                raise ValueError(
                    "source: give only host, port and folder, such as https://lists.example.org:8443/public"
                )
        here = url.scheme == "http" and is_this_computer(url.hostname or "")
        if not (self.source.startswith("/") or url.scheme == "https" or here):
            raise ValueError("source: give a folder with its whole path, or an address that begins with https://")
        if {self.certificate, self.key} != {None} and None in (self.ca, self.certificate, self.key):
            raise ValueError("a client certificate needs all three: ca, certificate and key")
        if self.root is None:
            raise ValueError("root is missing: the file root.json that the operator of the lists has given you")
        return self


class AgreementConfig(Section):
    """Why a reference may be made, for whom, and for how long. Without an agreement nothing is stored or sent."""

    provider: str = Field(min_length=1)
    purpose: str = Field(min_length=1)
    legal_basis: str = Field(min_length=1)
    recipients: tuple[Name, ...] = Field(min_length=1)
    keep_s: RetentionSeconds


class Config(Section):
    """The whole file."""

    kiosk: KioskConfig
    sensors: dict[Name, SensorConfig] = Field(min_length=1)
    plan: PlanConfig
    policy: PolicyConfig = PolicyConfig()
    hub: HubConfig = HubConfig()
    outbox: OutboxConfig = OutboxConfig()
    presence: PresenceConfig = PresenceConfig()
    models: ModelsConfig = ModelsConfig()
    local_list: LocalListConfig = LocalListConfig()
    watchlist: WatchlistConfig = WatchlistConfig()
    agreements: dict[Name, AgreementConfig] = {}

    @model_validator(mode="after")
    def _check_steps(self) -> Self:
        known = ", ".join(sorted(self.sensors))
        for number, step in enumerate(self.plan.steps, 1):
            if step.sensor not in self.sensors:
                raise ValueError(f"plan.steps: step {number} names sensor {step.sensor!r}; there are: {known}")
            if step.position is Position.UNKNOWN:
                raise ValueError(f"plan.steps: step {number} must say which finger or eye")
            if any(step.position is earlier.position for earlier in self.plan.steps[: number - 1]):
                raise ValueError(f"plan.steps: step {number} repeats {step.position}")
        return self

    @model_validator(mode="after")
    def _check_agreements(self) -> Self:
        if "local-test" in self.agreements:
            raise ValueError("agreements.local-test: is built in; choose another name")
        return self


def load(path: Path) -> Config:
    """Read and check a configuration file. ConfigError names the file and every wrong key."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except PermissionError as error:
        account = account_name(os.geteuid())
        raise ConfigError(f"{path}: cannot be read: {error.strerror} for the account {account}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; name another with --config") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error


def parse(text: str, source: str) -> Config:
    """Check a configuration given as text; `source` names it in errors."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits, and tables without end
        raise ConfigError(f"{source}: not valid TOML: {error}") from error
    try:
        # By way of JSON, because pydantic is strict with the types of TOML then: "1883" and true are no numbers. A date
        # becomes a table, which nothing accepts.
        return Config.model_validate_json(json.dumps(table, default=lambda date: {"date": str(date)}), strict=True)
    except ValidationError as error:
        lines = [f"{source}: {_explain(problem['loc'], problem['type'], problem['msg'])}" for problem in error.errors()]
        raise ConfigError(*lines) from error


def _explain(location: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        return f"unknown key {key}: remove it or correct its spelling"
    if kind == "missing":
        return f"missing key {key}"
    text = re.sub(r"^Value error, ", "", message)
    return f"{key}: {text}" if key else text
