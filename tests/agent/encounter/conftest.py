"""The lane as a fixture."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.config import parse
from agent.encounter import station as station_module
from agent.encounter.enrolment import Seal
from agent.encounter.lane import Lane, Stores
from agent.encounter.station import Station
from agent.hub.outbox import Outbox
from agent.watchlist.watchlist import Watchlist
from drivers.errors import LinkLost, ProtocolError
from drivers.sample import Modality
from tests.conftest import finger_encoder
from tests.rigs.lane_rig import CONFIG, ONE_FINGER, SOON, LaneRig, Make
from tests.rigs.scripted_sensor import ScriptedSensor
from tests.rigs.store_key import TEST_KEY


@pytest.fixture(name="make")
def _make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(station_module, "BACKOFF_S", {LinkLost: (0.01, 0.02), ProtocolError: (0.01, 0.02)})
    made: list[LaneRig] = []

    def make(
        steps: str = ONE_FINGER,
        *,
        step_timeout_s: float = SOON,
        local_list: bool = True,
        seal: Seal | None = None,
        policy: str = "",
    ) -> LaneRig:
        text = CONFIG.format(
            folder=tmp_path, steps=steps, step_timeout_s=step_timeout_s, local_list=str(local_list).lower()
        )
        config = parse(f"{text}\n[policy]\n{policy}", "test")
        kiosk: LaneRig
        one, two = ScriptedSensor(), ScriptedSensor()
        stations = {
            name: Station(name, "scripted", sensor, lambda *_: None, lambda *crash: kiosk.crashes.put(crash))
            for name, sensor in (("one", one), ("two", two))
        }
        lane = Lane(
            config,
            stations=stations,
            encoders={Modality.FINGER: finger_encoder()},
            stores=Stores(
                lambda: Watchlist(tmp_path / "watchlist.db", SystemClock(), key=TEST_KEY),
                lambda: Outbox(tmp_path / "outbox.db", "k", key=TEST_KEY),
            ),
            seal=seal,
            announce=lambda announcement: kiosk.announce(announcement),  # noqa: PLW0108 - kiosk is made below
            clock=SystemClock(),
            on_crash=lambda *crash: kiosk.crashes.put(crash),
        )
        kiosk = LaneRig(config, lane, one, two, stations)
        made.append(kiosk)
        for worker in (*stations.values(), lane):
            worker.start()
        return kiosk

    yield make
    for kiosk in made:
        kiosk.stop()
