"""Settings and frames on their way to the simulated USB host."""

from pathlib import Path

from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.plugged import read_frames, settings_from, settings_text, write_frames


def test_frames_and_settings_cross_to_another_process(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames", [b"one", b"", b"three"])
    assert read_frames(tmp_path / "frames") == [b"one", b"", b"three"]
    settings = UvcSettings(("y16",), ((64, 48),), (5.0,), version=0x0150)
    assert settings_from(settings_text(settings)) == settings
    assert settings_from("") == UvcSettings()
