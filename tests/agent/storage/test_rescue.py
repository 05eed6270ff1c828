"""Files that are deleted below the daemon: it notices, and the events that wait are in the outbox of the next start."""

import logging
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.events.event import Event, EventClass
from agent.hub.outbox import Outbox
from agent.storage import rescue as module
from agent.storage.rescue import Rescue
from tests.rigs.store_key import TEST_KEY

EVENT = Event(EventClass.LEAD, "e-1", datetime(2026, 1, 1, tzinfo=UTC), b"{}")


class Kiosk:
    """Two handles on an outbox, as the main thread and the lane have, and the rescue."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "outbox.db"
        self.main, self.lane = Outbox(self.path, "k1", key=TEST_KEY), Outbox(self.path, "k1", key=TEST_KEY)
        (folder / "watchlist.db").write_text("x")
        self.lane.put(EVENT)
        self.rescue = Rescue(self.path, (folder / "watchlist.db",))

    def check(self) -> bool:
        return self.rescue.check(self.main, self.waiting)

    def waiting(self) -> int:
        return sum(self.main.counts().values())

    def end(self) -> None:
        self.lane.close()
        self.rescue.finish(self.main, self.waiting)
        self.main.close()


@pytest.fixture(name="kiosk")
def _kiosk(tmp_path: Path) -> Iterator[Kiosk]:
    kiosk = Kiosk(tmp_path / "state")
    yield kiosk
    kiosk.lane.close()
    kiosk.main.close()


def sequences(path: Path) -> list[int]:
    with Outbox(path, "k1", key=TEST_KEY, create=False) as outbox:
        return [stored.key.sequence for stored in outbox.pending(EventClass.LEAD, 10)]


def test_nothing_happens_while_the_files_are_there(kiosk: Kiosk) -> None:
    assert not kiosk.check()
    kiosk.end()
    assert (kiosk.rescue.problem, sequences(kiosk.path)) == ("", [1])


@pytest.mark.parametrize("what", ["folder", "files", "outbox", "outbox without its log"])
def test_the_events_of_a_deleted_outbox_are_there_at_the_next_start(
    kiosk: Kiosk, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    epoch = kiosk.main.epoch
    if what == "folder":
        shutil.rmtree(kiosk.folder)
    if what == "outbox without its log":  # which would destroy the file that is written again
        kiosk.path.unlink()
    else:
        for path in kiosk.folder.glob("*" if what == "files" else "outbox.db*"):
            path.unlink()
    kiosk.lane.put(EVENT)  # a traveller before the daemon has noticed
    assert kiosk.check()
    assert f"{kiosk.path}" in kiosk.rescue.problem
    assert "deleted or replaced while the agent runs: the agent ends, and systemd starts it again" in caplog.text
    kiosk.lane.put(EVENT)  # and one while it stops
    kiosk.end()
    assert "was written again: 3 events wait" in caplog.text
    assert sequences(kiosk.path) == [1, 2, 3]
    with Outbox(kiosk.path, "k1", key=TEST_KEY) as outbox:
        assert outbox.epoch == epoch
    assert list(kiosk.folder.glob("*rescued*")) == []


def test_another_file_in_its_place_is_kept_and_the_events_are_beside_it(
    kiosk: Kiosk, caplog: pytest.LogCaptureFixture
) -> None:
    kiosk.path.unlink()
    kiosk.path.write_text("another outbox")
    assert kiosk.check()
    kiosk.end()
    (beside,) = kiosk.folder.glob("outbox.db.rescued-*")
    assert sequences(beside) == [1]
    assert kiosk.path.read_text() == "another outbox"
    assert f"the events of this agent are in {beside}" in caplog.text


def test_a_deleted_watchlist_is_not_written_again(kiosk: Kiosk) -> None:
    (kiosk.folder / "watchlist.db").unlink()
    assert kiosk.check()
    kiosk.end()
    assert sorted(path.name for path in kiosk.folder.iterdir()) == ["outbox.db", "outbox.reserve"]


def test_while_nothing_can_be_written_the_daemon_runs_on_and_says_what_would_be_lost(
    kiosk: Kiosk, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(kiosk.folder)
    kiosk.folder.write_text("no folder can be made here")
    for _ in range(3):
        assert not kiosk.check()
    said = [record for record in caplog.records if record.name == module.__name__ and record.levelno == logging.ERROR]
    assert len(said) == 1
    assert "1 events would be lost if the agent ended now" in kiosk.rescue.problem
    kiosk.folder.unlink()
    assert kiosk.check()
    kiosk.end()
    assert sequences(kiosk.path) == [1]


def test_events_that_are_lost_are_counted_in_the_log(kiosk: Kiosk, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(kiosk.folder)
    kiosk.folder.write_text("no folder can be made here")
    kiosk.end()
    assert "1 events that waited for the hub are lost" in caplog.text
