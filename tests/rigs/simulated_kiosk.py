"""The configuration of a kiosk with one sensor, for tests that build a kiosk in their own process."""

from pathlib import Path
from typing import Any

from agent.config import Config, parse
from agent.kiosk import Kiosk

CONFIG = """\
[kiosk]
site = "s1"
name = "k1"
state_dir = "{folder}/state"
control_socket = "{folder}/control.sock"
{kiosk}

[sensors.finger]
driver = "{driver}"
url = "{url}"
options = {{ {options} }}

[plan]
steps = [{{ sensor = "finger", position = "{position}" }}]
step_timeout_s = {timeout}

[local_list]
enabled = true
{more}
"""


def make_stores(config: Config) -> None:
    """Make the stores, as the daemon does at its first start: no command does."""
    ignore: Any = lambda *_: None  # noqa: E731
    Kiosk(config, ignore, ignore, ignore).stop()


def config_of(
    folder: Path,
    url: str = "serial:/dev/null",
    *,
    driver: str = "ef01",
    options: str = "",
    position: str = "right_index",
    timeout: float = 10.0,
    kiosk: str = "",
    more: str = "",
) -> Config:
    """A kiosk whose stores and control socket are in `folder`; `kiosk` and `more` are added as TOML."""
    text = CONFIG.format(
        folder=folder,
        url=url,
        driver=driver,
        options=options,
        position=position,
        timeout=timeout,
        kiosk=kiosk,
        more=more,
    )
    return parse(text, "test")
