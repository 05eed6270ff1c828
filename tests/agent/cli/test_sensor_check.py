"""Looking at a sensor without the daemon: what is seen of one sample, and that the file of it is the owner's alone."""

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agent.cli import console
from agent.cli.sensor_check import CaptureRequest, CaptureResult, capture_one, check_all, describe, explain_failure
from agent.encounter.best_frame import USABLE_SCORE
from agent.errors import AgentError
from drivers import open_sensor
from drivers.errors import GRANT_ACCESS_COMMAND, Cancelled, DeviceBusy, PermissionDenied, ProtocolError
from models.encoder import Flaw
from simulators.polling import wait_until
from simulators.sensors.ef01.commands import Ef01Settings
from simulators.sensors.ef01.rig import Ef01Rig
from simulators.sensors.sfm.device import SfmSettings
from simulators.sensors.sfm.rig import SfmRig
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.rig import UvcRig
from tests.conftest import impression_of
from tests.rigs.simulated_kiosk import config_of

FORMAT, BLACK_AND_WHITE = 0x6C, 0x31  # of an SFM module; the second as it leaves the factory
PROCESS_S = 30.0


@pytest.fixture(name="sensor")
def _sensor(tmp_path: Path) -> Iterator[Ef01Rig]:
    with Ef01Rig(Ef01Settings(), tmp_path / "sensor") as rig:
        yield rig


def capture(sensor: Ef01Rig, out: Path | None, timeout: float = 10) -> CaptureResult:
    url = f"serial:{sensor.server.link}?baud={sensor.settings.baud}"
    return capture_one(CaptureRequest("ef01", url, {"model": "R307", "poll_s": "0.01"}, timeout, out), no_words)


def no_words(_: str) -> None:
    """A reader of fingers says nothing while it waits."""
    raise AssertionError


@pytest.fixture(name="widest_umask")
def _widest_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("widest_umask")
def test_a_sample_is_written_as_it_was_taken_and_only_its_owner_may_read_it(sensor: Ef01Rig, tmp_path: Path) -> None:
    sensor.module.press(impression_of(1, 0))
    out = tmp_path / "sample.png"
    taken = capture(sensor, out)
    assert taken.quality.score > 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with Image.open(out) as written:
        assert np.array_equal(np.asarray(written), taken.sample.image)
        assert written.info["dpi"] == pytest.approx((500, 500), abs=0.1)


def something(path: Path) -> None:
    path.write_text("not a sample")
    path.chmod(0o644)


