"""Settings and frames on their way to the simulated USB host."""

from pathlib import Path

import pytest

from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.sensors.uvc.frames import Mode
from simulators.sensors.uvc.plugged import (
    FRAMES_VARIABLE,
    SETTINGS_VARIABLE,
    camera,
    read_frames,
    settings_from,
    settings_text,
    write_frames,
)

MODE = Mode("y800", 64, 48, 333_333)


def test_frames_and_settings_cross_to_another_process(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames", [b"one", b"", b"three"])
    assert read_frames(tmp_path / "frames") == [b"one", b"", b"three"]
    settings = UvcSettings(("y16",), ((64, 48),), (5.0,), version=0x0150)
    assert settings_from(settings_text(settings)) == settings
    assert settings_from("") == UvcSettings()


def test_a_file_without_frames_is_refused_by_name(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames", [])
    with pytest.raises(ValueError, match="frames holds no frames"):
        read_frames(tmp_path / "frames")


def test_the_camera_has_the_settings_and_the_frames_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames(tmp_path / "frames", [b"one"])
    monkeypatch.setenv(SETTINGS_VARIABLE, settings_text(UvcSettings(vendor=0x1234)))
    monkeypatch.setenv(FRAMES_VARIABLE, str(tmp_path / "frames"))
    plugged = camera()
    (device,) = plugged.devices
    assert device.model.description.vendor == 0x1234
    assert isinstance(device.model, UvcCamera)
    assert device.model._source(0, MODE) == b"one"
    write_frames(tmp_path / "more", [b"two"])
    plugged.handlers["show"](frames=str(tmp_path / "more"))
    assert device.model._source(0, MODE) == b"two"
    plugged.handlers["test_card"]()
    assert device.model._source(5, MODE)[:8] == (5).to_bytes(8, "little")


def test_faults_are_cleared_and_counted_by_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (SETTINGS_VARIABLE, FRAMES_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    plugged = camera()
    (device,) = plugged.devices
    device.model.faults.inject("freeze")
    plugged.handlers["clear"]()
    assert device.model.faults.pending() == {}
    counters = plugged.handlers["counters"]()
    assert counters is not None
    assert (counters["streaming"], counters["lamp"], counters["frames_sent"]) == (False, False, 0)
