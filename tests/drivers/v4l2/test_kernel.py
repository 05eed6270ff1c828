"""The real kernel, as far as it can be tested without a camera."""

import time
from pathlib import Path

import pytest

from drivers.errors import LinkLost
from drivers.v4l2.driver import V4l2
from drivers.v4l2.kernel import LinuxKernel


def test_what_is_no_video_device_is_a_lost_link(tmp_path: Path) -> None:
    file = tmp_path / "video0"
    for text in ("no such device", "no video device"):
        with pytest.raises(LinkLost, match=text):
            V4l2(f"v4l2:{file}", {}).open()
        file.touch()


def test_a_wake_ends_one_wait_of_the_real_kernel_and_is_remembered(tmp_path: Path) -> None:
    kernel = LinuxKernel()
    kernel.wake()  # nothing is open: nobody to wake
    (tmp_path / "pipe").touch()
    fd = kernel.open(str(tmp_path / "pipe"))
    kernel.wake()
    assert not kernel.wait(fd, 5.0)
    assert kernel.wait(fd, 5.0)  # a file is always ready
    kernel.close(fd)


def test_the_clock_is_the_monotonic_one_and_requests_reach_the_device(tmp_path: Path) -> None:
    kernel = LinuxKernel()
    before = time.monotonic()
    assert before <= kernel.now() <= time.monotonic()
    (tmp_path / "file").write_bytes(b"pixels".ljust(4096, b"\0"))
    fd = kernel.open(str(tmp_path / "file"))
    memory = kernel.map(fd, 4096, 0)
    assert memory[0:6] == b"pixels"
    memory.close()
    kernel.close(fd)


def test_the_descriptors_of_a_usb_camera_are_those_of_sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interface = tmp_path / "devices" / "1-1" / "1-1:1.2"
    interface.mkdir(parents=True)
    (interface / "bInterfaceNumber").write_text("02\n")
    (interface.parent / "descriptors").write_bytes(bytes(18) + b"configuration")
    (tmp_path / "video0").mkdir()
    (tmp_path / "video0" / "device").symlink_to(interface)
    monkeypatch.setattr("drivers.v4l2.kernel.VIDEO_DEVICES", tmp_path)
    kernel = LinuxKernel()
    assert kernel.usb_interface("/dev/video0") == (b"configuration", 2)
    assert kernel.usb_interface("/dev/video1") == (b"", 0)
    (interface / "bInterfaceNumber").write_text("none")
    assert kernel.usb_interface("/dev/video0") == (b"", 0)
