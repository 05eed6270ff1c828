"""A worker runs until it is stopped, reports a crash once, and says for how long it has made no progress."""

import threading

import pytest

from agent.worker import Worker

SOON_S = 5.0


class Waiting(Worker):
    """Waits until it is interrupted."""

    def __init__(self, crashes: list[tuple[str, BaseException]]) -> None:
        super().__init__("waiting", lambda name, error: crashes.append((name, error)))
        self.woken = threading.Event()

    def run(self) -> None:
        self.woken.wait()

    def interrupt(self) -> None:
        self.woken.set()


class Deaf(Waiting):
    """Does not end when it is interrupted."""

    def interrupt(self) -> None:
        Worker.interrupt(self)


class Broken(Waiting):
    def run(self) -> None:
        raise ValueError("a bug")


def test_it_runs_until_it_is_stopped() -> None:
    crashes: list[tuple[str, BaseException]] = []
    worker = Waiting(crashes)
    assert not worker.alive
    worker.start()
    assert worker.alive
    assert worker.stop(SOON_S)
    assert not worker.alive
    assert worker.stop(0)  # it has ended already
    assert crashes == []


def test_one_that_does_not_end_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    worker = Deaf([])
    worker.start()
    assert not worker.stop(0.01)
    assert "worker waiting did not stop within" in caplog.text
    worker.woken.set()
    assert worker.stop(SOON_S)


def test_a_crash_is_reported_with_its_worker_and_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    crashes: list[tuple[str, BaseException]] = []
    worker = Broken(crashes)
    worker.start()
    assert worker.stop(SOON_S)
    assert [(name, str(error)) for name, error in crashes] == [("waiting", "a bug")]
    assert "ValueError: a bug" in caplog.text


def test_a_beat_ends_the_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("agent.worker.time.monotonic", lambda: now[0])
    worker = Waiting([])
    now[0] += 7
    assert worker.silent_for == 7
    worker.beat()
    assert worker.silent_for == 0