def a_link_to_nowhere(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("there", [something, a_link_to_nowhere])
def test_what_is_there_already_is_left_alone(sensor: Ef01Rig, tmp_path: Path, there: object) -> None:
    sensor.module.press(impression_of(1, 0))
    out = tmp_path / "sample.png"
    assert callable(there)
    there(out)
    with pytest.raises(AgentError, match=r"sample\.png: already exists: delete it"):
        capture(sensor, out)
    assert not (tmp_path / "elsewhere").exists()
    assert out.is_symlink() or out.read_text() == "not a sample"


def test_a_file_in_the_way_is_said_before_anybody_is_asked_to_touch_the_sensor(sensor: Ef01Rig, tmp_path: Path) -> None:
    out = tmp_path / "sample.png"
    something(out)
    with pytest.raises(AgentError, match="already exists"):
        capture(sensor, out, timeout=0.1)
    assert sensor.module.counters().commands["GetImage"] == 0


@pytest.mark.parametrize("name", ["nowhere/sample.png", "shut/sample.png"])
def test_a_place_where_nothing_can_be_written_is_said_before_too(sensor: Ef01Rig, tmp_path: Path, name: str) -> None:
    (tmp_path / "shut").write_text("a file, and no folder")
    with pytest.raises(AgentError, match=r"sample\.png: cannot be written: (No such file|Not a directory)"):
        capture(sensor, tmp_path / name, timeout=0.1)
    assert sensor.module.counters().commands["GetImage"] == 0


def test_a_sample_that_was_not_taken_leaves_no_file(sensor: Ef01Rig, tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no sample"):
        capture(sensor, tmp_path / "sample.png", timeout=0.1)
    assert not (tmp_path / "sample.png").exists()


@pytest.fixture(name="module")
def _module(tmp_path: Path) -> Iterator[SfmRig]:
    """A module that somebody has to put back as it was."""
    with SfmRig(SfmSettings(), tmp_path / "module") as rig:
        yield rig


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_good_order(module: SfmRig, number: signal.Signals, tmp_path: Path) -> None:
    def send_it() -> None:
        assert wait_until(lambda: module.module.waits_for_finger, PROCESS_S)
        os.kill(os.getpid(), number)

    before, sender = signal.getsignal(number), threading.Thread(target=send_it)
    sender.start()
    with pytest.raises(Cancelled):
        capture_one(CaptureRequest("sfm", module.url, {}, PROCESS_S, tmp_path / "sample.png"), no_words)
    sender.join()
    assert module.module.parameter(FORMAT) == BLACK_AND_WHITE
    assert signal.getsignal(number) is before
    assert not (tmp_path / "sample.png").exists()


def test_a_command_that_is_terminated_puts_the_module_back_and_says_interrupted(module: SfmRig) -> None:
    command = [sys.executable, "-m", "agent", "capture", "sfm", module.url, "--timeout", str(PROCESS_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert wait_until(lambda: module.module.waits_for_finger, PROCESS_S)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=PROCESS_S)
        finally:
            process.kill()
    assert (process.returncode, said) == (130, "")
    assert module.module.parameter(FORMAT) == BLACK_AND_WHITE


def test_without_a_touch_the_technician_hears_what_the_traveller_would(sensor: Ef01Rig) -> None:
    with pytest.raises(AgentError, match=r"no sample: .*the traveller would be told: Please place"):
        capture(sensor, None, timeout=0.2)


@pytest.fixture(name="camera")
def _camera(tmp_path: Path) -> Iterator[UvcRig]:
    with UvcRig(UvcSettings(), tmp_path / "camera") as rig:
        yield rig


def test_a_camera_is_looked_through_until_an_eye_is_there(camera: UvcRig, capsys: pytest.CaptureFixture[str]) -> None:
    camera.look(person=5)
    console.show_capture(capture_one(CaptureRequest("uvc", camera.url, {}, 20), lambda _: None), None)
    size, quality = capsys.readouterr().out.splitlines()[:2]
    assert size.endswith("640x480, 8 bit")
    assert int(quality.split()[1]) >= USABLE_SCORE


def test_without_an_eye_the_technician_hears_so_and_can_have_any_frame_to_adjust_the_camera(camera: UvcRig) -> None:
    with pytest.raises(AgentError, match="told: Please look into the camera with your eye"):
        capture_one(CaptureRequest("uvc", camera.url, {}, 0.5), no_words)
    capture = capture_one(CaptureRequest("uvc", camera.url, {}, 10, any_frame=True), no_words)
    assert (capture.quality.score, capture.quality.flaw) == (0, Flaw.EMPTY)


def test_each_configured_sensor_is_opened_and_its_state_reported(sensor: Ef01Rig, tmp_path: Path) -> None:
    options = 'model = "R307"'
    assert check_all(config_of(tmp_path, sensor.url, options=options)) == {
        "finger": {"state": "ready", "driver": "ef01", "detail": "ZFM-20/R301T/R307, 256x288 at 500 ppi, 4 bit"}
    }
    state = check_all(config_of(tmp_path, "serial:/dev/nowhere", options=options))["finger"]
    assert (state["state"], state["driver"]) == ("fault", "ef01")
    assert "/dev/nowhere" in state["detail"]


def test_a_driver_that_is_not_there_is_named() -> None:
    with pytest.raises(AgentError, match="ef99"):
        capture_one(CaptureRequest("ef99", "serial:/dev/null", {}, 1), no_words)


def test_a_sensor_whose_size_is_not_known_yet_is_called_by_its_driver(
    sensor: Ef01Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    sensor.module.press(impression_of(1, 0))
    url = f"serial:{sensor.server.link}?baud={sensor.settings.baud}"
    opened = open_sensor("ef01", url)
    assert describe(opened.open()) == "ef01, size known after the first image, 4 bit"
    opened.close()
    console.show_capture(capture_one(CaptureRequest("ef01", url, {}, 10), no_words), None)
    assert capsys.readouterr().out.startswith("ef01: 256x288 at 500 ppi, 4 bit\n")


def test_a_missing_permission_is_called_so_and_nobody_is_sent_to_stop_the_daemon() -> None:
    told = explain_failure(
        PermissionDenied(f"reader: no permission; to grant it to this account, run: {GRANT_ACCESS_COMMAND}")
    )
    assert told.endswith("then log in again")
    assert "daemon" not in told
    assert "stop the daemon first" in explain_failure(DeviceBusy("reader: another program holds it"))


def test_a_module_of_a_size_that_no_model_has_is_named_by_the_first_capture(tmp_path: Path) -> None:
    """Before, every call said that the finger had moved."""
    with Ef01Rig(Ef01Settings(width=160, height=160), tmp_path / "sensor") as sensor:
        sensor.module.press(np.zeros((160, 160), np.uint8))
        request = CaptureRequest("ef01", sensor.url, {}, 10)
        with pytest.raises(AgentError, match=r"set width and height \(width=160 and height=160 would.* --option"):
            capture_one(request, no_words)
        fitting = CaptureRequest("ef01", sensor.url, {"width": "160", "height": "160"}, 10)
        assert capture_one(fitting, no_words).sample.image.shape == (160, 160)


def test_a_failure_that_no_option_mends_names_none() -> None:
    assert "--option" not in explain_failure(ProtocolError("reader: no image follows the acknowledge"))
